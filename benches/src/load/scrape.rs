//! What a read of `/metrics` costs while many are connected.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::sleep,
};

use super::crowd;
use crate::{
    Result,
    ledger::{Checked, Verdict},
    progress::note,
    server::Target,
};

/// The kernel tells processor time in hundredths of a second.
const SCRAPES: u32 = 400;
/// Those that come before anything is measured.
const FIRST: u32 = 3;
/// Until what handshakes took for a moment is free again.
const SETTLE: Duration = Duration::from_secs(2);
const REQUEST: &str = "GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Scrape {
    pub(crate) connections: usize,
    /// Of all processes together, each of which is read.
    pub(crate) bytes: usize,
    pub(crate) ms: f64,
    pub(crate) cpu_ms: Option<f64>,
    /// By all scrapes together.
    pub(crate) grown_bytes: Option<u64>,
    pub(crate) verdict: Verdict,
}

/// Opens connections, each of another user, reads the metrics of each process again and again, and makes sure that each
/// connection is alive.
pub(crate) async fn run(target: &Target, connections: usize) -> Result<Scrape> {
    if target.admin.is_empty() {
        return Err("where the metrics are is known of a server alone that the bench starts".into());
    }
    let users = target.users(connections)?;
    note(format_args!("  opening {connections} connections"));
    let mut sockets = crowd::connect(target, &users).await?;
    sleep(SETTLE).await;
    let memory = target.resident_bytes()?;
    let mut bytes = 0;
    for _ in 0..FIRST {
        bytes = read_all(&target.admin).await?;
    }
    let (begun, cpu) = (Instant::now(), target.cpu_seconds()?);
    for _ in 0..SCRAPES {
        read_all(&target.admin).await?;
    }
    let each_ms = |seconds: f64| seconds * 1000.0 / f64::from(SCRAPES);
    let ms = each_ms(begun.elapsed().as_secs_f64());
    let cpu_ms = cpu.zip(target.cpu_seconds()?).map(|(before, after)| each_ms(after - before));
    let grown = memory.zip(target.resident_bytes()?);
    let grown_bytes = grown.map(|(before, after)| after.saturating_sub(before));
    let verdict = crowd::reach(target, &users, &mut sockets).await?;
    Ok(Scrape { connections, bytes, ms, cpu_ms, grown_bytes, verdict })
}

/// Gives how much was read.
async fn read_all(addresses: &[SocketAddr]) -> Result<usize> {
    let mut bytes = 0;
    for address in addresses {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(REQUEST.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        if !answer.starts_with(b"HTTP/1.1 200 ") || !answer.ends_with(b"# EOF\n") {
            return Err(format!("{address} shows no metrics").into());
        }
        bytes += answer.len();
    }
    Ok(bytes)
}

impl Checked for Scrape {
    fn wrong(&self) -> u64 {
        self.verdict.wrong()
    }
}
