//! What travels on the bus, one hint a user: a `SubscribeResponse`, as a subscription itself would send it, with what only cores
//! tell each other beside it. A hint without events says "look", and so does an event whose kind is not known.
//!
//! Before it stands whom it is for: the 16 bytes of the user's id, by which a core drops what nobody there waits for. A core
//! of before there were shares has the user in the subject instead; a copy for it is marked, and is none for other cores.
//!
//! A core of 0.1.0 tells no epoch. It knows messages alone, and leaves the message out where the user sent it.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use netrox_proto::{ids::UserId, request_id::RequestId, trace_context::TraceContext, v1};
use prost::Message as _;
use uuid::Uuid;

use crate::{
    change::{Change, Subject, ThreadSubject},
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
    /// It was published under the share of the user as well.
    #[prost(bool, tag = "2044")]
    is_copy: bool,
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
    /// The span that made the change; empty where it is not traced.
    #[prost(bytes = "vec", tag = "2043")]
    trace: Vec<u8>,
    /// The state of a thread has changed, which the store has.
    #[prost(bool, tag = "2044")]
    is_thread: bool,
    /// What asked for the change; empty where that is not known.
    #[prost(bytes = "vec", tag = "2045")]
    request_id: Vec<u8>,
    /// The start that the place before it is in, where that is another one.
    #[prost(int64, optional, tag = "2046")]
    prior_start: Option<i64>,
    /// The user sent the message, which is left out.
    #[prost(bool, tag = "2047")]
    is_sent: bool,
}

/// Of an address.
const ADDRESS_BYTES: usize = 16;
/// Of the mark of a copy.
const MARK_BYTES: usize = 8;

/// One hint a user, whatever the number of events, after whom it is for; one that is longer than `max_bytes` says "look".
pub(super) fn encode(
    changes: &[Change],
    history: &History,
    max_bytes: usize,
) -> Vec<(UserId, Bytes)> {
    let mut hints: BTreeMap<UserId, (Start, Hint)> = BTreeMap::new();
    for change in changes {
        let (start, hint) = hints.entry(change.to).or_default();
        *start = change.place.start;
        hint.last_seq = change.place.seq;
        hint.events.push(to_wire(change));
    }
    hints
        .into_iter()
        .map(|(user, (start, mut hint))| {
            hint.epoch = history.epoch(start).to_string();
            let len = ADDRESS_BYTES + hint.encoded_len();
            if len + MARK_BYTES > max_bytes {
                return (user, address(user));
            }
            let mut payload = Vec::with_capacity(len);
            payload.extend_from_slice(user.0.as_bytes());
            hint.encode_raw(&mut payload);
            (user, payload.into())
        })
        .collect()
}

/// Whom a hint is for, which says "look" where nothing follows.
pub(super) fn address(user: UserId) -> Bytes {
    Bytes::copy_from_slice(user.0.as_bytes())
}

/// Whom a hint is for, and what it says.
pub(super) fn addressee(payload: &[u8]) -> Option<(UserId, &[u8])> {
    let (user, payload) = payload.split_first_chunk::<ADDRESS_BYTES>()?;
    Some((UserId(Uuid::from_bytes(*user)), payload))
}

/// A hint as it goes to cores that have the user in the subject. Messages of Protocol Buffers that stand one after another
/// are one.
pub(super) fn copy(payload: &[u8]) -> Bytes {
    let mut copy = payload.get(ADDRESS_BYTES..).unwrap_or_default().to_vec();
    Hint { is_copy: true, ..Hint::default() }.encode_raw(&mut copy);
    copy.into()
}

pub(super) fn is_copy(payload: &[u8]) -> bool {
    Hint::decode(payload).is_ok_and(|hint| hint.is_copy)
}

fn to_wire(change: &Change) -> Event {
    let (message, is_sent) = match &change.subject {
        Subject::Received(message) => (Some(v1::Message::clone(message)), false),
        Subject::Sent(_) | Subject::SentElsewhere => (None, true),
        Subject::Thread(_) => (None, false),
    };
    let is_thread = matches!(change.subject, Subject::Thread(_));
    let Change { place, prior, first_seq, .. } = *change;
    let prior_start = (prior != place.start).then_some(prior.0);
    let request_id = change.request.as_ref().map(RequestId::to_bytes).unwrap_or_default();
    let trace = change.trace().map(TraceContext::to_bytes).unwrap_or_default();
    Event { seq: place.seq, message, first_seq, trace, is_thread, request_id, prior_start, is_sent }
}

/// What a hint says.
#[derive(Debug)]
pub(in crate::delivery) enum HintItem {
    Change(Change),
    /// Something changed for the user, which the store knows.
    Look(UserId),
}

/// A hint that makes no sense says "look", too.
pub(super) fn decode(payload: &[u8], user: UserId, history: &History) -> Vec<HintItem> {
    let hint = Hint::decode(payload).unwrap_or_default();
    let is_old = hint.epoch.is_empty();
    let start = if is_old { Some(Start::default()) } else { history.parse_epoch(&hint.epoch) };
    let Some(start) = start.filter(|_| !hint.events.is_empty()) else {
        return vec![HintItem::Look(user)];
    };
    let from_wire = |event: Event| {
        let Event { seq, message, first_seq, trace, is_thread, request_id, prior_start, is_sent } =
            event;
        let subject = match message {
            Some(message) => Subject::Received(Arc::new(message)),
            None if is_sent || is_old => Subject::SentElsewhere,
            None if is_thread => Subject::Thread(ThreadSubject::Elsewhere),
            None => return HintItem::Look(user),
        };
        let first_seq = if is_old { seq } else { first_seq };
        let prior = prior_start.map_or(start, Start);
        let request = RequestId::from_bytes(&request_id);
        let request = match TraceContext::from_bytes(&trace) {
            Some(trace) => request.map(|request| request.in_trace(Arc::new(trace))),
            None => request,
        };
        let place = Position { start, seq };
        HintItem::Change(Change { to: user, place, prior, first_seq, subject, request })
    };
    hint.events.into_iter().map(from_wire).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Start = Start(5 << 22);

    fn user(number: u128) -> UserId {
        UserId(Uuid::from_u128(number))
    }

    fn request() -> RequestId {
        let trace = TraceContext::new(7, 8, true, "a=1").expect("a span");
        RequestId::parse("mine").expect("an id").in_trace(Arc::new(trace))
    }

    fn change(to: UserId, seq: u64, sent: bool, body: &str) -> Change {
        let message = v1::Message { id: 7, body: body.into(), ..v1::Message::default() };
        let place = Position { start: START, seq };
        let message = Arc::new(message);
        let subject = if sent { Subject::Sent(message) } else { Subject::Received(message) };
        Change { to, place, prior: START, first_seq: seq, subject, request: Some(request()) }
    }

    fn history() -> History {
        History::of_test(START)
    }

    /// What is said to whom.
    fn opened(hints: &[(UserId, Bytes)], place: usize) -> &[u8] {
        let (user, payload) = addressee(&hints[place].1).expect("whom it is for");
        assert_eq!(user, hints[place].0);
        payload
    }

    /// The places and texts of what a hint says; no text is that of a message of the user's own.
    fn brought(payload: &[u8]) -> Vec<(u64, Option<String>)> {
        let place = |brought| match brought {
            HintItem::Change(Change { place, subject: Subject::Received(message), .. }) => {
                (place.seq, Some(message.body.clone()))
            }
            HintItem::Change(Change { place, subject: Subject::SentElsewhere, .. }) => {
                (place.seq, None)
            }
            other => panic!("{other:?}"),
        };
        decode(payload, user(1), &history()).into_iter().map(place).collect()
    }

    fn says_look(payload: &[u8]) -> bool {
        let brought = decode(payload, user(1), &history());
        matches!(brought[..], [HintItem::Look(whom)] if whom == user(1))
    }

    #[test]
    fn a_hint_carries_what_was_received_and_the_places_of_what_was_sent() {
        let (one, two) = (user(1), user(2));
        let changes =
            [change(one, 4, true, "a"), change(two, 9, false, "a"), change(one, 5, false, "b")];
        let hints = encode(&changes, &history(), MAX_BYTES);
        assert_eq!(hints.iter().map(|(user, _)| *user).collect::<Vec<_>>(), [one, two]);
        assert_eq!(brought(opened(&hints, 0)), [(4, None), (5, Some("b".to_owned()))]);
        for one in decode(opened(&hints, 0), one, &history()) {
            let HintItem::Change(change) = one else { panic!("{one:?}") };
            assert_eq!((change.to, change.place.start, change.prior), (user(1), START, START));
            assert!(change.is_new());
            assert_eq!(change.request, Some(request()));
        }
    }

    #[test]
    fn what_is_too_long_is_to_be_looked_up() {
        let user = user(1);
        for max_bytes in [MAX_BYTES, 1_000] {
            let encoded = |len| {
                let changes = [change(user, 4, false, &"x".repeat(len))];
                encode(&changes, &history(), max_bytes)
            };
            assert_eq!(encoded(max_bytes), [(user, address(user))]);
            assert_ne!(encoded(max_bytes / 2), [(user, address(user))]);
        }
        assert!(says_look(opened(&[(user, address(user))], 0)));
        assert!(says_look(&copy(&address(user))), "and so does its copy");
        assert_eq!(addressee(&address(user)[1..]), None);
    }

    /// What a core of 0.1.0 sends, and takes for its own.
    #[test]
    fn the_hints_of_an_older_core_are_understood_and_it_understands_ours() {
        let message = v1::Message { body: "a".into(), ..v1::Message::default() };
        let change_of_old = Some(v1::event::Change::Message(message));
        let sent = v1::Event { seq: 3, ..v1::Event::default() };
        let received = v1::Event { seq: 4, change: change_of_old, ..v1::Event::default() };
        let hint = v1::SubscribeResponse {
            events: vec![sent, received],
            last_seq: 4,
            epoch: String::new(),
            ..Default::default()
        };
        assert_eq!(brought(&hint.encode_to_vec()), [(3, None), (4, Some("a".to_owned()))]);

        let changes = [change(user(1), 4, true, "a"), change(user(1), 5, false, "b")];
        let ours = encode(&changes, &history(), MAX_BYTES);
        let ours = copy(&ours[0].1);
        let theirs = v1::SubscribeResponse::decode(&ours[..]).expect("a hint");
        let kinds: Vec<_> = theirs.events.iter().map(|event| event.change.is_some()).collect();
        assert_eq!((theirs.last_seq, kinds), (5, vec![false, true]));
        assert!(is_copy(&ours) && !is_copy(&hint.encode_to_vec()) && !is_copy(b""));
        assert_eq!(brought(&ours), [(4, None), (5, Some("b".to_owned()))]);
    }

    #[test]
    fn a_kind_of_change_that_is_not_known_is_to_be_looked_up() {
        // A later version's change, as field 9, of the place 4.
        let event = Event { seq: 4, ..Event::default() };
        let mut hint = Hint { events: vec![event], last_seq: 4, ..Hint::default() };
        hint.epoch = history().epoch(START).to_string();
        let mut payload = hint.encode_to_vec();
        assert!(says_look(&payload), "it is no message of the user's own");
        payload.truncate(1);
        assert!(says_look(&payload));
    }
}
