//! Edits and deletions.

use netrox_harness::{Arrangement, TestChat, each};
use serde_json::{Value, json};

use super::client::{Client, assert_problem, reference, texts};

each![
    an_edit_is_the_senders_and_the_last_one_counts,
    a_deletion_for_everyone_erases_what_was_said,
    a_deletion_for_oneself_is_the_others_no_business,
    who_may_not_is_told_so,
    what_comes_too_late_is_told_so,
];

async fn an_edit_is_the_senders_and_the_last_one_counts(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let path = format!("/v2/threads/{}/messages", bob.id());
    let new = json!({"message_body": "canary before", "client_ref": reference(), "meta": {"a": 1}});
    let stored = ada.call("POST", &path, &new).await.json();
    let edited = ada.edit(&stored["id"], "canary one").await;
    assert_eq!((&edited["message"], &edited["meta"]), (&json!("canary one"), &json!({"a": 1})));
    assert!(edited["updated"].as_str() > stored["updated"].as_str(), "{edited}");
    assert!(edited["rev"].as_i64() > stored["rev"].as_i64(), "{edited}");
    // The same content changes nothing.
    assert_eq!(ada.edit(&stored["id"], "canary one").await, edited);
    let path = format!("/v2/messages/{}", stored["id"]);
    for (meta, kept) in [(json!({"b": 2}), json!({"b": 2})), (json!(null), json!(null))] {
        let edit = json!({"message_body": "canary two", "meta": meta});
        let elsewhere = ada.at(chat.edge_at(1));
        assert_eq!(elsewhere.call("PATCH", &path, &edit).await.json()["meta"], kept);
    }
    let read = bob.get(&path).await;
    assert_eq!((&read["message"], &read["meta"]), (&json!("canary two"), &json!(null)));
    assert_eq!(bob.thread(&ada).await["last_message"]["message"], "canary two");
    for json in [json!({}), json!({"message_body": ""}), json!({"message_body": 1})] {
        assert_problem(&ada.call("PATCH", &path, &json).await, 400, "invalid_field");
    }
    let long = json!({"message_body": "x".repeat(16_385)});
    assert_problem(&ada.call("PATCH", &path, &long).await, 413, "message_too_large");
}

async fn a_deletion_for_everyone_erases_what_was_said(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let first = ada.say(&bob, "canary first").await;
    let last = ada.say(&bob, "canary last").await;
    assert_eq!(bob.thread(&ada).await["unread"], 2);
    for _ in 0..2 {
        ada.delete(&last["id"], "everyone").await;
    }
    let path = format!("/v2/messages/{}", last["id"]);
    for client in [&ada, &bob] {
        let read = client.get(&path).await;
        let told = ["deleted", "hidden", "message", "reply_to", "meta", "attachment"];
        assert_eq!(
            told.map(|key| read[key].clone()),
            [json!(true), json!(false), json!(""), Value::Null, Value::Null, Value::Null]
        );
    }
    // It stays where it was, and is not unread.
    let thread = bob.thread(&ada).await;
    assert_eq!((&thread["unread"], &thread["last_id"]), (&json!(1), &last["id"]));
    assert_eq!(thread["last_message"]["deleted"], true);
    let edit = json!({"message_body": "canary late"});
    assert_problem(&ada.call("PATCH", &path, &edit).await, 409, "too_late");
    let reply =
        json!({"message_body": "canary", "client_ref": reference(), "reply_to": last["id"]});
    let to_ada = format!("/v2/threads/{}/messages", ada.id());
    let reply = bob.call("POST", &to_ada, &reply).await;
    assert_eq!((reply.status, &reply.json()["reply_to"]), (201, &last["id"]));
    assert_eq!(ada.get(&format!("/v2/messages/{}", first["id"])).await["deleted"], false);
}

async fn a_deletion_for_oneself_is_the_others_no_business(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let kept = ada.say(&bob, "canary kept").await;
    let hidden = ada.say(&bob, "canary hidden").await;
    let of_bob = bob.get("/v2/sync").await["cursor"].as_str().expect("a cursor").to_owned();
    let of_ada = ada.get("/v2/sync").await["cursor"].as_str().expect("a cursor").to_owned();
    for _ in 0..2 {
        bob.delete(&hidden["id"], "me").await;
    }
    let changes = bob.get(&format!("/v2/sync?after={of_bob}")).await;
    let messages: Vec<_> = changes["changes"]
        .as_array()
        .expect("changes")
        .iter()
        .filter(|change| change["action"] == "message")
        .collect();
    assert_eq!(messages.len(), 1, "{changes}");
    let message = &messages[0]["message"];
    assert_eq!((&message["id"], &message["hidden"]), (&hidden["id"], &json!(true)));
    assert_eq!((&message["message"], &changes["unread_total"]), (&json!(""), &json!(1)));
    assert_eq!(ada.get(&format!("/v2/sync?after={of_ada}")).await["changes"], json!([]));

    let page = bob.get(&format!("/v2/threads/{}/messages", ada.id())).await;
    assert_eq!(texts(page["messages"].as_array().expect("messages")), ["canary kept"]);
    let thread = bob.thread(&ada).await;
    assert_eq!((&thread["last_id"], &thread["unread"]), (&hidden["id"], &json!(1)));
    assert_eq!(thread["last_message"]["id"], kept["id"]);
    let page = ada.get(&format!("/v2/threads/{}/messages", bob.id())).await;
    assert_eq!(
        texts(page["messages"].as_array().expect("messages")),
        ["canary hidden", "canary kept"]
    );
    bob.delete(&kept["id"], "me").await;
    let thread = bob.thread(&ada).await;
    assert_eq!((&thread["last_message"], &thread["unread"]), (&json!(null), &json!(0)));
}

async fn who_may_not_is_told_so(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let carol = Client::join(&chat, "carol").await;
    let stored = ada.say(&bob, "canary").await;
    let path = format!("/v2/messages/{}", stored["id"]);
    let edit = json!({"message_body": "canary edited"});
    for (client, status, code) in [(&bob, 403, "not_allowed"), (&carol, 404, "not_found")] {
        assert_problem(&client.call("PATCH", &path, &edit).await, status, code);
        let delete = format!("{path}?for=everyone");
        assert_problem(&client.request("DELETE", &delete).send().await, status, code);
    }
    let hide = format!("{path}?for=me");
    assert_problem(&carol.request("DELETE", &hide).send().await, 404, "not_found");
    for query in ["", "?for=", "?for=all", "?for=me&for=me"] {
        let answer = ada.request("DELETE", &format!("{path}{query}")).send().await;
        assert_problem(&answer, 400, "invalid_field");
    }
    // To whom it is hidden it is not there.
    bob.delete(&stored["id"], "me").await;
    assert_problem(&bob.call("PATCH", &path, &edit).await, 404, "not_found");
    assert_eq!(ada.get(&path).await, stored);
}

async fn what_comes_too_late_is_told_so(arrangement: Arrangement) {
    let builder = TestChat::builder(arrangement).set("edit-window", "0").set("delete-window", "0");
    let chat = builder.start().await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let stored = ada.say(&bob, "canary").await;
    let path = format!("/v2/messages/{}", stored["id"]);
    let edit = json!({"message_body": "canary edited"});
    assert_problem(&ada.call("PATCH", &path, &edit).await, 409, "too_late");
    let delete = format!("{path}?for=everyone");
    assert_problem(&ada.request("DELETE", &delete).send().await, 409, "too_late");
    // Of the peer's it is not said.
    assert_problem(&bob.call("PATCH", &path, &edit).await, 403, "not_allowed");
    bob.delete(&stored["id"], "me").await;
    let limits = &ada.get("/v2/me").await["limits"];
    assert_eq!((&limits["edit_window_s"], &limits["delete_window_s"]), (&json!(0), &json!(0)));
}
