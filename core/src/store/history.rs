//! Which history of the database a position belongs to.
//!
//! A database may go back: an older copy is restored, a standby that lacked the end is promoted. What goes on from there
//! gives the same places in feeds to other changes. So each time that it may have gone back a *start* is noted, and of
//! each feed where it stood when it first moved in that start. A position names the start in which its feed last moved.
//! It is lost where the database does not know that start, where it lies beyond the end of the feed, or where the
//! feed stood before it when it first moved in a later start.
//!
//! * [`sqlite`]: each opening by a core is a start.
//! * [`postgres`]: each run of the server is one, which the cores share.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::user::UserKey;
use crate::command::MAX_ID;

pub(super) mod postgres;
pub(super) mod sqlite;

/// No position was reached before the beginning of a feed.
const LOSE_ALL: &str = "\
    insert into feed_starts (user_key, start, last_seq) select user_key, $1, -1 from feeds";
const ENTER_ALL: &str = "update feeds set start = $1";

/// Names a start. Holds its time and random bits, and so is never given twice, whatever became of the database that it
/// was noted in. Later starts of one history are greater. 0: before the first that was noted.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, sqlx::Type,
)]
#[serde(transparent)]
#[sqlx(transparent)]
pub(crate) struct Start(pub(crate) i64);

/// A place in a user's feed, and the history that it belongs to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) start: Start,
    pub(crate) seq: u64,
}

/// Where a feed stood when it first moved in a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FeedStartRow {
    pub(crate) user: UserKey,
    pub(crate) start: Start,
    pub(crate) last_seq: i64,
}

impl Start {
    const RANDOM_BITS: u32 = 22;

    /// About when it was.
    fn micros(self) -> i64 {
        (self.0 >> Self::RANDOM_BITS) * 1_000
    }

    /// One after `last`.
    fn draw(last: Self, now_micros: i64) -> Self {
        let random = rand::random::<u32>() >> (u32::BITS - Self::RANDOM_BITS);
        // They last until 2039, and begin anew then: later starts are greater all the same.
        let millis = (now_micros / 1_000) & ((1 << 41) - 1);
        let drawn = millis << Self::RANDOM_BITS | i64::from(random);
        Self(drawn.max(last.0.saturating_add(1 + i64::from(random))))
    }
}

/// How far identifiers jump at a start: further than a history that was lost can have come. `idle_micros` is the time
/// since the newest message of this one.
fn margin(idle_micros: i64) -> i64 {
    const LEAST: i64 = 1_000_000;
    /// A hundred thousand messages a second.
    const MICROS_A_MESSAGE: i64 = 10;
    /// Also where a clock is wrong by centuries, there is room for tens of thousands of starts.
    const MOST: i64 = MAX_ID >> 16;
    (LEAST + idle_micros.max(0) / MICROS_A_MESSAGE).min(MOST)
}

/// What this core knows of the history that it works on. A cheap handle.
#[derive(Debug, Clone)]
pub(crate) struct History(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Of all starts of the database, the first: copies have it in common, deployments do not.
    first: Start,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    start: Start,
    server: Option<postgres::Server>,
    /// What was opened before may lead to a server that is not the one any more.
    entered: Instant,
    /// A reader has seen a server that was promoted since.
    is_suspect: bool,
}

impl History {
    fn new(first: Start, start: Start, server: Option<postgres::Server>) -> Self {
        let state = State { start, server, entered: Instant::now(), is_suspect: false };
        Self(Arc::new(Shared { first, state: Mutex::new(state) }))
    }

    /// Of a database that is only read: its first start and its latest.
    pub(super) fn of_starts(first: Start, latest: Start) -> Self {
        Self::new(first, latest, None)
    }

    #[cfg(test)]
    pub(crate) fn of_test(start: Start) -> Self {
        Self::new(start, start, None)
    }

    /// A few instructions that do not panic.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something was opened since this start was entered.
    pub(super) fn is_younger(&self, age: Duration) -> bool {
        age <= self.state().entered.elapsed()
    }

    pub(crate) fn start(&self) -> Start {
        self.state().start
    }

    fn enter(&self, start: Start, server: Option<postgres::Server>) {
        let mut state = self.state();
        if state.start != start {
            *state = State { start, server, entered: Instant::now(), is_suspect: false };
        }
    }

    /// The connection that writes may lead to a server that was left behind.
    fn suspect(&self) {
        self.state().is_suspect = true;
    }

    /// Whether it may since this was last asked.
    pub(super) fn take_suspicion(&self) -> bool {
        std::mem::take(&mut self.state().is_suspect)
    }

    /// How callers name the history that a position belongs to.
    pub(crate) fn epoch(&self, start: Start) -> Epoch {
        Epoch { deployment: deployment(self.0.first), start }
    }

    /// `None` where the name is not one of this deployment's.
    pub(crate) fn parse_epoch(&self, text: &str) -> Option<Start> {
        let (deployment_digits, start) = text.split_once('.')?;
        let hexadecimal = |text: &str, length| {
            text.len() == length
                && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        if !hexadecimal(deployment_digits, 8) || !hexadecimal(start, 16) {
            return None;
        }
        let is_ours = u32::from_str_radix(deployment_digits, 16) == Ok(deployment(self.0.first));
        i64::from_str_radix(start, 16).ok().filter(|_| is_ours).map(Start)
    }
}

/// The random bits, and some of the time.
fn deployment(first: Start) -> u32 {
    first.0 as u32
}

/// `DEPLOYMENT.START`, in hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Epoch {
    deployment: u32,
    start: Start,
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}.{:016x}", self.deployment, self.start.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_above_the_last_whatever_the_clock_says() {
        let first = Start::draw(Start(0), 1_900_000_000_000_000);
        assert!(first.0 > 0);
        let second = Start::draw(first, 1_000);
        assert!(second > first);
        assert_ne!(second, Start::draw(first, 1_000), "the random bits differ");
    }

    #[test]
    fn an_epoch_survives_its_text_and_another_deployment_has_none_of_it() {
        let history = History::new(Start(5 << 22 | 77), Start(9 << 22), None);
        let text = history.epoch(Start(9 << 22)).to_string();
        assert_eq!(history.parse_epoch(&text), Some(Start(9 << 22)));
        let other = History::new(Start(5 << 22 | 78), Start(9 << 22), None);
        assert_eq!(other.parse_epoch(&text), None);
        for text in ["", ".", "1.2", "0140004d.+000000002400000", &format!("{text}0"), "é"] {
            assert_eq!(history.parse_epoch(text), None, "{text}");
        }
    }

    #[test]
    fn identifiers_jump_further_the_longer_nothing_was_stored() {
        assert_eq!(margin(-5), 1_000_000);
        assert_eq!(margin(60_000_000), 7_000_000);
        assert_eq!(margin(i64::MAX), MAX_ID >> 16);
    }
}
