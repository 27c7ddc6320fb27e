//! `--upload-bytes-per-day`, `--upload-bytes-rate`.

use std::time::{Duration, Instant};

use netrox_harness::{Arrangement, TestChat, each, multipart::Form};

each![bytes_beyond_those_of_a_day_are_429, uploads_are_read_at_the_rate_of_their_user];

async fn bytes_beyond_those_of_a_day_are_429(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("upload-bytes-per-day", "1000000").start().await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let form = |bytes: usize| Form::new().text("receiver", &bob.id).file("a.bin", vec![1; bytes]);
    assert_eq!(chat.upload(&ada, form(600_000)).await.status, 201);
    let refused = chat.upload(&ada, form(600_000)).await;
    refused.assert_failure(429);
    let seconds: u64 = refused.header("retry-after").expect("a time").parse().expect("seconds");
    assert!((60..=86_400).contains(&seconds), "{seconds}");
    chat.keeps_files(1).await;
    // It is each user's own.
    let other = Form::new().text("receiver", &ada.id).file("a.bin", vec![1; 600_000]);
    assert_eq!(chat.upload(&bob, other).await.status, 201);
}

async fn uploads_are_read_at_the_rate_of_their_user(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("upload-bytes-rate", "1000000").start().await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let form = || Form::new().text("receiver", &bob.id).file("a.bin", vec![1; 2_000_000]);
    let start = Instant::now();
    // Four megabytes, of which one may come at once.
    tokio::join!(chat.store(&ada, form()), chat.store(&ada, form()));
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(2_900), "{took:?}");
}
