//! Access tokens that were taken away before they expire, as a core tells of them.
//!
//! An edge that does not hear of its core for a while does not know what was taken away: requests and handshakes wait until it
//! knows again.
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

/// After so long without a sign of a core nobody is let in: a core gives one at least each half of a second.
pub(crate) const MAX_SILENCE: Duration = Duration::from_secs(2);
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

/// What this edge knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Knowledge {
    /// No core tells: what is known counts, and nobody waits for more.
    Untold,
    /// There may be more.
    Behind,
    /// All, when a core was last heard.
    Live,
}

pub(crate) struct Revocations {
    table: RwLock<Table>,
    knowledge: channel::Sender<Knowledge>,
    /// When a core was last heard, in microseconds after `began`.
    heard_after: AtomicU64,
    began: Instant,
}

impl Default for Revocations {
    fn default() -> Self {
        Self {
            table: RwLock::default(),
            knowledge: channel::Sender::new(Knowledge::Untold),
            heard_after: AtomicU64::new(0),
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
        if !self.is_known() {
            let mut news = self.knowledge.subscribe();
            let known = async {
                // The sender is here.
                while !self.is_known() && news.changed().await.is_ok() {}
            };
            let known = timeout(patience.0, known).await;
            known.map_err(|_| Refusal::RevocationsUnknown)?;
        }
        if self.mean(user, token) { Err(Refusal::Revoked) } else { Ok(()) }
    }

    /// Whether the token is one of those that were taken away, as far as is known.
    pub(crate) fn mean(&self, user: UserId, token: &TokenMark) -> bool {
        self.table().means(user, token)
    }

    fn is_known(&self) -> bool {
        match *self.knowledge.borrow() {
            Knowledge::Untold => true,
            Knowledge::Behind => false,
            // This process may have stood still, so that nothing has noticed the silence.
            Knowledge::Live => self.heard_at().elapsed() < MAX_SILENCE,
        }
    }

    fn heard_at(&self) -> Instant {
        self.began + Duration::from_micros(self.heard_after.load(Ordering::Acquire))
    }

    fn set_heard(&self, at: Instant) {
        let micros = at.saturating_duration_since(self.began).as_micros();
        self.heard_after.store(u64::try_from(micros).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// Gives how many there are.
    fn add(&self, revoked: &[RevokedTokens]) -> usize {
        let mut table = self.table_to_change();
        revoked.iter().for_each(|revoked| table.add(revoked));
        table.len()
    }

    fn replace(&self, table: Table) {
        *self.table_to_change() = table;
    }

    /// Gives how many are left. `now` is in Unix seconds.
    fn forget_expired(&self, now: i64) -> usize {
        let mut table = self.table_to_change();
        table.forget_expired(now);
        table.len()
    }

    /// Only a change is told.
    fn set(&self, knowledge: Knowledge) {
        self.knowledge.send_if_modified(|known| std::mem::replace(known, knowledge) != knowledge);
    }
}

#[cfg(test)]
mod tests {
    use netrox_proto::v1::{AllTokens, revoked_tokens::Tokens};
    use tokio::time::advance;

    use super::*;
    use crate::stub_core::user;

    fn all(issued_until: i64) -> RevokedTokens {
        RevokedTokens { tokens: Some(Tokens::All(AllTokens {})), issued_until, expires_at: None }
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_while_a_core_is_silent_waits_for_it_and_not_for_ever() {
        let revocations = Revocations::default();
        let token = TokenMark::new(None, None, Some(7.0));
        let patience = Patience(Duration::from_secs(5));
        let check = || revocations.check(user(1), &token, patience);
        assert_eq!(check().await, Ok(()), "nobody tells");
        revocations.set(Knowledge::Behind);
        assert_eq!(check().await, Err(Refusal::RevocationsUnknown));
        let live = || {
            revocations.set_heard(Instant::now());
            revocations.set(Knowledge::Live);
        };
        let (checked, ()) = tokio::join!(check(), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            revocations.add(&[all(7)]);
            live();
        });
        assert_eq!(checked, Err(Refusal::Revoked), "it is learned before it is served");
        revocations.replace(Table::default());
        assert_eq!(check().await, Ok(()));
        // A process that stood still has not noticed the silence.
        advance(MAX_SILENCE).await;
        assert_eq!(check().await, Err(Refusal::RevocationsUnknown));
        live();
        assert_eq!(check().await, Ok(()));
    }
}
