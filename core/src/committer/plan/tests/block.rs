//! What a block does to what is sent, decided without a database.

use super::*;
use crate::{
    command::{Block, Edit, Mark, MarkKind},
    store::batch::{Marks, SwallowedRow},
};

fn block(blocks: bool) -> Block {
    Block { user: user(2), peer: user(1), blocks }
}

/// User 2 blocks user 1, who has sent the file 50 that waits, as far as it is not changed.
fn blocked(mut loaded: BatchData) -> BatchData {
    loaded.blocks.insert((UserKey(2), UserKey(1)));
    let mut progress = ThreadProgress::new(7, UserKey(1));
    for side in [UserKey(1), UserKey(2)] {
        *progress.of(side) = Progress { last_id: 50, ..*progress.of(side) };
    }
    loaded.progress.insert((UserKey(1), UserKey(2)), progress);
    loaded
}

fn told(plan: &Plan<'_>) -> Vec<UserId> {
    plan.changes.iter().map(|change| change.to).collect()
}

#[test]
fn what_is_sent_is_swallowed_from_the_block_on_and_until_it_ends() {
    let mut plan = Plan::new(loaded(0), NOW, Start(1));
    let (one, two, three) = (text(1, 2), text(1, 2), text(1, 2));
    stored(plan.send(&one));
    plan.block(&block(true)).expect("blocked");
    plan.block(&block(true)).expect("again");
    let swallowed = stored(plan.send(&two));
    plan.block(&block(false)).expect("unblocked");
    stored(plan.send(&three));
    plan.finish();
    let places: Vec<_> = plan.rows.messages.iter().map(|row| row.receiver_seq).collect();
    assert_eq!(places, [Some(11), None, Some(12)]);
    assert_eq!(feeds(&plan), [(UserKey(1), 13), (UserKey(2), 12)]);
    // Each is a turn of the same sender, whoever sees it.
    assert!(plan.rows.messages[2].continues);
    let row = SwallowedRow {
        thread_id: 7,
        low_swallowed: Some(swallowed.id),
        high_swallowed: None,
        late_created: None,
        late_one: None,
        knows_ends: true,
        messages: vec![swallowed.id],
    };
    assert_eq!(plan.rows.swallowed, [row]);
    let thread = plan.rows.activities[0].thread;
    assert_eq!((thread.low_sent, thread.low_shown), (Some(103), Some(103)));
    // In the end there is none.
    let blocks: Vec<_> = plan.rows.blocks.iter().collect();
    assert_eq!(blocks, [(&(UserKey(2), UserKey(1)), &None)]);
}

#[test]
fn a_thread_of_swallowed_messages_begins_for_the_other_where_they_see_it() {
    let new = BatchData { threads: std::collections::HashMap::new(), ..blocked(loaded(0)) };
    let mut plan = Plan::new(new, NOW, Start(1));
    let (one, two, three) = (text(1, 2), text(2, 1), text(1, 2));
    let first = stored(plan.send(&one));
    let shown = stored(plan.send(&two));
    stored(plan.send(&three));
    plan.finish();
    let [row] = &plan.rows.swallowed[..] else { panic!("{:?}", plan.rows.swallowed) };
    assert_eq!((row.late_one, row.late_created), (Some(UserKey(2)), Some(shown.created)));
    assert_eq!(row.low_swallowed, Some(103));
    assert_eq!(row.messages, [first.id, 103]);
    assert_eq!(plan.rows.activities[0].last_message, shown.id);
    let turns: Vec<_> = plan.rows.messages.iter().map(|row| row.continues).collect();
    assert_eq!(turns, [false, false, false]);
}

#[test]
fn a_file_that_is_dispatched_under_a_block_is_swallowed_for_good() {
    let mut data = blocked(with_file());
    let thread = data.threads.get_mut(&(UserKey(1), UserKey(2))).expect("there");
    // The other one wrote after it.
    thread.sent(UserKey(1), 50, false);
    thread.sent(UserKey(2), 60, true);
    let mut plan = Plan::new(data, NOW, Start(1));
    let edit = |body: &str| Edit {
        user: user(1),
        message_id: 50,
        body: body.into(),
        meta: None,
        window: None,
    };
    plan.edit(&edit("held back")).expect("edited");
    let dispatch = Dispatch { sender: user(1), message_id: 50 };
    assert!(!plan.dispatch(&dispatch).expect("dispatched").already);
    assert_eq!(plan.rows.changed[&50].receiver_sees, None, "there is nothing to see any more");
    assert_eq!(told(&plan), [user(1), user(1)]);
    plan.block(&block(false)).expect("unblocked");
    assert!(plan.dispatch(&dispatch).expect("dispatched before").already);
    plan.edit(&edit("x")).expect("edited");
    plan.finish();
    let row = &plan.rows.changed[&50];
    assert_eq!((row.receiver_seq, row.hidden_for_receiver), (None, true));
    assert_eq!(row.receiver_sees, None);
    let last = [user(1), user(2), user(1)];
    assert_eq!(told(&plan)[1..], last, "of the unblocking the blocker alone");
    assert!(!plan.rows.swallowed[0].knows_ends, "what is noted may be of the file");
}

#[test]
fn an_edit_leaves_behind_what_its_receiver_sees_until_there_is_no_block() {
    let mut data = blocked(with_file());
    data.messages.get_mut(&50).expect("there").message.receiver_seq = Some(9);
    let mut plan = Plan::new(data, NOW, Start(1));
    let edit = |body: &str| Edit {
        user: user(1),
        message_id: 50,
        body: body.into(),
        meta: None,
        window: None,
    };
    for body in ["two", "three"] {
        plan.edit(&edit(body)).expect("edited");
    }
    assert_eq!(told(&plan), [user(1), user(1)]);
    let kept = plan.loaded.messages[&50].clone().into_wire(Participant::Receiver);
    assert_eq!(kept.body, "a file");
    plan.block(&block(false)).expect("unblocked");
    plan.edit(&edit("three")).expect("edited");
    assert_eq!(told(&plan)[3..], [user(1), user(2)]);
    plan.finish();
    assert_eq!(plan.rows.changed[&50].receiver_sees, None);
}

#[test]
fn marks_under_a_block_are_told_to_nobody_else_and_stay_as_they_were_shown() {
    let mut plan = Plan::new(blocked(loaded(0)), NOW, Start(1));
    let mark = |number, peer, up_to| Mark {
        user: user(number),
        peer: user(peer),
        up_to,
        kind: MarkKind::Seen,
    };
    plan.mark(&mark(1, 2, 20)).expect("marked");
    plan.mark(&mark(1, 2, 30)).expect("marked");
    plan.mark(&mark(2, 1, 40)).expect("marked");
    assert_eq!(told(&plan), [user(1), user(1), user(2)]);
    plan.block(&block(false)).expect("unblocked");
    plan.mark(&mark(1, 2, 10)).expect("marked");
    assert_eq!(told(&plan)[3..], [user(2), user(2)], "the state, then the mark");
    plan.finish();
    let nothing = Some(Marks { seen_id: 0, delivered_id: 0 });
    let shown: Vec<_> =
        plan.rows.thread_states.iter().map(|row| (row.seen_id, row.shown)).collect();
    assert_eq!(shown, [(30, None), (40, nothing)]);
}

#[test]
fn nobody_blocks_who_is_not_known_and_a_block_without_a_thread_is_told_to_nobody() {
    let mut plan = Plan::new(loaded(0), NOW, Start(1));
    for (number, peer) in [(2, 9), (9, 2)] {
        let block = Block { user: user(number), peer: user(peer), blocks: true };
        assert!(matches!(plan.block(&block), Err(Error::UserUnknown)));
    }
    let deleted = Block { user: user(3), peer: user(1), blocks: true };
    assert!(matches!(plan.block(&deleted), Err(Error::UserDeleted)));
    plan.block(&block(true)).expect("blocked");
    plan.finish();
    assert!(plan.changes.is_empty() && plan.rows.thread_states.is_empty());
    assert_eq!(plan.rows.blocks.len(), 1);
    assert!(plan.rows.feeds.iter().all(|user| user.has_blocks && user.last_seq == 10));
}
