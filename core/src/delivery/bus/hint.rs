//! What travels on the bus, one hint a user: a `SubscribeResponse`, as a subscription itself would send it, with what only cores
//! tell each other beside it. A hint without events says "look", and so does an event whose kind is not known.
//!
//! A core of 0.1.0 tells no epoch. It knows messages alone, and leaves the message out where the user sent it.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use netrox_proto::{ids::UserId, v1};
use prost::Message as _;

use crate::{
    delivery::hub::{Hub, LiveEvent},
    store::history::{History, Position, Start},
};

/// Beyond it the database is read instead.
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// A `SubscribeResponse`.
#[derive(Clone, PartialEq, prost::Message)]
struct Hint {
    #[prost(message, repeated, tag = "1")]
    events: Vec<Event>,
    #[prost(uint64, tag = "2")]
    last_seq: u64,
    /// Of the last event.
    #[prost(string, tag = "3")]
    epoch: String,
}

/// An `Event`.
#[derive(Clone, PartialEq, prost::Message)]
struct Event {
    #[prost(uint64, tag = "1")]
    seq: u64,
    #[prost(message, optional, tag = "2")]
    message: Option<v1::Message>,
    #[prost(uint64, tag = "3")]
    first_seq: u64,
    /// The start that the place before it is in, where that is another one.
    #[prost(int64, optional, tag = "2046")]
    prior_start: Option<i64>,
    /// The user sent the message, which is left out.
    #[prost(bool, tag = "2047")]
    is_sent: bool,
}

/// One hint a user, whatever the number of events; one that is longer than `max_bytes` says "look".
pub(super) fn encode(
    events: &[(UserId, LiveEvent)],
    history: &History,
    max_bytes: usize,
) -> Vec<(UserId, Bytes)> {
    let mut hints: BTreeMap<UserId, (Start, Hint)> = BTreeMap::new();
    for (user, event) in events {
        let (start, hint) = hints.entry(*user).or_default();
        *start = event.place.start;
        hint.last_seq = event.place.seq;
        hint.events.push(to_wire(event));
    }
    hints
        .into_iter()
        .map(|(user, (start, mut hint))| {
            hint.epoch = history.epoch(start).to_string();
            let fits = hint.encoded_len() <= max_bytes;
            (user, if fits { hint.encode_to_vec().into() } else { look() })
        })
        .collect()
}

fn to_wire(event: &LiveEvent) -> Event {
    Event {
        seq: event.place.seq,
        message: (!event.sent).then(|| v1::Message::clone(&event.message)),
        first_seq: event.first_seq,
        prior_start: (event.prior != event.place.start).then_some(event.prior.0),
        is_sent: event.sent,
    }
}

pub(super) fn look() -> Bytes {
    Bytes::new()
}

/// Passes a hint to the subscriptions of a user. One that makes no sense says "look", too.
pub(super) fn take_in(payload: &[u8], user: UserId, hub: &Hub, history: &History) {
    let hint = Hint::decode(payload).unwrap_or_default();
    let is_old = hint.epoch.is_empty();
    let start = if is_old { Some(Start::default()) } else { history.parse_epoch(&hint.epoch) };
    let Some(start) = start.filter(|_| !hint.events.is_empty()) else {
        return hub.check(user);
    };
    for Event { seq, message, first_seq, prior_start, is_sent } in hint.events {
        let place = Position { start, seq };
        let prior = prior_start.map_or(start, Start);
        match message {
            Some(message) => {
                let first_seq = if is_old { seq } else { first_seq };
                let message = Arc::new(message);
                hub.publish(user, &LiveEvent { place, prior, first_seq, sent: false, message });
            }
            None if is_sent || is_old => hub.publish_sent(user, place, prior),
            None => hub.check(user),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use uuid::Uuid;

    use super::*;
    use crate::delivery::hub::{Entry, Registration, Taken};

    const START: Start = Start(5 << 22);

    fn event(seq: u64, sent: bool, body: &str) -> LiveEvent {
        let message = v1::Message { id: 7, body: body.into(), ..v1::Message::default() };
        let place = Position { start: START, seq };
        LiveEvent { place, prior: START, first_seq: seq, sent, message: Arc::new(message) }
    }

    fn is_skipped(taken: Option<&Taken>, seq: u64) -> bool {
        let Some(Taken::Entry(Entry::Skipped(skipped))) = taken else { return false };
        (skipped.first, skipped.last.seq) == (seq, seq)
    }

    fn history() -> History {
        History::of_test(START)
    }

    fn take(registration: &Registration) -> Option<Taken> {
        match registration.poll_take(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(taken) => Some(taken),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_hint_carries_what_was_received_and_the_places_of_what_was_sent() {
        let (one, two) = (UserId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
        let events =
            [(one, event(4, true, "a")), (two, event(9, false, "a")), (one, event(5, false, "b"))];
        let hub = Hub::default();
        let listener = hub.register(one, true).expect("open");
        let hints = encode(&events, &history(), MAX_BYTES);
        assert_eq!(hints.iter().map(|(user, _)| *user).collect::<Vec<_>>(), [one, two]);
        take_in(&hints[0].1, one, &hub, &history());
        assert!(is_skipped(take(&listener).as_ref(), 4));
        match take(&listener) {
            Some(Taken::Entry(Entry::Event(event))) => {
                assert_eq!((event.place, event.first_seq), (Position { start: START, seq: 5 }, 5));
                assert_eq!((event.sent, &event.message.body[..]), (false, "b"));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_subscriber_to_everything_reads_what_was_sent_from_the_database() {
        let user = UserId(Uuid::from_u128(1));
        let hub = Hub::default();
        let listener = hub.register(user, false).expect("open");
        let hints = encode(&[(user, event(4, true, "a"))], &history(), MAX_BYTES);
        take_in(&hints[0].1, user, &hub, &history());
        assert!(matches!(take(&listener), Some(Taken::Behind)));
    }

    #[test]
    fn what_is_too_long_is_to_be_looked_up() {
        let user = UserId(Uuid::from_u128(1));
        for max_bytes in [MAX_BYTES, 1_000] {
            let encoded = |len| {
                let events = [(user, event(4, false, &"x".repeat(len)))];
                encode(&events, &history(), max_bytes)
            };
            assert_eq!(encoded(max_bytes), [(user, look())]);
            assert_ne!(encoded(max_bytes / 2), [(user, look())]);
        }
    }

    /// What a core of 0.1.0 sends, and takes for its own.
    #[test]
    fn the_hints_of_an_older_core_are_understood_and_it_understands_ours() {
        let user = UserId(Uuid::from_u128(1));
        let hub = Hub::default();
        let listener = hub.register(user, true).expect("open");
        let message = v1::Message { body: "a".into(), ..v1::Message::default() };
        let change = Some(v1::event::Change::Message(message));
        let sent = v1::Event { seq: 3, ..v1::Event::default() };
        let received = v1::Event { seq: 4, change, first_seq: 0 };
        let hint = v1::SubscribeResponse {
            events: vec![sent, received],
            last_seq: 4,
            epoch: String::new(),
        };
        take_in(&hint.encode_to_vec(), user, &hub, &history());
        assert!(is_skipped(take(&listener).as_ref(), 3));
        assert!(matches!(take(&listener), Some(Taken::Entry(Entry::Event(_)))));

        let events = [(user, event(4, true, "a")), (user, event(5, false, "b"))];
        let ours = encode(&events, &history(), MAX_BYTES);
        let theirs = v1::SubscribeResponse::decode(&ours[0].1[..]).expect("a hint");
        let kinds: Vec<_> = theirs.events.iter().map(|event| event.change.is_some()).collect();
        assert_eq!((theirs.last_seq, kinds), (5, vec![false, true]));
    }

    #[test]
    fn a_kind_of_change_that_is_not_known_is_to_be_looked_up() {
        let user = UserId(Uuid::from_u128(1));
        let hub = Hub::clustered();
        let listener = hub.register(user, true).expect("open");
        listener.start(Position { start: START, seq: 3 });
        drop(hub.take_to_check());
        // A later version's change, as field 9, of the place 4.
        let event = Event { seq: 4, ..Event::default() };
        let mut hint = Hint { events: vec![event], last_seq: 4, ..Hint::default() };
        hint.epoch = history().epoch(START).to_string();
        let mut payload = hint.encode_to_vec();
        take_in(&payload, user, &hub, &history());
        assert!(take(&listener).is_none(), "it is no message of the user's own");
        assert!(
            matches!(hub.take_to_check(), crate::delivery::hub::ToCheck::Some(users) if users.len() == 1)
        );
        payload.truncate(1);
        take_in(&payload, user, &hub, &history());
        assert!(
            matches!(hub.take_to_check(), crate::delivery::hub::ToCheck::Some(users) if users.len() == 1)
        );
    }
}
