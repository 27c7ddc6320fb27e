//! What a short wait serves is not refused.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use netrox_harness::{Arrangement, Socket, TestChat, each, eventually, multipart::Form};

each![
    what_is_uploaded_and_loaded_at_once_waits_for_its_turn,
    what_was_written_offline_is_sent_without_a_loss,
    uploads_and_messages_share_one_rate,
];

async fn what_is_uploaded_and_loaded_at_once_waits_for_its_turn(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let photo = vec![9; 300_000];
    for _ in 0..3 {
        let form = || Form::new().text("receiver", &bob.id).file("photo.jpg", &photo);
        // One more than there are places: it waits for the first that comes free.
        join_all((0..5).map(|_| chat.store(&ada, form()))).await;
    }
    let path = format!("/chat/messages/{}/", bob.id);
    for path in [&path, "/chat/get-user-threads/"] {
        let reads = join_all((0..12).map(|_| chat.get(path).bearer(&ada.token).send())).await;
        let statuses: Vec<_> = reads.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [200; 12], "{path}");
    }
}

async fn what_was_written_offline_is_sent_without_a_loss(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut at_ada) = chat.join("ada").await;
    let (bob, mut at_bob) = chat.join("bob").await;
    for number in 0..150 {
        at_ada.say(&bob, &number.to_string()).await;
    }
    for number in 0..150 {
        at_bob.expect_body(&number.to_string()).await;
    }
    at_ada.expect_no_answer().await;
    assert_eq!(chat.history(&ada, &bob).await.len(), 150);
}

async fn uploads_and_messages_share_one_rate(arrangement: Arrangement) {
    const BURST: u64 = 20;
    let chat = TestChat::builder(arrangement)
        .set("send-rate", "1")
        .set("send-burst", BURST.to_string())
        .start()
        .await;
    let (bob, _at_bob) = chat.join("bob").await;
    let form = || Form::new().text("receiver", &bob.id).file("a.txt", "a");
    // However fast they come.
    let cyd = chat.user("cyd").await;
    let (start, mut stored) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(3) {
        chat.store(&cyd, form()).await;
        stored += 1;
    }
    assert!(stored <= BURST + start.elapsed().as_secs() + 1, "{stored}");

    // A burst of messages, and as many that wait: there is no turn for an upload within five seconds.
    let ada = chat.user("ada").await;
    let mut at_ada =
        Socket::open(chat.edge().address, &format!("/ws/chat/room/?token={}", ada.token), &[])
            .await;
    for number in 0..BURST * 2 {
        at_ada.say(&bob, &number.to_string()).await;
    }
    eventually("the burst", || async {
        (chat.history(&ada, &bob).await.len() as u64 >= BURST).then_some(())
    })
    .await;
    let refused = chat.upload(&ada, form()).await;
    refused.assert_failure(429);
    assert!(refused.header("retry-after").is_some());
}
