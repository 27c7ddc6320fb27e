//! `--max-downloads`, `--max-downloads-per-user`, `--max-downloads-per-address`.

use std::time::{Duration, Instant};

use netrox_harness::{
    Arrangement, Edge, Role, TestChat, User, crowding::crowded, each, eventually, raw::Raw,
};

each![
    downloads_of_an_address_beyond_the_limit_wait_and_are_429,
    downloads_of_a_user_beyond_the_limit_wait_and_are_429,
    downloads_beyond_the_limit_of_all_wait_and_are_503,
    without_a_named_proxy_an_address_has_no_limit,
    stalled_downloads_take_nothing_that_chat_needs,
    stalled_downloads_leave_open_files_to_others,
    a_reader_that_is_far_too_slow_makes_room_for_who_waits,
];

/// More than the kernel takes in for a reader that stalls.
const FILE_BYTES: usize = 8 * 1024 * 1024;

/// The path of a file that Ada sent to Bob.
async fn file(chat: &TestChat, ada: &User, bob: &User, bytes: usize) -> String {
    let message = chat.upload_file(ada, bob, "a.bin", vec![7; bytes]).await;
    message["attached_file"].as_str().expect("a path").to_owned()
}

async fn ask(edge: Edge, path: &str, headers: &str) -> Raw {
    let mut raw = Raw::connect_narrow(edge.address).await;
    raw.write(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")).await;
    raw
}

/// A download of which nothing but the head is taken in.
async fn stalled(edge: Edge, path: &str, headers: &str) -> Raw {
    eventually("a download", async || {
        let mut raw = ask(edge, path, headers).await;
        let head = raw.head().await;
        let is_busy = head.starts_with("HTTP/1.1 503 ");
        assert!(is_busy || head.starts_with("HTTP/1.1 200 "), "{head}");
        (!is_busy).then_some(raw)
    })
    .await
}

fn from(address: &str) -> String {
    format!("X-Forwarded-For: 203.0.113.77, {address}\r\n")
}

async fn assert_refused(edge: Edge, path: &str, headers: &str, status: u16) {
    let start = Instant::now();
    let head = ask(edge, path, headers).await.head().await.to_lowercase();
    assert!(head.starts_with(&format!("http/1.1 {status} ")), "{head}");
    assert!(head.contains("\r\nretry-after: "), "{head}");
    assert!(start.elapsed() >= Duration::from_secs(4), "without a wait: {:?}", start.elapsed());
}

async fn downloads_of_an_address_beyond_the_limit_wait_and_are_429(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement)
        .set("trusted-proxies", "127.0.0.0/8")
        .set("max-downloads-per-address", "2")
        .start()
        .await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let path = file(&chat, &ada, &bob, FILE_BYTES).await;
    let edge = chat.edge();
    let mut held = Vec::new();
    for last in 1..3 {
        // One line of a provider is one address.
        for network in 1..3 {
            let headers = from(&format!("2001:db8:1:{network}::{last}"));
            held.push(stalled(edge, &path, &headers).await);
        }
    }
    assert_refused(edge, &path, &from("2001:db8:1:1::ffff"), 429).await;
    held.push(stalled(edge, &path, &from("198.51.100.1")).await);
    // Who waits gets the place of who has gone.
    let mut waits = ask(edge, &path, &from("2001:db8:1:1::ffff")).await;
    let gone = held.remove(0);
    drop(gone);
    let head = waits.head().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
}

async fn downloads_of_a_user_beyond_the_limit_wait_and_are_429(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement)
        .set("media-access", "participants")
        .set("max-downloads-per-user", "2")
        .start()
        .await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let path = file(&chat, &ada, &bob, FILE_BYTES).await;
    let by = |user: &User| format!("Authorization: Bearer {}\r\n", user.token);
    let edge = chat.edge();
    let _held = [stalled(edge, &path, &by(&bob)).await, stalled(edge, &path, &by(&bob)).await];
    assert_refused(edge, &path, &by(&bob), 429).await;
    stalled(edge, &path, &by(&ada)).await;
}

async fn downloads_beyond_the_limit_of_all_wait_and_are_503(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement)
        .set("trusted-proxies", "127.0.0.1/32,127.0.0.0/8")
        .set("max-downloads", "3")
        .start()
        .await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let path = file(&chat, &ada, &bob, FILE_BYTES).await;
    let edge = chat.edge();
    let mut held = Vec::new();
    for number in 1..4 {
        held.push(stalled(edge, &path, &from(&format!("198.51.100.{number}"))).await);
    }
    assert_refused(edge, &path, &from("198.51.100.9"), 503).await;
    // What needs no bytes needs no place.
    assert_eq!(chat.get("/mediafiles/attachments/2024/01/01/x").send().await.status, 404);
}

async fn without_a_named_proxy_an_address_has_no_limit(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("max-downloads-per-address", "2").start().await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let path = file(&chat, &ada, &bob, FILE_BYTES).await;
    let mut held = Vec::new();
    for _ in 0..10 {
        // Nobody has said that this is to be believed.
        held.push(stalled(chat.edge(), &path, &from("198.51.100.1")).await);
    }
    let log = chat.log(chat.edge_role());
    log.counts("--trusted-proxies", 1).await;
}

/// How many downloads stall: 1,000 with `NETROX_CHAT_TEST_FULL=1`.
fn many(arrangement: Arrangement) -> usize {
    match arrangement {
        _ if std::env::var_os("NETROX_CHAT_TEST_FULL").is_some() => 1_000,
        Arrangement::Serve => 150,
        Arrangement::Split | Arrangement::Cluster => 40,
    }
}

async fn stalled_downloads_take_nothing_that_chat_needs(arrangement: Arrangement) {
    for proxies in [Some("127.0.0.0/8"), None] {
        let mut chat = TestChat::builder(arrangement);
        if let Some(proxies) = proxies {
            chat = chat.set("trusted-proxies", proxies);
        }
        let chat = chat.start().await;
        let (ada, mut at_ada) = chat.join("ada").await;
        let (bob, mut at_bob) = chat.join("bob").await;
        let path = file(&chat, &ada, &bob, FILE_BYTES).await;
        assert_eq!(chat.get(&path).send().await.status, 200);
        let before = chat.resident_bytes();
        let mut held = Vec::new();
        for number in 0..many(arrangement) {
            let headers = from(&format!("198.51.100.{}", number % 20));
            held.push(stalled(chat.edge(), &path, &headers).await);
        }
        // Nothing of the core is held any more for who takes nothing.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let mut slowest = Duration::ZERO;
        for number in 0..50 {
            let start = Instant::now();
            at_ada.say(&bob, &number.to_string()).await;
            at_bob.expect_body(&number.to_string()).await;
            slowest = slowest.max(start.elapsed());
        }
        chat.ready().await;
        assert_eq!(chat.history(&ada, &bob).await.len(), 51);
        let grown = chat.resident_bytes().saturating_sub(before);
        let each = grown / held.len() as u64;
        eprintln!("{} stalled: {grown} bytes, {each} each; slowest {slowest:?}", held.len());
        // The bound is a debug build's.
        assert!(slowest < crowded(Duration::from_secs(1)), "{slowest:?}");
        if arrangement == Arrangement::Serve {
            assert!(grown < 64 * 1024 * 1024, "{grown} bytes for {}", held.len());
        }
    }
}

async fn stalled_downloads_leave_open_files_to_others(arrangement: Arrangement) {
    let mut chat = TestChat::builder(arrangement);
    for role in [Role::Serve, Role::Edge(0), Role::Edge(1)] {
        chat = chat.launcher(role, ["prlimit", "--nofile=160:160", "--"]);
    }
    let chat = chat.start().await;
    let (ada, mut at_ada) = chat.join("ada").await;
    let (bob, mut at_bob) = chat.join("bob").await;
    let path = file(&chat, &ada, &bob, FILE_BYTES).await;
    let mut held = Vec::new();
    for _ in 0..100 {
        held.push(ask(chat.edge(), &path, "").await);
    }
    // Connections that never say who they are.
    for _ in 0..100 {
        held.push(chat.edge().raw().await);
    }
    at_ada.say(&bob, "meanwhile").await;
    at_bob.expect_body("meanwhile").await;
    let mut another = chat.connect(&bob).await;
    at_ada.say(&bob, "to both").await;
    at_bob.expect_body("to both").await;
    another.expect_body("to both").await;
    assert_eq!(chat.history(&ada, &bob).await.len(), 3);
    chat.upload_file(&ada, &bob, "b.bin", "b").await;
    let log = chat.log(chat.edge_role());
    assert!(!log.contains("Too many open files"), "{:#?}", log.lines());
}

/// Takes more than half a minute, and so only with `NETROX_CHAT_TEST_FULL=1`.
async fn a_reader_that_is_far_too_slow_makes_room_for_who_waits(arrangement: Arrangement) {
    if std::env::var_os("NETROX_CHAT_TEST_FULL").is_none() {
        return;
    }
    let chat = TestChat::builder(arrangement).set("max-downloads", "2").start().await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let path = file(&chat, &ada, &bob, 25 * 1024 * 1024).await;
    let edge = chat.edge();
    let mut slow = stalled(edge, &path, "").await;
    let mut quick = stalled(edge, &path, "").await;
    let start = Instant::now();
    // Nobody waits: who takes 1 KiB a second is served for longer than a minute.
    while start.elapsed() < Duration::from_secs(70) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_ne!(slow.some(1_024).await, 0, "cut off after {:?}", start.elapsed());
        quick.exactly(64 * 1024).await;
    }
    let mut waits = ask(edge, &path, "").await;
    let head = waits.head().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    eventually("the end of the slow one", async || (slow.some(1 << 20).await == 0).then_some(()))
        .await;
    quick.exactly(64 * 1024).await;
}
