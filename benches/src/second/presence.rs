//! What presence costs: clients that come and go, with watchers and without, by turns.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{median, written};
use crate::{
    Result,
    client::{
        Socket, User,
        second::{self, Sent},
    },
    ledger::Checked,
    load::closed::used,
    progress::note,
    server::Target,
};

/// Of each client: it is there most of it.
const PERIOD: Duration = Duration::from_secs(60);
/// Longer than it takes to be told offline.
const AWAY: Duration = Duration::from_secs(15);
/// How many one connection watches.
const WATCHED: usize = 100;
const TURNS: usize = 3;

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Cost {
    pub(crate) clients: usize,
    pub(crate) watchers: usize,
    /// Processor time of the server, in percent of one processor; medians of some turns.
    pub(crate) unwatched_percent: Option<f64>,
    pub(crate) watched_percent: Option<f64>,
    /// The median of the differences, turn by turn.
    pub(crate) difference_percent: Option<f64>,
    /// While they were watched.
    pub(crate) told: u64,
}

impl Checked for Cost {}

pub(crate) async fn run(target: &Target, clients: usize) -> Result<Cost> {
    let users = target.users(clients)?;
    let watchers = target.users(clients.div_ceil(WATCHED))?;
    note(format_args!("  {clients} users write to {} watchers", watchers.len()));
    let pairs: Vec<_> = users
        .iter()
        .enumerate()
        .map(|(number, user)| (user, &watchers[number / WATCHED]))
        .collect();
    written::first_messages(target, &pairs).await?;

    let mut coming = JoinSet::new();
    for (number, user) in users.iter().enumerate() {
        let offset = PERIOD.mul_f64(number as f64 / clients as f64);
        let (target, user) = (target.clone(), user.clone());
        coming.spawn(async move { come_and_go(&target, number, &user, offset).await });
    }
    note("  all of them come");
    sleep(PERIOD).await;

    let told = Arc::new(AtomicU64::new(0));
    let (mut without, mut with, mut differences) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..TURNS {
        note(format_args!("  turn {}: unwatched, then watched", turn + 1));
        let unwatched = percent(target).await?;
        let mut watching = JoinSet::new();
        for (number, (watcher, watched)) in watchers.iter().zip(users.chunks(WATCHED)).enumerate() {
            let socket = Socket::open_second(target.door(number), watcher, None).await?;
            socket.sender().send(&second::watch(watched)).await?;
            watching.spawn(count(socket, Arc::clone(&told)));
        }
        let watched = percent(target).await?;
        if let Some(ended) = watching.try_join_next() {
            ended??;
        }
        watching.shutdown().await;
        differences.extend(watched.zip(unwatched).map(|(with, without)| with - without));
        with.extend(watched);
        without.extend(unwatched);
        if let Some(ended) = coming.try_join_next() {
            ended??;
        }
    }
    Ok(Cost {
        clients,
        watchers: watchers.len(),
        unwatched_percent: median(without),
        watched_percent: median(with),
        difference_percent: median(differences),
        told: told.load(Relaxed),
    })
}

/// What the server uses for as long as each client comes and goes once.
async fn percent(target: &Target) -> Result<Option<f64>> {
    let (cpu, start) = (target.cpu_seconds()?, Instant::now());
    sleep(PERIOD).await;
    let cpu = used(cpu, target.cpu_seconds()?);
    Ok(cpu.map(|cpu| cpu * 100.0 / start.elapsed().as_secs_f64()))
}

async fn come_and_go(target: &Target, number: usize, user: &User, offset: Duration) -> Result<()> {
    sleep(offset).await;
    loop {
        let mut socket = Socket::open(target.door(number), user).await?;
        let there = async {
            loop {
                socket.fill().await?;
                while socket.next()?.is_some() {}
            }
        };
        if let Ok(ended) = timeout(PERIOD - AWAY, there).await {
            let ended: Result<()> = ended;
            return ended;
        }
        socket.cut()?;
        sleep(AWAY).await;
    }
}

async fn count(mut socket: Socket, told: Arc<AtomicU64>) -> Result<()> {
    loop {
        socket.fill().await?;
        while let Some(payload) = socket.next()? {
            // A catch-up's messages are not the load's.
            if let Ok(Sent::Presence { .. }) = second::sent(payload) {
                told.fetch_add(1, Relaxed);
            }
        }
    }
}
