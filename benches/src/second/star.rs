//! How soon all who watch one user are told that they come and go.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use tokio::{sync::mpsc, task::JoinSet, time::timeout};

use super::written;
use crate::{
    Result,
    client::{
        Socket,
        second::{self, Sent},
    },
    latency::{Latencies, Summary},
    ledger::Checked,
    load::{closed::used, party::PATIENCE},
    progress::note,
    server::Target,
};

const TURNS: usize = 3;
const HANDSHAKES: usize = 64;
/// Those told offline are told so late (PROTOCOL-2 section 4).
const GRACE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Star {
    pub(crate) watchers: usize,
    /// From the opened connection of the one to the frame at each watcher.
    pub(crate) online_ms: Summary,
    /// Beyond the 10 s that nobody is told.
    pub(crate) offline_ms: Summary,
    /// Of the server, a frame.
    pub(crate) cpu_us_each: Option<f64>,
    /// Watchers that were not told.
    pub(crate) untold: u64,
}

impl Checked for Star {
    fn wrong(&self) -> u64 {
        self.untold
    }
}

pub(crate) async fn run(target: &Target, watchers: usize) -> Result<Star> {
    let (star, users) = (target.user()?, target.users(watchers)?);
    note(format_args!("  one user writes to {watchers}, who watch"));
    let pairs: Vec<_> = users.iter().map(|user| (&star, user)).collect();
    written::first_messages(target, &pairs).await?;
    let watched = second::watch(std::slice::from_ref(&star));
    let opened = users.iter().enumerate().map(|(number, user)| {
        let watched = &watched;
        async move {
            let socket = Socket::open_second(target.door(number), user, None).await?;
            socket.sender().send(watched).await?;
            Result::Ok(socket)
        }
    });
    let sockets: Vec<_> = stream::iter(opened).buffered(HANDSHAKES).try_collect().await?;
    let (told, mut tellings) = mpsc::channel(watchers);
    let mut reading = JoinSet::new();
    for socket in sockets {
        reading.spawn(read(socket, told.clone()));
    }
    let mut acknowledged = 0;
    while acknowledged < watchers {
        let next = timeout(PATIENCE, tellings.recv()).await;
        let (told, _) = next.map_err(|_| "a watch is not acknowledged")?.ok_or("no watchers")?;
        acknowledged += usize::from(told.is_none());
    }

    let (mut online, mut offline, mut untold) = (Latencies::new(), Latencies::new(), 0);
    let cpu = target.cpu_seconds()?;
    for turn in 0..TURNS {
        note(format_args!("  turn {}: comes and goes", turn + 1));
        let socket = Socket::open(target.door(turn), &star).await?;
        untold += wait(&mut tellings, true, Instant::now(), watchers, &mut online).await?;
        socket.cut()?;
        untold +=
            wait(&mut tellings, false, Instant::now() + GRACE, watchers, &mut offline).await?;
    }
    let frames = 2 * TURNS * watchers;
    let cpu = used(cpu, target.cpu_seconds()?);
    if let Some(ended) = reading.try_join_next() {
        ended??;
    }
    Ok(Star {
        watchers,
        online_ms: online.summary(),
        offline_ms: offline.summary(),
        cpu_us_each: cpu.map(|cpu| cpu * 1e6 / frames as f64),
        untold,
    })
}

/// Waits until all were told; how many were not.
async fn wait(
    tellings: &mut mpsc::Receiver<(Option<bool>, Instant)>,
    online: bool,
    since: Instant,
    watchers: usize,
    latencies: &mut Latencies,
) -> Result<u64> {
    let mut missing = watchers as u64;
    while missing > 0 {
        let Ok(telling) = timeout(GRACE + PATIENCE, tellings.recv()).await else { break };
        let (told, at) = telling.ok_or("no watchers")?;
        if told != Some(online) {
            return Err(format!("{told:?} in place of {online}").into());
        }
        latencies.record_duration(at.saturating_duration_since(since));
        missing -= 1;
    }
    Ok(missing)
}

/// Tells of acknowledgements (none) and of presence.
async fn read(mut socket: Socket, told: mpsc::Sender<(Option<bool>, Instant)>) -> Result<()> {
    loop {
        socket.fill().await?;
        let at = Instant::now();
        while let Some(payload) = socket.next()? {
            let telling = match second::sent(payload) {
                Ok(Sent::Ack) => None,
                Ok(Sent::Presence { online }) => Some(online),
                // Of the first message, which is not the load's.
                Ok(_) | Err(_) => continue,
            };
            told.send((telling, at)).await?;
        }
    }
}
