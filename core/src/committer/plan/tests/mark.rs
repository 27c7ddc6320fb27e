//! What is told of a thread after a mark, without counting.

use super::*;
use crate::{
    command::{Deletion, Mark, MarkKind},
    committer::answer::Marked,
};

/// User 1 has sent the file 50 to user 2, who has seen nothing of the thread, whose last message is 50 for both.
fn shown() -> BatchData {
    let mut loaded = with_file();
    loaded.messages.get_mut(&50).expect("there").message.receiver_seq = Some(9);
    let mut progress = ThreadProgress::new(7, UserKey(1));
    for (side, last_of_peer) in [(UserKey(1), Some(0)), (UserKey(2), Some(50))] {
        *progress.of(side) = Progress { last_id: 50, last_of_peer, ..Progress::default() };
    }
    loaded.progress.insert((UserKey(1), UserKey(2)), progress);
    loaded
}

fn seen(up_to: i64) -> Mark {
    Mark { user: user(2), peer: user(1), up_to, kind: MarkKind::Seen }
}

/// The last message, what is unread and the place, if they are known.
fn told(marked: Result<Marked, Error>) -> Option<(i64, i32, u64)> {
    let state = marked.expect("a mark").state?;
    assert_eq!((state.thread_id, &state.peer_id), (7, &user(1).to_string()));
    Some((state.last_id, state.unread, state.rev))
}

#[test]
fn a_mark_up_to_the_last_message_says_that_nothing_is_unread() {
    let mut plan = Plan::new(shown(), NOW, Start(1));
    assert_eq!(told(plan.mark(&seen(50))), Some((50, 0, 11)));
    // Again, and lower: nothing changes.
    assert_eq!(told(plan.mark(&seen(50))), Some((50, 0, 11)));
    assert_eq!(told(plan.mark(&seen(20))), Some((50, 0, 11)));
    let subjects: Vec<_> = plan.changes.iter().map(|it| (it.to, &it.subject)).collect();
    let [
        (to_reader, Subject::Thread(ThreadSubject::State(state))),
        (to_peer, Subject::Thread(ThreadSubject::State(of_peer))),
    ] = &subjects[..]
    else {
        panic!("{subjects:?}")
    };
    assert_eq!((*to_reader, *to_peer), (user(2), user(1)));
    assert_eq!((state.seen_id, state.delivered_id, state.peer_seen_id), (50, 50, 0));
    assert_eq!((of_peer.seen_id, of_peer.unread, of_peer.peer_seen_id), (0, 0, 50));
    plan.finish();
    let marks = plan.rows.thread_states.iter().map(|row| (row.user, row.seen_id, row.seq));
    assert_eq!(marks.collect::<Vec<_>>(), [(UserKey(1), 0, Some(11)), (UserKey(2), 50, Some(11))]);
}

#[test]
fn what_comes_in_the_same_batch_counts_from_where_it_comes() {
    let mut plan = Plan::new(shown(), NOW, Start(1));
    let (one, other) = (text(1, 2), text(1, 2));
    stored(plan.send(&one));
    assert_eq!(told(plan.mark(&seen(50))), Some((101, 1, 12)));
    stored(plan.send(&other));
    assert_eq!(told(plan.mark(&seen(101))), Some((102, 1, 14)));
    assert_eq!(told(plan.mark(&seen(102))), Some((102, 0, 15)));
}

#[test]
fn below_the_last_message_it_has_to_be_counted() {
    let mut plan = Plan::new(shown(), NOW, Start(1));
    assert_eq!(told(plan.mark(&seen(49))), None);
    let in_store =
        |change: &Change| matches!(change.subject, Subject::Thread(ThreadSubject::InStore(7)));
    assert_eq!(
        plan.changes.iter().filter(|it| in_store(it)).map(|it| it.to).collect::<Vec<_>>(),
        [user(2)]
    );
}

#[test]
fn one_that_changes_nothing_writes_nothing() {
    let mut loaded = shown();
    let progress = loaded.progress.get_mut(&(UserKey(1), UserKey(2))).expect("there");
    (progress.high.seen_id, progress.high.delivered_id) = (50, 50);
    let mut plan = Plan::new(loaded, NOW, Start(1));
    assert_eq!(told(plan.mark(&seen(50))), Some((50, 0, 10)));
    plan.finish();
    assert!(plan.rows.thread_states.is_empty() && plan.changes.is_empty());
}

#[test]
fn what_is_deleted_or_appears_in_the_same_batch_has_to_be_counted() {
    let deletion = Deletion { user: user(1), message_id: 50, for_everyone: true, window: None };
    let mut plan = Plan::new(shown(), NOW, Start(1));
    plan.delete(&deletion).expect("deleted");
    assert_eq!(told(plan.mark(&seen(50))), None);

    let mut loaded = shown();
    loaded.messages.get_mut(&50).expect("there").message.receiver_seq = None;
    let progress = loaded.progress.get_mut(&(UserKey(1), UserKey(2))).expect("there");
    let before = Progress { last_id: 40, last_of_peer: Some(40), ..Progress::default() };
    *progress.of(UserKey(2)) = before;
    let mut plan = Plan::new(loaded, NOW, Start(1));
    plan.dispatch(&Dispatch { sender: user(1), message_id: 50 }).expect("dispatched");
    assert_eq!(told(plan.mark(&seen(40))), None);
}
