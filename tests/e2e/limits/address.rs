//! Connections that have shown no token count by the address of their client.

use std::net::Ipv4Addr;

use netrox_harness::{Arrangement, Edge, TestChat, each, raw::Raw};

each![
    a_flood_from_one_address_locks_nobody_out,
    a_proxy_header_is_wanted_where_it_is_trusted_and_refused_elsewhere,
];

fn v1(source: &str) -> Vec<u8> {
    format!("PROXY TCP4 {source} 127.0.0.1 5000 80\r\n").into_bytes()
}

fn v2(source: [u8; 4]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend(source);
    header.extend([127, 0, 0, 1, 0x13, 0x88, 0, 80]);
    header
}

/// Where the balancer of the test connects from.
const BALANCER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

async fn connect(edge: Edge, header: &[u8]) -> Raw {
    let mut raw = Raw::connect_from(BALANCER, edge.address).await;
    raw.write(header).await;
    raw
}

async fn a_flood_from_one_address_locks_nobody_out(arrangement: Arrangement) {
    // A flood takes a slow machine longer than a newcomer may be silent.
    let chat = TestChat::builder(arrangement)
        .set("trusted-proxies", "127.0.0.2")
        .set("proxy-protocol", "true")
        .set("handshake-timeout", "1h")
        .start()
        .await;
    let edge = chat.edge();
    // Slow to say who they are, as phones are.
    let mut newcomers = Vec::new();
    for number in 1..=20 {
        newcomers.push(connect(edge, &v2([198, 51, 100, number])).await);
    }
    let mut flood = Vec::new();
    for _ in 0..1_500 {
        flood.push(connect(edge, &v1("203.0.113.9")).await);
    }
    // All are accepted by now: connections are accepted in order.
    let mut last = connect(edge, &v1("198.51.100.99")).await;
    last.write("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(last.head().await.starts_with("HTTP/1.1 200 "));
    for mut newcomer in newcomers {
        newcomer.write("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        let head = newcomer.head().await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    }
}

async fn a_proxy_header_is_wanted_where_it_is_trusted_and_refused_elsewhere(
    arrangement: Arrangement,
) {
    const REQUEST: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let trusting = TestChat::builder(arrangement)
        .set("trusted-proxies", "127.0.0.2")
        .set("proxy-protocol", "true")
        .start()
        .await;
    let mut raw = connect(trusting.edge(), REQUEST.as_bytes()).await;
    assert_eq!(raw.rest().await, b"", "it has to say whose it is");
    for header in [v1("203.0.113.9"), v2([203, 0, 113, 9])] {
        let mut raw = connect(trusting.edge(), &header).await;
        raw.write(REQUEST).await;
        let answer = raw.rest().await;
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    }

    let chat = TestChat::start(arrangement).await;
    // At once: what comes after the answer would end the connection before the answer is read.
    let both = [&v1("203.0.113.9"), REQUEST.as_bytes()].concat();
    let answer = connect(chat.edge(), &both).await.rest().await;
    assert!(answer.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&answer));
}
