//! `GET /chat/messages/<uid>/`.

use netrox_harness::{Arrangement, TestChat, each};
use serde_json::{Value, json};

each![
    both_sides_read_one_order,
    a_conversation_is_its_two_users_alone,
    oneself_and_a_silent_peer_have_no_messages,
    whoever_is_not_a_user_is_404,
    a_uid_in_upper_case_is_the_same_user,
    ids_and_times_grow_within_a_conversation,
    an_upload_is_there_at_once_for_both,
];

fn bodies(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["message"].as_str().expect("a text")).collect()
}

async fn both_sides_read_one_order(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let ((ada, mut ada_socket), (bob, mut bob_socket)) =
        (chat.join("ada").await, chat.join("bob").await);
    ada_socket.say(&bob, "one").await;
    bob_socket.expect_body("one").await;
    bob_socket.say(&ada, "two").await;
    ada_socket.expect_body("two").await;
    ada_socket.say(&bob, "three").await;
    bob_socket.expect_body("three").await;

    let by_ada = chat.history(&ada, &bob).await;
    assert_eq!(bodies(&by_ada), ["one", "two", "three"]);
    let senders: Vec<_> = by_ada.iter().map(|message| message["sender"]["id"].clone()).collect();
    assert_eq!(senders, [json!(ada.id), json!(bob.id), json!(ada.id)]);
    assert_eq!(chat.history(&bob, &ada).await, by_ada);
}

async fn a_conversation_is_its_two_users_alone(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let ((ada, mut ada_socket), (bob, mut bob_socket), (carol, mut carol_socket)) =
        (chat.join("ada").await, chat.join("bob").await, chat.join("carol").await);
    ada_socket.say(&bob, "for bob").await;
    ada_socket.say(&carol, "for carol").await;
    bob_socket.expect_body("for bob").await;
    carol_socket.expect_body("for carol").await;
    assert_eq!(bodies(&chat.history(&ada, &bob).await), ["for bob"]);
    assert_eq!(bodies(&chat.history(&ada, &carol).await), ["for carol"]);
    assert_eq!(bodies(&chat.history(&carol, &ada).await), ["for carol"]);
    assert_eq!(chat.history(&carol, &bob).await, Vec::<Value>::new());
}

async fn oneself_and_a_silent_peer_have_no_messages(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    assert_eq!(chat.history(&ada, &ada).await, Vec::<Value>::new());
    assert_eq!(chat.history(&ada, &bob).await, Vec::<Value>::new());
}

async fn whoever_is_not_a_user_is_404(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let ada = chat.user("ada").await;
    let unknown = chat.stranger("unknown").id;
    let braces = format!("%7B{}%7D", ada.id);
    let simple = ada.id.replace('-', "");
    for uid in [&*unknown, "not-a-uuid", "1", &braces, &simple, "%00", "%ff", "a%2Fb", "..%2f"] {
        let path = format!("/chat/messages/{uid}/");
        let answer = chat.get(&path).bearer(&ada.token).send().await;
        assert_eq!(answer.assert_failure(404), "Invalid receipient", "{uid}");
    }
}

async fn a_uid_in_upper_case_is_the_same_user(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    ada_socket.say(&bob, "hello").await;
    bob_socket.expect_body("hello").await;
    let path = format!("/chat/messages/{}/", bob.id.to_uppercase());
    let answer = chat.get(&path).bearer(&ada.token).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["entity"]["messages"][0]["receiver"]["id"], *bob.id);
}

async fn ids_and_times_grow_within_a_conversation(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    for number in 0..50 {
        ada_socket.say(&bob, &number.to_string()).await;
        bob_socket.say(&ada, &number.to_string()).await;
    }
    for number in 0..50 {
        ada_socket.expect_body(&number.to_string()).await;
        bob_socket.expect_body(&number.to_string()).await;
    }
    let history = chat.history(&ada, &bob).await;
    assert_eq!(history.len(), 100);
    let created = |message: &Value| message["created"].as_str().expect("a time").to_owned();
    for pair in history.windows(2) {
        assert!(pair[0]["id"].as_i64() < pair[1]["id"].as_i64(), "{pair:?}");
        assert!(created(&pair[0]) < created(&pair[1]), "{pair:?}");
        assert_eq!(pair[0]["thread"], pair[1]["thread"]);
        assert_eq!(pair[0]["created"], pair[0]["updated"]);
    }
}

async fn an_upload_is_there_at_once_for_both(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let message = chat.upload_file(&ada, &bob, "a.txt", "content").await;
    let by_ada = chat.history(&ada, &bob).await;
    assert_eq!(by_ada, [message]);
    assert_eq!(chat.history(&bob, &ada).await, by_ada);
}
