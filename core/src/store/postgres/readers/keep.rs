//! Keeps them open: what is missing, and one at a time what is too old.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use sqlx::postgres::PgDatabaseError;
use tokio::{
    task::{JoinError, JoinSet},
    time::{Instant, sleep_until},
};

use super::{Loan, Reader, Shared, lock};
use crate::{
    notice::Cause,
    store::error::{Words, is_starting},
};

/// How often those that nobody uses are asked whether they are still there, and one that is too old is replaced.
const ROUND_INTERVAL: Duration = Duration::from_secs(5);
/// Between two attempts to open one, which doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// With a server that is away it costs nothing to ask.
const MAX_PAUSE: Duration = Duration::from_millis(400);
/// One that refuses us has made a process for it.
const MAX_PAUSE_OF_REFUSED: Duration = Duration::from_secs(5);
/// A server that is started again is soon there.
const TELL_AFTER: Duration = Duration::from_secs(5);

/// Until the last handle is gone.
pub(super) async fn keep(shared: Arc<Shared>) {
    let stop = shared.stop.clone();
    let keeping = async {
        let mut opener = Opener::new(Arc::clone(&shared));
        let mut next_round = Instant::now() + ROUND_INTERVAL;
        loop {
            opener.open_missing();
            let (next_attempt, is_missing) = (opener.next_attempt, opener.missing() > 0);
            tokio::select! {
                Some(opened) = opener.attempts.join_next() => opener.came(opened),
                () = shared.lost.notified() => {}
                () = sleep_until(next_attempt), if is_missing && Instant::now() < next_attempt => {}
                () = sleep_until(next_round) => {
                    check_idle(&shared).await;
                    opener.replace_one();
                    next_round = Instant::now() + ROUND_INTERVAL;
                }
            }
        }
    };
    stop.run_until_cancelled(keeping).await;
}

/// Those that have ended are opened again before somebody needs them: others may have taken their places by then. One at a
/// time, so that the rest can be had.
async fn check_idle(shared: &Arc<Shared>) {
    for _ in 0..shared.most {
        let Ok(free) = shared.free.try_acquire() else { return };
        free.forget();
        let longest = {
            let mut idle = lock(&shared.idle);
            if idle.is_empty() { None } else { Some(idle.remove(0)) }
        };
        let loan = Loan { reader: longest, shared: Arc::clone(shared) };
        if let Some(sound) = loan.asked().await {
            sound.give_back(&Ok(()));
        }
    }
}

struct Opener {
    shared: Arc<Shared>,
    attempts: JoinSet<Result<Reader, sqlx::Error>>,
    /// One of them is to take the place of one that is too old.
    replaces: bool,
    pause: Duration,
    next_attempt: Instant,
    /// Since when not all of them could be opened.
    failing_since: Option<Instant>,
    cause: Cause,
    is_told: bool,
}

impl Opener {
    fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            attempts: JoinSet::new(),
            replaces: false,
            pause: FIRST_PAUSE,
            next_attempt: Instant::now(),
            failing_since: None,
            cause: Cause::default(),
            is_told: false,
        }
    }

    fn open(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
    }

    /// Those that nobody opens yet.
    fn missing(&self) -> usize {
        self.shared.most.saturating_sub(self.open() + self.attempts.len())
    }

    fn open_missing(&mut self) {
        if Instant::now() < self.next_attempt {
            return;
        }
        // A server that has refused one is asked for one at a time.
        let at_once = if self.pause == FIRST_PAUSE { self.shared.most } else { 1 };
        while self.attempts.len() < at_once && self.missing() > 0 {
            self.begin();
        }
    }

    fn begin(&mut self) {
        let shared = Arc::clone(&self.shared);
        self.attempts.spawn(async move { shared.open_one().await });
    }

    /// Where all are open and one of them is too old. It stays until there is another.
    fn replace_one(&mut self) {
        let may_begin = self.attempts.is_empty() && Instant::now() >= self.next_attempt;
        if !may_begin || self.open() != self.shared.most {
            return;
        }
        // Those that are idle were given back in this round.
        if self.shared.has_overdue.swap(false, Ordering::Relaxed) {
            self.replaces = true;
            self.begin();
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "an enum of sqlx")]
    fn came(&mut self, opened: Result<Result<Reader, sqlx::Error>, JoinError>) {
        let replaces = self.replaces && self.attempts.is_empty();
        self.replaces &= !self.attempts.is_empty();
        match opened {
            Ok(Ok(reader)) => self.opened(reader, replaces),
            Ok(Err(error)) => {
                let words = match &error {
                    sqlx::Error::Io(error) => error.to_string(),
                    other => Words(other).to_string(),
                };
                tracing::debug!(error = %words, "cannot open a connection that reads");
                self.wait(if is_refusal(&error) { MAX_PAUSE_OF_REFUSED } else { MAX_PAUSE });
                self.tell(&words);
                *lock(&self.shared.failure) = Some(words);
            }
            Err(error) => {
                tracing::error!(%error, "a connection that reads was not opened");
                self.wait(MAX_PAUSE_OF_REFUSED);
            }
        }
    }

    fn opened(&mut self, reader: Reader, replaces: bool) {
        self.pause = FIRST_PAUSE;
        self.next_attempt = Instant::now();
        *lock(&self.shared.failure) = None;
        if self.shared.enter() {
            self.shared.give(reader);
        } else if replaces {
            self.shared.open.fetch_add(1, Ordering::Relaxed);
            self.shared.give(reader);
            self.shared.drop_overdue();
        }
        // Otherwise one that did not answer in time came back before it.
        if self.open() < self.shared.most {
            return;
        }
        self.failing_since = None;
        self.cause = Cause::default();
        if std::mem::take(&mut self.is_told) {
            tracing::info!("all connections that read are open again");
        }
    }

    /// Those that fail together count once.
    fn wait(&mut self, longest: Duration) {
        let now = Instant::now();
        if now >= self.next_attempt {
            self.next_attempt = now + self.pause;
            self.pause = longest.min(2 * self.pause);
        }
    }

    fn tell(&mut self, error: &str) {
        let (open, most) = (self.open(), self.shared.most);
        if open >= most {
            return;
        }
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= TELL_AFTER && self.cause.is_due(error) {
            self.is_told = true;
            tracing::warn!(
                open,
                most,
                error,
                "connections that read cannot be opened: fewer reads are served at a time"
            );
        }
    }
}

/// Whether the server is there and has said no, as for want of connections.
fn is_refusal(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(database) = error else { return false };
    database.try_downcast_ref::<PgDatabaseError>().is_some() && !is_starting(error)
}
