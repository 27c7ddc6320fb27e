//! What hints are published under: a fixed number of subjects, each for a share of the users.
//!
//! A subject for each user would route as closely as can be, and cost each core and the servers some KiB for every user who
//! is connected. A core listens to the subjects of its users' shares alone. One with a few users hears little of others;
//! one with thousands hears all hints, and drops those of strangers by their first bytes.

use netrox_proto::ids::UserId;
use uuid::Uuid;

/// Twice so many subscriptions of some 9 KiB are the most that a core has: of hints and of signals.
pub(super) const SHARES: usize = 256;

/// The share of a user; the same for all cores of all versions.
pub(super) fn share_of(user: UserId) -> usize {
    // UUIDs may be counted, or differ in a few bits alone: Fibonacci hashing spreads both halves over the upper bits.
    let (upper, lower) = user.0.as_u64_pair();
    let folded = upper.rotate_left(32) ^ lower;
    (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize
}

/// The subjects of one deployment. Those that share a server do not hear each other.
#[derive(Debug)]
pub(super) struct Subjects {
    shares: String,
    signals: String,
    words: String,
    users: String,
}

impl Subjects {
    pub(super) fn new(cluster: Uuid) -> Self {
        let cluster = cluster.as_simple();
        Self {
            shares: format!("netrox-chat.{cluster}.share."),
            signals: format!("netrox-chat.{cluster}.signal."),
            words: format!("netrox-chat.{cluster}.presence"),
            users: format!("netrox-chat.{cluster}.feed."),
        }
    }

    pub(super) fn of_share(&self, share: usize) -> String {
        format!("{}{share}", self.shares)
    }

    /// Of signals to users of a share.
    pub(super) fn of_signals(&self, share: usize) -> String {
        format!("{}{share}", self.signals)
    }

    /// Of what cores say of who is online.
    pub(super) fn of_words(&self) -> String {
        self.words.clone()
    }

    /// What a core of before there were shares publishes and listens to.
    pub(super) fn of_user(&self, user: UserId) -> String {
        format!("{}{}", self.users, user.0.as_simple())
    }

    pub(super) fn of_all_users(&self) -> String {
        format!("{}*", self.users)
    }

    pub(super) fn user(&self, subject: &str) -> Option<UserId> {
        Uuid::try_parse(subject.strip_prefix(&self.users)?).ok().map(UserId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_spread_however_their_ids_are_made() {
        const USERS: u128 = 100 * SHARES as u128;
        let counted = |number: u128| number;
        let in_the_upper_half = |number: u128| number << 64;
        let in_steps = |number: u128| number << 40;
        let drawn = |number: u128| number.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        for make in [counted, in_the_upper_half, in_steps, drawn] {
            let mut users_of = [0; SHARES];
            for number in 0..USERS {
                users_of[share_of(UserId(Uuid::from_u128(make(number))))] += 1;
            }
            let (least, most) = (users_of.iter().min(), users_of.iter().max());
            assert!(least > Some(&40) && most < Some(&200), "{least:?} to {most:?}");
        }
    }

    /// Cores of different builds have to agree.
    #[test]
    fn the_share_of_a_user_is_fixed() {
        let share = |text: &str| share_of(UserId(text.parse().expect("a UUID")));
        assert_eq!(share("00000000-0000-0000-0000-000000000001"), 158);
        assert_eq!(share("0d3c1f5e-9a1b-4c7d-8e2f-102030405060"), 116);
    }

    #[test]
    fn the_subject_of_a_user_tells_who_it_is() {
        let (subjects, user) = (Subjects::new(Uuid::from_u128(7)), UserId(Uuid::from_u128(1)));
        assert_eq!(subjects.user(&subjects.of_user(user)), Some(user));
        assert_eq!(subjects.user(&subjects.of_share(1)), None);
        assert_eq!(subjects.user(&subjects.of_all_users()), None);
    }
}
