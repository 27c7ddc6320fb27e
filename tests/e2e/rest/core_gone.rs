//! An edge whose core is gone says so at once, and serves again when it is back.

use netrox_harness::{Arrangement, Role, TestChat, each, eventually};

each![; split: requests_are_503_until_the_core_is_back];

async fn requests_are_503_until_the_core_is_back(arrangement: Arrangement) {
    let mut chat = TestChat::builder(arrangement).set("store-wait", "1s").start().await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    chat.kill(Role::Core(0));
    for path in ["/chat/get-user-threads/".to_owned(), format!("/chat/messages/{}/", bob.id)] {
        let answer = chat.get(&path).bearer(&ada.token).send().await;
        answer.assert_failure(503);
        let seconds: u64 =
            answer.header("retry-after").expect("Retry-After").parse().expect("seconds");
        assert!(seconds >= 1);
    }
    eventually("readyz to tell", || async {
        (chat.get("/readyz").send().await.status == 503).then_some(())
    })
    .await;
    assert_eq!(chat.get("/healthz").send().await.status, 200);
    // Not every stream has seen it yet: one that has not leaves a message in doubt.
    loop {
        ada_socket.say(&bob, "lost").await;
        match ada_socket.next().await["code"].as_str() {
            Some("unavailable") => break,
            code => assert_eq!(code, Some("outcome_unknown")),
        }
    }

    chat.spawn(Role::Core(0)).await;
    chat.ready().await;
    // The sockets have lived through it, and ready means that messages get through.
    ada_socket.say(&bob, "back again").await;
    bob_socket.expect_body("back again").await;
    // What was refused was not stored.
    assert_eq!(chat.history(&ada, &bob).await.len(), 1);
}
