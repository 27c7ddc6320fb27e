//! 100,000 pieces of nonsense and malice: the program lives, stays small, and goes on serving.

mod noise;

use std::time::Duration;

use netrox_harness::{
    Arrangement, Edge, TestChat, User, each,
    multipart::Form,
    raw::{Raw, client_frame},
};
use rand::{Rng, RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};

use crate::flow::seed;

each![nonsense_and_malice_are_survived, connections_that_never_get_on_are_closed];

const WORKERS: usize = 4;
/// In one test, all workers together.
const TEXT_FRAMES: usize = 84_000;
const BROKEN_SOCKETS: usize = 3_000;
const REQUESTS: usize = 10_000;
const BROKEN_CONNECTIONS: usize = 3_000;
const MAX_GROWTH: u64 = 96 * 1024 * 1024;
/// What an attacker waits for an answer that may never come.
const IMPATIENCE: Duration = Duration::from_millis(200);

async fn nonsense_and_malice_are_survived(arrangement: Arrangement) {
    let seed = seed();
    let chat = TestChat::builder(arrangement)
        .set("send-rate", "0")
        .set("max-connections-per-user", "5000")
        .start()
        .await;
    let (_, mut at_ada) = chat.join("ada").await;
    let (bob, mut at_bob) = chat.join("bob").await;
    let mallory = chat.user("mallory").await;
    let victim = chat.user("victim").await;
    let before = chat.resident_bytes();
    let mut peak = before;

    let mut workers = JoinSet::new();
    for worker in 0..WORKERS {
        let mut random = StdRng::seed_from_u64(seed.wrapping_add(worker as u64));
        let edge = chat.edge();
        let (mallory, victim) = (mallory.clone(), victim.clone());
        workers.spawn(async move {
            let attack = Attack { edge, mallory, victim };
            attack.text_frames(&mut random, TEXT_FRAMES / WORKERS).await;
            attack.broken_sockets(&mut random, BROKEN_SOCKETS / WORKERS).await;
            attack.requests(&mut random, REQUESTS / WORKERS).await;
            attack.broken_connections(&mut random, BROKEN_CONNECTIONS / WORKERS).await;
        });
    }
    // All the while others chat.
    let mut number = 0;
    while let Some(done) = {
        at_ada.say(&bob, &format!("canary {number}")).await;
        at_bob.expect_body(&format!("canary {number}")).await;
        number += 1;
        peak = peak.max(chat.resident_bytes());
        match timeout(Duration::from_millis(50), workers.join_next()).await {
            Ok(done) => done.map(Some),
            Err(_) => Some(None),
        }
    } {
        if let Some(done) = done {
            done.expect("an attacker");
        }
    }
    let grown = peak - before;
    eprintln!("grew by {grown} bytes; {number} messages of others meanwhile");
    assert!(grown < MAX_GROWTH, "grew by {grown} bytes");
    at_ada.say(&bob, "canary at last").await;
    at_bob.expect_body("canary at last").await;
    chat.ready().await;
    // Whatever came through is whole, and the list of it too.
    let history = chat.history(&victim, &mallory).await;
    assert!(history.iter().all(|message| message["message"].is_string()));
}

/// Somebody with a good token and bad intentions.
struct Attack {
    edge: Edge,
    mallory: User,
    victim: User,
}

impl Attack {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.edge.address).await.expect("connect")
    }

    async fn upgraded(&self) -> Raw {
        let mut raw = self.edge.raw().await;
        raw.upgrade(&format!("/ws/chat/room/?token={}", self.mallory.token)).await;
        raw
    }

    /// Well-formed frames with nonsense in them, in batches. Each is answered or ignored, and a
    /// fence behind each batch shows that the socket lives.
    async fn text_frames(&self, random: &mut impl Rng, count: usize) {
        const BATCH: usize = 100;
        // More errors in a row are a flood, for which a socket is closed.
        const BATCHES_OF_A_SOCKET: usize = 4;
        let mut raw = self.upgraded().await;
        for batch in 0..count / BATCH {
            if batch > 0 && batch % BATCHES_OF_A_SOCKET == 0 {
                raw = self.upgraded().await;
            }
            let mut bytes = Vec::new();
            for _ in 0..BATCH {
                let text = noise::text_frame(random, &self.victim.id);
                bytes.extend(client_frame(0x81, text.as_bytes()));
                if random.random_ratio(1, 20) {
                    bytes.extend(client_frame(0x89, &noise::bytes(random, 125)));
                }
                if random.random_ratio(1, 20) {
                    bytes.extend(client_frame(0x82, &noise::bytes(random, 2_000)));
                }
                if random.random_ratio(1, 20) {
                    bytes.extend(noise::fragments(random));
                }
            }
            let fence = format!("fence-{}", random.random::<u64>());
            bytes.extend(client_frame(0x89, fence.as_bytes()));
            raw.write(bytes).await;
            loop {
                let (opcode, payload) = raw.frame().await;
                assert!(matches!(opcode, 1 | 9 | 10), "opcode {opcode}: the socket was closed");
                if opcode == 1 {
                    let frame: serde_json::Value =
                        serde_json::from_slice(&payload).expect("a JSON frame");
                    assert_eq!(frame["action"], "error", "{frame}");
                    assert_ne!(frame["code"], "internal", "{frame}");
                }
                if opcode == 10 && payload == fence.as_bytes() {
                    break;
                }
            }
        }
    }

    /// Frames that break the protocol, each on a socket of its own.
    async fn broken_sockets(&self, random: &mut impl Rng, count: usize) {
        for _ in 0..count {
            let mut raw = self.upgraded().await;
            raw.try_write(noise::broken_frame(random)).await;
            if random.random_ratio(1, 2) {
                // Waits for the close that such a frame brings, if it is one.
                let _ = timeout(IMPATIENCE, raw.rest()).await;
            }
        }
    }

    /// Requests that can be parsed, on connections that are kept as long as they are good.
    async fn requests(&self, random: &mut impl Rng, count: usize) {
        let mut stream = self.connect().await;
        for _ in 0..count {
            let request = noise::request(random, &self.mallory, &self.victim);
            if stream.write_all(&request).await.is_err() || !answered(&mut stream).await {
                stream = self.connect().await;
            }
        }
    }

    /// Bytes that are no request.
    async fn broken_connections(&self, random: &mut impl Rng, count: usize) {
        for _ in 0..count {
            let mut stream = self.connect().await;
            let bytes = noise::broken_request(random, &self.mallory);
            let _ = stream.write_all(&bytes).await;
            if random.random_ratio(1, 4) {
                let _ = timeout(IMPATIENCE, stream.read(&mut [0; 1024])).await;
            }
        }
    }
}

/// Whether an answer came after which the connection goes on.
async fn answered(stream: &mut TcpStream) -> bool {
    let mut answer = Vec::new();
    loop {
        let read = timeout(IMPATIENCE, stream.read_buf(&mut answer)).await;
        if !matches!(read, Ok(Ok(1..))) {
            return false;
        }
        let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
        let status = head.get(9..12).unwrap_or_default();
        assert_ne!(status, "500", "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let Some(length) = length.and_then(|length| length.parse::<usize>().ok()) else {
            return false;
        };
        if answer.len() == end + 4 + length {
            return !head.contains("connection: close");
        }
    }
}

/// Connections that begin and do not go on; none may hold its place for long.
async fn connections_that_never_get_on_are_closed(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement)
        .set("handshake-timeout", "1s")
        .set("body-idle-timeout", "1s")
        .start()
        .await;
    let (_, mut at_ada) = chat.join("ada").await;
    let (bob, mut at_bob) = chat.join("bob").await;
    let upload = format!(
        "POST /chat/chat-attachment/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Content-Type: {}\r\n",
        bob.token,
        Form::CONTENT_TYPE
    );
    let beginnings = [
        String::new(),
        "G".into(),
        "GET / HTTP/1.1\r\n".into(),
        "GET / HTTP/1.1\r\nHost: x\r\nX-Header: ".into(),
        format!("GET /ws/chat/room/?token={} HTTP/1.1\r\nHost: x\r\nUpgrade: web", bob.token),
        format!("{upload}Content-Length: 100000\r\n\r\n"),
        format!("{upload}Content-Length: 100000\r\n\r\n--{}\r\nContent-Dis", Form::BOUNDARY),
        format!("{upload}Transfer-Encoding: chunked\r\n\r\n5\r\n--"),
    ];
    let mut stuck = Vec::new();
    for beginning in beginnings.iter().cycle().take(200) {
        let mut raw = chat.edge().raw().await;
        raw.write(beginning).await;
        stuck.push(raw);
    }
    at_ada.say(&bob, "canary meanwhile").await;
    at_bob.expect_body("canary meanwhile").await;
    for mut raw in stuck {
        let answer = raw.rest().await;
        let answer = String::from_utf8_lossy(&answer);
        let expected = ["", "HTTP/1.1 408 ", "HTTP/1.1 429 ", "HTTP/1.1 400 "];
        assert!(
            answer.is_empty() || expected[1..].iter().any(|start| answer.starts_with(start)),
            "{answer}"
        );
    }
    chat.keeps_files(0).await;
}
