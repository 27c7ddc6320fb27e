//! Whatever clients, a bucket or strangers hold up, text goes on beside it.

use std::{pin::pin, time::Duration};

use futures_util::future::join_all;
use netrox_harness::{
    Arrangement, Builder, Edge, Role, Socket, TestChat, User, crowding::crowded, each, eventually,
    multipart::Form, raw::Raw, s3::S3Server,
};
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

each![
    readers_of_files_that_stall_stop_no_text,
    readers_of_histories_that_stall_stop_no_text,
    writers_of_files_that_stall_stop_no_text,
    a_bucket_that_hangs_stops_no_text,
    strangers_who_hang_up_stop_no_text,
    raised_bounds_stop_no_text,
];

/// On an idle machine; what is stopped takes many seconds.
const PROMPT: Duration = Duration::from_secs(3);
const MIB: u64 = 1024 * 1024;
/// What all processes together may take for whatever stalls, and keep when it is over. A debug build holds more of what it
/// waits for: a release build is held to 64 MiB.
const MOST_HELD_BYTES: u64 = if cfg!(debug_assertions) { 96 * MIB } else { 64 * MIB };
const MOST_KEPT_BYTES: u64 = 16 * MIB;
const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(60);

fn is_full() -> bool {
    std::env::var_os("NETROX_CHAT_TEST_FULL").is_some()
}

fn many(few: usize, full: usize) -> usize {
    if is_full() { full } else { few }
}

/// Memory of all processes at a time.
struct Memory<'a> {
    chat: &'a TestChat,
    bytes: u64,
}

impl<'a> Memory<'a> {
    fn of(chat: &'a TestChat) -> Self {
        Self { chat, bytes: chat.private_bytes() }
    }

    fn grown(&self) -> u64 {
        self.chat.private_bytes().saturating_sub(self.bytes)
    }

    /// What beginning took beyond that has to go back, while they stall.
    async fn is_bounded(&self, count: usize) {
        eprintln!("{} bytes for {count} that stall", self.grown());
        let is_bounded = async || (self.grown() <= MOST_HELD_BYTES).then_some(());
        eventually("bounded memory for what stalls", is_bounded).await;
        eprintln!("{} bytes are held", self.grown());
    }

    async fn is_given_back(&self) {
        let given_back = async {
            while self.grown() > MOST_KEPT_BYTES {
                sleep(Duration::from_millis(100)).await;
            }
        };
        let in_time = timeout(GIVEN_BACK_WITHIN, given_back).await;
        assert!(in_time.is_ok(), "{} bytes are kept", self.grown());
        eprintln!("{} bytes are kept", self.grown());
    }
}

/// Nobody reads a socket while others are made to stall, which takes a slow machine longer than pings wait.
fn builder(arrangement: Arrangement) -> Builder {
    TestChat::builder(arrangement).set("ping-interval", "10m")
}

/// Two users who talk, and an edge that says whether it is ready.
struct Talk {
    bob: User,
    at_ada: Socket,
    at_bob: Socket,
    edges: Vec<Edge>,
}

impl Talk {
    async fn begin(chat: &TestChat) -> Self {
        let (_, at_ada) = chat.join("ada").await;
        let (bob, at_bob) = chat.join("bob").await;
        Self { bob, at_ada, at_bob, edges: chat.edges() }
    }

    /// One message after the other, all of which arrive at once.
    async fn goes_on(&mut self, messages: usize) {
        self.goes_on_beside(messages, async || ()).await;
    }

    /// The same, with something else beside each of them.
    async fn goes_on_beside(&mut self, messages: usize, mut beside: impl AsyncFnMut()) {
        let mut times = Vec::new();
        for number in 0..messages {
            beside().await;
            let body = format!("canary {number}");
            let begun = Instant::now();
            self.at_ada.say(&self.bob, &body).await;
            let arrived = timeout(crowded(PROMPT), self.at_bob.expect_body(&body)).await;
            assert!(arrived.is_ok(), "message {number} is late");
            times.push(begun.elapsed());
            for edge in &self.edges {
                // A core may be too slow to tell for a moment, on a machine that is.
                let ready = eventually("readyz", async || {
                    (edge.get("/readyz").send().await.status == 200).then_some(())
                });
                assert!(timeout(crowded(PROMPT), ready).await.is_ok(), "an edge is not ready");
            }
            sleep(Duration::from_millis(50)).await;
        }
        times.sort_unstable();
        let [median, late, slowest] = [messages / 2, messages * 99 / 100, messages - 1];
        let [median, late, slowest] = [times[median], times[late], times[slowest]];
        eprintln!("median {median:?}, p99 {late:?}, slowest {slowest:?}");
    }
}

/// Asks, reads the head of the answer, and nothing more.
async fn stalled(edge: &Edge, path: &str, token: Option<&str>) -> Raw {
    let mut raw = Raw::connect_narrow(edge.address).await;
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
    let token = token.unwrap_or_default();
    raw.write(format!("GET {path} HTTP/1.1\r\nHost: x\r\n{token}\r\n")).await;
    assert!(raw.head().await.starts_with("HTTP/1.1 200 "));
    raw
}

async fn readers_of_files_that_stall_stop_no_text(arrangement: Arrangement) {
    let readers = many(300, 1_000);
    let chat = builder(arrangement).start().await;
    let (carol, dave) = (chat.user("carol").await, chat.user("dave").await);
    let message = chat.upload_file(&carol, &dave, "a.bin", &vec![7; 8 * 1024 * 1024]).await;
    let path = message["attached_file"].as_str().expect("a path");
    let mut talk = Talk::begin(&chat).await;
    talk.goes_on(many(3, 200)).await;
    let memory = Memory::of(&chat);
    let edges = chat.edges();
    let mut held = Vec::new();
    for number in 0..readers {
        held.push(stalled(&edges[number % edges.len()], path, None).await);
    }
    talk.goes_on(many(20, 200)).await;
    memory.is_bounded(readers).await;
    // A file of any size is given to others.
    let whole = chat.get(path).send().await;
    assert_eq!(whole.body.len(), 8 * 1024 * 1024);
    drop(held);
    memory.is_given_back().await;
}

/// Takes a minute, and so only with `NETROX_CHAT_TEST_FULL=1`. Beyond a quarter of the files that may be open, an edge takes no
/// more.
async fn raised_bounds_stop_no_text(arrangement: Arrangement) {
    const READERS: usize = 2_400;
    if !is_full() {
        return;
    }
    let chat = builder(arrangement).set("max-downloads", "4096").start().await;
    let (carol, dave) = (chat.user("carol").await, chat.user("dave").await);
    let message = chat.upload_file(&carol, &dave, "a.bin", &vec![7; 8 * 1024 * 1024]).await;
    let path = message["attached_file"].as_str().expect("a path");
    let mut talk = Talk::begin(&chat).await;
    talk.goes_on(200).await;
    let memory = Memory::of(&chat);
    let mut held = Vec::new();
    for _ in 0..READERS {
        held.push(stalled(&chat.edge(), path, None).await);
    }
    talk.goes_on(200).await;
    eprintln!("{} bytes for {READERS} that stall", memory.grown());
    drop(held);
    memory.is_given_back().await;
}

async fn readers_of_histories_that_stall_stop_no_text(arrangement: Arrangement) {
    let readers = many(100, 100);
    let chat = builder(arrangement).set("max-history-reads-per-user", "1000");
    let chat = chat.set("send-rate", "0").start().await;
    let (carol, dave) = (chat.user("carol").await, chat.user("dave").await);
    let mut at_carol = chat.connect(&carol).await;
    let mut at_dave = chat.connect(&dave).await;
    let body = "canary ".repeat(2_000);
    for _ in 0..300 {
        at_carol.say(&dave, &body).await;
        at_dave.expect_body(&body).await;
    }
    let mut talk = Talk::begin(&chat).await;
    let path = format!("/chat/messages/{}/", carol.id);
    let edges = chat.edges();
    // What connections to the database keep of what they have read is not held by those who stall.
    for _ in 0..4 {
        join_all((0..8).map(|_| chat.history(&dave, &carol))).await;
    }
    let memory = Memory::of(&chat);
    let mut held = Vec::new();
    for number in 0..readers {
        held.push(stalled(&edges[number % edges.len()], &path, Some(&dave.token)).await);
    }
    talk.goes_on(many(20, 200)).await;
    memory.is_bounded(readers).await;
    drop(held);
    memory.is_given_back().await;
}

async fn writers_of_files_that_stall_stop_no_text(arrangement: Arrangement) {
    let writers = many(100, 100);
    let chat = builder(arrangement).set("max-uploads-per-user", "1000").start().await;
    let (carol, dave) = (chat.user("carol").await, chat.user("dave").await);
    let mut talk = Talk::begin(&chat).await;
    let form = Form::new().text("receiver", &dave.id).file("a.bin", vec![7; 2 * 1024 * 1024]);
    let (content_type, body) = (Form::CONTENT_TYPE, form.finish());
    let memory = Memory::of(&chat);
    let held = (0..writers).map(async |number| {
        let edges = chat.edges();
        let mut raw = Raw::connect(edges[number % edges.len()].address).await;
        raw.write(format!(
            "POST /chat/chat-attachment/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
             Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
            carol.token,
            body.len()
        ))
        .await;
        raw.write(&body[..body.len() / 2]).await;
        raw
    });
    let held = join_all(held).await;
    talk.goes_on(many(20, 200)).await;
    memory.is_bounded(writers).await;
    drop(held);
    memory.is_given_back().await;
}

async fn a_bucket_that_hangs_stops_no_text(arrangement: Arrangement) {
    const FILE_BYTES: usize = 7 * 1024 * 1024;
    let writers = many(40, 40);
    let s3 = S3Server::start();
    let roles = [Role::Serve, Role::Core(0), Role::Core(1)];
    let chat = builder(arrangement).set("max-uploads-per-user", "1000");
    let chat = s3.serves(chat, &roles, "some/prefix").start().await;
    let (carol, dave) = (chat.user("carol").await, chat.user("dave").await);
    let mut talk = Talk::begin(&chat).await;
    s3.pause(true);
    let file = vec![7; FILE_BYTES];
    let uploads = (0..writers).map(async |_| {
        let form = Form::new().text("receiver", &dave.id).file("a.bin", &file);
        chat.upload(&carol, form).await
    });
    let mut uploads = pin!(join_all(uploads));
    // They have come as far as they can.
    let stuck = timeout(Duration::from_secs(4), &mut uploads).await;
    assert!(stuck.is_err(), "{stuck:?}");
    let mut talking = pin!(talk.goes_on(20));
    tokio::select! {
        () = &mut talking => {}
        // Given up meanwhile.
        _ = &mut uploads => talking.await,
    }
}

/// Nobody knows them, and there is no such file.
async fn strangers_who_hang_up_stop_no_text(arrangement: Arrangement) {
    const PATH: &str =
        "/mediafiles/attachments/2026/11/22/b9c7a352-b5e0-400c-9232-e9d431f1ca89.txt";
    // More than the twenty that once were too many.
    let at_once = many(30, 60);
    let chat = builder(arrangement).start().await;
    let mut talk = Talk::begin(&chat).await;
    let edges = chat.edges();
    let hang_up = async || {
        let calls = (0..at_once).map(async |number| {
            let edge = edges[number % edges.len()].address;
            let mut stream = TcpStream::connect(edge).await.expect("a connection");
            let request = format!("GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n");
            stream.write_all(request.as_bytes()).await.expect("written");
            // A reset.
            stream.set_zero_linger().expect("a socket that resets");
        });
        join_all(calls).await;
    };
    // As many as the machine can take beside each message, not so many a second.
    talk.goes_on_beside(many(40, 200), hang_up).await;
    let mut cuts = 0;
    for role in chat.roles() {
        cuts += chat.log(role).count_of("too_many_resets");
        cuts += chat.log(role).count_of("remotely-reset pending-accept streams reached limit");
    }
    assert_eq!(cuts, 0);
}
