//! What a file is served as.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use netrox_harness::{Arrangement, Response, TestChat, each};

use super::uploaded;

each![
    a_file_is_served_with_its_safety_headers,
    plain_media_is_shown_inline,
    anything_else_is_a_download,
    the_content_tells_the_type_not_the_name,
    head_is_get_without_a_body,
];

/// One pixel.
fn png() -> Vec<u8> {
    STANDARD
        .decode(
            "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5E\
             rkJggg==",
        )
        .expect("base64")
}

fn assert_safe(answer: &Response) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("cross-origin-resource-policy"), Some("cross-origin"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(answer.header("cache-control"), Some("private, max-age=31536000, immutable"));
    let policy = answer.header("content-security-policy").expect("a policy");
    let mut words = policy.split(';').map(|rule| rule.split_whitespace().collect::<Vec<_>>());
    let sandbox = words.find(|words| words.first() == Some(&"sandbox")).expect("a sandbox");
    // Audio and video have to read themselves.
    assert!(sandbox[1..].iter().all(|word| *word == "allow-same-origin"), "{policy}");
    let etag = answer.header("etag").expect("an entity tag");
    assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 2, "{etag}");
    let length = answer.header("content-length").expect("a length");
    assert_eq!(length, answer.body.len().to_string());
}

fn is_download(answer: &Response) -> bool {
    answer.header("content-disposition").is_some_and(|value| value.starts_with("attachment"))
}

async fn a_file_is_served_with_its_safety_headers(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    for (name, content) in [("a.png", png()), ("a.txt", b"text".to_vec()), ("empty", Vec::new())] {
        let path = uploaded(&chat, name, &content).await;
        let answer = chat.get(&path).send().await;
        assert_safe(&answer);
        assert_eq!(answer.body, content);
    }
}

async fn plain_media_is_shown_inline(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let jpeg = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0".to_vec();
    let mp4 = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom\0\0\0\x08free".to_vec();
    let opus = [b"OggS\0\x02".as_slice(), &[0; 20], b"\x01\x13OpusHead"].concat();
    let transport_stream = [b"G\x40\x11\x10".as_slice(), &[0; 184]].concat().repeat(10);
    let files: [(&str, &[u8], &str); 14] = [
        ("a.png", &png(), "image/png"),
        ("a.jpg", &jpeg, "image/jpeg"),
        ("a.gif", b"GIF89a\x01\0\x01\0\0\0\0;", "image/gif"),
        ("a.webp", b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\0\0\0", "image/webp"),
        ("a.mp3", b"ID3\x03\0\0\0\0\0\x0aTSSE", "audio/mpeg"),
        ("a.mp4", &mp4, "video/mp4"),
        ("a.3gp", b"\0\0\0\x18ftyp3gp5\0\0\0\0isom3gp5", "video/3gpp"),
        ("a.caf", b"caff\0\x01\0\0desc\0\0\0\0", "audio/x-caf"),
        ("a.ts", &transport_stream, "video/mp2t"),
        ("a.opus", &opus, "audio/ogg"),
        ("a.m4a", b"\0\0\0\x20ftypM4A \0\0\0\0M4A mp42isom", "audio/mp4"),
        ("a.flac", b"fLaC\0\0\0\x22\x10\0\x10\0", "audio/flac"),
        ("a.wav", b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0", "audio/wav"),
        ("a.pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "application/pdf"),
    ];
    for (name, content, content_type) in files {
        let path = uploaded(&chat, name, content).await;
        let answer = chat.get(&path).send().await;
        assert_safe(&answer);
        assert_eq!(answer.header("content-type"), Some(content_type), "{name}");
        assert!(!is_download(&answer), "{answer:?}");
    }
}

async fn anything_else_is_a_download(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let svg = r#"<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>"#;
    for (name, content) in [
        ("a.html", "<!DOCTYPE html><html><script>alert(1)</script></html>"),
        ("a.htm", "  \n<html><body onload=alert(1)></body></html>"),
        ("a.svg", svg),
        ("b.svg", "<?xml version=\"1.0\"?><svg xmlns=\"http://www.w3.org/2000/svg\"/>"),
        ("a.xml", "<?xml version=\"1.0\"?><a/>"),
        ("a.js", "alert(1)"),
        ("a.ts", "Get.all = (names: string[]) => names.map(Get.one);\n"),
        ("a.txt", "plain text"),
        ("a.zip", "PK\x03\x04\x14\0\0\0\0\0"),
        ("a.exe", "MZ\u{90}\0\x03\0\0\0"),
        ("a.sh", "#!/bin/sh\nrm -r /\n"),
        ("nothing", ""),
        ("a.bin", "\x01\x02\x03\x04"),
    ] {
        let path = uploaded(&chat, name, content).await;
        let answer = chat.get(&path).send().await;
        assert_safe(&answer);
        assert!(is_download(&answer), "{name}: {answer:?}");
    }
    let path = uploaded(&chat, "a.bin", "\x01\x02\x03\x04").await;
    let answer = chat.get(&path).send().await;
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
}

async fn the_content_tells_the_type_not_the_name(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let path = uploaded(&chat, "a.html", png()).await;
    assert!(path.ends_with(".html"), "{path}");
    let answer = chat.get(&path).send().await;
    assert_safe(&answer);
    assert_eq!(answer.header("content-type"), Some("image/png"));
    let path = uploaded(&chat, "a.png", "<html><script>alert(1)</script></html>").await;
    let answer = chat.get(&path).send().await;
    assert_safe(&answer);
    assert_ne!(answer.header("content-type"), Some("image/png"));
    assert!(is_download(&answer), "{answer:?}");
}

async fn head_is_get_without_a_body(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let path = uploaded(&chat, "a.png", png()).await;
    let get = chat.get(&path).send().await;
    let head = chat.edge().request("HEAD", &path).send().await;
    assert_eq!(head.status, 200);
    assert!(head.body.is_empty());
    let without_date = |answer: &Response| {
        let mut headers = answer.headers.clone();
        headers.remove("date");
        headers
    };
    assert_eq!(without_date(&head), without_date(&get));
    let missing = chat.edge().request("HEAD", "/mediafiles/attachments/2024/01/01/nope");
    let answer = missing.send().await;
    assert_eq!((answer.status, answer.body.len()), (404, 0));
}
