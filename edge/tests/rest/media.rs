use http::{HeaderMap, Method};
use netrox_edge::config::MediaAccess;
use netrox_proto::{time::timestamp, v1::Attachment};
use serde_json::json;

use crate::{
    stub::StoredFile,
    world::{ALICE, BOB, CAROL, World, bearer, config, token},
};

const FILE: &str = "attachments/2024/06/17/4908f104-b77b-4677-b563-b693a893fef3.jpg";
const URL: &str = "/mediafiles/attachments/2024/06/17/4908f104-b77b-4677-b563-b693a893fef3.jpg";
const ETAG: &str = "\"4908f104-b77b-4677-b563-b693a893fef3.jpg\"";

async fn world_with(content: &[u8], content_type: &str, access: MediaAccess) -> World {
    let mut config = config();
    config.media_access = access;
    let world = World::with(config).await;
    let file = StoredFile {
        attachment: Attachment {
            path: FILE.into(),
            file_name: "naïve.jpg".into(),
            size: i64::try_from(content.len()).expect("a size"),
            content_type: content_type.into(),
            dispatched: None,
        },
        created: timestamp(1_718_623_701_902_531),
        content: content.to_vec(),
        participants: vec![ALICE.into(), BOB.into()],
    };
    world.core.state().files.insert(FILE.into(), file);
    world
}

async fn world() -> World {
    world_with(b"0123456789", "image/jpeg", MediaAccess::Capability).await
}

#[track_caller]
fn assert_file_headers(headers: &HeaderMap) {
    for (name, value) in [
        ("content-type", "image/jpeg"),
        ("x-content-type-options", "nosniff"),
        ("content-disposition", "inline; filename=\"na_ve.jpg\"; filename*=UTF-8''na%C3%AFve.jpg"),
        ("cross-origin-resource-policy", "cross-origin"),
        ("referrer-policy", "no-referrer"),
        ("etag", ETAG),
        ("last-modified", "Mon, 17 Jun 2024 11:28:21 GMT"),
        ("cache-control", "private, max-age=31536000, immutable"),
        ("accept-ranges", "bytes"),
    ] {
        assert_eq!(headers[name], value, "{name}");
    }
    let policy = headers["content-security-policy"].to_str().expect("ASCII");
    assert!(policy.starts_with("sandbox; default-src 'none';"), "{policy}");
}

#[tokio::test]
async fn a_file_is_served_whole_without_a_token() {
    let world = world().await;
    let answer = world.get(URL, &[]).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, "0123456789"));
    assert_eq!(answer.headers["content-length"], "10");
    assert_file_headers(&answer.headers);

    let head = world.request(Method::HEAD, URL, &[("range", "bytes=0-1")], "").await;
    assert_eq!((head.status.as_u16(), head.text()), (200, ""));
    assert_eq!(head.headers["content-length"], "10");
    assert_file_headers(&head.headers);
}

#[tokio::test]
async fn a_large_file_arrives_as_it_is() {
    let content: Vec<u8> = (0..1_000_000_u32).map(|index| (index % 251) as u8).collect();
    let world = world_with(&content, "image/jpeg", MediaAccess::Capability).await;
    assert_eq!(world.get(URL, &[]).await.body, content);
    let answer = world.get(URL, &[("range", "bytes=70000-800000")]).await;
    assert_eq!(answer.body, content[70_000..=800_000]);
}

#[tokio::test]
async fn single_ranges_are_served_and_others_ignored() {
    let world = world().await;
    for (range, status, content_range, body) in [
        ("bytes=0-0", 206, Some("bytes 0-0/10"), "0"),
        ("bytes=3-", 206, Some("bytes 3-9/10"), "3456789"),
        ("bytes=-4", 206, Some("bytes 6-9/10"), "6789"),
        ("bytes=-40", 206, Some("bytes 0-9/10"), "0123456789"),
        ("bytes=8-99", 206, Some("bytes 8-9/10"), "89"),
        ("bytes=0-1,3-4", 200, None, "0123456789"),
        ("bytes=5-2", 200, None, "0123456789"),
        ("nonsense", 200, None, "0123456789"),
    ] {
        let answer = world.get(URL, &[("range", range)]).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (status, body), "{range}");
        let found = answer.headers.get("content-range").map(|value| value.to_str().expect("ASCII"));
        assert_eq!(found, content_range, "{range}");
        assert_eq!(answer.headers["content-length"], body.len().to_string(), "{range}");
        assert_file_headers(&answer.headers);
    }
    for range in ["bytes=10-", "bytes=-0"] {
        let answer = world.get(URL, &[("range", range)]).await;
        answer.assert_refused(416, "Range not satisfiable");
        assert_eq!(answer.headers["content-range"], "bytes */10");
    }
}

#[tokio::test]
async fn an_empty_file_has_no_ranges() {
    let world = world_with(b"", "image/jpeg", MediaAccess::Capability).await;
    let answer = world.get(URL, &[]).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, ""));
    assert_eq!(answer.headers["content-length"], "0");
    assert_eq!(world.get(URL, &[("range", "bytes=0-")]).await.status, 416);
}

#[tokio::test]
async fn conditions_are_honoured() {
    let world = world().await;
    let date = "Mon, 17 Jun 2024 11:28:21 GMT";
    for headers in [("if-none-match", ETAG), ("if-none-match", "*"), ("if-modified-since", date)] {
        let answer = world.get(URL, &[headers]).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (304, ""), "{headers:?}");
        assert_file_headers(&answer.headers);
    }
    for headers in
        [("if-none-match", "\"other\""), ("if-modified-since", "Sun, 16 Jun 2024 00:00:00 GMT")]
    {
        assert_eq!(world.get(URL, &[headers]).await.status, 200, "{headers:?}");
    }
    let range = ("range", "bytes=0-0");
    for (condition, status) in [(ETAG, 206), (date, 206), ("\"other\"", 200), ("W/\"x\"", 200)] {
        let answer = world.get(URL, &[range, ("if-range", condition)]).await;
        assert_eq!(answer.status, status, "{condition}");
    }
}

#[tokio::test]
async fn what_a_browser_might_run_is_only_downloaded() {
    for (content_type, kind) in [
        ("image/svg+xml", "attachment"),
        ("text/html", "attachment"),
        ("application/octet-stream", "attachment"),
        ("application/pdf", "inline"),
        ("video/mp4", "inline"),
    ] {
        let world = world_with(b"x", content_type, MediaAccess::Capability).await;
        let answer = world.get(URL, &[]).await;
        let disposition = answer.headers["content-disposition"].to_str().expect("ASCII");
        assert_eq!(disposition.split(';').next(), Some(kind), "{content_type}");
        assert_eq!(answer.headers["content-type"], content_type);
    }
}

#[tokio::test]
async fn anything_else_is_not_found() {
    let world = world().await;
    let traversal = format!("/mediafiles/../{URL}");
    let encoded = URL.replace(".jpg", "%2Ejpg");
    let unknown = URL.replace("4908", "4909");
    let slash = format!("{URL}/");
    for path in ["/mediafiles/", "/mediafiles/x", &traversal, &encoded, &unknown, &slash] {
        world.get(path, &[]).await.assert_refused(404, "Not found");
    }
}

#[tokio::test]
async fn for_participants_only_it_is_not_there_for_anyone_else() {
    let world = world_with(b"0123456789", "image/jpeg", MediaAccess::Participants).await;
    for user in [ALICE, BOB] {
        let authorization = bearer(user);
        assert_eq!(world.get(URL, &[("authorization", &authorization)]).await.status, 200);
        let url = format!("{URL}?token={}", token(user, &json!({})));
        assert_eq!(world.get(&url, &[("range", "bytes=0-0")]).await.status, 206);
    }
    let carol = bearer(CAROL);
    let refresh = format!("{URL}?token={}", token(ALICE, &json!({"token_type": "refresh"})));
    for (url, headers) in [
        (URL, vec![]),
        (URL, vec![("authorization", carol.as_str())]),
        (refresh.as_str(), vec![]),
        (URL, vec![("if-none-match", ETAG)]),
    ] {
        let answer = world.get(url, &headers).await;
        answer.assert_refused(404, "Not found");
        assert!(!answer.headers.contains_key("www-authenticate"));
    }
}

#[tokio::test]
async fn a_download_that_breaks_off_never_looks_whole() {
    let content = vec![7; 1_000_000];
    let world = world_with(&content, "image/jpeg", MediaAccess::Capability).await;
    world.core.state().break_downloads_after = Some(300_000);
    let answer = world.attempt(Method::GET, URL, &[], "").await;
    answer.expect_err("an answer that breaks off");

    // Before the first byte there is still a status to say so.
    world.core.state().break_downloads_after = Some(0);
    let answer = world.get(URL, &[]).await;
    answer.assert_refused(503, "Temporarily unavailable, try again");
}

#[tokio::test]
async fn a_file_that_is_not_the_wanted_one_is_not_served() {
    let world = world().await;
    let (etag, weak) = (ETAG, format!("W/{ETAG}"));
    let (before, after) = ("Mon, 17 Jun 2024 11:28:20 GMT", "Mon, 17 Jun 2024 11:28:21 GMT");
    for (headers, status) in [
        (&[("if-match", etag)][..], 200),
        (&[("if-match", "*")], 200),
        (&[("if-match", "\"other\", \"4908f104-b77b-4677-b563-b693a893fef3.jpg\"")], 200),
        (&[("if-match", "\"other\"")], 412),
        // Of strong validators alone.
        (&[("if-match", weak.as_str())], 412),
        (&[("if-match", "\"other\""), ("range", "bytes=0-1")], 412),
        (&[("if-match", etag), ("if-none-match", etag)], 304),
        (&[("if-match", etag), ("if-unmodified-since", before)], 200),
        (&[("if-unmodified-since", before)], 412),
        (&[("if-unmodified-since", after)], 200),
    ] {
        for method in [Method::GET, Method::HEAD] {
            let answer = world.request(method.clone(), URL, headers, "").await;
            assert_eq!(answer.status, status, "{method} {headers:?}");
        }
    }
    let answer = world.get(URL, &[("if-match", "\"other\"")]).await;
    answer.assert_refused(412, "Precondition failed");
}

#[tokio::test]
async fn a_file_of_participants_is_asked_for_each_time() {
    let world = world_with(b"0123456789", "image/jpeg", MediaAccess::Participants).await;
    let alice = bearer(ALICE);
    let authorization = ("authorization", alice.as_str());
    for headers in [&[authorization][..], &[authorization, ("if-none-match", ETAG)]] {
        let answer = world.get(URL, headers).await;
        assert_eq!(answer.headers["cache-control"], "private, no-cache");
        assert_eq!(answer.headers["vary"], "Authorization".to_lowercase());
    }
}

#[tokio::test]
async fn audio_and_video_may_load_themselves_and_run_nothing() {
    for (kind, is_played) in [("video/mp4", true), ("audio/mpeg", true), ("application/pdf", false)]
    {
        let world = world_with(b"0123456789", kind, MediaAccess::Capability).await;
        let answer = world.get(URL, &[]).await;
        let policy = answer.headers["content-security-policy"].to_str().expect("ASCII");
        assert_eq!(
            policy.starts_with("sandbox allow-same-origin; "),
            is_played,
            "{kind}: {policy}"
        );
        assert!(policy.starts_with("sandbox") && !policy.contains("allow-scripts"), "{policy}");
    }
}
