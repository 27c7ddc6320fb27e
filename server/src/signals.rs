//! Signals of the operating system.

use std::{io, time::Duration};

use tokio::{
    select,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// Who asks once may send two, as `timeout` does: to the process, and to its group.
const APART: Duration = Duration::from_secs(1);

/// From its creation on no signal ends the process by itself.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Counts each SIGHUP in `hangups`. Cancels `drain` at the first SIGTERM or SIGINT, and returns at another that comes [`APART`] after it or later.
    pub(crate) async fn watch(&mut self, drain: &CancellationToken, hangups: &watch::Sender<u64>) {
        let mut draining_since: Option<Instant> = None;
        loop {
            let name = self.next().await;
            if name == "SIGHUP" {
                tracing::info!(
                    "SIGHUP: certificates are read again; other settings are read once, at the start"
                );
                hangups.send_modify(|count| *count += 1);
                continue;
            }
            match draining_since {
                Some(since) if since.elapsed() >= APART => return,
                Some(_) => tracing::info!(signal = name, "it came with the first, and is ignored"),
                None => {
                    draining_since = Some(Instant::now());
                    tracing::info!(
                        signal = name,
                        "draining; another signal after a second stops at once"
                    );
                    drain.cancel();
                }
            }
        }
    }

    async fn next(&mut self) -> &'static str {
        // `None` is said of no signal that a process can wait for.
        select! {
            Some(()) = self.terminate.recv() => "SIGTERM",
            Some(()) = self.interrupt.recv() => "SIGINT",
            Some(()) = self.hangup.recv() => "SIGHUP",
            else => std::future::pending().await,
        }
    }
}
