//! The thread list of a user with many threads.

use std::time::Duration;

use futures_util::future::try_join_all;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    Result,
    client::{
        Http, Socket, User,
        message::{self, Stamp, Template},
    },
    latency::{Latencies, Summary},
    ledger::Checked,
    progress::note,
    server::Target,
};

const PATH: &str = "/chat/get-user-threads/";
const TIMES: usize = 20;
/// Requests at a time that make users known.
const CONNECTIONS: usize = 32;
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Threads {
    pub(crate) threads: usize,
    pub(crate) first_byte_ms: Summary,
    pub(crate) whole_ms: Summary,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    entity: Vec<&'a RawValue>,
}

/// Gives one user `threads` threads and lists them.
pub(crate) async fn run(target: &Target, threads: usize) -> Result<Threads> {
    let reader = made(target, threads).await?;
    let mut http = Http::connect(target.door(0)).await?;
    let (mut first_byte, mut whole) = (Latencies::new(), Latencies::new());
    for _ in 0..TIMES {
        let answer = http.get(PATH, &reader, false).await?.expect(StatusCode::OK)?;
        first_byte.record_duration(answer.first_byte);
        whole.record_duration(answer.whole);
    }
    Ok(Threads { threads, first_byte_ms: first_byte.summary(), whole_ms: whole.summary() })
}

/// Somebody who wrote to so many.
pub(crate) async fn made(target: &Target, threads: usize) -> Result<User> {
    note(format_args!("  making {threads} threads"));
    let users = target.users(threads)?;
    provision(target, &users).await?;
    let reader = target.user()?;
    let socket = Socket::open(target.door(0), &reader).await?;
    let sender = socket.sender();
    let mut errors = JoinSet::new();
    errors.spawn(socket.expect_silence());
    for user in &users {
        let stamp = Stamp { sender: 0, number: 0, nanos: 0 };
        let mut template = Template::new(user.id, message::MIN_BODY_BYTES);
        sender.send(template.stamped(stamp)).await?;
    }
    let mut http = Http::connect(target.door(0)).await?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = http.get(PATH, &reader, true).await?.expect(StatusCode::OK)?;
        let listed = serde_json::from_slice::<Envelope<'_>>(&answer.content)?.entity.len();
        if listed == threads {
            return Ok(reader);
        }
        if let Some(ended) = errors.try_join_next() {
            ended??;
        }
        if Instant::now() > deadline {
            return Err(format!("{listed} of {threads} threads are listed").into());
        }
        sleep(POLL).await;
    }
}

/// Makes users known to the server: a good token does.
async fn provision(target: &Target, users: &[User]) -> Result<()> {
    let parts = users.chunks(users.len().div_ceil(CONNECTIONS).max(1)).enumerate();
    let calls = parts.map(|(number, part)| async move {
        let mut http = Http::connect(target.door(number)).await?;
        for user in part {
            http.get(PATH, user, false).await?.expect(StatusCode::OK)?;
        }
        Result::Ok(())
    });
    try_join_all(calls).await?;
    Ok(())
}

impl Checked for Threads {}
