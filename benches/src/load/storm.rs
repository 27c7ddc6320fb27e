//! Many clients cut off and back all at once.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use serde::Serialize;
use sqlx::{ConnectOptions as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::{task::JoinSet, time::sleep};

use super::{closed::used, crowd};
use crate::{
    Result,
    client::{Socket, User},
    ledger::{Checked, Verdict},
    progress::note,
    server::Target,
};

const ATTEMPTS: usize = 100;
const RETRY: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Storm {
    pub(crate) clients: usize,
    /// Until the last was connected again.
    pub(crate) connected_seconds: f64,
    /// Until the last had also received a message.
    pub(crate) received_seconds: f64,
    /// Of all processes, for each client: to notice that it went, and to take it in again.
    pub(crate) server_cpu_us_per_client: Option<f64>,
    /// Attempts that failed and were repeated.
    pub(crate) retries: usize,
    /// Whether the reconnects changed the database at all, where it is at hand.
    pub(crate) database_written: Option<bool>,
    pub(crate) verdict: Verdict,
}

pub(crate) async fn run(target: &Target, clients: usize) -> Result<Storm> {
    note(format_args!("  connecting {clients} clients"));
    let users = target.users(clients)?;
    let mut sockets = crowd::connect(target, &users).await?;
    let mut verdict = crowd::reach(target, &users, &mut sockets).await?;
    let mut watch = match &target.database {
        Some(path) => Some(Watch::open(path).await?),
        None => None,
    };

    note("  cutting them off");
    let cpu = target.cpu_seconds()?;
    let start = Instant::now();
    sockets.into_iter().try_for_each(Socket::cut)?;
    let (mut sockets, retries) = reconnect(target, &users).await?;
    let connected_seconds = start.elapsed().as_secs_f64();
    let cpu = used(cpu, target.cpu_seconds()?);
    let server_cpu_us_per_client = cpu.map(|cpu| cpu * 1e6 / clients as f64);
    let database_written = match &mut watch {
        Some(watch) => Some(watch.has_changed().await?),
        None => None,
    };
    verdict += crowd::reach(target, &users, &mut sockets).await?;
    let received_seconds = start.elapsed().as_secs_f64();
    Ok(Storm {
        clients,
        connected_seconds,
        received_seconds,
        server_cpu_us_per_client,
        retries,
        database_written,
        verdict,
    })
}

/// Everyone at the same time, and again where it failed.
async fn reconnect(target: &Target, users: &[User]) -> Result<(Vec<Socket>, usize)> {
    let mut attempts = JoinSet::new();
    for (number, user) in users.iter().enumerate() {
        let (door, user) = (target.door(number).clone(), user.clone());
        attempts.spawn(async move {
            for attempt in 0..ATTEMPTS {
                if let Ok(socket) = Socket::open(&door, &user).await {
                    return Some((number, socket, attempt));
                }
                sleep(RETRY).await;
            }
            None
        });
    }
    let (mut sockets, mut retries) = (Vec::with_capacity(users.len()), 0);
    while let Some(ended) = attempts.join_next().await {
        let (number, socket, attempt) = ended?.ok_or("a client did not come back")?;
        sockets.push((number, socket));
        retries += attempt;
    }
    sockets.sort_unstable_by_key(|(number, _)| *number);
    Ok((sockets.into_iter().map(|(_, socket)| socket).collect(), retries))
}

/// Sees whether anybody commits anything to an SQLite database.
struct Watch {
    connection: SqliteConnection,
    version: i64,
}

impl Watch {
    async fn open(path: &Path) -> Result<Self> {
        let options = SqliteConnectOptions::new().filename(path).read_only(true);
        let mut watch = Self { connection: options.connect().await?, version: 0 };
        watch.has_changed().await?;
        Ok(watch)
    }

    /// Since it was last asked.
    async fn has_changed(&mut self) -> Result<bool> {
        let version = sqlx::query_scalar("pragma data_version");
        let version = version.fetch_one(&mut self.connection).await?;
        Ok(std::mem::replace(&mut self.version, version) != version)
    }
}

impl Checked for Storm {
    fn wrong(&self) -> u64 {
        self.verdict.wrong()
    }
}
