//! Files, sent in one step.

use futures_util::future::join_all;
use netrox_harness::{Arrangement, TestChat, each, multipart::Form};
use serde_json::json;

use super::client::{Client, assert_problem, reference};

each![
    a_file_is_a_message_in_one_step,
    its_parts_may_come_in_any_order,
    a_repetition_is_answered_before_its_body,
    two_uploads_of_one_reference_are_one_message_and_one_file,
    an_upload_that_is_cut_off_leaves_nothing_and_may_be_repeated,
    what_is_not_dispatched_is_shown_by_its_dispatch,
    a_refused_upload_leaves_no_file,
    a_deleted_file_is_gone,
];

const CONTENT: &str = "canary content of a file";

fn form() -> Form {
    Form::new().text("message_body", "canary see this").file("a.txt", CONTENT)
}

async fn a_file_is_a_message_in_one_step(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let (mut at_bob, _) = bob.connect("").await;
    assert_eq!(at_bob.next().await["action"], "live");
    let mut documented = chat.connect(&bob.user).await;
    let client_ref = reference();
    let answer = ada.upload(&bob, &client_ref, form()).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let stored = answer.json();
    assert_eq!(
        (&stored["message"], &stored["client_ref"]),
        (&json!("canary see this"), &json!(client_ref))
    );
    assert!(stored["dispatched"].is_string(), "{stored}");
    let attachment = &stored["attachment"];
    assert_eq!(
        (&attachment["name"], &attachment["size"]),
        (&json!("a.txt"), &json!(CONTENT.len()))
    );
    let frame = at_bob.next().await;
    assert_eq!(
        (&frame["message"]["id"], &frame["message"]["attachment"]),
        (&stored["id"], attachment)
    );
    let frame = documented.next().await;
    assert_eq!(
        (&frame["action"], &frame["created_msg_id"]),
        (&json!("re_message_file"), &stored["id"])
    );
    assert_eq!(frame["attached_file_url"], attachment["url"]);
    let file = chat.get(attachment["url"].as_str().expect("a path")).send().await;
    assert_eq!((file.status, file.text()), (200, CONTENT));
    // The same by a repetition, which says something else.
    let other = Form::new().text("message_body", "canary other").file("b.txt", "other");
    for index in 0..2 {
        let again = ada.at(chat.edge_at(index)).upload(&bob, &client_ref, other.clone()).await;
        assert_eq!((again.status, again.json()), (200, stored.clone()));
    }
    // And by a send with its reference.
    let again = ada.send(&bob, &client_ref, "canary text").await;
    assert_eq!((again.status, again.json()), (200, stored));
    chat.keeps_files(1).await;
    assert_eq!(bob.thread(&ada).await["unread"], 1);
}

async fn its_parts_may_come_in_any_order(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let question = bob.say(&ada, "canary question").await["id"].clone();
    let meta = r#"{ "kind" : "voice", "n": 9007199254740993 }"#;
    let file = |form: Form| form.file("a.txt", CONTENT);
    let body = |form: Form| form.text("message_body", "canary see this");
    let reply = |form: Form| form.text("reply_to", &question.to_string());
    let meta = |form: Form| form.text("meta", meta);
    let other = |form: Form| form.text("other", "ignored");
    for form in [
        file(meta(reply(body(Form::new())))),
        body(meta(reply(file(Form::new())))),
        reply(file(body(other(meta(Form::new()))))),
        meta(other(file(reply(body(Form::new()))))),
    ] {
        let answer = ada.upload(&bob, &reference(), form).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let stored = answer.json();
        assert_eq!(
            (&stored["message"], &stored["reply_to"]),
            (&json!("canary see this"), &question)
        );
        let kept = r#""meta":{"kind":"voice","n":9007199254740993},"#;
        assert!(answer.text().contains(kept), "{answer:?}");
        let read = bob.request("GET", &format!("/v2/messages/{}", stored["id"])).send().await;
        assert!(read.text().contains(kept), "{read:?}");
    }
    // A file alone.
    let answer = ada.upload(&bob, &reference(), file(Form::new())).await;
    assert_eq!((answer.status, &answer.json()["message"]), (201, &json!("")));
    chat.keeps_files(5).await;
}

async fn a_repetition_is_answered_before_its_body(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let client_ref = reference();
    let stored = ada.upload(&bob, &client_ref, form()).await.json();
    for index in 0..2 {
        let mut connection = chat.edge_at(index).raw().await;
        let head = format!(
            "POST /v2/threads/{}/attachments?client_ref={client_ref} HTTP/1.1\r\nHost: localhost\r\n\
             Authorization: Bearer {}\r\nContent-Type: {}\r\nContent-Length: 20000000\r\n\
             Expect: 100-continue\r\n\r\n",
            bob.id(),
            ada.user.token,
            Form::CONTENT_TYPE
        );
        // Not a byte of the body is ever sent.
        connection.write(head).await;
        let head = connection.head().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let length = head.to_lowercase();
        let length = length.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.and_then(|length| length.parse().ok()).expect("a length");
        let body: serde_json::Value =
            serde_json::from_slice(&connection.exactly(length).await).expect("JSON");
        assert_eq!(body, stored);
    }
    chat.keeps_files(1).await;
}

async fn two_uploads_of_one_reference_are_one_message_and_one_file(arrangement: Arrangement) {
    const ROUNDS: usize = 5;
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    for round in 1..=ROUNDS {
        let client_ref = reference();
        let clients: Vec<_> = (0..4).map(|index| ada.at(chat.edge_at(index))).collect();
        let uploads = clients.iter().enumerate().map(async |(index, client)| {
            let form = Form::new().file("a.txt", format!("canary {index} ").repeat(10_000));
            client.upload(&bob, &client_ref, form).await
        });
        let answers = join_all(uploads).await;
        let created = answers.iter().filter(|answer| answer.status == 201).count();
        let repeated = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!((created, repeated), (1, 3), "{answers:?}");
        assert!(answers.iter().all(|answer| answer.json() == answers[0].json()), "{answers:?}");
        chat.keeps_files(round).await;
    }
    assert_eq!(chat.history(&bob.user, &ada.user).await.len(), ROUNDS);
    assert_eq!(bob.thread(&ada).await["unread"], ROUNDS);
}

async fn an_upload_that_is_cut_off_leaves_nothing_and_may_be_repeated(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let client_ref = reference();
    let content = "canary ".repeat(100_000);
    let body = Form::new().file("a.txt", &content).finish();
    let mut connection = chat.edge_of(&ada.user).raw().await;
    let head = format!(
        "POST /v2/threads/{}/attachments?client_ref={client_ref} HTTP/1.1\r\nHost: localhost\r\n\
         Authorization: Bearer {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n",
        bob.id(),
        ada.user.token,
        Form::CONTENT_TYPE,
        body.len()
    );
    connection.write(head).await;
    connection.write(&body[..body.len() * 9 / 10]).await;
    drop(connection);
    chat.keeps_files(0).await;
    let path = format!("/v2/sends/{client_ref}");
    assert_problem(&ada.request("GET", &path).send().await, 404, "not_found");
    let answer = ada.upload(&bob, &client_ref, Form::new().file("a.txt", &content)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(ada.get(&path).await, answer.json());
    chat.keeps_files(1).await;
}

async fn what_is_not_dispatched_is_shown_by_its_dispatch(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let client_ref = reference();
    let request = ada.upload_request(&bob, &client_ref, "&dispatch=false", form());
    let stored = request.send().await;
    assert_eq!((stored.status, &stored.json()["dispatched"]), (201, &json!(null)), "{stored:?}");
    let id = stored.json()["id"].clone();
    let path = format!("/v2/messages/{id}");
    assert_problem(&bob.request("GET", &path).send().await, 404, "not_found");
    let thread = format!("/v2/threads/{}", ada.id());
    assert_problem(&bob.request("GET", &thread).send().await, 404, "not_found");
    // A repetition dispatches nothing.
    let again = ada.upload(&bob, &client_ref, form()).await;
    assert_eq!((again.status, again.json()), (200, stored.json()));
    let text = ada.say(&bob, "canary behind it").await["id"].clone();
    assert_eq!(bob.thread(&ada).await["unread"], 1);

    let dispatch = format!("{path}/dispatch");
    assert_problem(&bob.request("POST", &dispatch).send().await, 404, "not_found");
    let not_a_file = format!("/v2/messages/{text}/dispatch");
    assert_problem(&ada.request("POST", &not_a_file).send().await, 404, "not_found");
    let (mut at_bob, _) = bob.connect("").await;
    assert_eq!(at_bob.next().await["action"], "live");
    let dispatched = ada.request("POST", &dispatch).send().await;
    assert_eq!(dispatched.status, 200, "{dispatched:?}");
    assert!(dispatched.json()["dispatched"].is_string(), "{dispatched:?}");
    let mut frame = at_bob.next().await;
    while frame["action"] != "message" {
        frame = at_bob.next().await;
    }
    assert_eq!((&frame["message"]["id"], &frame["new"]), (&id, &json!(true)));
    let again = ada.at(chat.edge_at(1)).request("POST", &dispatch).send().await;
    assert_eq!((again.status, again.json()), (200, dispatched.json()));
    assert_eq!(bob.get(&path).await["dispatched"], dispatched.json()["dispatched"]);
    let thread = bob.thread(&ada).await;
    assert_eq!((&thread["unread"], &thread["last_id"]), (&json!(2), &text));
}

async fn a_refused_upload_leaves_no_file(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("max-attachment-bytes", "1000").start().await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let client_ref = reference();
    for receiver in [ada.id(), &chat.stranger("nobody").id, "garbage"] {
        let path = format!("/v2/threads/{receiver}/attachments?client_ref={client_ref}");
        let request = ada.request("POST", &path).header("content-type", Form::CONTENT_TYPE);
        let answer = request.body(form().finish()).send().await;
        assert_problem(&answer, 404, "invalid_receiver");
    }
    for (form, status, code) in [
        (Form::new().text("message_body", "canary"), 400, "invalid_field"),
        (form().text("message_body", "canary again"), 400, "invalid_field"),
        (form().text("reply_to", "x"), 400, "invalid_field"),
        (form().text("meta", "[]"), 400, "invalid_field"),
        (form().text("meta", "{"), 400, "invalid_field"),
        (form().text("reply_to", "9007199254740991"), 404, "not_found"),
        (Form::new().file("a.txt", "x".repeat(1_001)), 413, "message_too_large"),
        (form().text("meta", &format!(r#"{{"a":"{}"}}"#, "x".repeat(4_096))), 400, "invalid_field"),
    ] {
        assert_problem(&ada.upload(&bob, &client_ref, form).await, status, code);
    }
    for query in ["", "client_ref=", "client_ref=garbage", "client_ref=1&client_ref=2"] {
        let path = format!("/v2/threads/{}/attachments?{query}", bob.id());
        let request = ada.request("POST", &path).header("content-type", Form::CONTENT_TYPE);
        let answer = request.body(form().finish()).send().await;
        assert_problem(&answer, 400, "invalid_field");
    }
    let request = ada.upload_request(&bob, &client_ref, "&dispatch=1", form());
    assert_problem(&request.send().await, 400, "invalid_field");
    let path = format!("/v2/threads/{}/attachments?client_ref={client_ref}", bob.id());
    let answer = ada.call("POST", &path, &json!({})).await;
    assert_problem(&answer, 415, "unsupported_media_type");
    chat.keeps_files(0).await;
    // None of it is remembered.
    assert_eq!(ada.upload(&bob, &client_ref, form()).await.status, 201);
}

async fn a_deleted_file_is_gone(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let stored = ada.upload(&bob, &reference(), form()).await.json();
    let url = stored["attachment"]["url"].as_str().expect("a path").to_owned();
    // Hidden by the one, it is still the other's.
    bob.delete(&stored["id"], "me").await;
    assert_eq!(chat.get(&url).send().await.status, 200);
    ada.delete(&stored["id"], "everyone").await;
    for edge in chat.edges() {
        assert_eq!(edge.get(&url).send().await.status, 404);
    }
    let left = ada.get(&format!("/v2/messages/{}", stored["id"])).await;
    assert_eq!((&left["deleted"], &left["attachment"]), (&json!(true), &json!(null)));
    chat.keeps_files(0).await;
}
