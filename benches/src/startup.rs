//! How soon and how small the server starts.

use std::{path::Path, time::Duration};

use serde::Serialize;
use tempfile::TempDir;
use tokio::time::sleep;

use crate::{
    Result,
    progress::note,
    server::deployment::{Arrangement, Deployment, Launcher, database},
    server::seed,
};

const TIMES: usize = 5;
/// Until what only the start needed is free again.
const SETTLE: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Startup {
    pub(crate) rows: u64,
    /// From the start of the process until it answered that it is ready; the median.
    pub(crate) ready_ms: f64,
    pub(crate) idle_bytes: u64,
    pub(crate) program_bytes: u64,
}

/// Makes a database of `rows` messages, in a directory of its own.
pub(crate) async fn seed(launcher: &Launcher, rows: u64) -> Result<TempDir> {
    // The program makes the schema.
    let directory = launcher.start(Arrangement::Serve).await?.stop();
    seed::fill(&database(directory.path()), rows).await?;
    Ok(directory)
}

/// Starts on an existing database, and leaves the last of the deployments running.
pub(crate) async fn run(
    launcher: &Launcher,
    mut directory: TempDir,
    rows: u64,
) -> Result<(Startup, Deployment)> {
    note(format_args!("  starting on {rows} messages, {TIMES} times"));
    let mut times = Vec::new();
    for _ in 1..TIMES {
        let deployment = launcher.start_in(Arrangement::Serve, directory).await?;
        times.push(deployment.started_in);
        directory = deployment.stop();
    }
    let deployment = launcher.start_in(Arrangement::Serve, directory).await?;
    times.push(deployment.started_in);
    times.sort_unstable();
    sleep(SETTLE).await;
    let idle_bytes = deployment.target.resident_bytes()?.ok_or("no memory figure")?;
    let startup = Startup {
        rows,
        ready_ms: times[TIMES / 2].as_secs_f64() * 1e3,
        idle_bytes,
        program_bytes: size(&launcher.program)?,
    };
    Ok((startup, deployment))
}

fn size(path: &Path) -> Result<u64> {
    Ok(std::fs::metadata(path)?.len())
}
