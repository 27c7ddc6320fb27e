//! What the documented routes show of it (PROTOCOL-2 section 6).

use netrox_harness::{Arrangement, TestChat, each, multipart::Form};
use serde_json::{Value, json};

use super::client::{Client, reference, texts};

each![
    seen_is_what_a_mark_covers,
    documented_users_alone_never_see_anything,
    an_edited_message_has_its_new_text,
    a_deleted_message_is_there_without_its_content,
    what_is_hidden_is_missing_for_that_user_alone,
    files_not_dispatched_stay_in_histories,
];

fn seen(history: &[Value]) -> Vec<bool> {
    history.iter().map(|message| message["seen"].as_bool().expect("a bool")).collect()
}

async fn seen_is_what_a_mark_covers(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let one = ada.say(&bob, "canary one").await;
    let of_bob = bob.say(&ada, "canary of bob").await;
    let file = Form::new().file("a.txt", "content");
    let request = ada.upload_request(&bob, &reference(), "&dispatch=false", file);
    let file = request.send().await.json();
    let two = ada.say(&bob, "canary two").await;
    ada.say(&bob, "canary three").await;
    let history = async || {
        let histories =
            (chat.history(&ada.user, &bob.user).await, chat.history(&bob.user, &ada.user).await);
        assert_eq!(histories.0, histories.1);
        seen(&histories.0)
    };
    bob.mark("delivered", &ada, &two["id"]).await;
    assert_eq!(history().await, [false; 5]);
    bob.mark("seen", &ada, &one["id"]).await;
    assert_eq!(history().await, [true, false, false, false, false]);
    // A file that is not dispatched has been seen by nobody.
    bob.mark("seen", &ada, &two["id"]).await;
    assert_eq!(history().await, [true, false, false, true, false]);
    let path = format!("/v2/messages/{}/dispatch", file["id"]);
    assert_eq!(ada.request("POST", &path).send().await.status, 200);
    assert_eq!(history().await, [true, false, true, true, false]);
    ada.mark("seen", &bob, &of_bob["id"]).await;
    assert_eq!(history().await, [true, true, true, true, false]);
}

async fn documented_users_alone_never_see_anything(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let ((ada, mut at_ada), (bob, mut at_bob)) = (chat.join("ada").await, chat.join("bob").await);
    at_ada.say(&bob, "canary one").await;
    at_bob.expect_body("canary one").await;
    at_bob.say(&ada, "canary two").await;
    at_ada.expect_body("canary two").await;
    for _ in 0..2 {
        assert_eq!(seen(&chat.history(&bob, &ada).await), [false; 2]);
        assert_eq!(seen(&chat.history(&ada, &bob).await), [false; 2]);
    }
}

async fn an_edited_message_has_its_new_text(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let stored = ada.say(&bob, "canary before").await;
    let edited = ada.edit(&stored["id"], "canary after").await;
    for history in
        [chat.history(&ada.user, &bob.user).await, chat.history(&bob.user, &ada.user).await]
    {
        assert_eq!(texts(&history), ["canary after"]);
        assert_eq!(
            (&history[0]["created"], &history[0]["updated"]),
            (&stored["created"], &edited["updated"])
        );
        assert!(history[0].get("rev").is_none(), "{history:?}");
    }
}

async fn a_deleted_message_is_there_without_its_content(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let text = ada.say(&bob, "canary text").await;
    let form = Form::new().text("message_body", "canary see this").file("a.txt", "content");
    let file = ada.upload(&bob, &reference(), form).await.json();
    let mut documented = chat.connect(&bob.user).await;
    for message in [&text, &file] {
        ada.delete(&message["id"], "everyone").await;
    }
    for history in
        [chat.history(&ada.user, &bob.user).await, chat.history(&bob.user, &ada.user).await]
    {
        for (shown, stored) in history.iter().zip([&text, &file]) {
            let keys = [
                "id",
                "deleted",
                "message",
                "attached_file_size",
                "attached_file",
                "attached_file_name",
            ];
            assert_eq!(
                keys.map(|key| shown[key].clone()),
                [
                    stored["id"].clone(),
                    json!(true),
                    json!(""),
                    json!("0kb"),
                    Value::Null,
                    Value::Null
                ]
            );
        }
        assert_eq!(history.len(), 2);
    }
    // A documented socket is told nothing of it.
    documented.expect_no_answer().await;
}

async fn what_is_hidden_is_missing_for_that_user_alone(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let one = ada.say(&bob, "canary one").await;
    let two = bob.say(&ada, "canary two").await;
    bob.delete(&two["id"], "me").await;
    assert_eq!(texts(&chat.history(&bob.user, &ada.user).await), ["canary one"]);
    assert_eq!(texts(&chat.history(&ada.user, &bob.user).await), ["canary one", "canary two"]);
    bob.delete(&one["id"], "me").await;
    assert_eq!(chat.history(&bob.user, &ada.user).await, Vec::<Value>::new());
    // The conversation stays in the list.
    let request = bob.request("GET", "/chat/get-user-threads/");
    let threads = request.send().await.json()["entity"].clone();
    assert_eq!(threads.as_array().map(Vec::len), Some(1), "{threads}");
}

async fn files_not_dispatched_stay_in_histories(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let form = Form::new().text("message_body", "canary see this").file("a.txt", "content");
    let request = ada.upload_request(&bob, &reference(), "&dispatch=false", form);
    let stored = request.send().await.json();
    let history = chat.history(&bob.user, &ada.user).await;
    assert_eq!((history.len(), &history[0]["id"]), (1, &stored["id"]));
    assert_eq!(history[0]["attached_file"], stored["attachment"]["url"]);
    let path = format!("/v2/threads/{}/messages", ada.id());
    assert_eq!(bob.get(&path).await["messages"], json!([]));
}
