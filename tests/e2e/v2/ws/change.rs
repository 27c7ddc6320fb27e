//! Edits and deletions.

use netrox_harness::{Arrangement, TestChat, each};
use serde_json::json;

use crate::v2::client::{Client, Held};

each![
    an_edit_is_shown_to_both_and_the_last_one_counts,
    a_deletion_for_everyone_leaves_nothing_of_the_text,
    a_deletion_for_oneself_is_the_others_no_business,
    who_may_not_is_told_so,
];

async fn an_edit_is_shown_to_both_and_the_last_one_counts(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut at_ada) = Client::join(&chat, "ada").await;
    let (bob, mut at_bob) = Client::join(&chat, "bob").await;
    let id = at_ada.say(&bob, "canary before").await;
    at_bob.next_of("message").await;
    for body in ["canary one", "canary two"] {
        let edit =
            json!({"action": "message_edit", "message_id": id, "message_body": body, "meta": {}});
        let ack = at_ada.ask(edit).await;
        let frame = at_bob.next_of("message").await;
        assert_eq!((&frame["new"], &frame["message"]["message"]), (&json!(false), &json!(body)));
        assert_eq!(frame["message"]["updated"], ack["updated"]);
        assert_eq!(frame["message"]["meta"], json!({}));
    }
    let history = chat.history(&bob, &ada).await;
    assert_eq!(history[0]["message"], "canary two");
}

async fn a_deletion_for_everyone_leaves_nothing_of_the_text(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut at_ada) = Client::join(&chat, "ada").await;
    let (bob, mut at_bob) = Client::join(&chat, "bob").await;
    let id = at_ada.say(&bob, "canary before").await;
    at_bob.next_of("message").await;
    let delete = json!({"action": "message_delete", "message_id": id, "for": "everyone"});
    at_ada.ask(delete.clone()).await;
    let frame = at_bob.next_of("message").await;
    assert_eq!(
        (&frame["message"]["deleted"], &frame["message"]["message"]),
        (&json!(true), &json!(""))
    );
    at_ada.ask(delete).await;
    let edit = json!({"action": "message_edit", "message_id": id, "message_body": "canary late"});
    at_ada.refused(edit, "too_late").await;
    let history = chat.history(&bob, &ada).await;
    assert_eq!((&history[0]["deleted"], &history[0]["message"]), (&json!(true), &json!("")));
}

async fn a_deletion_for_oneself_is_the_others_no_business(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut at_ada) = Client::join(&chat, "ada").await;
    let (bob, mut at_bob) = Client::join(&chat, "bob").await;
    let mut other = Client::live(chat.edge_at(1), &bob).await;
    let id = at_ada.say(&bob, "canary before").await;
    at_bob.next_of("message").await;
    other.next_of("message").await;
    at_bob.ask(json!({"action": "message_delete", "message_id": id, "for": "me"})).await;
    let frame = other.next_of("message").await;
    assert_eq!(
        (&frame["message"]["hidden"], &frame["message"]["message"]),
        (&json!(true), &json!(""))
    );
    assert_eq!(chat.history(&bob, &ada).await.len(), 0);
    assert_eq!(chat.history(&ada, &bob).await.len(), 1);
    // The next that the sender sees is what comes after it.
    at_bob.say(&ada, "canary after").await;
    let mut held = Held::default();
    while !held.texts().contains(&"canary after") {
        let frame = at_ada.socket.next().await;
        held.take(&ada, &frame);
    }
    assert!(held.messages.values().all(|message| message["hidden"] == false));
}

async fn who_may_not_is_told_so(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("edit-window", "0").start().await;
    let (_, mut at_ada) = Client::join(&chat, "ada").await;
    let (bob, mut at_bob) = Client::join(&chat, "bob").await;
    let (_, mut at_carol) = Client::join(&chat, "carol").await;
    let id = at_ada.say(&bob, "canary before").await;
    let edit = json!({"action": "message_edit", "message_id": id, "message_body": "canary"});
    let delete = json!({"action": "message_delete", "message_id": id, "for": "everyone"});
    at_ada.refused(edit.clone(), "too_late").await;
    for frame in [&edit, &delete] {
        at_bob.refused(frame.clone(), "not_allowed").await;
        at_carol.refused(frame.clone(), "not_found").await;
    }
}
