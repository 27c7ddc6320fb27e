//! Access tokens that were taken away before they expire, as a core tells of them.
//!
//! An edge that does not hear of its core for a while does not know what was taken away: requests and handshakes wait until it
//! knows again, and so does what goes to the core for open sockets, and what comes for them.
//!
//! * [`token_mark`]: what a token is known by; [`table`]: those that were taken away.
//! * [`watch`]: how this edge learns of them, and of sessions that are to end.

use std::{
    sync::{
        PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use netrox_proto::{ids::UserId, v1::RevokedTokens};
use tokio::{
    sync::watch as channel,
    time::{Instant, timeout},
};

mod table;
mod token_mark;
mod watch;

use self::table::Table;
pub(crate) use self::{
    token_mark::TokenMark,
    watch::{Watcher, edge_name},
};
use crate::auth::Refusal;

/// For so long after a sign of a core what is known counts. A core gives one each 0.2 s at least, of what it knew 0.4 s before at
/// most.
pub(crate) const KNOWN_FOR: Duration = Duration::from_millis(600);
/// How long it may be unknown until balancers are told: longer than a core takes to start anew.
const UNKNOWN_TOO_LONG: Duration = Duration::from_secs(5);
/// How long a read waits at most: it would not wait for a core either.
const READ_PATIENCE: Duration = Duration::from_secs(2);

/// How long a request waits until it is known whether its token counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience(Duration);

impl Patience {
    #[cfg(test)]
    pub(crate) const NONE: Self = Self(Duration::ZERO);

    pub(crate) fn of(method: &http::Method, store_wait: Duration) -> Self {
        Self(if method.is_safe() { READ_PATIENCE } else { store_wait.max(READ_PATIENCE) })
    }

    pub(crate) fn of_handshake(handshake_timeout: Duration) -> Self {
        Self(handshake_timeout)
    }
}

/// Known until then, in microseconds after the beginning.
const FOR_EVER: u64 = u64::MAX;

pub(crate) struct Revocations {
    table: RwLock<Table>,
    /// Until when it is known what was taken away; for ever where no core tells, and what is known counts.
    known_until: AtomicU64,
    /// Changes when it is known again.
    known_again: channel::Sender<()>,
    began: Instant,
}

impl Default for Revocations {
    fn default() -> Self {
        Self {
            table: RwLock::default(),
            known_until: AtomicU64::new(FOR_EVER),
            known_again: channel::Sender::new(()),
            began: Instant::now(),
        }
    }
}

impl Revocations {
    fn table(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn table_to_change(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the token counts still.
    pub(crate) async fn check(
        &self,
        user: UserId,
        token: &TokenMark,
        patience: Patience,
    ) -> Result<(), Refusal> {
        self.wait(patience).await?;
        if self.mean(user, token) { Err(Refusal::Revoked) } else { Ok(()) }
    }

    /// Until it is known which tokens count.
    pub(crate) async fn wait(&self, patience: Patience) -> Result<(), Refusal> {
        if !self.is_known() {
            let in_time = timeout(patience.0, self.known()).await.is_ok();
            // What wakes it may have come just then.
            if !in_time && !self.is_known() {
                return Err(Refusal::RevocationsUnknown);
            }
        }
        Ok(())
    }

    /// Whether the token is one of those that were taken away, as far as is known.
    pub(crate) fn mean(&self, user: UserId, token: &TokenMark) -> bool {
        self.table().means(user, token)
    }

    /// Returns when it is known what was taken away. Next to nothing while it is.
    pub(crate) async fn known(&self) {
        if self.is_known() {
            return;
        }
        let mut again = self.known_again.subscribe();
        // The sender is here.
        while !self.is_known() && again.changed().await.is_ok() {}
    }

    /// Of each time that it is known again.
    pub(crate) fn known_again(&self) -> channel::Receiver<()> {
        self.known_again.subscribe()
    }

    pub(crate) fn is_known(&self) -> bool {
        self.is_known_at(Instant::now())
    }

    /// The clock decides: this process may have stood still, so that nothing has noticed a silence.
    pub(crate) fn is_known_at(&self, now: Instant) -> bool {
        let until = self.known_until.load(Ordering::Acquire);
        until == FOR_EVER || self.micros(now) < until
    }

    /// Whether it has not been known for longer than it takes to find another core.
    pub(crate) fn are_unknown_for_long(&self) -> bool {
        let long_ago = self.micros(Instant::now()).checked_sub(UNKNOWN_TOO_LONG.as_micros() as u64);
        long_ago.is_some_and(|at| at >= self.known_until.load(Ordering::Acquire))
    }

    fn micros(&self, at: Instant) -> u64 {
        let micros = at.saturating_duration_since(self.began).as_micros();
        u64::try_from(micros).unwrap_or(u64::MAX)
    }

    /// All was known then.
    fn set_heard(&self, at: Instant) {
        self.set_known_until(self.micros(at + KNOWN_FOR));
    }

    /// No core tells.
    fn set_untold(&self) {
        self.set_known_until(FOR_EVER);
    }

    /// There may be more from now on.
    fn set_behind(&self) {
        self.known_until.store(self.micros(Instant::now()), Ordering::Release);
    }

    fn set_known_until(&self, until: u64) {
        let before = self.known_until.swap(until, Ordering::AcqRel);
        // Whoever found it unknown did so before.
        let was_known = before == FOR_EVER || self.micros(Instant::now()) < before;
        if !was_known {
            self.known_again.send_replace(());
        }
    }

    /// Gives those that say more than was known, and how many there are now.
    fn add(&self, revoked: Vec<RevokedTokens>) -> (Vec<RevokedTokens>, usize) {
        let mut table = self.table_to_change();
        let new = revoked.into_iter().filter(|revoked| table.add(revoked)).collect();
        (new, table.len())
    }

    /// Gives how many are left. `now` is in Unix seconds.
    fn forget_expired(&self, now: i64) -> usize {
        let mut table = self.table_to_change();
        table.forget_expired(now);
        table.len()
    }
}

#[cfg(test)]
mod tests;
