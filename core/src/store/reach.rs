//! Whether the database can be read. While it is away, each read would wait for it in vain: so the first that fails makes
//! it known, and after it the others are refused at once. Says so where that changes, and not for each of them.

use std::{
    fmt, io,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{Error, error::Words};
use crate::notice::{Cause, Notices};

/// How often a read is let through to a database that is away.
const TRY_INTERVAL: Duration = Duration::from_millis(500);
/// Where others were served within it, who gets no connection in time has too many before it.
const SERVED_WITHIN: Duration = Duration::from_millis(1_500);

#[derive(Default)]
pub(super) struct Reach {
    is_well: OnceLock<Box<dyn Fn() -> bool + Send + Sync>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    served_at: Option<Instant>,
    /// It is away; when the next read may try.
    next_try: Option<Instant>,
    busy: Notices<()>,
    cause: Cause,
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reach").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Reach {
    pub(super) fn ask_first(&self, is_well: impl Fn() -> bool + Send + Sync + 'static) {
        // The first stays.
        let _ = self.is_well.set(Box::new(is_well));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What takes writes can be read. The reverse does not hold: a full disk has all that was stored.
    fn is_well(&self) -> bool {
        self.is_well.get().is_none_or(|is_well| is_well())
    }

    pub(super) fn may_read(&self) -> Result<(), Error> {
        let mut state = self.state();
        let Some(next_try) = &mut state.next_try else { return Ok(()) };
        let now = Instant::now();
        if *next_try <= now {
            *next_try = now + TRY_INTERVAL;
            return Ok(());
        }
        if self.is_well() { Ok(()) } else { Err(away()) }
    }

    pub(super) fn learn<T>(&self, result: Result<T, sqlx::Error>) -> Result<T, Error> {
        let mut state = self.state();
        let now = Instant::now();
        let error = match result {
            Ok(found) => {
                state.served_at = Some(now);
                if state.next_try.take().is_some() {
                    state.cause = Cause::default();
                    tracing::info!("the database can be read again");
                }
                return Ok(found);
            }
            Err(error) => error,
        };
        if let sqlx::Error::PoolTimedOut = error {
            let is_served = state.served_at.is_some_and(|at| now - at < SERVED_WITHIN);
            if is_served && self.is_well() {
                if let Some(untold) = state.busy.happened(()) {
                    tracing::warn!(untold, "reads are refused: too many wait for the database");
                }
                return Err(Error::Unavailable(error));
            }
        }
        let error = Error::from(error);
        let Error::Unavailable(cause) = error else { return Err(error) };
        let words = Words(&cause).to_string();
        // Whoever waited in vain does not know it.
        let is_news = !matches!(cause, sqlx::Error::PoolTimedOut) && state.cause.is_news(&words);
        if state.next_try.is_none() {
            tracing::warn!(error = %words, "the database is unavailable");
            state.next_try = Some(now + TRY_INTERVAL);
        } else if is_news {
            tracing::warn!(error = %words, "the database is still unavailable");
        }
        // Not for want of connections.
        Err(if let sqlx::Error::PoolTimedOut = cause { away() } else { Error::Unavailable(cause) })
    }
}

fn away() -> Error {
    let away = io::Error::new(io::ErrorKind::NotConnected, "the database is away");
    Error::Unavailable(sqlx::Error::Io(away))
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };

    use super::*;

    fn broken() -> Result<(), sqlx::Error> {
        Err(sqlx::Error::Io(io::ErrorKind::ConnectionReset.into()))
    }

    fn reach() -> (Reach, Arc<AtomicBool>) {
        let reach = Reach::default();
        let is_well = Arc::new(AtomicBool::new(true));
        let asked = Arc::clone(&is_well);
        reach.ask_first(move || asked.load(Ordering::Relaxed));
        (reach, is_well)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_away_is_tried_now_and_then() {
        let (reach, is_well) = reach();
        is_well.store(false, Ordering::Relaxed);
        // A full disk can be read.
        reach.may_read().expect("read");
        reach.learn(Ok(())).expect("read");
        reach.learn(broken()).expect_err("broken");
        let tried = async || {
            let mut tried = 0;
            for _ in 0..200 {
                tried += usize::from(reach.may_read().is_ok());
                tokio::time::sleep(TRY_INTERVAL / 100).await;
            }
            tried
        };
        assert!(matches!(tried().await, 1..=2));
        is_well.store(true, Ordering::Relaxed);
        assert_eq!(tried().await, 200);
        reach.learn(Ok(())).expect("read");
        is_well.store(false, Ordering::Relaxed);
        assert_eq!(tried().await, 200);
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_readers_are_told_from_a_database_that_is_away() {
        let (reach, _is_well) = reach();
        reach.learn(Ok(())).expect("read");
        let late = || reach.learn::<()>(Err(sqlx::Error::PoolTimedOut)).expect_err("late");
        assert!(matches!(late(), Error::Unavailable(sqlx::Error::PoolTimedOut)));
        reach.may_read().expect("well");
        tokio::time::sleep(2 * SERVED_WITHIN).await;
        assert!(matches!(late(), Error::Unavailable(sqlx::Error::Io(_))));
    }
}
