//! What many do at once on one connection, or to a core: it costs nobody else anything.

use std::{net::SocketAddr, time::Duration};

use futures_util::future::join_all;
use netrox_harness::{Role, crowding::crowded, eventually, settings::SERVICE_TOKEN, within};
use netrox_proto::{
    health::HealthCheckRequest,
    v1::{
        ErrorReason, Failure, ListThreadsRequest, SubscribeRequest, UploadAttachmentRequest,
        UploadStart, UpsertUsersRequest, UserChange, chat_service_client::ChatServiceClient,
        upload_attachment_request::Part,
    },
};
use prost::Message as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::Instant,
};

use crate::{refusal::assert_invalid, running::Core};

const GET_MESSAGE: &str = "/netrox.chat.v1.ChatService/GetMessage";
const UPLOAD: &str = "/netrox.chat.v1.AttachmentService/UploadAttachment";
const SUBSCRIBE: &str = "/netrox.chat.v1.ChatService/Subscribe";
const WATCH: &str = "/grpc.health.v1.Health/Watch";
const CHECK: &str = "/grpc.health.v1.Health/Check";
const UPSERT: &str = "/netrox.chat.v1.DirectoryService/UpsertUsers";

/// Of HTTP/2 (RFC 9113 section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
/// Of a frame, by default.
const MAX_FRAME_BYTES: usize = 16 * 1024;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const CANCEL: [u8; 4] = [0, 0, 0, 8];

fn is_full() -> bool {
    std::env::var_os("NETROX_CHAT_TEST_FULL").is_some()
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// An integer of a header block that begins with seven bits (RFC 7541 section 5.1).
fn length(mut value: usize) -> Vec<u8> {
    if value < 127 {
        return vec![value as u8];
    }
    let mut bytes = vec![127];
    value -= 127;
    while value >= 128 {
        bytes.push((value % 128) as u8 | 128);
        value /= 128;
    }
    bytes.push(value as u8);
    bytes
}

/// The head of a call, nothing of which the peer has to remember (RFC 7541 section 6.2.2).
fn head(path: &str, token: Option<&str>) -> Vec<u8> {
    let authorization = token.map(|token| format!("Bearer {token}"));
    let fields = [
        (":method", Some("POST")),
        (":scheme", Some("http")),
        (":path", Some(path)),
        (":authority", Some("x")),
        ("content-type", Some("application/grpc")),
        ("te", Some("trailers")),
        ("authorization", authorization.as_deref()),
    ];
    let mut block = Vec::new();
    for (name, value) in fields {
        let Some(value) = value else { continue };
        block.push(0);
        for text in [name, value] {
            block.extend_from_slice(&length(text.len()));
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// The same of a stranger, as long as a head may be for h2 to hold it, with 32 bytes a field besides.
fn long_head(path: &str) -> Vec<u8> {
    let mut block = head(path, None);
    let padding = vec![b'x'; 32_000 - block.len()];
    let name = "padding";
    let parts = [&[0], &length(name.len())[..], name.as_bytes(), &length(padding.len()), &padding];
    block.extend_from_slice(&parts.concat());
    block
}

/// A call that is a head alone, which takes more than a frame.
fn long_call(stream: u32, head: &[u8]) -> Vec<u8> {
    let (first, rest) = head.split_at(MAX_FRAME_BYTES);
    let begun = frame(HEADERS, END_STREAM, stream, first);
    [begun, frame(CONTINUATION, END_HEADERS, stream, rest)].concat()
}

/// A connection of frames.
struct Frames(TcpStream);

impl Frames {
    async fn connect(address: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.expect("connect");
        stream.set_nodelay(true).expect("set TCP_NODELAY");
        let begin = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &[])];
        stream.write_all(&begin.concat()).await.expect("sent");
        Self(stream)
    }

    async fn write(&mut self, bytes: &[u8]) {
        within("room to write", self.0.write_all(bytes)).await.expect("sent");
    }

    /// The kind, flags and stream of the next frame; `None` at the end of the connection.
    async fn next(&mut self) -> Option<(u8, u8, u32)> {
        let mut head = [0; 9];
        within("a frame", self.0.read_exact(&mut head)).await.ok()?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        within("a payload", self.0.read_exact(&mut payload)).await.ok()?;
        Some((kind, flags, u32::from_be_bytes(stream)))
    }

    /// Whether the peer goes on after all that was sent.
    async fn lives(&mut self) -> bool {
        if self.0.write_all(&frame(PING, 0, 0, &[7; 8])).await.is_err() {
            return false;
        }
        loop {
            match self.next().await {
                None => return false,
                Some((GOAWAY, ..)) => return false,
                Some((PING, 1, _)) => return true,
                // Its own.
                Some((PING, ..)) => self.write(&frame(PING, 1, 0, &[0; 8])).await,
                Some(_) => {}
            }
        }
    }
}

fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|number| 2 * number + 1)
}

/// Callers whose deadline passes while the core is slow.
#[tokio::test]
async fn a_thousand_calls_that_are_cancelled_at_once_cut_nobody_off() {
    let core = Core::start().await;
    for token in [Some(SERVICE_TOKEN), None] {
        let mut connection = Frames::connect(&core.address()).await;
        let head = head(GET_MESSAGE, token);
        let calls = streams(1_000).map(|stream| {
            let opened = frame(HEADERS, END_HEADERS, stream, &head);
            [opened, frame(RST_STREAM, 0, stream, &CANCEL)].concat()
        });
        connection.write(&calls.collect::<Vec<_>>().concat()).await;
        assert!(connection.lives().await, "cut off, with a token: {}", token.is_some());
    }
}

/// Each of them is held until the core has looked at it.
#[tokio::test]
async fn long_heads_that_are_reset_take_little_memory_and_give_it_back() {
    const CONNECTIONS: u32 = 10;
    const MIB: u64 = 1024 * 1024;
    let (heads, most_bytes) = if is_full() { (32_768, 64 * MIB) } else { (1_500, 10 * MIB) };
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    core.send(&ada, &bob, "before").await.expect("stored");
    let before = core.process.resident_bytes();
    let grown = || core.process.resident_bytes().saturating_sub(before);
    let head = long_head(GET_MESSAGE);
    let storms = (0..CONNECTIONS).map(async |_| {
        let mut connection = Frames::connect(&core.address()).await;
        for stream in streams(heads / CONNECTIONS) {
            let opened = long_call(stream, &head);
            let reset = frame(RST_STREAM, 0, stream, &CANCEL);
            let sent = tokio::time::timeout(Duration::from_secs(60), async {
                connection.0.write_all(&[opened, reset].concat()).await
            });
            sent.await.expect("read in time").expect("not cut off");
        }
        assert!(connection.lives().await, "cut off");
    });
    let mut storms = std::pin::pin!(join_all(storms));
    let (mut peak, mut took) = (0, Vec::new());
    loop {
        let begun = Instant::now();
        tokio::select! {
            _ = &mut storms => break,
            sent = core.send(&ada, &bob, "meanwhile") => {
                sent.expect("stored");
                took.push(begun.elapsed());
                peak = peak.max(grown());
            }
        }
    }
    took.sort();
    let most = |part: usize| took.get(took.len() * part / 1000);
    eprintln!(
        "{heads} heads: {peak} bytes at most; of {} calls beside them half took {:?}, 99 % {:?}, the slowest {:?}",
        took.len(),
        most(500),
        most(990),
        took.last()
    );
    assert!(peak < most_bytes, "{peak} bytes");
    eventually("memory that is given back", async || (grown() < 16 * MIB).then_some(())).await;
}

/// As long as they like, and of a service that nobody knows: a stranger has few at a time, with little memory.
#[tokio::test]
async fn a_stranger_has_few_calls_at_a_time() {
    const MOST: usize = 64;
    const CONNECTIONS: usize = 16;
    const MIB: u64 = 1024 * 1024;
    let calls = if is_full() { 30_000 } else { 1_000 };
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let before = core.process.resident_bytes();
    let request = HealthCheckRequest { service: "no.such.Service".into() }.encode_to_vec();
    let length = u32::try_from(request.len()).expect("short").to_be_bytes();
    let watch = [&[0], &length[..], &request].concat();
    let mut connections = Vec::new();
    for (path, body) in [(WATCH, Some(&watch)), (CHECK, None)].into_iter().cycle().take(CONNECTIONS)
    {
        let mut connection = Frames::connect(&core.address()).await;
        let head = head(path, None);
        let streams: Vec<_> = streams(calls).collect();
        let mut ended = 0;
        for streams in streams.chunks(500) {
            let calls = streams.iter().map(|stream| {
                let opened = frame(HEADERS, END_HEADERS, *stream, &head);
                // The end of a Check never comes.
                let body = body.map(|body| frame(DATA, END_STREAM, *stream, body));
                [opened, body.unwrap_or_default()].concat()
            });
            connection.write(&calls.collect::<Vec<_>>().concat()).await;
            let open = streams[streams.len() - 1] as usize / 2 + 1 - MOST;
            while ended < open {
                match connection.next().await.expect("an answer") {
                    (HEADERS, flags, _) => ended += usize::from(flags & END_STREAM != 0),
                    (PING, 0, _) => connection.write(&frame(PING, 1, 0, &[0; 8])).await,
                    (kind, ..) => assert_ne!(kind, GOAWAY),
                }
            }
        }
        // Those that are let in stay.
        assert!(connection.lives().await, "cut off");
        assert_eq!(ended, calls as usize - MOST, "{path}");
        connections.push(connection);
    }
    let grown = core.process.resident_bytes().saturating_sub(before);
    eprintln!("{CONNECTIONS} strangers with {calls} calls each: {grown} bytes");
    assert!(grown < 48 * MIB, "{grown} bytes");
    core.send(&ada, &bob, "meanwhile").await.expect("stored");
    assert!(core.log_contains("a question about health is refused"));
}

/// Those whose first call shows a token have as many as they like, and who shows a wrong one is told of that and of nothing else.
#[tokio::test]
async fn many_calls_at_once_are_refused_to_no_service() {
    /// More than a stranger has.
    const CALLS: usize = 100;
    let core = Core::start().await;
    let [ada] = core.users().await;
    let service = core.connect().await;
    // Answered without the database, whose readers are few.
    for answered in join_all((0..CALLS).map(async |_| service.threads("x").await)).await {
        assert_invalid(answered, "user_id");
    }
    let channel = core.channel().await;
    let refused = join_all((0..CALLS).map(async |_| {
        let request = ListThreadsRequest { user_id: ada.clone(), ..Default::default() };
        ChatServiceClient::new(channel.clone()).list_threads(request).await.map(drop)
    }));
    for refused in refused.await {
        assert_eq!(refused.expect_err("no token").code(), tonic::Code::Unauthenticated);
    }
}

/// Many who say nothing of who they are leave room for those who do.
#[tokio::test]
async fn few_connections_stay_that_have_shown_no_token() {
    const STRANGERS: usize = 16;
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let mut first = Frames::connect(&core.address()).await;
    assert!(first.lives().await);
    let mut others = Vec::new();
    for _ in 0..3 * STRANGERS {
        let mut other = Frames::connect(&core.address()).await;
        // Has been received.
        assert!(other.lives().await);
        others.push(other);
    }
    assert!(!first.lives().await, "the first is still there");
    let mut alive = 0;
    for other in &mut others {
        alive += usize::from(other.lives().await);
    }
    assert_eq!(alive, STRANGERS);
    core.send(&ada, &bob, "hello").await.expect("a connection that was there");
    let later = core.connect().await;
    later.send(&ada, &bob, "hello").await.expect("one that came later");
    // Who has a token stays, whoever comes.
    for _ in 0..2 * STRANGERS {
        assert!(Frames::connect(&core.address()).await.lives().await);
    }
    later.send(&ada, &bob, "hello").await.expect("it stays");
}

#[tokio::test]
async fn a_connection_that_never_speaks_is_closed() {
    let core = Core::start().await;
    let address: SocketAddr = core.address().parse().expect("an address");
    let begun = Instant::now();
    let silent = ["", "PRI * HTTP/2.0\r\n"].map(async |said| {
        let mut raw = netrox_harness::raw::Raw::connect(address).await;
        raw.write(said).await;
        raw.rest().await;
    });
    join_all(silent).await;
    assert!(begun.elapsed() < crowded(Duration::from_secs(20)), "{:?}", begun.elapsed());
}

/// A client writes on before it reads that it was refused.
#[tokio::test]
async fn refused_uploads_cut_nobody_off() {
    let (rounds, uploads) = if is_full() { (25, 400) } else { (1, 400) };
    let core = Core::start().await;
    let start =
        UploadStart { sender_id: "bad".into(), file_name: "a.txt".into(), ..Default::default() };
    let part = |part| {
        let message = UploadAttachmentRequest { part: Some(part) }.encode_to_vec();
        let length = u32::try_from(message.len()).expect("short").to_be_bytes();
        [&[0], &length[..], &message].concat()
    };
    let (start, chunk) = (part(Part::Start(start)), part(Part::Chunk(vec![7; 1000].into())));
    let head = head(UPLOAD, Some(SERVICE_TOKEN));
    let mut connection = Frames::connect(&core.address()).await;
    for round in 0..rounds {
        let streams: Vec<_> = streams(uploads).map(|stream| round * 2 * uploads + stream).collect();
        let begun = streams.iter().map(|stream| {
            let opened = frame(HEADERS, END_HEADERS, *stream, &head);
            [opened, frame(DATA, 0, *stream, &start)].concat()
        });
        connection.write(&begun.collect::<Vec<_>>().concat()).await;
        let mut refused = 0;
        while refused < uploads {
            let (kind, flags, _) = connection.next().await.expect("a refusal");
            assert_ne!(kind, GOAWAY);
            refused += u32::from(kind == HEADERS && flags & END_STREAM != 0);
        }
        let chunks = streams.iter().map(|stream| frame(DATA, 0, *stream, &chunk));
        connection.write(&chunks.collect::<Vec<_>>().concat()).await;
        let ends = streams.iter().map(|stream| frame(DATA, END_STREAM, *stream, &chunk));
        connection.write(&ends.collect::<Vec<_>>().concat()).await;
        assert!(connection.lives().await, "cut off in round {round}");
    }
}

/// Opens subscriptions, so many at a time, and gives how much memory that took.
async fn subscribe(core: &Core, count: u32, at_a_time: u32) -> u64 {
    let [user] = core.users().await;
    let request = SubscribeRequest { user_id: user, ..Default::default() }.encode_to_vec();
    let length = u32::try_from(request.len()).expect("short").to_be_bytes();
    let request = [&[0], &length[..], &request].concat();
    let head = head(SUBSCRIBE, Some(SERVICE_TOKEN));
    let mut connection = Frames::connect(&core.address()).await;
    // Room for all answers.
    connection.write(&frame(WINDOW_UPDATE, 0, 0, &(1u32 << 30).to_be_bytes())).await;
    let before = core.process.resident_bytes();
    let streams: Vec<_> = streams(count).collect();
    for streams in streams.chunks(at_a_time as usize) {
        let calls = streams.iter().map(|stream| {
            let opened = frame(HEADERS, END_HEADERS, *stream, &head);
            [opened, frame(DATA, END_STREAM, *stream, &request)].concat()
        });
        connection.write(&calls.collect::<Vec<_>>().concat()).await;
        let mut confirmed = 0;
        while confirmed < streams.len() {
            match connection.next().await.expect("an answer") {
                (DATA, ..) => confirmed += 1,
                (HEADERS, flags, _) => assert_eq!(flags & END_STREAM, 0, "refused"),
                (PING, 0, _) => connection.write(&frame(PING, 1, 0, &[0; 8])).await,
                (kind, ..) => assert_ne!(kind, GOAWAY),
            }
        }
    }
    core.process.resident_bytes().saturating_sub(before)
}

/// As of an edge whose core came back.
#[tokio::test]
async fn a_burst_of_subscriptions_takes_no_more_memory_than_a_row_of_them() {
    let (count, more) = if is_full() { (20_000, 64) } else { (2_000, 16) };
    let core = Core::start().await;
    let in_a_row = subscribe(&core, count, 200).await;
    let core = Core::start().await;
    let at_once = subscribe(&core, count, count).await;
    eprintln!("{count} subscriptions: {in_a_row} bytes in a row, {at_once} at once");
    assert!(at_once < in_a_row + more * 1024 * 1024, "{at_once} against {in_a_row}");
    assert_eq!(core.process.log(Role::Core(0)).count_of("the database is unavailable"), 0);
}

/// As many calls as would take hundreds of MiB, none of which comes to its end.
#[tokio::test]
async fn large_calls_of_the_directory_have_a_budget() {
    const CALLS: usize = 12;
    const ANNOUNCED: usize = 19 * 1024 * 1024;
    let core = Core::start().await;
    let before = core.process.resident_bytes();
    let mut held = Vec::new();
    for _ in 0..CALLS {
        let tcp = TcpStream::connect(core.address()).await.expect("connect");
        let (client, connection) = h2::client::handshake(tcp).await.expect("a handshake");
        tokio::spawn(connection);
        let mut client = client.ready().await.expect("ready");
        let request = http::Request::post(format!("http://{}{UPSERT}", core.address()))
            .header("te", "trailers")
            .header("content-type", "application/grpc")
            .header("authorization", format!("Bearer {SERVICE_TOKEN}"));
        let request = request.body(()).expect("a request");
        let (answer, mut sending) = client.send_request(request, false).expect("sent");
        let length = u32::try_from(ANNOUNCED).expect("a length").to_be_bytes();
        sending.send_data([&[0], &length[..]].concat().into(), false).expect("sent");
        let sent = tokio::spawn(async move {
            let mut left = ANNOUNCED - 1024;
            while left > 0 {
                sending.reserve_capacity(left.min(64 * 1024));
                let Some(Ok(room)) =
                    std::future::poll_fn(|context| sending.poll_capacity(context)).await
                else {
                    break;
                };
                let room = room.min(left);
                if sending.send_data(vec![0x0a; room].into(), false).is_err() {
                    break;
                }
                left -= room;
            }
            sending
        });
        held.push((answer, sent, client));
    }
    let mut answers = Vec::new();
    let mut kept = Vec::new();
    for (answer, sent, client) in held {
        kept.push((within("a call that was sent", sent).await.expect("a task"), client));
        answers.push(answer);
    }
    let grown = core.process.resident_bytes().saturating_sub(before);
    assert!(grown < 128 * 1024 * 1024, "{grown} bytes for {CALLS} calls that do not end");
    let mut refused = 0;
    for answer in &mut answers {
        let answer = tokio::time::timeout(Duration::from_millis(10), answer).await;
        refused += usize::from(matches!(&answer, Ok(Ok(answer)) if is_overloaded(answer)));
    }
    assert!(refused >= CALLS - 4, "{refused} of {CALLS} refused");
    // Those that were let in have had their time.
    eventually("room for another", async || {
        let profile = format!("\"{}\"", "x".repeat(16_000));
        let users = (0..100).map(|_| UserChange {
            id: uuid::Uuid::new_v4().to_string(),
            profile_json: Some(profile.clone()),
            ..Default::default()
        });
        let users = UpsertUsersRequest { users: users.collect() };
        core.directory().upsert_users(users).await.ok()
    })
    .await;
}

fn is_overloaded(answer: &http::Response<h2::RecvStream>) -> bool {
    let code = tonic::Status::from(Failure::new(ErrorReason::Overloaded, "")).code();
    let status = answer.headers().get("grpc-status").and_then(|status| status.to_str().ok());
    status == Some(i32::from(code).to_string().as_str())
}
