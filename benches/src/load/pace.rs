//! Something at even intervals. On a thread of its own: the timer of the runtime is too coarse.

use std::{
    thread,
    time::{Duration, Instant},
};

use tokio::task::{JoinHandle, spawn_blocking};

use crate::Result;

/// Calls `due` so many times, with the number of the call and the time of `start` at which it is due.
#[expect(clippy::disallowed_methods, reason = "a thread of its own, and the pace is the point")]
pub(crate) fn keep(
    rate: u32,
    total: u32,
    start: Instant,
    mut due: impl FnMut(u32, Duration) -> Result<()> + Send + 'static,
) -> JoinHandle<Result<()>> {
    let interval = Duration::from_secs(1) / rate;
    spawn_blocking(move || {
        for number in 0..total {
            let at = interval * number;
            thread::sleep(at.saturating_sub(start.elapsed()));
            due(number, at)?;
        }
        Ok(())
    })
}
