//! Very many users of one edge, whose core is killed.

use futures_util::{StreamExt as _, stream};
use netrox_harness::{Arrangement, Role, Socket, TestChat, User, each, eventually};
use tokio::time::Instant;

each![; split: a_core_that_comes_back_under_a_crowd_stays_small];

/// Opened, or listened to, at a time.
const AT_A_TIME: usize = 16;
const MIB: u64 = 1024 * 1024;

/// Takes minutes with the 18,000 of `NETROX_CHAT_TEST_FULL=1`.
async fn a_core_that_comes_back_under_a_crowd_stays_small(arrangement: Arrangement) {
    const CORE: Role = Role::Core(0);
    let is_full = std::env::var_os("NETROX_CHAT_TEST_FULL").is_some();
    let (count, most_bytes) = if is_full { (18_000, 150 * MIB) } else { (2_000, 48 * MIB) };
    // Nobody reads while the crowd gathers, which takes a slow machine longer than pings wait.
    let chat = TestChat::builder(arrangement).set("send-rate", "0").set("ping-interval", "10m");
    let mut chat = chat.start().await;
    let (_, mut at_ada) = chat.join("ada").await;
    let mut crowd: Vec<(User, Socket)> = stream::iter(0..count)
        .map(|number| {
            let user = chat.stranger(&format!("user-{number}"));
            let edge = chat.edge();
            async move {
                let socket = edge.connect(&user).await;
                (user, socket)
            }
        })
        .buffer_unordered(AT_A_TIME)
        .collect()
        .await;
    let before = chat.process(CORE).private_bytes();
    chat.restart(CORE).await;
    let begun = Instant::now();
    let mut peak = 0;
    // Each of them is told, and so each is back.
    for part in crowd.chunks_mut(AT_A_TIME) {
        for (user, _) in &*part {
            at_ada.say(user, "back").await;
        }
        for (_, socket) in part {
            socket.expect_body("back").await;
        }
        peak = peak.max(chat.process(CORE).private_bytes());
    }
    eprintln!("{count} are back after {:?}: {before} bytes before, {peak} then", begun.elapsed());
    let is_small = async || {
        let bytes = chat.process(CORE).private_bytes();
        (bytes < most_bytes).then_some(bytes)
    };
    let bytes = eventually("a core that is small", is_small).await;
    eprintln!("{bytes} bytes {:?} later", begun.elapsed());
    assert!(peak < 2 * most_bytes, "{peak} bytes");
}
