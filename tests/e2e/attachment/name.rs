//! `attached_file_name`, and the extension in `attached_file`.

use netrox_harness::{Arrangement, TestChat, User, each, multipart::Form};
use serde_json::Value;

each![
    names_are_kept_but_for_directories_and_control_characters,
    names_are_cut_at_255_bytes_on_a_character_boundary,
    a_name_with_nothing_left_is_file,
    every_spelling_of_the_parameter_is_understood,
    the_extension_is_the_last_one_in_lower_case,
];

/// The message of an upload whose file part has these parameters after its name.
async fn uploaded(chat: &TestChat, ada: &User, bob: &User, parameters: &str) -> Value {
    let disposition =
        format!("Content-Disposition: form-data; name=\"attached_file\"; {parameters}");
    let form = Form::new().text("receiver", &bob.id).part(&disposition, b"content");
    chat.store(ada, form).await.json()["entity"]["message"].clone()
}

async fn assert_names(arrangement: Arrangement, cases: &[(&str, &str)]) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    for (parameters, name) in cases {
        let message = uploaded(&chat, &ada, &bob, parameters).await;
        assert_eq!(message["attached_file_name"], *name, "{parameters}");
    }
}

async fn names_are_kept_but_for_directories_and_control_characters(arrangement: Arrangement) {
    let cases = [
        ("filename=\"photo.jpg\"", "photo.jpg"),
        ("filename=\"two words.jpg\"", "two words.jpg"),
        ("filename=\"../../etc/passwd\"", "passwd"),
        ("filename=\"/etc/passwd\"", "passwd"),
        ("filename=\"C:\\fakepath\\photo.jpg\"", "photo.jpg"),
        ("filename=\"a/b\\c/d.txt\"", "d.txt"),
        ("filename=\"..hidden\"", "..hidden"),
        ("filename=\"日本語 \u{1f9e9}.png\"", "日本語 \u{1f9e9}.png"),
        ("filename=\"שלום.txt\"", "שלום.txt"),
        ("filename=\"a\u{85}b\u{9f}c.txt\"", "abc.txt"),
        ("filename=\"a;b=c.txt\"", "a;b=c.txt"),
        ("filename=\"<script>alert('1')</script>\"", "script>"),
        ("filename*=UTF-8''a%01%0Ab%7F.txt", "ab.txt"),
        ("filename*=UTF-8''..%2F..%2Fpasswd", "passwd"),
    ];
    assert_names(arrangement, &cases).await;
}

async fn names_are_cut_at_255_bytes_on_a_character_boundary(arrangement: Arrangement) {
    let exact = "x".repeat(255);
    let long = "x".repeat(300);
    let accents = "é".repeat(200);
    let whole_accents = "é".repeat(127);
    let pieces = "\u{1f9e9}".repeat(64);
    let whole_pieces = "\u{1f9e9}".repeat(63);
    let quoted = |name: &str| format!("filename=\"{name}\"");
    let cases = [
        (quoted(&exact), exact.as_str()),
        (quoted(&long), &exact),
        (quoted(&accents), &whole_accents),
        (quoted(&pieces), &whole_pieces),
    ];
    let cases: Vec<(&str, &str)> =
        cases.iter().map(|(parameters, name)| (parameters.as_str(), *name)).collect();
    assert_names(arrangement, &cases).await;
}

async fn a_name_with_nothing_left_is_file(arrangement: Arrangement) {
    let cases = [
        ("filename=\"/\"", "file"),
        ("filename=\"some/directory/\"", "file"),
        ("filename=\"\\\\\"", "file"),
        ("filename=\"\u{85}\"", "file"),
        ("filename*=UTF-8''%01%02", "file"),
    ];
    assert_names(arrangement, &cases).await;
}

async fn every_spelling_of_the_parameter_is_understood(arrangement: Arrangement) {
    let cases = [
        ("filename=bare.txt", "bare.txt"),
        ("FileName=\"case.txt\"", "case.txt"),
        ("filename = \"spaced.txt\"", "spaced.txt"),
        ("filename=\"a\\\"b.txt\"", "a\"b.txt"),
        ("filename*=UTF-8''%e2%82%ac%20rates.txt", "€ rates.txt"),
        // The extended one counts, whichever comes first (RFC 6266 section 4.3).
        ("filename=\"plain.txt\"; filename*=UTF-8''%e2%82%ac.txt", "€.txt"),
        ("filename*=UTF-8''%e2%82%ac.txt; filename=\"plain.txt\"", "€.txt"),
        ("filename*=utf-8'en'language.txt", "language.txt"),
        ("other=\"filename=bad.txt\"; filename=\"good.txt\"", "good.txt"),
    ];
    assert_names(arrangement, &cases).await;
    // The name of the field may come after that of the file.
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let disposition = "content-disposition: form-data; filename=\"a.txt\"; name=attached_file";
    let form = Form::new().text("receiver", &bob.id).part(disposition, b"content");
    let answer = chat.store(&ada, form).await;
    assert_eq!(answer.json()["entity"]["message"]["attached_file_name"], "a.txt");
}

async fn the_extension_is_the_last_one_in_lower_case(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    for (name, extension) in [
        ("photo.jpg", Some("jpg")),
        ("PHOTO.JPG", Some("jpg")),
        ("archive.tar.gz", Some("gz")),
        ("data.7z", Some("7z")),
        ("a.abcdefghij", Some("abcdefghij")),
        ("a.abcdefghijk", None),
        ("a.", None),
        ("a", None),
        ("a.j-g", None),
        ("a.jp g", None),
        ("a.jpé", None),
        ("a.php%00", None),
        ("a.b/c", None),
    ] {
        let message = uploaded(&chat, &ada, &bob, &format!("filename=\"{name}\"")).await;
        let path = message["attached_file"].as_str().expect("a path");
        let file = path.rsplit('/').next().expect("a last part");
        let (id, found) = match file.split_once('.') {
            Some((id, extension)) => (id, Some(extension)),
            None => (file, None),
        };
        assert_eq!(found, extension, "{name}: {path}");
        let id = uuid::Uuid::parse_str(id).expect("a UUID");
        assert_eq!(id.get_version_num(), 4, "{path}");
        // The path is that of the message's own day.
        let day = message["created"].as_str().expect("a time")[..10].replace('-', "/");
        assert_eq!(path, format!("/mediafiles/attachments/{day}/{file}"));
        assert_eq!(chat.get(path).send().await.body, "content");
    }
}
