//! What WebSockets themselves cost: a server that speaks the documented frames, parses and relays them in
//! memory, and does nothing else. It trusts every token.

use std::{
    collections::HashMap,
    net::SocketAddr,
    process::Command,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::{SinkExt as _, StreamExt as _};
use serde::{Deserialize, Serialize};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_tungstenite::{
    accept_hdr_async_with_config,
    tungstenite::{
        Message, Utf8Bytes,
        handshake::server::{Request, Response},
        protocol::WebSocketConfig,
    },
};
use uuid::Uuid;

use crate::{
    Result,
    client::{
        Door,
        user::{Claims, Signer},
    },
    load::{closed, idle, party::Reading},
    progress::note,
    server::{Target, child::Running, process::Processes},
};

/// The subcommand that runs the relay in a process of its own.
pub(crate) const SUBCOMMAND: &str = "relay";
const CONNECTIONS: usize = 2_000;
const DURATION: Duration = Duration::from_secs(4);
/// As small as a server of many connections would have them.
const BUFFER_BYTES: usize = 1024;
/// Frames that wait for a slow receiver.
const QUEUE: usize = 1024;

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Relay {
    pub(crate) bytes_per_idle_connection: f64,
    pub(crate) cpu_us_per_message: f64,
}

/// Measures it as the program is measured: idle connections, and messages one at a time.
pub(crate) async fn measure() -> Result<Relay> {
    note("yardstick: a bare WebSocket relay");
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(SUBCOMMAND);
    let process = Running::spawn(command)?;
    let [address] = process.addresses(["http.addr"])?;
    let target = Target {
        doors: vec![Door { address, tls: None }],
        signer: Signer::by_secret("any"),
        processes: Some(Processes(vec![process.id()])),
        database: None,
        admin: Vec::new(),
    };
    let one_at_a_time = closed::Closed {
        receivers: 1,
        senders_each: 1,
        in_flight: 1,
        body_bytes: 64,
        reading: Reading::Documented,
        duration: DURATION,
    };
    let messages = closed::run(&target, one_at_a_time).await?;
    let connections = idle::run(&target, CONNECTIONS).await?;
    Ok(Relay {
        bytes_per_idle_connection: connections.bytes_each.ok_or("no memory figure")?,
        cpu_us_per_message: messages.server_cpu_us_per_message.ok_or("no CPU figure")?,
    })
}

/// Serves until it is killed; says on stderr where.
pub(crate) async fn serve() -> Result<()> {
    // Half of a connection that wants as many files as its peer.
    rlimit::increase_nofile_limit(u64::MAX)?;
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    eprintln!("{}", serde_json::json!({"http.addr": listener.local_addr()?.to_string()}));
    let users = Arc::<Users>::default();
    loop {
        let (stream, _) = listener.accept().await?;
        let users = Arc::clone(&users);
        tokio::spawn(async move { drop(connection(&users, stream).await) });
    }
}

#[derive(Debug, Default)]
struct Users {
    connected: Mutex<HashMap<Uuid, mpsc::Sender<Utf8Bytes>>>,
    last_id: AtomicU64,
}

#[derive(Deserialize)]
struct Sent<'a> {
    message_body: &'a str,
    receiver_id: Uuid,
}

#[derive(Serialize)]
struct Relayed<'a> {
    message_body: &'a str,
    sender_id: Uuid,
    receiver_id: Uuid,
    timestamp: &'static str,
    created_msg_id: u64,
    action: &'static str,
}

async fn connection(users: &Users, stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let config =
        WebSocketConfig::default().read_buffer_size(BUFFER_BYTES).write_buffer_size(BUFFER_BYTES);
    let mut token = String::new();
    #[expect(clippy::result_large_err, reason = "tungstenite's own signature")]
    let look = |request: &Request, response: Response| {
        let query = request.uri().query().unwrap_or_default();
        token = query.trim_start_matches("token=").to_owned();
        Ok(response)
    };
    let socket = accept_hdr_async_with_config(stream, look, Some(config)).await?;
    let claims: Claims = jsonwebtoken::dangerous::insecure_decode(token)?.claims;
    let (queue, mut queued) = mpsc::channel(QUEUE);
    users.connected.lock().unwrap_or_else(PoisonError::into_inner).insert(claims.user_id, queue);
    let (mut write, mut read) = socket.split();
    loop {
        tokio::select! {
            frame = read.next() => {
                let Some(frame) = frame else { return Ok(()) };
                if let Message::Text(text) = frame? {
                    relay(users, claims.user_id, &text)?;
                }
            }
            Some(frame) = queued.recv() => write.send(Message::Text(frame)).await?,
        }
    }
}

fn relay(users: &Users, sender_id: Uuid, text: &str) -> Result<()> {
    let Sent { message_body, receiver_id } = serde_json::from_str(text)?;
    let relayed = Relayed {
        message_body,
        sender_id,
        receiver_id,
        timestamp: "1970-01-01T00:00:00.000000+00:00",
        created_msg_id: 1 + users.last_id.fetch_add(1, Ordering::Relaxed),
        action: "re_message",
    };
    let frame = serde_json::to_string(&relayed)?;
    let connected = users.connected.lock().unwrap_or_else(PoisonError::into_inner);
    let receiver = connected.get(&receiver_id).ok_or("nobody is there")?;
    Ok(receiver.try_send(frame.into())?)
}
