//! What the public door takes in TLS, and what not.

use netrox_harness::{
    Arrangement, Role, Socket,
    alarms::Before,
    each, eventually,
    tls::{shown_after, shown_by},
};

use super::{Secured, client, failed_handshakes, user};

each![; sqlite: both_generations_speak_tls; serve: what_is_no_handshake_is_closed_and_counted, a_proxy_header_comes_before_the_handshake];

async fn both_generations_speak_tls(arrangement: Arrangement) {
    let secured = Secured::new(arrangement);
    let chat = secured.builder.start().await;
    let client = client(&chat, &secured.authority).await;
    let edge = client.edge();
    let (ada, bob) = (user(&chat, edge, "ada").await, user(&chat, edge, "bob").await);
    let mut at_ada = edge.connect(&ada).await;
    let mut at_bob = edge.connect(&bob).await;
    let second = format!("/ws/chat/room/?token={}&protocol=2", bob.token);
    let mut second = Socket::open(edge.address, &second, &[]).await;
    assert_eq!(second.next().await["action"], "hello");

    // Longer than a record.
    let body = "x".repeat(16_000);
    for _ in 0..10 {
        at_ada.say(&bob, &body).await;
    }
    for _ in 0..10 {
        at_bob.expect_body(&body).await;
    }
    let mut seen = 0;
    while seen < 10 {
        let frame = second.next().await;
        seen += usize::from(frame["message"]["message"] == body.as_str());
    }
    assert_eq!(edge.history(&bob, &ada).await.len(), 10);
    let threads = edge.get("/v2/threads").bearer(&bob.token).send().await;
    assert_eq!(threads.status, 200, "{threads:?}");
    at_ada.close().await;

    // What is shown is what was given.
    let door = secured.authority.der("door");
    assert_eq!(shown_by(chat.edge().address, &secured.authority.certificate()).await, door);
}

async fn what_is_no_handshake_is_closed_and_counted(arrangement: Arrangement) {
    let secured = Secured::new(arrangement);
    let chat = secured.builder.set("handshake-timeout", "5s").start().await;
    let count = async |reason: &str| failed_handshakes(&chat, Role::Serve, "http", reason).await;

    let mut plain = chat.edge().raw().await;
    plain.write("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let answer = plain.rest().await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    eventually("a count", async || (count("not_tls").await >= 1.0).then_some(())).await;

    // The beginning of a handshake, and nothing at all.
    let (mut begun, mut silent) = (chat.edge().raw().await, chat.edge().raw().await);
    begun.write(b"\x16\x03\x01\x02\x00\x01\x00").await;
    // Which hold up nobody.
    let good = client(&chat, &secured.authority).await;
    eventually("an answer", async || {
        let answer = good.edge().get("/healthz").try_send().await;
        answer.is_ok_and(|answer| answer.status == 200).then_some(())
    })
    .await;
    let (begun, silent) = tokio::join!(begun.rest(), silent.rest());
    assert_eq!((&*begun, &*silent), (&b""[..], &b""[..]));
    eventually("a count", async || (count("timeout").await >= 2.0).then_some(())).await;

    // Clients that trust another authority.
    let before = Before::of(&chat).await;
    let other = netrox_harness::certificate::Authority::new();
    let mistrusting = client(&chat, &other).await;
    for _ in 0..10 {
        assert!(mistrusting.edge().get("/healthz").try_send().await.is_err());
    }
    eventually("a count", async || (count("refused_by_peer").await >= 10.0).then_some(())).await;
    before.alarms_if_it_goes_on(&chat, &[], &["TlsIsRefused"]).await;
}

async fn a_proxy_header_comes_before_the_handshake(arrangement: Arrangement) {
    let secured = Secured::new(arrangement);
    let chat = secured.builder.set("proxy-protocol", "true").start().await;
    let header = b"PROXY TCP4 203.0.113.9 127.0.0.1 5 6\r\n";
    let root = secured.authority.certificate();
    let shown = shown_after(header, chat.edge().address, &root).await;
    assert_eq!(shown, secured.authority.der("door"));
}
