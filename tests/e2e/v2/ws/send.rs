//! Messages, and their acks.

use futures_util::future::join_all;
use netrox_harness::{Arrangement, TestChat, each};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::v2::client::{Client, message};

each![
    an_ack_means_stored_and_every_device_sees_the_message,
    a_repetition_is_one_message_on_any_edge,
    one_reference_at_once_on_many_connections_is_one_message,
    a_refused_send_is_not_remembered,
    what_goes_with_a_message_is_kept_as_it_was_sent,
    both_generations_share_a_conversation,
];

async fn an_ack_means_stored_and_every_device_sees_the_message(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut at_ada) = Client::join(&chat, "ada").await;
    let mut other = Client::live(chat.edge_at(1), &ada).await;
    let (bob, mut at_bob) = Client::join(&chat, "bob").await;
    let client_ref = Uuid::new_v4().to_string();
    at_ada.send(message(&bob, "canary hello", &client_ref.to_uppercase())).await;
    let (mut ack, mut own) = (Value::Null, Value::Null);
    while ack.is_null() || own.is_null() {
        let frame = at_ada.socket.next().await;
        match frame["action"].as_str() {
            Some("ack") => ack = frame,
            Some("message") => own = frame,
            _ => panic!("{frame}"),
        }
    }
    assert_eq!((&ack["client_ref"], &ack["repeated"]), (&json!(client_ref), &json!(false)));
    assert_eq!(own["message"]["client_ref"], client_ref.as_str());
    let elsewhere = other.next_of("message").await;
    let received = at_bob.next_of("message").await;
    for frame in [&own, &elsewhere, &received] {
        assert_eq!(frame["new"], true, "{frame}");
        let message = &frame["message"];
        assert_eq!((&message["id"], &message["thread"]), (&ack["message_id"], &ack["thread"]));
        assert_eq!(message["created"], ack["created"]);
        assert_eq!(message["updated"], message["created"]);
    }
    assert_eq!(received["message"]["client_ref"], Value::Null);
    let history = chat.history(&ada, &bob).await;
    assert_eq!((history.len(), &history[0]["id"]), (1, &ack["message_id"]));
}

async fn a_repetition_is_one_message_on_any_edge(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut first) = Client::join(&chat, "ada").await;
    let mut second = Client::live(chat.edge_at(1), &ada).await;
    let (bob, carol) = (chat.user("bob").await, chat.user("carol").await);
    let client_ref = Uuid::new_v4().to_string();
    let stored = first.ask(message(&bob, "canary once", &client_ref)).await;
    let edit = json!({
        "action": "message_edit", "message_id": stored["message_id"], "message_body": "canary edited",
    });
    first.ask(edit).await;
    for client in [&mut first, &mut second] {
        let again = client.ask(message(&carol, "canary another", &client_ref)).await;
        assert_eq!(again["repeated"], true);
        for key in ["message_id", "thread", "created"] {
            assert_eq!(again[key], stored[key]);
        }
    }
    assert_eq!(chat.history(&ada, &bob).await.len(), 1);
    assert_eq!(chat.history(&ada, &carol).await.len(), 0);
}

async fn one_reference_at_once_on_many_connections_is_one_message(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let mut clients = Vec::new();
    for index in 0..8 {
        clients.push(Client::live(chat.edge_at(index), &ada).await);
    }
    for round in 0..5 {
        let client_ref = Uuid::new_v4().to_string();
        let asked = clients.iter_mut().enumerate().map(|(index, client)| {
            client.ask(message(&bob, &format!("canary {round} {index}"), &client_ref))
        });
        let acks = join_all(asked).await;
        assert!(acks.iter().all(|ack| ack["message_id"] == acks[0]["message_id"]), "{acks:?}");
        assert_eq!(acks.iter().filter(|ack| ack["repeated"] == false).count(), 1, "{acks:?}");
    }
    assert_eq!(chat.history(&ada, &bob).await.len(), 5);
}

async fn a_refused_send_is_not_remembered(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (_, mut at_ada) = Client::join(&chat, "ada").await;
    let bob = chat.user("bob").await;
    let nobody = chat.stranger("nobody");
    let client_ref = Uuid::new_v4().to_string();
    let error = at_ada.refused(message(&nobody, "canary", &client_ref), "invalid_receiver").await;
    assert_eq!(error["client_ref"], client_ref.as_str());
    let mut reply = message(&bob, "canary", &client_ref);
    reply["reply_to"] = json!(9_007_199_254_740_991_i64);
    at_ada.refused(reply, "not_found").await;
    let ack = at_ada.ask(message(&bob, "canary", &client_ref)).await;
    assert_eq!(ack["repeated"], false);
}

async fn what_goes_with_a_message_is_kept_as_it_was_sent(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut at_ada) = Client::join(&chat, "ada").await;
    let (bob, mut at_bob) = Client::join(&chat, "bob").await;
    let first = at_bob.say(&ada, "canary question").await;
    let client_ref = Uuid::new_v4();
    let frame = format!(
        r#"{{"action":"chat_message","message_body":"canary answer","receiver_id":"{}","client_ref":"{client_ref}",
            "reply_to":{first},"meta":{{ "b" : 9007199254740993, "a" : [ 1.50e+2, "x  \u0000" ] }}}}"#,
        bob.id
    );
    at_ada.socket.send_text(&frame).await;
    assert_eq!(at_ada.answer().await["action"], "ack");
    let text = loop {
        let text = at_bob.socket.next_text().await;
        if text.contains("canary answer") {
            break text;
        }
    };
    let meta = r#""meta":{"b":9007199254740993,"a":[1.50e+2,"x  \u0000"]},"#;
    assert!(text.contains(&format!(r#""reply_to":{first},{meta}"#)), "{text}");
    // The reply's target is of another thread.
    let (carol, mut at_carol) = Client::join(&chat, "carol").await;
    let mut reply = message(&ada, "canary", &Uuid::new_v4().to_string());
    reply["reply_to"] = json!(first);
    at_carol.refused(reply, "not_found").await;
    let mut deep = message(&ada, "canary", &Uuid::new_v4().to_string());
    deep["meta"] = json!({"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": 1}}}}}}}}});
    at_carol.refused(deep, "invalid_field").await;
    assert_eq!(chat.history(&carol, &ada).await.len(), 0);
}

async fn both_generations_share_a_conversation(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut documented) = chat.join("ada").await;
    let (bob, mut second) = Client::join(&chat, "bob").await;
    documented.say(&bob, "canary from the first").await;
    let frame = second.next_of("message").await;
    assert_eq!(frame["message"]["message"], "canary from the first");
    let id = second.say(&ada, "canary from the second").await;
    let frame = documented.expect_body("canary from the second").await;
    assert_eq!(frame["created_msg_id"], id);
    // Of an edit, a deletion and a mark, nothing is shown.
    second
        .ask(json!({"action": "message_edit", "message_id": id, "message_body": "canary edited"}))
        .await;
    second.ask(crate::v2::client::mark("seen", &ada, id)).await;
    second.ask(json!({"action": "message_delete", "message_id": id, "for": "everyone"})).await;
    documented.expect_no_answer().await;
}
