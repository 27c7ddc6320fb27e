//! One message, whichever way it goes in and out.

use futures_util::future::join_all;
use netrox_harness::{Arrangement, Response, TestChat, each, multipart::Form};
use netrox_proto::v1::SendMessageRequest;
use serde_json::{Value, json};

use super::client::{Client, reference, texts};

each![
    one_reference_by_every_way_in_is_one_message,
    edits_at_once_leave_one_text_to_everybody,
    what_documented_clients_send_is_there_without_a_reference,
    a_file_that_is_dispatched_late_was_passed,
];

/// Over a socket; gives the id of the message.
async fn by_socket(client: &Client, peer: &Client, client_ref: &str) -> Value {
    let (mut socket, _) = client.connect("").await;
    let frame = json!({
        "action": "chat_message", "message_body": "canary by socket", "receiver_id": peer.id(),
        "client_ref": client_ref,
    });
    socket.send(&frame).await;
    loop {
        let frame = socket.next().await;
        if frame["action"] == "ack" {
            return frame["message_id"].clone();
        }
        assert_ne!(frame["action"], "error", "{frame}");
    }
}

fn id_of(answer: &Response) -> Value {
    assert!([200, 201].contains(&answer.status), "{answer:?}");
    answer.json()["id"].clone()
}

async fn by_rest(client: &Client, peer: &Client, client_ref: &str) -> Value {
    id_of(&client.send(peer, client_ref, "canary by REST").await)
}

async fn by_upload(client: &Client, peer: &Client, client_ref: &str) -> Value {
    let form = Form::new().text("message_body", "canary by upload").file("a.txt", "content");
    id_of(&client.upload(peer, client_ref, form).await)
}

async fn by_grpc(chat: &TestChat, client: &Client, peer: &Client, client_ref: &str) -> Value {
    let request = SendMessageRequest {
        sender_id: client.id().to_owned(),
        receiver_id: peer.id().to_owned(),
        body: "canary by gRPC".to_owned(),
        client_ref: Some(client_ref.to_owned()),
        from_client: true,
        ..SendMessageRequest::default()
    };
    let sent = chat.chat_service().send_message(request).await.expect("sent");
    json!(sent.into_inner().message_id)
}

async fn one_reference_by_every_way_in_is_one_message(arrangement: Arrangement) {
    const ROUNDS: usize = 6;
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let carol = Client::join(&chat, "carol").await;
    let mut files = 0;
    for round in 0..ROUNDS {
        let client_ref = reference();
        let (here, there) = (ada.at(chat.edge_at(round)), ada.at(chat.edge_at(round + 1)));
        let (socket, rest, upload, grpc, other) = tokio::join!(
            by_socket(&here, &bob, &client_ref),
            by_rest(&there, &carol, &client_ref),
            by_upload(&here, &bob, &client_ref),
            by_grpc(&chat, &ada, &carol, &client_ref),
            by_rest(&here, &bob, &client_ref),
        );
        let ids = [socket, rest, upload, grpc, other];
        let found = ada.get(&format!("/v2/sends/{client_ref}")).await;
        assert!(ids.iter().all(|id| *id == found["id"]), "{ids:?} {found}");
        files += usize::from(found["attachment"].is_object());
    }
    let with = async |peer: &Client| {
        ada.pages(&format!("/v2/threads/{}/messages", peer.id()), 50, "messages").await.len()
    };
    assert_eq!(with(&bob).await + with(&carol).await, ROUNDS);
    chat.keeps_files(files).await;
}

async fn edits_at_once_leave_one_text_to_everybody(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let cursor = bob.get("/v2/sync").await["cursor"].as_str().expect("a cursor").to_owned();
    let stored = ada.say(&bob, "canary before").await;
    let clients: Vec<_> = (0..8).map(|index| ada.at(chat.edge_at(index))).collect();
    let edits = clients
        .iter()
        .enumerate()
        .map(async |(index, client)| client.edit(&stored["id"], &format!("canary {index}")).await);
    let edited = join_all(edits).await;
    // Each answer is of another moment; the greatest `rev` is what everybody sees.
    let last = edited.iter().max_by_key(|edited| edited["rev"].as_i64()).expect("an edit");
    let path = format!("/v2/messages/{}", stored["id"]);
    assert_eq!(&ada.get(&path).await, last);
    assert_eq!(bob.get(&path).await["message"], last["message"]);
    let changes = bob.get(&format!("/v2/sync?after={cursor}")).await;
    assert_eq!(changes["changes"].as_array().map(Vec::len), Some(1), "{changes}");
    assert_eq!(changes["changes"][0]["message"]["message"], last["message"]);
    assert_eq!(changes["changes"][0]["new"], true);
    assert_eq!(chat.history(&bob.user, &ada.user).await[0]["message"], last["message"]);
}

async fn what_documented_clients_send_is_there_without_a_reference(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let cursor = ada.get("/v2/sync").await["cursor"].as_str().expect("a cursor").to_owned();
    let mut at_ada = chat.connect(&ada.user).await;
    let mut at_bob = chat.connect(&bob.user).await;
    at_ada.say(&bob.user, "canary text").await;
    at_bob.expect_body("canary text").await;
    let file = chat.upload_file(&ada.user, &bob.user, "a.txt", "content").await;
    // Of a documented upload, too, the receiver learns by its dispatch alone.
    assert_eq!(bob.thread(&ada).await["unread"], 1);
    at_ada.dispatch(file["id"].clone()).await;
    assert_eq!(at_bob.next().await["action"], "re_message_file");
    let path = format!("/v2/threads/{}/messages?order=oldest", bob.id());
    let page = ada.get(&path).await;
    let messages = page["messages"].as_array().expect("messages");
    assert_eq!(texts(messages), ["canary text", "see this"]);
    let changes = ada.get(&format!("/v2/sync?after={cursor}")).await;
    assert_eq!(changes["changes"].as_array().map(Vec::len), Some(2), "{changes}");
    for message in messages {
        assert_eq!(message["client_ref"], Value::Null, "{message}");
        // It is as good as any other.
        ada.edit(&message["id"], "canary edited").await;
        ada.delete(&message["id"], "everyone").await;
    }
    chat.keeps_files(0).await;
}

async fn a_file_that_is_dispatched_late_was_passed(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let form = Form::new().file("a.txt", "content");
    let request = ada.upload_request(&bob, &reference(), "&dispatch=false", form);
    let file = request.send().await.json();
    let seen = ada.say(&bob, "canary seen").await;
    bob.mark("seen", &ada, &seen["id"]).await;
    let cursor = bob.get("/v2/sync").await["cursor"].as_str().expect("a cursor").to_owned();
    let path = format!("/v2/messages/{}/dispatch", file["id"]);
    assert_eq!(ada.request("POST", &path).send().await.status, 200);
    let changes = bob.get(&format!("/v2/sync?after={cursor}")).await;
    let of_file = changes["changes"].as_array().expect("changes").iter();
    let of_file: Vec<_> = of_file.filter(|change| change["message"]["id"] == file["id"]).collect();
    assert_eq!(of_file.len(), 1, "{changes}");
    assert_eq!((&of_file[0]["new"], &changes["unread_total"]), (&json!(true), &json!(0)));
    let thread = bob.thread(&ada).await;
    assert_eq!((&thread["unread"], &thread["last_id"]), (&json!(0), &seen["id"]));
    assert_eq!(thread["last_message"]["id"], seen["id"]);
}
