//! Signals of the operating system.

use std::io;

use tokio::{
    select,
    signal::unix::{Signal, SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

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

    /// Cancels `drain` at the first SIGTERM or SIGINT, and returns at the second.
    pub(crate) async fn watch(&mut self, drain: &CancellationToken) {
        loop {
            let name = self.next().await;
            if name == "SIGHUP" {
                tracing::info!("SIGHUP is ignored: settings are read once, at the start");
            } else if drain.is_cancelled() {
                return;
            } else {
                tracing::info!(signal = name, "draining; a second signal stops at once");
                drain.cancel();
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
