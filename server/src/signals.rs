//! Signals of the operating system.

use std::{convert::Infallible, io, time::Duration};

use tokio::{
    select,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// Who asks once may send two, as `timeout` does: to the process, and to its group.
const APART: Duration = Duration::from_secs(1);

/// What signals have asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// To end.
    pub(crate) drain: CancellationToken,
    /// To read again what is in files: how often.
    pub(crate) hangups: watch::Sender<u64>,
}

impl Asked {
    /// Calls it at each SIGHUP.
    pub(crate) async fn at_hangups(&self, act: impl Fn()) -> Infallible {
        let mut hangups = self.hangups.subscribe();
        // What was asked for before is for others.
        while hangups.changed().await.is_ok() {
            act();
        }
        std::future::pending().await
    }
}

/// SIGINT or SIGTERM, for a command. Whoever cannot be told of a signal is ended by it.
pub(crate) async fn interrupted() {
    let next = async |kind| match signal(kind) {
        Ok(mut signals) => {
            signals.recv().await;
        }
        Err(_) => std::future::pending().await,
    };
    select! {
        () = next(SignalKind::interrupt()) => {}
        () = next(SignalKind::terminate()) => {}
    }
}

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

    /// Tells of each SIGHUP, and of the first SIGTERM or SIGINT. Returns at another of these that comes [`APART`] after it
    /// or later.
    pub(crate) async fn watch(&mut self, asked: &Asked) {
        let mut draining_since: Option<Instant> = None;
        loop {
            let name = self.next().await;
            if name == "SIGHUP" {
                tracing::info!(
                    "SIGHUP: certificates, keys of access tokens and the file of services are read again, and the \
                     audit log is opened anew; other settings are read once, at the start"
                );
                asked.hangups.send_modify(|count| *count += 1);
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
                    asked.drain.cancel();
                }
            }
        }
    }

    /// The name of the next one.
    pub(crate) async fn next(&mut self) -> &'static str {
        // `None` is said of no signal that a process can wait for.
        select! {
            Some(()) = self.terminate.recv() => "SIGTERM",
            Some(()) = self.interrupt.recv() => "SIGINT",
            Some(()) = self.hangup.recv() => "SIGHUP",
            else => std::future::pending().await,
        }
    }
}
