//! What a core tells others of who is online with it, and what it hears of them.

use std::{collections::HashSet, sync::MutexGuard, time::Duration};

use bytes::Bytes;
use netrox_proto::ids::UserId;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    super::{
        cores::News,
        people::Place,
        word::{Kind, MAX_USERS, Word, ids, users},
    },
    Roll, State, now,
};

impl Roll {
    /// The bus was connected, or has lost something.
    pub(crate) fn bus_changed(&self) {
        let mut state = self.state();
        state.cores.forget_numbers();
        (state.untold.all, state.untold.asks_all) = (true, true);
        drop(state);
        self.changed.notify_one();
    }

    /// The bus is away: what other cores write down counts.
    pub(crate) fn bus_lost(&self) {
        self.state().cores.forget_numbers();
        self.unshared.notify_one();
    }

    /// What another core says.
    pub(crate) fn hear(&self, payload: &[u8]) {
        let Some(word) = Word::decode_from(payload) else { return };
        match word.kind() {
            Kind::Unknown => {}
            Kind::Ask => {
                if word.asked.is_empty() || word.asked == self.id.as_bytes() {
                    self.state().untold.all = true;
                    self.changed.notify_one();
                }
            }
            Kind::Profile => self.profiles_changed(users(&word.online), false),
            Kind::Beat | Kind::Change | Kind::All | Kind::More | Kind::Over => {
                let is_over = word.kind() == Kind::Over;
                let now = now();
                let mut state = self.state();
                let News { came, left, asks } = state.cores.hear(&word, now.0);
                if let Some(core) = asks {
                    state.untold.asks.insert(core);
                }
                self.take_in(state, came, left, is_over, now);
                if asks.is_some() {
                    self.changed.notify_one();
                }
            }
        }
    }

    fn take_in(
        &self,
        mut state: MutexGuard<'_, State>,
        came: Vec<UserId>,
        left: Vec<UserId>,
        is_ours: bool,
        now: (Instant, i64),
    ) {
        let arrive = |user: &UserId| state.people.arrive(*user, Place::Elsewhere);
        let news: Vec<_> = came.into_iter().filter(arrive).collect();
        let leaves = !left.is_empty();
        for user in left {
            state.people.leave(user, Place::Elsewhere, is_ours, now);
        }
        drop(state);
        news.into_iter().for_each(|user| self.watches.touch(user));
        if leaves {
            self.changed.notify_one();
        }
    }

    /// What other cores have yet to be told. `beats`: also that this one is there.
    pub(in crate::presence) fn words(&self, beats: bool) -> Vec<Bytes> {
        let mut state = self.state();
        let untold = std::mem::take(&mut state.untold);
        let mut words = Vec::new();
        if untold.asks_all {
            words.push(Word::new(self.id, 0, Kind::Ask));
        }
        for core in untold.asks {
            let asked = core.as_bytes().to_vec();
            words.push(Word { asked, ..Word::new(self.id, 0, Kind::Ask) });
        }
        if untold.all {
            state.tell_all(self.id, &mut words);
        } else if !untold.users.is_empty() {
            state.tell_changes(self.id, untold.users, &mut words);
        }
        if !untold.profiles.is_empty() {
            let online = ids(untold.profiles);
            words.push(Word { online, ..Word::new(self.id, 0, Kind::Profile) });
        }
        if beats {
            words.push(Word::new(self.id, state.number, Kind::Beat));
        }
        words.iter().map(Word::encoded).collect()
    }

    /// That this core ends.
    pub(in crate::presence) fn last_word(&self) -> Bytes {
        Word::new(self.id, 0, Kind::Over).encoded()
    }

    /// Whether what another core has written down of itself is of use.
    pub(in crate::presence) fn is_heard(&self, core: Uuid) -> bool {
        core == self.id || self.state().cores.is_heard(core)
    }

    /// What another core has written down so long ago; nothing where it is as it was.
    pub(in crate::presence) fn read(&self, core: Uuid, all: Option<&[u8]>, age: Duration) {
        let now = now();
        let written = now.0.checked_sub(age).unwrap_or(now.0);
        let mut state = self.state();
        match all {
            None => state.cores.renew(core, written),
            Some(all) => {
                let News { came, left, .. } = state.cores.read(core, users(all).collect(), written);
                self.take_in(state, came, left, false, now);
            }
        }
    }
}

impl State {
    fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    fn tell_all(&mut self, id: Uuid, words: &mut Vec<Word>) {
        let here: Vec<_> = self.people.here().collect();
        let mut pages = here.chunks(MAX_USERS);
        let mut kind = Kind::All;
        let mut page = pages.next().unwrap_or_default();
        loop {
            let next = pages.next();
            let (online, is_last) = (ids(page.iter().copied()), next.is_none());
            words.push(Word { online, is_last, ..Word::new(id, self.next_number(), kind) });
            let Some(next) = next else { return };
            (kind, page) = (Kind::More, next);
        }
    }

    fn tell_changes(&mut self, id: Uuid, users: HashSet<UserId>, words: &mut Vec<Word>) {
        let users: Vec<_> = users.into_iter().collect();
        for users in users.chunks(MAX_USERS) {
            let (online, offline): (Vec<_>, Vec<_>) =
                users.iter().copied().partition(|user| self.people.is_here(*user));
            let (online, offline) = (ids(online), ids(offline));
            words.push(Word { online, offline, ..Word::new(id, self.next_number(), Kind::Change) });
        }
    }
}
