//! What travels on the bus: a `SubscribeResponse`, as a subscription itself would send it. An event without a
//! change is a place of a message that the user sent; a response without events says "look".

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use netrox_proto::{ids::UserId, v1};
use prost::Message as _;

use crate::hub::{Hub, LiveEvent};

/// Beyond it the database is read instead.
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// One hint a user, whatever the number of events.
pub(super) fn encode(events: &[(UserId, LiveEvent)]) -> Vec<(UserId, Bytes)> {
    let mut hints: BTreeMap<UserId, v1::SubscribeResponse> = BTreeMap::new();
    for (user, event) in events {
        let hint = hints.entry(*user).or_default();
        hint.last_seq = event.seq;
        hint.events.push(to_wire(event));
    }
    hints
        .into_iter()
        .map(|(user, hint)| {
            let fits = hint.encoded_len() <= MAX_BYTES;
            (user, if fits { hint.encode_to_vec().into() } else { look() })
        })
        .collect()
}

fn to_wire(event: &LiveEvent) -> v1::Event {
    let message = (!event.sent).then(|| v1::Message::clone(&event.message));
    v1::Event { seq: event.seq, change: message.map(v1::event::Change::Message), first_seq: 0 }
}

pub(super) fn look() -> Bytes {
    Bytes::new()
}

/// Passes a hint to the subscriptions of a user. One that makes no sense says "look", too.
pub(super) fn take_in(payload: &[u8], user: UserId, hub: &Hub) {
    let hint = v1::SubscribeResponse::decode(payload).unwrap_or_default();
    if hint.events.is_empty() {
        hub.check(user);
    }
    for v1::Event { seq, change, .. } in hint.events {
        match change {
            Some(v1::event::Change::Message(message)) => {
                hub.publish(user, &LiveEvent { seq, sent: false, message: Arc::new(message) });
            }
            None => hub.publish_sent(user, seq),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use uuid::Uuid;

    use super::*;
    use crate::hub::{Entry, Registration, Taken};

    fn event(seq: u64, sent: bool, body: &str) -> LiveEvent {
        let message = v1::Message { id: 7, body: body.into(), ..v1::Message::default() };
        LiveEvent { seq, sent, message: Arc::new(message) }
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
        let hints = encode(&events);
        assert_eq!(hints.iter().map(|(user, _)| *user).collect::<Vec<_>>(), [one, two]);
        take_in(&hints[0].1, one, &hub);
        assert!(matches!(take(&listener), Some(Taken::Entry(Entry::Skipped(4, 4)))));
        match take(&listener) {
            Some(Taken::Entry(Entry::Event(LiveEvent { seq: 5, sent: false, message }))) => {
                assert_eq!(message.body, "b");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_subscriber_to_everything_reads_what_was_sent_from_the_database() {
        let user = UserId(Uuid::from_u128(1));
        let hub = Hub::default();
        let listener = hub.register(user, false).expect("open");
        take_in(&encode(&[(user, event(4, true, "a"))])[0].1, user, &hub);
        assert!(matches!(take(&listener), Some(Taken::Behind)));
    }

    #[test]
    fn what_is_too_long_is_to_be_looked_up() {
        let user = UserId(Uuid::from_u128(1));
        let long = "x".repeat(MAX_BYTES);
        assert_eq!(encode(&[(user, event(4, false, &long))]), [(user, look())]);
    }
}
