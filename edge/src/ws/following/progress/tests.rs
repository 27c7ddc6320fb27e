use std::collections::HashSet;

use netrox_proto::v1::{Message, ThreadState};
use proptest::prelude::*;

use super::*;

const EPOCH: &str = "0140004d.0000000002400000";

fn first(last_seq: u64, end_seq: u64) -> SubscribeResponse {
    SubscribeResponse {
        last_seq,
        end_seq: Some(end_seq),
        epoch: EPOCH.into(),
        ..Default::default()
    }
}

fn message(seq: u64, first_seq: u64) -> Event {
    let change = Some(Change::Message(Message::default()));
    Event { seq, first_seq, change, trace: None }
}

fn thread(seq: u64) -> Event {
    let change = Some(Change::Thread(ThreadState::default()));
    Event { seq, first_seq: 0, change, trace: None }
}

fn cursor(seq: u64, began: u64) -> Cursor {
    Cursor { epoch: EPOCH.parse().expect("an epoch"), seq, began }
}

fn live_at(seq: u64) -> Progress {
    let mut progress = Progress::at_end(&first(seq, seq)).expect("an epoch");
    assert!(progress.is_through() && !progress.wants_end());
    progress.go_live();
    progress
}

#[test]
fn what_happens_now_is_new_once() {
    let mut progress = live_at(10);
    assert_eq!(progress.take(&message(11, 11)), Some((cursor(11, 11), true)));
    assert_eq!(progress.take(&message(11, 11)), None, "a repetition of the core");
    assert_eq!(progress.take(&message(12, 11)), Some((cursor(12, 12), false)), "an edit");
    assert_eq!(progress.take(&thread(13)), Some((cursor(13, 13), false)));
    assert_eq!(progress.take(&message(14, 3)), Some((cursor(14, 14), false)), "an old one");
}

#[test]
fn a_catch_up_remembers_where_it_began_until_it_is_through() {
    let mut progress = Progress::resumed(cursor(10, 10), &first(10, 15)).expect("an epoch");
    assert_eq!(progress.cursor(), cursor(10, 10));
    assert!(!progress.is_through());
    assert_eq!(progress.take(&message(12, 12)), Some((cursor(12, 10), true)));
    assert_eq!(progress.take(&message(13, 4)), Some((cursor(13, 10), false)), "an old one");
    // First shown at 11, edited at 15.
    assert_eq!(progress.take(&message(15, 11)), Some((cursor(15, 10), true)));
    // What stood at 14 may have changed once more since the catch-up began.
    assert!(progress.is_through() && progress.wants_end());
    progress.set_end(15);
    assert!(progress.is_through() && !progress.wants_end());
    assert_eq!(progress.cursor(), cursor(15, 15));
}

#[test]
fn what_changes_during_a_catch_up_is_new_behind_its_end() {
    let mut progress = Progress::resumed(cursor(10, 10), &first(10, 12)).expect("an epoch");
    // 11 was edited, and stands at 13 now.
    assert_eq!(progress.take(&message(12, 12)), Some((cursor(12, 10), true)));
    assert!(progress.is_through() && progress.wants_end());
    progress.go_live();
    progress.set_end(13);
    assert_eq!(progress.cursor(), cursor(12, 10));
    assert_eq!(progress.take(&message(13, 11)), Some((cursor(13, 13), true)));
}

#[test]
fn a_catch_up_in_which_nothing_is_left_out_is_up_to_date_at_its_end() {
    let mut progress = Progress::resumed(cursor(10, 10), &first(10, 12)).expect("an epoch");
    assert_eq!(progress.take(&message(11, 11)), Some((cursor(11, 10), true)));
    assert_eq!(progress.take(&message(12, 12)), Some((cursor(12, 12), true)));
    assert!(progress.is_through() && !progress.wants_end());
}

#[test]
fn a_catch_up_that_broke_goes_on_with_what_it_remembers() {
    let mut progress = Progress::resumed(cursor(13, 10), &first(13, 15)).expect("an epoch");
    assert_eq!(progress.cursor(), cursor(13, 10));
    assert_eq!(progress.take(&message(15, 11)), Some((cursor(15, 10), true)));
}

#[test]
fn who_missed_nothing_is_up_to_date_at_once() {
    let progress = Progress::resumed(cursor(13, 10), &first(13, 13)).expect("an epoch");
    assert!(progress.is_through() && !progress.wants_end());
    assert_eq!(progress.cursor(), cursor(13, 13));
}

#[test]
fn the_end_of_a_catch_up_may_have_no_event() {
    let mut progress = Progress::resumed(cursor(10, 10), &first(10, 15)).expect("an epoch");
    progress.take(&message(11, 11));
    progress.reach(15);
    assert!(progress.is_through() && progress.wants_end());
    progress.set_end(15);
    assert_eq!(progress.cursor(), cursor(15, 15));
}

#[test]
fn places_that_were_left_out_are_remembered_while_live() {
    let mut progress = live_at(10);
    // 11 has changed since, and comes again.
    assert_eq!(progress.take(&message(12, 12)), Some((cursor(12, 10), true)));
    assert!(progress.wants_end());
    assert_eq!(progress.take(&message(13, 13)), Some((cursor(13, 10), true)));
    progress.set_end(14);
    assert!(!progress.wants_end());
    assert_eq!(progress.take(&message(14, 11)), Some((cursor(14, 14), true)));
    assert_eq!(progress.take(&message(15, 15)), Some((cursor(15, 15), true)));
}

#[test]
fn a_stream_that_breaks_while_live_is_caught_up_with() {
    let mut progress = live_at(10);
    progress.set_end(13);
    assert_eq!(progress.take(&message(12, 12)), Some((cursor(12, 10), true)));
    assert_eq!(progress.take(&message(13, 11)), Some((cursor(13, 10), true)));
    progress.set_end(13);
    assert_eq!(progress.cursor(), cursor(13, 13));
}

#[test]
fn another_epoch_is_told_with_the_next_cursor() {
    let mut progress = live_at(10);
    progress.enter("").expect("the same");
    progress.enter("0140004d.0000000002400001").expect("another");
    let (cursor, _) = progress.take(&message(11, 11)).expect("an event");
    assert_eq!(cursor.epoch.to_string(), "0140004d.0000000002400001");
    assert!(progress.enter("nonsense").is_err());
}

/// What happens to the messages of a feed: one that is new, or a change of one that is there.
fn feed() -> impl Strategy<Value = Vec<Option<prop::sample::Index>>> {
    prop::collection::vec(prop::option::of(any::<prop::sample::Index>()), 1..40)
}

proptest! {
    /// Whatever changes while it is read, and wherever the client breaks off with the cursor of the last frame, each message
    /// is shown as new in at least one frame that the client gets, and never after it was up to date with it.
    #[test]
    fn each_message_is_new_until_the_client_is_up_to_date(
        before in feed(), meanwhile in feed(), breaks in prop::collection::vec(1..6_usize, 1..20)
    ) {
        // Of each message its first place and its last.
        let mut messages: Vec<(u64, u64)> = Vec::new();
        let mut end = 0;
        let mut happen = |messages: &mut Vec<(u64, u64)>, what: &Option<prop::sample::Index>| {
            end += 1;
            match what {
                Some(index) if !messages.is_empty() => {
                    let index = index.index(messages.len());
                    messages[index].1 = end;
                }
                _ => messages.push((end, end)),
            }
            end
        };
        let mut last = 0;
        for what in &before {
            last = happen(&mut messages, what);
        }
        let mut meanwhile = meanwhile.iter();
        let mut cursor = cursor(0, 0);
        let mut shown_as_new = HashSet::new();
        let mut up_to_date = HashSet::new();
        for at_most in breaks.into_iter().chain([usize::MAX]) {
            let first = first(cursor.seq, last);
            let mut progress = Progress::resumed(cursor, &first).expect("an epoch");
            for _ in 0..at_most {
                if progress.wants_end() {
                    progress.set_end(last);
                }
                cursor = progress.cursor();
                if cursor.began == cursor.seq {
                    up_to_date.extend(shown_as_new.iter().copied());
                }
                let next = messages.iter().filter(|(_, place)| *place > cursor.seq);
                let Some(&(first_seq, place)) = next.min_by_key(|one| one.1) else { break };
                let (given, is_new) = progress.take(&message(place, first_seq)).expect("an event");
                if is_new {
                    prop_assert!(!up_to_date.contains(&first_seq), "it rings again");
                    shown_as_new.insert(first_seq);
                } else {
                    prop_assert!(shown_as_new.contains(&first_seq), "it never rang");
                }
                cursor = given;
                if let Some(what) = meanwhile.next() {
                    last = happen(&mut messages, what);
                }
            }
        }
        let all: HashSet<_> = messages.iter().map(|one| one.0).collect();
        prop_assert_eq!(all, shown_as_new);
        prop_assert_eq!(cursor.began, last);
    }
}
