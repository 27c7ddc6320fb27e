//! `docs/PROXIES.md`: each proxy, with the configuration that stands there, in front of two edges.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use netrox_harness::{
    Arrangement, Role, Socket, TestChat, User, eventually,
    multipart::Form,
    reverse_proxy::{Kind, ReverseProxy},
    socket::End,
    tls::TlsClient,
};
use serde_json::Value;
use tokio::time::sleep;

/// All tests of one proxy.
macro_rules! through {
    ($module:ident, $kind:ident) => {
        mod $module {
            #[tokio::test]
            async fn everything_passes() {
                netrox_harness::run_test(super::everything_passes(super::Kind::$kind)).await;
            }

            #[tokio::test]
            async fn a_drain_costs_no_request() {
                netrox_harness::run_test(super::a_drain_costs_no_request(super::Kind::$kind)).await;
            }
        }
    };
}

through!(haproxy, HaProxy);
through!(nginx, Nginx);
through!(caddy, Caddy);
through!(apache, Apache);

const MIB: usize = 1024 * 1024;
/// Requests after an edge has ended: more than come before a proxy looks for it again.
const AFTER: usize = 30;

/// In front of two edges, or twice in front of one.
async fn proxy(kind: Kind, chat: &TestChat) -> ReverseProxy {
    ReverseProxy::start(kind, [0, 1].map(|index| chat.edge_at(index).address)).await
}

/// An upload of as much as that.
fn form(receiver: &User, bytes: usize) -> Form {
    let form = Form::new().text("receiver", &receiver.id).text("message", "a file");
    form.file("file.bin", vec![b'x'; bytes])
}

async fn everything_passes(kind: Kind) {
    let chat = TestChat::builder(Arrangement::Split)
        .set("trusted-proxies", "127.0.0.1")
        .set("send-rate", "0")
        .set("max-downloads-per-address", "1")
        .start()
        .await;
    let proxy = proxy(kind, &chat).await;
    let (client, other) = (proxy.client().await, proxy.client().await);
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let (mut at_ada, mut at_bob) =
        (client.edge().connect(&ada).await, other.edge().connect(&bob).await);

    // Frames, in both directions.
    at_ada.say(&bob, "hello").await;
    at_bob.expect_body("hello").await;
    at_bob.say(&ada, "hello yourself").await;
    at_ada.expect_body("hello yourself").await;

    // Envelopes.
    client.edge().get("/chat/get-user-threads/").send().await.assert_failure(401);
    let refused = client.edge().get("/ws/chat/room/?token=wrong").websocket().send().await;
    refused.assert_failure(401);
    let refused = "/ws/chat/room/?protocol=2&ticket=wrong-ticket";
    client.edge().get(refused).websocket().send().await;
    let wrong = format!("/mediafiles/attachments/a.txt?signature={}", "wrong-signature-".repeat(8));
    assert_eq!(client.edge().get(&wrong).send().await.status, 404);

    // The largest file, and one that is too large.
    let stored = client.edge().store(&ada, form(&bob, 25 * MIB)).await;
    for too_large in [25 * MIB + 1, 31 * MIB] {
        client.edge().upload(&ada, form(&bob, too_large)).await.assert_failure(413);
    }
    let stored = stored.json();
    let path = stored["entity"]["message"]["attached_file"].as_str().expect("a path").to_owned();
    let whole = client.edge().get(&path).bearer(&bob.token).send().await;
    assert_eq!((whole.status, whole.body.len()), (200, 25 * MIB));
    let etag = whole.header("etag").expect("an entity tag").to_owned();
    let part = client.edge().get(&path).header("range", "bytes=10-19").send().await;
    assert_eq!((part.status, part.text()), (206, "xxxxxxxxxx"), "{part:?}");
    assert_eq!(part.header("content-range"), Some("bytes 10-19/26214400"));
    let known = client.edge().get(&path).header("if-none-match", &etag).send().await;
    assert_eq!(known.status, 304, "{known:?}");

    // A long history.
    let body = "y".repeat(16_000);
    for _ in 0..65 {
        for _ in 0..20 {
            at_ada.say(&bob, &body).await;
        }
        for _ in 0..20 {
            at_bob.expect_body(&body).await;
        }
    }
    let history = client.edge().history(&bob, &ada).await;
    assert_eq!(history.len(), 1_303);

    an_address_is_that_of_the_client(&proxy, &path).await;

    // A close, with its code.
    at_ada.close().await;
    no_token_is_logged(&proxy);
    for edge in chat.edge_roles() {
        assert!(!chat.log(edge).contains("nobody named"), "{:#?}", chat.log(edge).lines());
    }
}

/// A download that is not read takes the place of its client's address, whatever that says of itself, and of no other's.
async fn an_address_is_that_of_the_client(proxy: &ReverseProxy, path: &str) {
    let (one, another) = (proxy.client().await, proxy.client().await);
    let mut stalled = one.edge().raw().await;
    stalled.write(format!("GET {path} HTTP/1.1\r\nHost: chat.example.com\r\n\r\n")).await;
    assert!(stalled.head().await.starts_with("HTTP/1.1 200"));
    let lies = [("x-forwarded-for", "203.0.113.1"), ("forwarded", "for=203.0.113.2")];
    for lie in lies {
        let get = one.edge().get(path).header(lie.0, lie.1).header("range", "bytes=0-0");
        get.send().await.assert_failure(429);
    }
    let got = another.edge().get(path).header("range", "bytes=0-0").send().await;
    assert_eq!(got.status, 206, "{got:?}");
}

fn no_token_is_logged(proxy: &ReverseProxy) {
    let logs = proxy.logs();
    assert!(logs.contains("/ws/chat/room/") && logs.contains("/mediafiles/"), "{logs}");
    // Every JWT begins so.
    for secret in ["eyJ", "token=wrong", "wrong-ticket", "wrong-signature"] {
        assert!(!logs.contains(secret), "{secret}: {logs}");
    }
}

/// An edge drains and ends while clients come and go: its sockets are closed as it closes them, and nothing else is
/// noticed.
async fn a_drain_costs_no_request(kind: Kind) {
    // nginx does not ask edges how they are.
    let delay = if kind == Kind::Nginx { "0s" } else { "3s" };
    let mut chat = TestChat::builder(Arrangement::Split)
        .edges(2)
        .set("trusted-proxies", "127.0.0.1")
        .set("drain-delay", delay)
        .start()
        .await;
    let proxy = proxy(kind, &chat).await;
    let client = proxy.client().await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let mut sockets = Vec::new();
    for _ in 0..8 {
        sockets.push(client.edge().connect(&bob).await);
    }
    chat.process(Role::Edge(0)).signal(netrox_harness::process::TERMINATE);
    let has_ended = Cell::new(false);
    let ended = async {
        let status = chat.ended(Role::Edge(0)).await;
        has_ended.set(true);
        status
    };
    let path = format!("/ws/chat/room/?token={}", ada.token);
    let come_and_go = async {
        let (began, mut after) = (Instant::now(), 0);
        // While it drains, and after its end.
        while after < AFTER {
            after += usize::from(has_ended.get());
            let answer = client.edge().get("/chat/get-user-threads/").bearer(&ada.token);
            let answer = answer.send().await;
            assert_eq!(answer.status, 200, "after {:?}: {answer:?}", began.elapsed());
            // No refusal is one that may be tried again.
            let socket = Socket::try_open(client.edge().address, &path, &[]).await;
            let socket = socket.unwrap_or_else(|error| panic!("{:?}: {error}", began.elapsed()));
            socket.close().await;
            sleep(Duration::from_millis(50)).await;
        }
    };
    let (status, ()) = tokio::join!(ended, come_and_go);
    assert_eq!(status.code(), Some(0));
    // Those of the edge that ended were told so; the others live.
    let mut at_ada = client.edge().connect(&ada).await;
    at_ada.say(&bob, "still here").await;
    let mut closed = 0;
    for mut socket in sockets {
        match last(&mut socket).await {
            Ok(frame) => assert_eq!(frame["message_body"], "still here"),
            Err(end) => {
                assert_eq!(end, End::Closed(1001));
                closed += 1;
            }
        }
    }
    assert!((1..8).contains(&closed), "{closed}");
    no_edge_is_missed(&proxy, &mut chat).await;
    a_core_that_is_away_is_told_by_the_edge(kind, &client, &mut chat).await;
    let logs = proxy.logs();
    assert!(!logs.contains("eyJ"), "{logs}");
}

/// The edge comes back, the other is killed, and everything goes on.
async fn no_edge_is_missed(proxy: &ReverseProxy, chat: &mut TestChat) {
    chat.spawn(Role::Edge(0)).await;
    chat.ready().await;
    chat.kill(Role::Edge(1));
    let client = proxy.client().await;
    // As of files that have to be asked for; whatever the answer, it is not logged.
    let path = format!("/mediafiles/attachments/a.txt?token={}", chat.stranger("dan").token);
    for _ in 0..4 {
        client.edge().get(&path).send().await;
    }
    let cyd = chat.stranger("cyd");
    eventually("the edge that is back", async || {
        let path = format!("/ws/chat/room/?token={}", cyd.token);
        Socket::try_open(client.edge().address, &path, &[]).await.ok()
    })
    .await;
    // To nginx an edge that was away is back once an answer is through, and a socket is none until it ends.
    eventually("an answer of it", async || {
        let answer = client.edge().get("/chat/get-user-threads/").bearer(&cyd.token).send().await;
        (answer.status == 200).then_some(())
    })
    .await;
}

/// No edge is ready meanwhile, and one answers all the same.
async fn a_core_that_is_away_is_told_by_the_edge(
    kind: Kind,
    client: &TlsClient,
    chat: &mut TestChat,
) {
    chat.kill(Role::Core(0));
    eventually("not ready", async || {
        (chat.edge_at(0).get("/readyz").send().await.status == 503).then_some(())
    })
    .await;
    let ada = chat.stranger("ada");
    // For longer than proxies take to ask.
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(2_500) {
        let answer = client.edge().get("/chat/get-user-threads/").bearer(&ada.token).send().await;
        if kind == Kind::Caddy {
            assert_eq!(answer.status, 503, "{answer:?}");
        } else {
            answer.assert_failure(503);
            assert!(answer.header("retry-after").is_some(), "{answer:?}");
        }
        sleep(Duration::from_millis(100)).await;
    }
    chat.spawn(Role::Core(0)).await;
}

/// The next frame, or how the connection ended.
async fn last(socket: &mut Socket) -> Result<Value, End> {
    loop {
        match socket.next_message().await {
            Ok(message) if message.is_text() => {
                let text = message.into_text().expect("a text");
                return Ok(serde_json::from_str(&text).expect("a JSON frame"));
            }
            Ok(tokio_tungstenite::tungstenite::Message::Close(Some(close))) => {
                return Err(End::Closed(close.code.into()));
            }
            Ok(_) => {}
            Err(_) => return Err(End::Broken),
        }
    }
}

/// For longer than any proxy waits unless it is told; three minutes with `NETROX_CHAT_TEST_PROXIES_IDLE=full`.
#[tokio::test]
async fn sockets_without_messages_stay_open() {
    let is_full = std::env::var("NETROX_CHAT_TEST_PROXIES_IDLE").is_ok_and(|scale| scale == "full");
    let idle = Duration::from_secs(if is_full { 180 } else { 70 });
    netrox_harness::run_test(async {
        let chat = TestChat::builder(Arrangement::Split).edges(2);
        let chat = chat.set("trusted-proxies", "127.0.0.1").start().await;
        let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
        let kinds = [Kind::HaProxy, Kind::Nginx, Kind::Caddy, Kind::Apache];
        let sockets = kinds.map(async |kind| {
            let proxy = proxy(kind, &chat).await;
            let client = proxy.client().await;
            let socket = client.edge().connect(&bob).await;
            (kind, proxy, client, socket)
        });
        let mut sockets = join_all(sockets).await;
        let began = Instant::now();
        while began.elapsed() < idle {
            for (kind, _, _, socket) in &mut sockets {
                // Pings are answered while it is read.
                let read = tokio::time::timeout(Duration::from_millis(100), socket.next_message());
                if let Ok(read) = read.await {
                    let read = read.unwrap_or_else(|error| panic!("{kind:?}: {error}"));
                    assert!(read.is_ping(), "{kind:?}: {read:?}");
                }
            }
        }
        let mut at_ada = chat.connect(&ada).await;
        at_ada.say(&bob, "after a long time").await;
        for (_, _, _, socket) in &mut sockets {
            socket.expect_body("after a long time").await;
        }
    })
    .await;
}
