//! How many connections a user may have.

use netrox_harness::{Arrangement, Socket, TestChat, User, each, raw::Raw, socket::End, within};

each![
    of_seventeen_connections_a_dead_one_is_closed,
    of_connections_that_all_live_who_was_silent_longest_is_closed,
    a_configured_number_of_connections_holds,
    handshakes_without_end_are_slowed_down,
    a_connection_that_is_replaced_holds_no_place,
];

/// A connection whose client has lost its network: nothing is answered, and nothing ends it.
async fn dead(chat: &TestChat, user: &User) -> Raw {
    let mut raw = Raw::connect(chat.edge_of(user).address).await;
    raw.upgrade(&format!("/ws/chat/room/?token={}", user.token)).await;
    raw
}

/// Reads for the sockets, so that pings are answered, until `done`.
pub(super) async fn answering<T>(sockets: &mut [&mut Socket], done: impl Future<Output = T>) -> T {
    let reads = sockets.iter_mut().map(|socket| async {
        let frame = socket.next_text().await;
        panic!("nothing was sent to it: {frame}");
    });
    tokio::select! {
        done = done => done,
        _ = futures_util::future::join_all(reads) => unreachable!("they have no end"),
    }
}

async fn of_seventeen_connections_a_dead_one_is_closed(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    // The desktop comes first, and a flapping phone 16 times.
    let (ada, mut desktop) = chat.join("ada").await;
    let mut phone = Vec::new();
    for _ in 0..16 {
        phone.push(dead(&chat, &ada).await);
    }
    let closed = async {
        let code = phone[0].close_code().await;
        assert_eq!(code, 1008);
    };
    answering(&mut [&mut desktop], closed).await;
    bob_socket.say(&ada, "to the desktop").await;
    desktop.expect_body("to the desktop").await;
    desktop.say(&bob, "from the desktop").await;
    bob_socket.expect_body("from the desktop").await;
}

async fn of_connections_that_all_live_who_was_silent_longest_is_closed(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("max-connections-per-user", "2").start().await;
    let (ada, mut first) = chat.join("ada").await;
    let mut second = chat.connect(&ada).await;
    // The older one is in use.
    first.expect_no_answer().await;
    let mut third = chat.connect(&ada).await;
    let end = answering(&mut [&mut first, &mut third], second.end()).await;
    assert_eq!(end, End::Closed(1008));
    let (_, mut bob_socket) = chat.join("bob").await;
    bob_socket.say(&ada, "hello").await;
    first.expect_body("hello").await;
    third.expect_body("hello").await;
}

async fn a_configured_number_of_connections_holds(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("max-connections-per-user", "2").start().await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    let (ada, mut first) = chat.join("ada").await;
    let second = chat.connect(&ada).await;
    // One that has gone makes room.
    second.close().await;
    let mut third = chat.connect(&ada).await;
    bob_socket.say(&ada, "hello").await;
    first.expect_body("hello").await;
    third.expect_body("hello").await;
    third.say(&bob, "room").await;
    bob_socket.expect_body("room").await;
}

async fn handshakes_without_end_are_slowed_down(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("max-connections-per-user", "4").start().await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let edge = chat.edge_of(&ada);
    let handshake = || {
        let path = format!("/ws/chat/room/?token={}", ada.token);
        edge.request("GET", &path).websocket().send()
    };
    let mut opened = 0;
    let refused = within("a refusal", async {
        loop {
            let answer = handshake().await;
            if answer.status != 101 {
                break answer;
            }
            opened += 1;
        }
    })
    .await;
    refused.assert_failure(429);
    let seconds: u64 = refused.header("retry-after").expect("a time").parse().expect("seconds");
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert!((32..48).contains(&opened), "{opened}");
    // It is a limit of each user.
    chat.connect(&bob).await.expect_no_answer().await;
}

async fn a_connection_that_is_replaced_holds_no_place(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement)
        .set("max-connections-per-user", "4")
        .set("max-connections", "10")
        .start()
        .await;
    let ada = chat.user("ada").await;
    // With a subscription that lives, a handshake needs nothing but a place.
    let others = chat.user("bob").await;
    let path = format!("/ws/chat/room/?token={}", others.token);
    let address = chat.edge_of(&ada).address;
    let mut sockets = vec![Socket::open(address, &path, &[]).await];
    // Beyond twice the number there is no time to ask which one lives; none answers its close.
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(dead(&chat, &ada).await);
    }
    assert_eq!(held[0].close_code().await, 1008);
    for _ in 0..3 {
        // At once: a place that is held too long must not be waited for.
        sockets.push(Socket::try_open(address, &path, &[]).await.expect("a place"));
    }
    drop((held, sockets));
}
