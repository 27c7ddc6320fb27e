//! Who is online with other cores, as these tell. No I/O in here.
//!
//! What a core told holds for as long as it is heard: a lease. Its words are numbered, so that one that was lost is missed, and
//! all is asked for anew.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use netrox_proto::ids::UserId;
use tokio::time::Instant;
use uuid::Uuid;

use super::word::{Kind, Word, users};

/// How long a core counts that is not heard.
pub(super) const LEASE: Duration = Duration::from_secs(15);
/// How often one is asked.
const ASK_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Cores(HashMap<Uuid, Core>);

#[derive(Debug, Default)]
struct Core {
    users: HashSet<UserId>,
    /// The number of the next word; `None` until all was told.
    next: Option<u64>,
    /// What tells all, so far.
    filling: Option<HashSet<UserId>>,
    heard: Option<Instant>,
    asked: Option<Instant>,
}

/// What follows from a word.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    pub(super) came: Vec<UserId>,
    pub(super) left: Vec<UserId>,
    /// The core is to tell all.
    pub(super) asks: Option<Uuid>,
}

impl Cores {
    /// Takes in what another core says of itself.
    pub(super) fn hear(&mut self, word: &Word, now: Instant) -> News {
        let mut news = News::default();
        let Some(id) = word.core() else { return news };
        if word.kind() == Kind::Over {
            news.left =
                self.0.remove(&id).map(|core| core.users.into_iter().collect()).unwrap_or_default();
            return news;
        }
        let core = self.0.entry(id).or_default();
        core.heard = Some(now);
        let is_next = core.next == Some(word.number);
        match word.kind() {
            Kind::Beat if core.next == Some(word.number + 1) => {}
            Kind::All => {
                core.next = Some(word.number + 1);
                core.filling = Some(users(&word.online).collect());
            }
            Kind::More if is_next && core.filling.is_some() => {
                core.next = Some(word.number + 1);
                core.filling.iter_mut().for_each(|filling| filling.extend(users(&word.online)));
            }
            Kind::Change if is_next && core.filling.is_none() => {
                core.next = Some(word.number + 1);
                news.came = users(&word.online).filter(|user| core.users.insert(*user)).collect();
                news.left = users(&word.offline).filter(|user| core.users.remove(user)).collect();
            }
            Kind::Beat | Kind::More | Kind::Change => {
                (core.next, core.filling) = (None, None);
                if core.asked.is_none_or(|asked| now - asked >= ASK_INTERVAL) {
                    core.asked = Some(now);
                    news.asks = Some(id);
                }
            }
            Kind::Ask | Kind::Over | Kind::Profile | Kind::Unknown => {}
        }
        if matches!(word.kind(), Kind::All | Kind::More)
            && word.is_last
            && let Some(all) = core.filling.take()
        {
            core.replace(all, &mut news);
        }
        news
    }

    /// What a core has written down of itself at some time, where it is not heard.
    pub(super) fn read(&mut self, id: Uuid, all: HashSet<UserId>, at: Instant) -> News {
        let mut news = News::default();
        let core = self.0.entry(id).or_default();
        // It was heard while that was read: what it says is newer.
        if core.next.is_some() {
            return news;
        }
        core.heard = core.heard.max(Some(at));
        core.replace(all, &mut news);
        news
    }

    /// Whether a core was heard over the bus just now.
    pub(super) fn is_heard(&self, id: Uuid) -> bool {
        self.0.get(&id).is_some_and(|core| core.next.is_some())
    }

    /// Keeps what is known of a core, which has written down at some time that it is as it was.
    pub(super) fn renew(&mut self, id: Uuid, at: Instant) {
        if let Some(core) = self.0.get_mut(&id) {
            core.heard = core.heard.max(Some(at));
        }
    }

    /// Who was online with cores that are not heard any more.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<UserId> {
        let is_over = |core: &Core| {
            core.heard.is_none_or(|heard| now.saturating_duration_since(heard) >= LEASE)
        };
        let over = self.0.extract_if(|_, core| is_over(core));
        over.flat_map(|(_, core)| core.users).collect()
    }

    /// The bus was away: whatever was said meanwhile is missing.
    pub(super) fn forget_numbers(&mut self) {
        for core in self.0.values_mut() {
            (core.next, core.filling) = (None, None);
        }
    }
}

impl Core {
    fn replace(&mut self, all: HashSet<UserId>, news: &mut News) {
        news.came = all.difference(&self.users).copied().collect();
        news.left = self.users.difference(&all).copied().collect();
        self.users = all;
    }
}

#[cfg(test)]
mod tests {
    use super::{super::word::ids, *};

    const CORE: Uuid = Uuid::from_u128(9);

    fn user(number: u128) -> UserId {
        UserId(Uuid::from_u128(number))
    }

    fn word(number: u64, kind: Kind, online: &[u128], offline: &[u128]) -> Word {
        let told = |numbers: &[u128]| ids(numbers.iter().map(|number| user(*number)));
        let (online, offline) = (told(online), told(offline));
        Word { online, offline, is_last: true, ..Word::new(CORE, number, kind) }
    }

    fn came(numbers: &[u128]) -> News {
        News { came: numbers.iter().map(|number| user(*number)).collect(), ..News::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_core_is_asked_for_all_and_followed_from_there() {
        let (mut cores, now) = (Cores::default(), Instant::now());
        let asks = News { asks: Some(CORE), ..News::default() };
        assert_eq!(cores.hear(&word(4, Kind::Beat, &[], &[]), now), asks);
        assert_eq!(cores.hear(&word(5, Kind::Change, &[1], &[]), now), News::default());
        let mut first = word(6, Kind::All, &[1], &[]);
        first.is_last = false;
        assert_eq!(cores.hear(&first, now), News::default());
        let mut all = cores.hear(&word(7, Kind::More, &[2], &[]), now);
        all.came.sort();
        assert_eq!(all, came(&[1, 2]));
        assert_eq!(cores.hear(&word(8, Kind::Change, &[3], &[]), now), came(&[3]));
        let left = News { left: vec![user(1)], ..News::default() };
        assert_eq!(cores.hear(&word(9, Kind::Change, &[2], &[1, 7]), now), left);
        assert_eq!(cores.hear(&word(9, Kind::Beat, &[], &[]), now), News::default());
    }

    #[tokio::test(start_paused = true)]
    async fn a_word_that_was_lost_is_missed_and_nobody_leaves_for_it() {
        let (mut cores, now) = (Cores::default(), Instant::now());
        cores.hear(&word(1, Kind::All, &[1, 2], &[]), now);
        let asks = News { asks: Some(CORE), ..News::default() };
        assert_eq!(cores.hear(&word(3, Kind::Change, &[3], &[]), now), asks);
        let news = cores.hear(&word(5, Kind::All, &[2, 3], &[]), now);
        assert_eq!((news.came, news.left), (vec![user(3)], vec![user(1)]));
        // So is one that only the beat knows of.
        let later = now + ASK_INTERVAL;
        assert_eq!(cores.hear(&word(6, Kind::Beat, &[], &[]), later), asks);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_not_heard_is_gone_after_the_lease() {
        let (mut cores, now) = (Cores::default(), Instant::now());
        cores.hear(&word(1, Kind::All, &[1], &[]), now);
        assert_eq!(cores.expire(now + LEASE - Duration::from_millis(1)), []);
        cores.hear(&word(1, Kind::Beat, &[], &[]), now + LEASE / 2);
        assert_eq!(cores.expire(now + LEASE), []);
        assert_eq!(cores.expire(now + LEASE / 2 + LEASE), [user(1)]);
        cores.hear(&word(1, Kind::All, &[1], &[]), now);
        let over = cores.hear(&word(2, Kind::Over, &[], &[]), now);
        assert_eq!(over.left, [user(1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_written_down_counts_as_what_is_said() {
        let (mut cores, now) = (Cores::default(), Instant::now());
        assert_eq!(cores.read(CORE, [user(1)].into(), now), came(&[1]));
        assert!(!cores.is_heard(CORE));
        cores.renew(CORE, now + LEASE / 2);
        assert_eq!(cores.expire(now + LEASE), []);
        let news = cores.read(CORE, [user(2)].into(), now + LEASE);
        assert_eq!((news.came, news.left), (vec![user(2)], vec![user(1)]));
        // It is leased from when it was written.
        cores.read(CORE, [user(2)].into(), now);
        assert_eq!(cores.expire(now + LEASE + LEASE / 2), []);
        // What is said is newer than what was written down before.
        cores.hear(&word(1, Kind::All, &[3], &[]), now + LEASE);
        assert_eq!(cores.read(CORE, [user(2)].into(), now + LEASE), News::default());
        assert_eq!(cores.expire(now + LEASE * 2), [user(3)]);
    }
}
