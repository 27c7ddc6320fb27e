//! Who is online, who has just left, and who is told of which. No I/O in here.
//!
//! A user is online as long as any edge has a socket of theirs, wherever that is reported. Others are told at once that a user
//! came, and some time after the last socket has gone that the user left: who comes back until then never left.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use netrox_proto::ids::UserId;
use tokio::time::Instant;

/// From the end of the last socket until others are told (PROTOCOL-2 section 4).
pub(crate) const GRACE: Duration = Duration::from_secs(10);
/// For how long after that it is remembered here when a user was last seen: by then it is stored.
const REMEMBERED: Duration = Duration::from_secs(120);

/// Where a socket is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// To this core.
    Here,
    /// To another.
    Elsewhere,
}

#[derive(Debug, Default)]
pub(super) struct People {
    all: HashMap<UserId, Person>,
    /// Users who left, in the order in which that is to be told.
    leaving: VecDeque<(Instant, UserId)>,
    /// Those of whom it was told, in the order in which they are forgotten.
    left: VecDeque<(Instant, UserId)>,
    online: usize,
}

#[derive(Debug, Default)]
struct Person {
    here: u32,
    elsewhere: u32,
    /// Others are told that the user is online.
    is_shown: bool,
    left: Option<Left>,
}

#[derive(Debug, Clone, Copy)]
struct Left {
    at: Instant,
    /// Since the epoch.
    minute: i64,
    /// It is this core's to store it.
    is_ours: bool,
}

/// What others are told of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Online,
    /// The minute since the epoch in which the user was last seen.
    Left(i64),
    /// Nothing of it is known here.
    Offline,
}

/// Of whom it is to be told that they left.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Gone {
    pub(super) users: Vec<UserId>,
    /// What is to be stored: minutes since the epoch.
    pub(super) to_store: Vec<(UserId, i64)>,
}

impl Person {
    fn places(&self) -> u32 {
        self.here.saturating_add(self.elsewhere)
    }

    fn count(&mut self, place: Place) -> &mut u32 {
        match place {
            Place::Here => &mut self.here,
            Place::Elsewhere => &mut self.elsewhere,
        }
    }
}

impl People {
    /// Whether it is to be told that the user is online.
    pub(super) fn arrive(&mut self, user: UserId, place: Place) -> bool {
        let person = self.all.entry(user).or_default();
        let count = person.count(place);
        *count = count.saturating_add(1);
        person.left = None;
        let is_news = !std::mem::replace(&mut person.is_shown, true);
        self.online += usize::from(is_news);
        is_news
    }

    /// Takes one place away. `is_ours`: nobody else stores when the user was last seen.
    pub(super) fn leave(
        &mut self,
        user: UserId,
        place: Place,
        is_ours: bool,
        (now, minute): (Instant, i64),
    ) {
        let Some(person) = self.all.get_mut(&user) else { return };
        let count = person.count(place);
        *count = count.saturating_sub(1);
        if person.places() == 0 && person.left.is_none() {
            person.left = Some(Left { at: now, minute, is_ours });
            self.leaving.push_back((now + GRACE, user));
        }
    }

    /// When there is something to be told next.
    pub(super) fn due(&self) -> Option<Instant> {
        self.leaving.front().map(|(due, _)| *due)
    }

    /// Those who have been away for long enough.
    pub(super) fn settle(&mut self, now: Instant) -> Gone {
        let mut gone = Gone::default();
        while let Some((_, user)) = self.leaving.pop_front_if(|(due, _)| *due <= now) {
            let Some(person) = self.all.get_mut(&user) else { continue };
            // One who came back and left again is due later.
            let Some(left) = person.left.filter(|left| left.at + GRACE <= now) else { continue };
            if std::mem::take(&mut person.is_shown) {
                self.online -= 1;
                gone.users.push(user);
                if left.is_ours {
                    gone.to_store.push((user, left.minute));
                }
                self.left.push_back((now + REMEMBERED, user));
            }
        }
        while let Some((_, user)) = self.left.pop_front_if(|(due, _)| *due <= now) {
            let is_over = |left: Left| left.at + GRACE + REMEMBERED <= now;
            if self.all.get(&user).is_some_and(|person| person.left.is_some_and(is_over)) {
                self.all.remove(&user);
            }
        }
        if self.all.is_empty() {
            *self = Self::default();
        }
        gone
    }

    pub(super) fn shown(&self, user: UserId) -> Shown {
        match self.all.get(&user) {
            Some(Person { is_shown: true, .. }) => Shown::Online,
            Some(Person { left: Some(left), .. }) => Shown::Left(left.minute),
            Some(_) | None => Shown::Offline,
        }
    }

    /// Whether a socket of the user is reported to this core.
    pub(super) fn is_here(&self, user: UserId) -> bool {
        self.all.get(&user).is_some_and(|person| person.here > 0)
    }

    pub(super) fn here(&self) -> impl Iterator<Item = UserId> {
        self.all.iter().filter(|(_, person)| person.here > 0).map(|(user, _)| *user)
    }

    /// When users were last seen with whom it is this core's to store it: those who are here, at `minute`, and those of whom it is
    /// not told yet that they left.
    pub(super) fn last_seen(&self, minute: i64) -> Vec<(UserId, i64)> {
        let seen = |(user, person): (&UserId, &Person)| {
            if person.here > 0 {
                return Some((*user, minute));
            }
            let left = person.left.filter(|left| left.is_ours && person.is_shown)?;
            Some((*user, left.minute))
        };
        self.all.iter().filter_map(seen).collect()
    }

    /// Of how many users others are told that they are online.
    pub(super) fn online(&self) -> usize {
        self.online
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;
    use uuid::Uuid;

    use super::*;

    fn user(number: u128) -> UserId {
        UserId(Uuid::from_u128(number))
    }

    fn leave(people: &mut People, number: u128, place: Place, minute: i64) {
        people.leave(user(number), place, place == Place::Here, (Instant::now(), minute));
    }

    #[tokio::test(start_paused = true)]
    async fn online_at_once_and_offline_after_the_grace() {
        let mut people = People::default();
        assert!(people.arrive(user(1), Place::Here));
        assert!(!people.arrive(user(1), Place::Elsewhere), "it is told once");
        leave(&mut people, 1, Place::Here, 7);
        assert_eq!(people.due(), None);
        leave(&mut people, 1, Place::Elsewhere, 8);
        advance(GRACE - Duration::from_millis(1)).await;
        assert_eq!(people.settle(Instant::now()), Gone::default());
        assert_eq!(people.shown(user(1)), Shown::Online);
        assert!(people.last_seen(9).is_empty(), "the other core stores it");
        advance(Duration::from_millis(1)).await;
        let gone = people.settle(Instant::now());
        assert_eq!(gone, Gone { users: vec![user(1)], to_store: vec![] }, "another stores it");
        assert_eq!((people.shown(user(1)), people.online()), (Shown::Left(8), 0));
        advance(REMEMBERED).await;
        people.settle(Instant::now());
        assert_eq!(people.shown(user(1)), Shown::Offline);
        assert!(people.all.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_back_in_time_never_left() {
        let mut people = People::default();
        people.arrive(user(1), Place::Here);
        for _ in 0..100 {
            leave(&mut people, 1, Place::Here, 7);
            advance(GRACE - Duration::from_millis(1)).await;
            assert_eq!(people.settle(Instant::now()), Gone::default());
            assert!(!people.arrive(user(1), Place::Here), "nothing is told");
        }
        leave(&mut people, 1, Place::Here, 9);
        advance(GRACE).await;
        let gone = people.settle(Instant::now());
        assert_eq!(gone, Gone { users: vec![user(1)], to_store: vec![(user(1), 9)] });
        assert!(people.arrive(user(1), Place::Here));
        assert!(people.leaving.len() < 3, "{}", people.leaving.len());
    }

    #[tokio::test(start_paused = true)]
    async fn what_leaves_twice_or_was_never_there_changes_nothing() {
        let mut people = People::default();
        leave(&mut people, 1, Place::Here, 7);
        people.arrive(user(1), Place::Here);
        leave(&mut people, 1, Place::Here, 7);
        advance(GRACE / 2).await;
        leave(&mut people, 1, Place::Here, 9);
        advance(GRACE / 2).await;
        let gone = people.settle(Instant::now());
        assert_eq!(gone.to_store, [(user(1), 7)]);
    }
}
