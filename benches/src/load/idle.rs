//! What an idle connection costs in memory.

use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::time::sleep;

use super::crowd;
use crate::{
    Result,
    ledger::{Checked, Verdict},
    progress::note,
    server::Target,
};

/// What is opened before anything is measured: pools, buffers, connections to the core.
const FIRST: usize = 50;
/// Until what handshakes took for a moment is free again.
const SETTLE: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Idle {
    pub(crate) connections: usize,
    pub(crate) bytes_each: Option<f64>,
    pub(crate) handshakes_per_second: f64,
    pub(crate) verdict: Verdict,
}

/// Opens connections, each of another user, and then makes sure that each is alive; not, where it
/// is a yardstick that is measured.
pub(crate) async fn run(target: &Target, connections: usize) -> Result<Idle> {
    let users = target.users(FIRST + connections)?;
    let mut sockets = crowd::connect(target, &users[..FIRST]).await?;
    let before = target.resident_bytes()?;
    note(format_args!("  opening {connections} connections"));
    let start = Instant::now();
    sockets.extend(crowd::connect(target, &users[FIRST..]).await?);
    let handshakes_per_second = connections as f64 / start.elapsed().as_secs_f64();
    sleep(SETTLE).await;
    let after = target.resident_bytes()?;
    let bytes_each = before
        .zip(after)
        .map(|(before, after)| after.saturating_sub(before) as f64 / connections as f64);
    let verdict = crowd::reach(target, &users, &mut sockets).await?;
    Ok(Idle { connections, bytes_each, handshakes_per_second, verdict })
}

impl Checked for Idle {
    fn wrong(&self) -> u64 {
        self.verdict.wrong()
    }
}
