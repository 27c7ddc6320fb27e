//! `--retain-messages`: what goes, and what stays right of what it was part of.

use std::time::{SystemTime, UNIX_EPOCH};

use netrox_harness::{Role, Store, TestChat, eventually};
use netrox_proto::v1::{ErrorReason, SendMessageRequest, Thread, ThreadState, User};
use uuid::Uuid;

use crate::{
    STORE,
    attachment::{dispatch, upload},
    refusal::assert_refused,
    running::{Core, text},
    search::{SEARCH, say_all},
    subscribe::Subscription,
};

mod model;

const DAY_MICROS: i64 = 24 * 3600 * 1_000_000;

/// Makes messages two days older.
pub(crate) async fn age(chat: &TestChat, ids: &[i64]) {
    for ids in ids.chunks(500) {
        let ids = ids.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
        let age = format!(
            "update messages set created = created - {0}, updated = updated - {0} where id in ({ids})",
            2 * DAY_MICROS
        );
        chat.change_rows(&[&age]).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "compared with what is stored")]
fn yesterday() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_micros();
    i64::try_from(now).expect("a time") - DAY_MICROS
}

/// How many messages are too old and there.
pub(crate) async fn due(chat: &TestChat) -> i64 {
    let before = yesterday();
    let due = "select count(*) from messages where removed is null and created <";
    chat.count(&format!("{due} {before}")).await
}

pub(crate) async fn none_is_due(chat: &TestChat) {
    eventually("nothing that is too old", async || (due(chat).await == 0).then_some(())).await;
}

/// Has the core keep messages for a day, and waits for what follows from it.
async fn retain(core: &mut Core) {
    core.process.set("retain-messages", "24h");
    core.kill_and_restart().await;
    none_is_due(&core.process).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_goes_with_all_that_was_kept_of_it() {
    let mut core = Core::start_with(&[SEARCH, ("max-storage-per-user", "1000")]).await;
    let [ada, bob, cyd] = core.users().await;
    let client_ref = Uuid::new_v4().to_string();
    let first = SendMessageRequest {
        client_ref: Some(client_ref.clone()),
        from_client: true,
        ..text(&ada, &bob, "lantern first")
    };
    let first = core.chat().send_message(first).await.expect("stored").into_inner().message_id;
    let mut old = vec![first];
    for body in ["lantern edited", "lantern hidden", "lantern deleted"] {
        old.push(core.say(&bob, &ada, body).await);
    }
    core.edit(&bob, old[1], "lantern anew").await.expect("edited");
    core.delete(&ada, old[2], false).await.expect("hidden");
    core.delete(&bob, old[3], true).await.expect("deleted");
    let shown = upload(&core, &ada, &bob, "shown.txt", b"shown").await.expect("stored");
    dispatch(&core, &ada, shown.id).await.expect("dispatched");
    let held = upload(&core, &ada, &bob, "held.txt", b"held back").await.expect("stored");
    let gone = upload(&core, &ada, &bob, "gone.txt", b"gone").await.expect("stored");
    core.delete(&ada, gone.id, true).await.expect("deleted");
    old.extend([shown.id, held.id, gone.id]);
    core.block(&bob, &ada).await.expect("blocked");
    old.push(core.say(&ada, &bob, "lantern swallowed").await);
    core.edit(&ada, first, "lantern held").await.expect("edited");
    core.unblock(&bob, &ada).await.expect("unblocked");
    let kept = core.say(&ada, &bob, "lantern kept").await;
    let file = upload(&core, &ada, &bob, "kept.txt", b"kept").await.expect("stored");
    dispatch(&core, &ada, file.id).await.expect("dispatched");
    let other = core.say(&cyd, &bob, "lantern of another").await;
    let states = [core.state(&ada, &bob).await, core.state(&bob, &ada).await];
    let mut places = Vec::new();
    for user in [&ada, &bob] {
        places.push((user, Subscription::open(&core, user).await.last_seq()));
    }
    core.keeps_files(3).await;

    age(&core.process, &old).await;
    retain(&mut core).await;
    core.keeps_files(1).await;
    for user in [&ada, &bob] {
        let peer = if *user == ada { &bob } else { &ada };
        let history = core.history(user, peer).await.expect("a history");
        let ids: Vec<_> = history.iter().map(|message| message.id).collect();
        assert_eq!(ids, [kept, file.id], "{history:?}");
        for id in &old {
            assert_refused(core.message(user, *id).await, ErrorReason::MessageNotFound);
            for for_everyone in [true, false] {
                let deleted = core.delete(user, *id, for_everyone).await;
                assert_refused(deleted, ErrorReason::MessageNotFound);
            }
        }
        for words in ["lantern swallowed", "lantern held"] {
            assert!(core.found(user, words).await.is_empty(), "{words}");
        }
    }
    assert_eq!(core.found(&ada, "lantern").await, [kept]);
    assert_eq!(core.found(&bob, "lantern").await, [other, kept]);
    assert_eq!(core.process.count("select count(*) from unindexed_messages").await, 0);
    assert_eq!(core.process.count("select bytes from user_storage").await, 4);
    // The reference is forgotten, and a message may not be answered that is gone.
    assert_refused(core.sent(&ada, &client_ref).await, ErrorReason::MessageNotFound);
    let reply = SendMessageRequest { reply_to_id: Some(first), ..text(&ada, &bob, "reply") };
    assert_refused(core.chat().send_message(reply).await, ErrorReason::MessageNotFound);
    assert_refused(dispatch(&core, &ada, held.id).await, ErrorReason::MessageNotFound);

    // Nobody was told.
    for (user, place) in places {
        assert_eq!(Subscription::open(&core, user).await.last_seq(), place);
    }
    let after = [core.state(&ada, &bob).await, core.state(&bob, &ada).await];
    for (before, after) in states.iter().zip(&after) {
        let ends = |state: &ThreadState| (state.last_id, state.seen_id, state.rev);
        assert_eq!(ends(before), ends(after));
    }
    assert_eq!((after[0].unread, after[1].unread), (0, 2));
    let mut feed = Subscription::after(&core, &bob, Some(0)).await;
    for id in [kept, file.id, other] {
        assert_eq!(feed.message().await.id, id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_of_which_all_is_gone_goes_on_where_it_was() {
    let mut core = Core::start().await;
    let [ada, bob, cyd] = core.users().await;
    let mut old = Vec::new();
    for body in ["one", "two", "three"] {
        old.push(core.say(&ada, &bob, body).await);
    }
    old.push(core.say(&bob, &ada, "four").await);
    old.push(core.say(&bob, &cyd, "to another").await);
    core.seen(&bob, &ada, old[1]).await.expect("marked");
    let place = Subscription::open(&core, &ada).await.last_seq();
    let states = [core.state(&ada, &bob).await, core.state(&bob, &ada).await];
    age(&core.process, &old).await;
    retain(&mut core).await;
    // Of each side of a thread the newest tells how far it has come.
    assert_eq!(core.process.count("select count(*) from messages").await, 3);
    // A second start, of a database without any message to speak of.
    core.kill_and_restart().await;
    for (user, peer, before) in [(&ada, &bob, &states[0]), (&bob, &ada, &states[1])] {
        assert_eq!(core.history(user, peer).await.expect("a history"), []);
        let thread = core.thread(user, peer).await.expect("a thread");
        assert_eq!(thread.last_message, None);
        let state = thread.state.expect("a state");
        let expected = ThreadState { unread: 0, ..before.clone() };
        assert_eq!(state, expected);
    }
    let peers = |threads: Vec<Thread>| -> Vec<_> {
        let other = |it: Thread| {
            let users: [Option<User>; 2] = [it.user_one, it.user_two];
            users.into_iter().flatten().map(|user| user.id).find(|id| *id != bob)
        };
        threads.into_iter().filter_map(other).collect()
    };
    assert_eq!(peers(core.threads(&bob).await.expect("threads")), [cyd.clone(), ada.clone()]);
    // Where it was, a subscription goes on; and a mark up to what is gone is one.
    let mut feed = Subscription::after(&core, &ada, Some(place)).await;
    let state = core.seen(&bob, &ada, old[3]).await.expect("marked");
    assert_eq!((state.seen_id, state.last_id), (old[3], old[3]));
    let new = core.say(&bob, &ada, "new").await;
    assert!(new > old[4], "{new} after {old:?}");
    assert_eq!(feed.message().await.id, new);
    assert_eq!(core.state(&ada, &bob).await.unread, 1);
    assert_eq!(peers(core.threads(&bob).await.expect("threads")), [ada.clone(), cyd]);

    // What was left goes as well, when there is a newer one.
    age(&core.process, &[new]).await;
    core.kill_and_restart().await;
    none_is_due(&core.process).await;
    let of_bob = format!("select count(*) from messages where id in ({}, {new})", old[3]);
    assert_eq!(core.process.count(&of_bob).await, 1);
    assert_eq!(core.state(&ada, &bob).await.last_id, new);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_after_it_was_killed_in_the_middle() {
    const OLD: usize = 6_000;
    let mut core = Core::start_with(&[SEARCH]).await;
    let [ada, bob] = core.users().await;
    let bodies: Vec<_> = (0..OLD + 50).map(|number| format!("lantern {number}")).collect();
    let ids = say_all(&core, &ada, &bob, &bodies).await;
    core.seen(&bob, &ada, ids[OLD + 9]).await.expect("marked");
    age(&core.process, &ids[..OLD]).await;
    core.process.set("retain-messages", "24h");
    core.kill_and_restart().await;
    let mut left = OLD as i64;
    for _ in 0..3 {
        left = eventually("a part that is gone", async || {
            let due = due(&core.process).await;
            (due < left || due == 0).then_some(due)
        })
        .await;
        core.kill_and_restart().await;
    }
    none_is_due(&core.process).await;
    let history = core.history(&bob, &ada).await.expect("a history");
    assert_eq!(history.iter().map(|message| message.id).collect::<Vec<_>>(), ids[OLD..]);
    let mut found = core.found(&bob, "lantern").await;
    found.reverse();
    assert_eq!(found, ids[OLD..]);
    let state = core.state(&bob, &ada).await;
    assert_eq!((state.last_id, state.unread), (ids[OLD + 49], 40));
    // Nothing is left of what is behind newer ones.
    assert_eq!(core.process.count("select count(*) from messages").await, 50);
    assert!(!core.log_contains("a new history of the database begins"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_imported_goes_by_its_time_and_not_by_its_id() {
    let mut core = Core::start().await;
    let [ada, bob, cyd] = core.users().await;
    let young = core.say(&ada, &bob, "young").await;
    let old = core.say(&ada, &cyd, "old").await;
    let last = core.say(&ada, &bob, "last").await;
    age(&core.process, &[old]).await;
    retain(&mut core).await;
    let history = core.history(&ada, &bob).await.expect("a history");
    assert_eq!(history.iter().map(|it| it.id).collect::<Vec<_>>(), [young, last]);
    assert_eq!(core.history(&ada, &cyd).await.expect("a history"), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_too_old_goes_while_the_core_runs() {
    let core = Core::start_with(&[("retain-messages", "2s"), ("allow-short-retention", "true")]);
    let core = core.await;
    let [ada, bob] = core.users().await;
    let first = core.say(&ada, &bob, "first").await;
    eventually("nothing of it", async || {
        core.history(&ada, &bob).await.expect("a history").is_empty().then_some(())
    })
    .await;
    assert_eq!(core.state(&bob, &ada).await.last_id, first);
    let metrics = core.process.admin(Role::Core(0)).get("/metrics").send().await;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(metrics.contains("netrox_chat_messages_removed_total 1"), "{metrics}");
}

/// What an earlier version has written does not say in all threads how far both sides have come.
#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_left_of_a_thread_that_does_not_tell_its_ends() {
    const UNKNOWN: &str =
        "select count(*) from threads where low_shown is null or high_shown is null
        or low_sent is null or high_sent is null";
    let mut core = Core::start().await;
    let [ada, bob, cyd] = core.users().await;
    let bodies: Vec<_> = (0..40).map(|number| number.to_string()).collect();
    let mut old = say_all(&core, &ada, &bob, &bodies).await;
    old.extend(say_all(&core, &cyd, &ada, &bodies).await);
    old.extend(say_all(&core, &bob, &cyd, &bodies).await);
    let states = [core.state(&bob, &ada).await.last_id, core.state(&ada, &bob).await.last_id];
    age(&core.process, &old).await;
    core.process
        .change_rows(&["update threads set low_shown = null, high_shown = null where id % 2 = 0"])
        .await;
    core.process
        .change_rows(&["update threads set low_sent = null, low_shown = null where id % 2 = 1"])
        .await;
    assert_eq!(core.process.count(UNKNOWN).await, 3);
    retain(&mut core).await;
    // One side of each has never written.
    assert_eq!(core.process.count("select count(*) from messages").await, 3);
    assert_eq!(core.process.count(UNKNOWN).await, 0);
    let after = [core.state(&bob, &ada).await.last_id, core.state(&ada, &bob).await.last_id];
    assert_eq!(after, states);
}

/// Behind what one has written oneself, of which no more is counted one by one, turns tell what is unread.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_unread_is_counted_where_the_beginning_of_a_turn_is_gone() {
    let mut core = Core::start().await;
    let [ada, bob] = core.users().await;
    let own: Vec<_> = (0..1_300).map(|number| number.to_string()).collect();
    say_all(&core, &bob, &ada, &own).await;
    let first = core.say(&ada, &bob, "first").await;
    core.say(&ada, &bob, "second").await;
    assert_eq!(core.state(&bob, &ada).await.unread, 2);
    age(&core.process, &[first]).await;
    retain(&mut core).await;
    assert_eq!(core.state(&bob, &ada).await.unread, 1);
}

#[tokio::test]
async fn without_it_nothing_is_paid_for_it() {
    const INDEX: &str = "select count(*) from sqlite_schema where name = 'messages_created'";
    if STORE != Store::Sqlite {
        return;
    }
    let mut core = Core::start().await;
    assert_eq!(core.process.count(INDEX).await, 0);
    core.process.set("retain-messages", "24h");
    core.kill_and_restart().await;
    assert_eq!(core.process.count(INDEX).await, 1);
    core.process.unset("retain-messages");
    core.kill_and_restart().await;
    assert_eq!(core.process.count(INDEX).await, 0);
}
