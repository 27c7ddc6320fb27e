//! `GET /chat/get-user-threads/`.

use netrox_harness::{Arrangement, TestChat, User, each};
use serde_json::{Value, json};

each![
    the_most_recently_active_comes_first,
    user_one_is_who_wrote_first,
    a_pair_has_one_thread,
    an_upload_begins_a_thread_and_is_activity,
    a_thread_is_shown_to_its_two_users_alone,
];

async fn threads(chat: &TestChat, user: &User) -> Vec<Value> {
    let answer = chat.get("/chat/get-user-threads/").bearer(&user.token).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["entity"].as_array().expect("threads").clone()
}

/// The peers of a user's threads, in order.
async fn peers(chat: &TestChat, user: &User) -> Vec<String> {
    let peer = |thread: &Value| {
        let other = if thread["user_one"]["id"] == *user.id { "user_two" } else { "user_one" };
        thread[other]["id"].as_str().expect("an id").to_owned()
    };
    threads(chat, user).await.iter().map(peer).collect()
}

async fn the_most_recently_active_comes_first(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    let (carol, mut carol_socket) = chat.join("carol").await;
    assert_eq!(peers(&chat, &ada).await, Vec::<String>::new());
    ada_socket.say(&bob, "one").await;
    ada_socket.say(&carol, "two").await;
    carol_socket.expect_body("two").await;
    assert_eq!(peers(&chat, &ada).await, [carol.id.clone(), bob.id.clone()]);
    // The peer's message is activity too.
    bob_socket.expect_body("one").await;
    bob_socket.say(&ada, "three").await;
    ada_socket.expect_body("three").await;
    assert_eq!(peers(&chat, &ada).await, [bob.id.clone(), carol.id.clone()]);
    ada_socket.say(&carol, "four").await;
    carol_socket.expect_body("four").await;
    assert_eq!(peers(&chat, &ada).await, [carol.id.clone(), bob.id.clone()]);
    assert_eq!(peers(&chat, &bob).await, [ada.id]);
}

async fn user_one_is_who_wrote_first(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    // Whichever of the two ids is the smaller one.
    for _ in 0..4 {
        let (ada, mut ada_socket) = chat.join("ada").await;
        let (bob, mut bob_socket) = chat.join("bob").await;
        ada_socket.say(&bob, "first").await;
        bob_socket.expect_body("first").await;
        bob_socket.say(&ada, "second").await;
        ada_socket.expect_body("second").await;
        let threads = threads(&chat, &bob).await;
        assert_eq!(threads.len(), 1);
        assert_eq!(threads[0]["user_one"]["id"], *ada.id);
        assert_eq!(threads[0]["user_two"]["id"], *bob.id);
    }
}

async fn a_pair_has_one_thread(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    // Both write first.
    for number in 0..20 {
        ada_socket.say(&bob, &number.to_string()).await;
        bob_socket.say(&ada, &number.to_string()).await;
    }
    for number in 0..20 {
        ada_socket.expect_body(&number.to_string()).await;
        bob_socket.expect_body(&number.to_string()).await;
    }
    let by_ada = threads(&chat, &ada).await;
    assert_eq!(by_ada.len(), 1);
    assert_eq!(threads(&chat, &bob).await, by_ada);
    let history = chat.history(&ada, &bob).await;
    assert!(history.iter().all(|message| message["thread"] == by_ada[0]["id"]));
}

async fn an_upload_begins_a_thread_and_is_activity(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    let (bob, carol) = (chat.user("bob").await, chat.user("carol").await);
    let message = chat.upload_file(&bob, &ada, "a.txt", "content").await;
    let first = threads(&chat, &ada).await;
    assert_eq!(first.len(), 1);
    assert_eq!(first[0]["user_one"]["id"], *bob.id);
    assert_eq!(first[0]["id"], message["thread"]);
    ada_socket.say(&carol, "hello").await;
    ada_socket.expect_no_answer().await;
    chat.upload_file(&ada, &bob, "b.txt", "content").await;
    assert_eq!(peers(&chat, &ada).await, [bob.id, carol.id]);
}

async fn a_thread_is_shown_to_its_two_users_alone(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (_, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    let carol = chat.user("carol").await;
    ada_socket.say(&bob, "hello").await;
    bob_socket.expect_body("hello").await;
    assert_eq!(json!(threads(&chat, &carol).await), json!([]));
    assert_eq!(threads(&chat, &bob).await.len(), 1);
}
