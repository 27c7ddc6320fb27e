//! Refusals, summed up: whoever is refused can be so a thousand times a second.
//!
//! Those that are alike (reason, service, user, method, address) are one line a second at most. Of all together there are
//! [`BURST`] lines at once and then one a second: what has to wait goes on counting. Beyond [`MAX_KINDS`] that wait, the
//! user and the address are left out.

use std::{
    collections::{VecDeque, vec_deque},
    time::{Duration, Instant},
};

use crate::{Refused, event::Event};

/// Lines at once.
pub(crate) const BURST: u32 = 60;
/// For one more.
const INTERVAL: Duration = Duration::from_secs(1);
/// That wait to be written, each apart.
const MAX_KINDS: usize = 64;
/// The same with those whose user and address are left out. There are no more kinds than reasons of ours and methods of services.
const MAX_WITHOUT_ADDRESS: usize = 1024;
/// The reason of what there is no room for.
const OVERFLOW: &str = "too_many_kinds";

#[derive(Debug)]
pub(crate) struct Refusals {
    /// The one that waits for longest comes first.
    waiting: VecDeque<Kind>,
    lines: u32,
    refilled: Instant,
}

#[derive(Debug)]
struct Kind {
    key: Key,
    /// Has the request of the first.
    first: Event,
    count: u64,
}

#[derive(Debug, PartialEq, Eq)]
struct Key {
    name: crate::Name,
    reason: String,
    actor: Option<String>,
    target: Option<String>,
    method: Option<&'static str>,
    peer: Option<std::net::IpAddr>,
}

impl Key {
    fn is(&self, refused: &Refused<'_>) -> bool {
        let Refused { name, reason, actor, target, method, peer } = *refused;
        self.name == name
            && self.peer == peer
            && self.method == method
            && self.reason == reason
            && self.actor.as_deref() == actor
            && self.target.as_deref() == target
    }
}

impl From<Refused<'_>> for Key {
    fn from(refused: Refused<'_>) -> Self {
        let Refused { name, reason, actor, target, method, peer } = refused;
        let (actor, target) = (actor.map(str::to_owned), target.map(str::to_owned));
        Self { name, reason: reason.to_owned(), actor, target, method, peer }
    }
}

impl Refusals {
    pub(crate) fn new(now: Instant) -> Self {
        Self { waiting: VecDeque::new(), lines: BURST, refilled: now }
    }

    pub(crate) fn count(&mut self, refused: Refused<'_>, event: impl FnOnce(Event) -> Event) {
        if let Some(kind) = self.waiting.iter_mut().find(|kind| kind.key.is(&refused)) {
            kind.count += 1;
            return;
        }
        let mut refused = refused;
        if self.waiting.len() >= MAX_KINDS {
            (refused.peer, refused.target) = (None, None);
            if let Some(kind) = self.waiting.iter_mut().find(|kind| kind.key.is(&refused)) {
                kind.count += 1;
                return;
            }
        }
        if self.waiting.len() >= MAX_WITHOUT_ADDRESS {
            // One of each name stands for what there is no room for, and says nothing of whom.
            refused = Refused { reason: OVERFLOW, actor: None, method: None, ..refused };
            if let Some(kind) = self.waiting.iter_mut().find(|kind| kind.key.is(&refused)) {
                kind.count += 1;
                return;
            }
        }
        let first = Event::new(refused.name)
            .outcome(crate::Outcome::Refused)
            .reason(refused.reason)
            .method(refused.method)
            .peer(refused.peer);
        let first = match refused.actor {
            Some(actor) => first.actor(actor),
            None => first,
        };
        let first = match refused.target {
            Some(target) => first.target(target),
            None => first,
        };
        self.waiting.push_back(Kind { key: refused.into(), first: event(first), count: 1 });
    }

    /// Those that may be written now.
    pub(crate) fn take(&mut self, now: Instant) -> impl Iterator<Item = Event> + use<> {
        let seconds = now.saturating_duration_since(self.refilled).as_secs() / INTERVAL.as_secs();
        let more = u32::try_from(seconds).unwrap_or(u32::MAX);
        self.refilled += INTERVAL * more;
        self.lines = self.lines.saturating_add(more).min(BURST);
        let count = self.waiting.len().min(self.lines as usize);
        self.lines -= count as u32;
        self.taken(count)
    }

    /// All of them: nothing is written after it.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = Event> + use<> {
        self.taken(self.waiting.len())
    }

    fn taken(
        &mut self,
        count: usize,
    ) -> std::iter::Map<vec_deque::IntoIter<Kind>, fn(Kind) -> Event> {
        let rest = self.waiting.split_off(count);
        let taken = std::mem::replace(&mut self.waiting, rest);
        taken.into_iter().map(|kind| kind.first.count(kind.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Name;

    fn by(peer: u32, reason: &'static str) -> Refused<'static> {
        let peer = Some(std::net::Ipv4Addr::from_bits(peer).into());
        let (name, actor, target, method) = (Name::AuthenticationRefused, None, None, None);
        Refused { name, reason, actor, target, method, peer }
    }

    fn lines(events: impl Iterator<Item = Event>) -> Vec<String> {
        let lines = events.flat_map(|event| event.lines("edge").expect("JSON"));
        lines.map(|line| String::from_utf8(line).expect("UTF-8")).collect()
    }

    #[test]
    fn those_that_are_alike_are_one_line_with_their_number() {
        let now = Instant::now();
        let mut refusals = Refusals::new(now);
        for id in ["first", "second", "third"] {
            refusals.count(by(1, "no_token"), |event| event.request_id(Some(id)));
        }
        refusals.count(by(1, "signature"), |event| event);
        let lines = lines(refusals.take(now));
        assert_eq!(lines.len(), 2, "{lines:?}");
        for part in ["\"count\":3", "\"request_id\":\"first\"", "\"peer\":\"0.0.0.1\"", "no_token"]
        {
            assert!(lines[0].contains(part), "{part}: {lines:?}");
        }
        assert_eq!(refusals.take(now).count(), 0);
    }

    #[test]
    fn beyond_all_room_nobody_is_named_who_was_not_refused() {
        let now = Instant::now();
        let mut refusals = Refusals::new(now);
        let by = |actor| Refused { actor: Some(actor), ..by(1, "read") };
        let names: Vec<_> = (0..2_000).map(|number| format!("service-{number}")).collect();
        for name in &names {
            refusals.count(by(name), |event| event);
        }
        let lines = lines(refusals.take_all());
        assert_eq!(lines.len(), MAX_WITHOUT_ADDRESS + 1);
        let last = lines.last().expect("a line");
        assert!(last.contains(OVERFLOW) && !last.contains("service-"), "{last}");
        assert!(last.contains("\"count\":976"), "{last}");
    }

    #[test]
    fn users_have_lines_of_their_own_while_there_is_room() {
        let now = Instant::now();
        let mut refusals = Refusals::new(now);
        let of = |target| Refused { target: Some(target), ..by(1, "storage") };
        let users: Vec<_> = (0..MAX_KINDS + 20).map(|number| format!("user-{number}")).collect();
        for user in users.iter().chain(&users) {
            refusals.count(of(user), |event| event);
        }
        let lines = lines(refusals.take_all());
        assert_eq!(lines.len(), MAX_KINDS + 1);
        for (line, user) in lines.iter().zip(&users).take(MAX_KINDS) {
            assert!(line.contains(&format!("\"{user}\"")), "{line}");
            assert!(line.contains("\"count\":2"), "{line}");
        }
        let last = lines.last().expect("a line");
        assert!(!last.contains("user-") && last.contains("\"count\":40"), "{last}");
    }

    #[test]
    fn an_attacker_with_many_addresses_gets_few_lines_and_every_refusal_is_counted() {
        let now = Instant::now();
        let mut refusals = Refusals::new(now);
        let mut counted = 0;
        let mut written = 0;
        let counts = |lines: &[String]| -> u64 {
            let number = |line: &String| {
                let rest = line.split("\"count\":").nth(1).expect("a count");
                rest.split(',').next().and_then(|text| text.parse::<u64>().ok()).expect("a number")
            };
            lines.iter().map(number).sum()
        };
        for second in 0..600 {
            for peer in 0..500 {
                refusals.count(by(second * 500 + peer, "signature"), |event| event);
            }
            let lines = lines(refusals.take(now + Duration::from_secs(second.into())));
            written += lines.len();
            counted += counts(&lines);
        }
        assert!(written <= BURST as usize + 600, "{written}");
        counted += counts(&lines(refusals.take_all()));
        assert_eq!(counted, 300_000);
    }
}
