//! The fields of an upload, good and bad.

use netrox_harness::{Arrangement, Response, TestChat, User, each, multipart::Form};
use serde_json::{Value, json};

use super::assert_no_trace;

each![
    fields_come_in_any_order,
    the_message_may_be_left_out,
    unknown_parts_are_ignored,
    a_text_is_stored_exactly_as_sent,
    a_missing_field_is_named,
    a_repeated_field_is_named,
    a_malformed_field_is_named,
    a_file_needs_a_name,
    oneself_is_no_receiver,
    an_unknown_receiver_is_404,
    a_body_that_is_not_a_form_is_400,
    another_content_type_is_415,
    a_content_encoding_is_415,
    an_upload_is_not_delivered_by_itself,
];

async fn users(chat: &TestChat) -> (User, User) {
    (chat.user("ada").await, chat.user("bob").await)
}

fn message(answer: &Response) -> Value {
    answer.json()["entity"]["message"].clone()
}

async fn fields_come_in_any_order(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = users(&chat).await;
    let receiver = |form: Form| form.text("receiver", &bob.id);
    let text = |form: Form| form.text("message", "hello");
    let file = |form: Form| form.file("a.txt", vec![b'a'; 70_000]);
    let forms = [
        file(text(receiver(Form::new()))),
        text(file(receiver(Form::new()))),
        file(receiver(text(Form::new()))),
        receiver(file(text(Form::new()))),
        text(receiver(file(Form::new()))),
        receiver(text(file(Form::new()))),
    ];
    for form in forms {
        let message = message(&chat.store(&ada, form).await);
        assert_eq!(message["receiver"]["id"], *bob.id);
        assert_eq!(message["message"], "hello");
        assert_eq!(message["attached_file_name"], "a.txt");
        assert_eq!(message["attached_file_size"], "68.36KB");
    }
    assert_eq!(chat.history(&ada, &bob).await.len(), 6);
}

async fn the_message_may_be_left_out(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = users(&chat).await;
    let without = Form::new().text("receiver", &bob.id).file("a.txt", "a");
    assert_eq!(message(&chat.store(&ada, without).await)["message"], "");
    let empty = Form::new().text("receiver", &bob.id).text("message", "").file("a.txt", "a");
    assert_eq!(message(&chat.store(&ada, empty).await)["message"], "");
}

async fn unknown_parts_are_ignored(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = users(&chat).await;
    let form = Form::new()
        .text("csrf", "a token of another kind")
        .text("csrf", "twice")
        .part("Content-Disposition: form-data; name=\"other\"; filename=\"b.txt\"", b"other file")
        .text("receiver", &bob.id)
        .file("a.txt", "a")
        .part("Content-Disposition: form-data; name=\"after\"", &[0xff, 0xfe]);
    assert_eq!(message(&chat.store(&ada, form).await)["attached_file_name"], "a.txt");
    chat.keeps_files(1).await;
}

async fn a_text_is_stored_exactly_as_sent(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = users(&chat).await;
    let text = "  \r\n\u{feff}שלום \u{1f469}\u{200d}\u{1f680} e\u{301} \"quoted\" \\ \t--\r\n ";
    let form = Form::new().text("receiver", &bob.id).text("message", text).file("a.txt", "a");
    assert_eq!(message(&chat.store(&ada, form).await)["message"], text);
    assert_eq!(chat.history(&bob, &ada).await[0]["message"], text);
}

async fn assert_named(chat: &TestChat, sender: &User, field: &str, form: Form) {
    let message = chat.upload(sender, form).await.assert_failure(400);
    assert!(message.contains(field), "{message:?} does not name {field}");
}

async fn a_missing_field_is_named(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = users(&chat).await;
    let no_receiver = Form::new().text("message", "hello").file("a.txt", "a");
    assert_named(&chat, &ada, "receiver", no_receiver).await;
    let no_file = Form::new().text("receiver", &bob.id).text("message", "hello");
    assert_named(&chat, &ada, "attached_file", no_file).await;
    assert_eq!(chat.upload(&ada, Form::new()).await.status, 400);
    assert_no_trace(&chat, &ada, &bob).await;
}

async fn a_repeated_field_is_named(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = users(&chat).await;
    let whole =
        || Form::new().text("receiver", &bob.id).text("message", "hello").file("a.txt", "content");
    assert_named(&chat, &ada, "receiver", whole().text("receiver", &bob.id)).await;
    assert_named(&chat, &ada, "message", whole().text("message", "hello")).await;
    assert_named(&chat, &ada, "attached_file", whole().file("b.txt", "b")).await;
    assert_no_trace(&chat, &ada, &bob).await;
}

async fn a_malformed_field_is_named(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = users(&chat).await;
    for receiver in ["", "bob", &bob.id.replace('-', ""), &format!(" {}", bob.id)] {
        let form = Form::new().text("receiver", receiver).file("a.txt", "a");
        assert_named(&chat, &ada, "receiver", form).await;
    }
    let disposition = |name| format!("Content-Disposition: form-data; name=\"{name}\"");
    let not_utf8 = Form::new().part(&disposition("receiver"), &[0xff; 36]).file("a.txt", "a");
    assert_named(&chat, &ada, "receiver", not_utf8).await;
    for text in [&b"\xff\xfe"[..], b"a\0b"] {
        let form = Form::new().text("receiver", &bob.id).part(&disposition("message"), text);
        assert_named(&chat, &ada, "message", form.file("a.txt", "a")).await;
    }
    assert_no_trace(&chat, &ada, &bob).await;
}

async fn a_file_needs_a_name(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = users(&chat).await;
    let form = Form::new().text("receiver", &bob.id).text("attached_file", "a text");
    assert_named(&chat, &ada, "attached_file", form).await;
    // What browsers send for an input without a chosen file.
    let form = Form::new().text("receiver", &bob.id).file("", "");
    assert_named(&chat, &ada, "attached_file", form).await;
    // Part of a field's name is no file name.
    let disposition = "Content-Disposition: form-data; name=\"attached_file; filename=a.txt\"";
    let form = Form::new().text("receiver", &bob.id).part(disposition, b"a");
    assert_named(&chat, &ada, "attached_file", form).await;
    assert_no_trace(&chat, &ada, &bob).await;
}

async fn oneself_is_no_receiver(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let ada = chat.user("ada").await;
    for receiver in [ada.id.clone(), ada.id.to_uppercase()] {
        let form = Form::new().text("receiver", &receiver).file("a.txt", "a");
        chat.upload(&ada, form).await.assert_failure(400);
    }
    assert_no_trace(&chat, &ada, &ada).await;
}

async fn an_unknown_receiver_is_404(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = users(&chat).await;
    let unknown = chat.stranger("unknown").id;
    for form in [
        Form::new().text("receiver", &unknown).file("a.txt", vec![b'a'; 300_000]),
        Form::new().file("a.txt", vec![b'a'; 300_000]).text("receiver", &unknown),
    ] {
        let message = chat.upload(&ada, form).await.assert_failure(404);
        assert_eq!(message, "Invalid receipient");
    }
    assert_no_trace(&chat, &ada, &bob).await;
}

async fn a_body_that_is_not_a_form_is_400(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = users(&chat).await;
    let whole = Form::new().text("receiver", &bob.id).file("a.txt", "content");
    let bodies = [
        "".into(),
        "no boundary at all".into(),
        "--another-boundary\r\n\r\n\r\n--another-boundary--\r\n".into(),
        // Ends without its last boundary.
        whole.clone().unfinished(),
        format!("--{}\r\nno head", Form::BOUNDARY).into(),
        Form::new().part("no colon in this line", b"a").finish(),
    ];
    for body in bodies {
        let request = chat.post("/chat/chat-attachment/").bearer(&ada.token).body(body);
        let answer = request.header("content-type", Form::CONTENT_TYPE).send().await;
        answer.assert_failure(400);
    }
    assert_no_trace(&chat, &ada, &bob).await;
}

async fn another_content_type_is_415(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = users(&chat).await;
    let body = json!({"receiver": bob.id, "message": "hello", "attached_file": null}).to_string();
    let post = || chat.post("/chat/chat-attachment/").bearer(&ada.token).body(body.clone());
    for content_type in
        ["application/json", "application/x-www-form-urlencoded", "text/plain", "nonsense"]
    {
        post().header("content-type", content_type).send().await.assert_failure(415);
    }
    post().send().await.assert_failure(415);
}

async fn a_content_encoding_is_415(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = users(&chat).await;
    for encoding in ["gzip", "deflate", "br"] {
        let form = Form::new().text("receiver", &bob.id).file("a.txt", "a");
        let request = chat.edge().upload_request(&ada, form);
        request.header("content-encoding", encoding).send().await.assert_failure(415);
    }
    assert_no_trace(&chat, &ada, &bob).await;
}

async fn an_upload_is_not_delivered_by_itself(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    chat.upload_file(&ada, &bob, "a.txt", "content").await;
    bob_socket.expect_silence(&bob, &mut ada_socket).await;
    ada_socket.expect_silence(&ada, &mut bob_socket).await;
}
