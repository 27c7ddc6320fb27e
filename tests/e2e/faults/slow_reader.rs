//! Clients that do not read what they are sent (ARCHITECTURE.md, G6).

use std::time::Duration;

use netrox_harness::{Arrangement, Socket, TestChat, User, alarms::Before, each, socket::End};

each![a_reader_that_never_reads_is_cut_off_and_disturbs_nobody];

/// Small enough for buffers on the way to fill soon.
const RECEIVE_BUFFER: usize = 4_096;
const FLOOD: usize = 3_000;

async fn a_reader_that_never_reads_is_cut_off_and_disturbs_nobody(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("send-rate", "0").start().await;
    let (ada, mut at_ada) = chat.join("ada").await;
    let (bob, mut at_bob) = chat.join("bob").await;
    let (cyd, mut at_cyd) = chat.join("cyd").await;
    let mut deaf = Vec::new();
    for _ in 0..5 {
        deaf.push(deaf_socket(&chat, &bob).await);
    }
    let well = Before::of(&chat).await;
    let before = chat.resident_bytes();
    let mut peak = before;
    // 12 MB for each of Bob's connections, of which one reads.
    let body = |number: usize| format!("canary {number} {}", "y".repeat(4_000));
    for some in (0..FLOOD).collect::<Vec<_>>().chunks(10) {
        for number in some {
            at_ada.say(&bob, &body(*number)).await;
        }
        at_ada.say(&cyd, &some[0].to_string()).await;
        at_cyd.expect_body(&some[0].to_string()).await;
        peak = peak.max(chat.resident_bytes());
        for number in some {
            at_bob.expect_body(&body(*number)).await;
        }
    }
    let grown = peak.saturating_sub(before);
    assert!(grown < 64 * 1024 * 1024, "{grown} bytes for five connections");
    for mut deaf in deaf {
        // What was in the buffers comes first; the close may have found no more room in them.
        let end = deaf.end().await;
        assert!(matches!(end, End::Closed(1013) | End::Broken), "{end:?}");
    }
    if arrangement == Arrangement::Serve {
        // As many each few seconds.
        let (interval, alarms) = (Duration::from_secs(4), ["ClientsAreTooSlow"]);
        well.alarms_if_it_goes_on_each(&chat, interval, &alarms).await;
    }
    let history = chat.history(&bob, &ada).await;
    let texts = history.iter().map(|message| message["message"].as_str().expect("a text"));
    assert!(texts.eq((0..FLOOD).map(body)));
    at_ada.say(&bob, "canary last").await;
    at_bob.expect_body("canary last").await;
}

/// A socket of the user that is not read, with little room on the way to it.
async fn deaf_socket(chat: &TestChat, user: &User) -> Socket {
    let path = format!("/ws/chat/room/?token={}", user.token);
    Socket::open_narrow(chat.edge().address, &path, RECEIVE_BUFFER as u32).await
}
