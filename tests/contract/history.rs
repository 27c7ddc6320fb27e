//! `ChatService`, the reading side: `GetMessage`, `ListMessages` and `ListThreads`.

use netrox_harness::Store;
use netrox_proto::v1::{ErrorReason, ListMessagesRequest, Message, UpsertUsersRequest, UserChange};
use uuid::Uuid;

use crate::{
    STORE,
    attachment::upload,
    pipeline::{IN_FLIGHT, Pipeline},
    refusal::{assert_alike, assert_invalid, assert_refused},
    running::{Core, collect, micros, text},
    send::malformed_ids,
};

/// Fills a conversation, both sides in turn, and returns it.
async fn conversation(core: &Core, one: &str, two: &str, messages: usize) -> Vec<Message> {
    let mut pipeline = Pipeline::open(core).await;
    for number in 0..messages {
        let (from, to) = if number % 2 == 0 { (one, two) } else { (two, one) };
        pipeline.message(number as u64, text(from, to, &number.to_string())).await;
        if number >= IN_FLIGHT {
            pipeline.answer().await.expect("an answer");
        }
    }
    pipeline.finish().await.expect("a good end");
    let history = core.history(one, two).await.expect("a history");
    let bodies: Vec<_> = (0..messages).map(|number| number.to_string()).collect();
    assert!(history.iter().map(|message| &message.body).eq(&bodies));
    history
}

fn page(one: &str, two: &str) -> ListMessagesRequest {
    ListMessagesRequest { user_id: one.into(), peer_id: two.into(), ..Default::default() }
}

/// What a list is to hold, computed the plain way.
fn expected(history: &[Message], request: &ListMessagesRequest) -> Vec<Message> {
    let mut messages: Vec<_> = history
        .iter()
        .filter(|message| request.after_id.is_none_or(|after| message.id > after))
        .filter(|message| request.before_id.is_none_or(|before| message.id < before))
        .cloned()
        .collect();
    if request.newest_first {
        messages.reverse();
    }
    if request.limit > 0 {
        messages.truncate(request.limit as usize);
    }
    messages
}

#[tokio::test]
async fn every_combination_of_bounds_limit_and_order_selects_what_it_says() {
    let core = Core::start().await;
    let [ada, bob, cyd] = core.users().await;
    // Ids of another conversation lie between, so that not every id in a range is a hit.
    core.send(&ada, &cyd, "first of all").await.expect("stored");
    let mut history = conversation(&core, &ada, &bob, 20).await;
    for _ in 0..5 {
        core.send(&cyd, &ada, "between").await.expect("stored");
        let id = core.send(&bob, &ada, "more").await.expect("stored").message_id;
        history.push(core.message(&ada, id).await.expect("visible"));
    }
    let (first, last) = (history[0].id, history[history.len() - 1].id);
    let bounds = [
        None,
        Some(i64::MIN),
        Some(-1),
        Some(0),
        Some(first - 1),
        Some(first),
        Some(history[10].id),
        Some(history[21].id - 1),
        Some(last),
        Some(last + 1),
        Some(i64::MAX),
    ];
    let mut tried = 0;
    for after_id in bounds {
        for before_id in bounds {
            for limit in [0, 1, 7, 25, i32::MAX] {
                for newest_first in [false, true] {
                    let request = ListMessagesRequest {
                        after_id,
                        before_id,
                        limit,
                        newest_first,
                        ..page(&ada, &bob)
                    };
                    let found = core.list(request.clone()).await.expect("a list");
                    assert_eq!(found, expected(&history, &request), "{request:?}");
                    tried += 1;
                }
            }
        }
    }
    assert_eq!(tried, 11 * 11 * 5 * 2);
}

/// As a client pages that shows the newest messages and scrolls back, and one that catches up.
#[tokio::test]
async fn paging_either_way_meets_every_message_once() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let history = conversation(&core, &ada, &bob, 1_003).await;
    for limit in [1, 100, 1_000] {
        let mut back = Vec::new();
        let mut before_id = None;
        loop {
            let request =
                ListMessagesRequest { before_id, limit, newest_first: true, ..page(&bob, &ada) };
            let found = core.list(request).await.expect("a page");
            let Some(oldest) = found.last() else { break };
            before_id = Some(oldest.id);
            back.extend(found);
            if limit == 1 && back.len() == 50 {
                break;
            }
        }
        let newest = history.iter().rev().take(back.len());
        assert!(back.iter().eq(newest));
        assert!(limit == 1 || back.len() == history.len());

        let mut forth = Vec::new();
        let mut after_id = None;
        loop {
            let request = ListMessagesRequest { after_id, limit, ..page(&bob, &ada) };
            let found = core.list(request).await.expect("a page");
            let Some(newest) = found.last() else { break };
            after_id = Some(newest.id);
            forth.extend(found);
            if limit == 1 && forth.len() == 50 {
                break;
            }
        }
        assert!(forth.iter().eq(history.iter().take(forth.len())));
        assert!(limit == 1 || forth.len() == history.len());
    }
}

#[tokio::test]
async fn the_first_response_carries_the_user_and_the_peer() {
    let core = Core::start().await;
    let [ada, bob, gone] = core.users().await;
    let email = |id: &String, email: &str| UserChange {
        id: id.clone(),
        email: Some(email.into()),
        ..Default::default()
    };
    let users = vec![email(&ada, "ada@x.y"), email(&gone, "gone@x.y")];
    core.directory().upsert_users(UpsertUsersRequest { users }).await.expect("upserted");
    core.delete_user(&gone).await.expect("deleted");
    let cases = [
        (&ada, &bob, [(&ada, "ada@x.y"), (&bob, "")]),
        (&bob, &ada, [(&bob, ""), (&ada, "ada@x.y")]),
        // A deleted user is still a peer, of whom nothing is known.
        (&bob, &gone, [(&bob, ""), (&gone, "")]),
        (&ada, &ada, [(&ada, "ada@x.y"), (&ada, "ada@x.y")]),
    ];
    for (user, peer, expected) in cases {
        let pages = core.chat().list_messages(page(user, &peer.to_uppercase())).await;
        let pages = collect(pages.expect("a list").into_inner()).await.expect("a list");
        assert_eq!(pages.len(), 1, "nothing where they have no conversation");
        assert_eq!(pages[0].messages, []);
        let users: Vec<_> =
            pages[0].users.iter().map(|user| (&user.id, user.email.as_str())).collect();
        if user == peer {
            assert!(users.iter().all(|user| *user == expected[0]), "{users:?}");
            assert!(!users.is_empty());
        } else {
            assert_eq!(users, expected);
        }
    }
}

#[tokio::test]
async fn a_list_is_refused_for_a_bad_field_or_an_unknown_user() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let nobody = Uuid::new_v4().to_string();
    for malformed in malformed_ids(&ada) {
        assert_invalid(core.list(page(&malformed, &bob)).await, "user_id");
        assert_invalid(core.list(page(&ada, &malformed)).await, "peer_id");
        assert_invalid(core.threads(&malformed).await, "user_id");
        assert_invalid(core.message(&malformed, 1).await, "user_id");
    }
    for limit in [-1, i32::MIN] {
        let request = ListMessagesRequest { limit, ..page(&ada, &bob) };
        assert_invalid(core.list(request).await, "limit");
    }
    assert_refused(core.list(page(&nobody, &bob)).await, ErrorReason::UserUnknown);
    assert_refused(core.list(page(&ada, &nobody)).await, ErrorReason::UserUnknown);
    assert_refused(core.threads(&nobody).await, ErrorReason::UserUnknown);
}

#[tokio::test]
async fn only_participants_find_a_message() {
    let core = Core::start().await;
    let [ada, bob, cyd] = core.users().await;
    let id = core.send(&ada, &bob, "hello").await.expect("stored").message_id;
    let found = core.message(&ada, id).await.expect("visible");
    assert_eq!(core.message(&bob.to_uppercase(), id).await.expect("visible"), found);
    let nobody = Uuid::new_v4().to_string();
    for user in [&cyd, &nobody] {
        assert_refused(core.message(user, id).await, ErrorReason::MessageNotFound);
        assert_alike(core.message(user, id).await, core.message(user, id + 1_000).await);
    }
    for bad in [0, -1, i64::MIN, 1 << 53, i64::MAX] {
        let code = core.message(&ada, bad).await.expect_err("refused").code();
        assert!(matches!(code, tonic::Code::NotFound | tonic::Code::InvalidArgument), "{code:?}");
    }
}

#[tokio::test]
async fn threads_come_most_recently_active_first() {
    let core = Core::start().await;
    let [ada] = core.users().await;
    let peers: [String; 30] = core.users().await;
    assert_eq!(core.threads(&ada).await.expect("threads"), []);
    let mut created = Vec::new();
    for (number, peer) in peers.iter().enumerate() {
        let (from, to) = if number % 2 == 0 { (&ada, peer) } else { (peer, &ada) };
        let sent = core.send(from, to, "hello").await.expect("stored");
        created.push((sent.thread_id, sent.created.expect("an instant")));
    }
    let peers_of = |threads: &[netrox_proto::v1::Thread]| -> Vec<String> {
        let ids = threads.iter().map(|thread| {
            let one = &thread.user_one.as_ref().expect("a user").id;
            let two = &thread.user_two.as_ref().expect("a user").id;
            assert!(*one == ada || *two == ada);
            if *one == ada { two.clone() } else { one.clone() }
        });
        ids.collect()
    };
    let mut order: Vec<_> = peers.iter().rev().cloned().collect();
    let threads = core.threads(&ada).await.expect("threads");
    assert_eq!(peers_of(&threads), order);
    for (number, thread) in threads.iter().rev().enumerate() {
        // Who wrote first stays the first.
        let first = if number % 2 == 0 { &ada } else { &peers[number] };
        assert_eq!(thread.user_one.as_ref().map(|user| &user.id), Some(first));
        assert_eq!((thread.id, thread.created), (created[number].0, Some(created[number].1)));
        assert_eq!(thread.last_activity, thread.created);
    }

    // A message of either side, or a file, brings a thread to the front and changes nothing else of it.
    for (peer, is_text) in [(3, true), (20, false), (7, true), (3, false), (29, true)] {
        let peer = &peers[peer];
        if is_text {
            core.send(peer, &ada, "again").await.expect("stored");
        } else {
            upload(&core, &ada, peer, "a.txt", b"x").await.expect("stored");
        }
        order.retain(|other| other != peer);
        order.insert(0, peer.clone());
        let threads = core.threads(&ada).await.expect("threads");
        assert_eq!(peers_of(&threads), order);
        let newest = core.history(&ada, peer).await.expect("a history").pop().expect("a message");
        assert_eq!(threads[0].last_activity, newest.created);
        assert_eq!(threads[0].id, newest.thread_id);
        let created: Vec<_> =
            threads.iter().map(|t| micros(&t.last_activity.expect("an instant"))).collect();
        assert!(created.windows(2).all(|pair| pair[0] >= pair[1]));
        assert_eq!(threads.len(), peers.len());
    }
}

/// Whom the user has talked to, in the order of the list.
async fn peers(core: &Core, user: &str) -> Vec<String> {
    let threads = core.threads(user).await.expect("threads");
    let peers = threads.into_iter().map(|thread| {
        let users = [thread.user_one, thread.user_two].map(|found| found.expect("a user").id);
        users.into_iter().find(|id| id != user).expect("a peer")
    });
    peers.collect()
}

/// A clock that was two days ahead is put right: who was written to meanwhile does not stay on top.
#[tokio::test]
async fn threads_are_in_the_order_of_commits_whatever_the_clock_says() {
    const AHEAD: &str = "+ 172800000000";
    let core = Core::start().await;
    let [ada, bob, cyd] = core.users().await;
    let id = core.send(&ada, &bob, "ahead").await.expect("stored").thread_id;
    core.process
        .change_rows(&[
            &format!("update messages set created = created {AHEAD}, updated = updated {AHEAD}"),
            &format!("update threads set last_activity = last_activity {AHEAD}"),
        ])
        .await;
    assert_eq!(peers(&core, &ada).await, std::slice::from_ref(&bob));
    core.send(&cyd, &ada, "in time").await.expect("stored");
    assert_eq!(peers(&core, &ada).await, [cyd.clone(), bob.clone()]);
    // What comes after it in the thread of the clock that was ahead comes after it in time, too.
    core.send(&bob, &ada, "later").await.expect("stored");
    assert_eq!(peers(&core, &ada).await, [bob.clone(), cyd.clone()]);
    core.send(&ada, &cyd, "now").await.expect("stored");
    assert_eq!(peers(&core, &ada).await, [cyd, bob.clone()]);
    assert_eq!(peers(&core, &bob).await, std::slice::from_ref(&ada));
    let threads = core.threads(&ada).await.expect("threads");
    assert_eq!(threads[1].id, id);
    assert!(
        threads[0].last_activity.map(|at| micros(&at))
            < threads[1].last_activity.map(|at| micros(&at))
    );
}

/// As a database of the version before: it has neither the newest messages of threads nor dates of claims.
#[tokio::test]
async fn an_older_database_is_brought_up_to_date() {
    let mut core = Core::start().await;
    let [ada, bob, cyd, dee] = core.users().await;
    for (sender, receiver) in [(&ada, &bob), (&cyd, &ada), (&ada, &dee), (&bob, &ada)] {
        core.send(sender, receiver, "before").await.expect("stored");
    }
    core.terminate();
    assert_eq!(core.exit_code().await, Some(0));
    let (forget, triggers, feeds) = match STORE {
        Store::Sqlite => (
            "delete from _sqlx_migrations where version >= 4",
            ["drop trigger messages_stored_file", "drop trigger messages_removed_file"],
            "select 1",
        ),
        Store::Postgres => (
            "delete from _sqlx_migrations where version >= 6",
            [
                "drop trigger messages_stored_file on messages",
                "drop trigger messages_removed_file on messages",
            ],
            "alter table feeds drop column has_blocks",
        ),
    };
    core.process
        .change_rows(&[
            triggers[0],
            triggers[1],
            "drop table erasures",
            "drop table if exists removed_file",
            "drop index messages_removed",
            "drop index if exists messages_created",
            "alter table messages drop column removed",
            "alter table uploads drop column erased",
            "drop table user_storage",
            "drop index messages_files",
            "drop index threads_begun",
            "drop table session_notices",
            "drop table if exists session_edges",
            "drop table if exists session_answers",
            "drop table spent_tickets",
            "drop table ticket_keys",
            "drop table thread_states",
            "drop index messages_turns",
            "alter table messages drop column reply_to",
            "alter table messages drop column meta",
            "alter table messages drop column hidden_for_sender",
            "alter table messages drop column hidden_for_receiver",
            "alter table messages drop column ref_from_client",
            "alter table messages drop column continues",
            "alter table threads drop column low_sent",
            "alter table threads drop column low_shown",
            "alter table threads drop column high_sent",
            "alter table threads drop column high_shown",
            "drop table blocks",
            "drop table hidden_users",
            "drop table last_seen",
            "drop table if exists rolls",
            feeds,
            "alter table messages drop column receiver_sees",
            "alter table threads drop column low_swallowed",
            "alter table threads drop column high_swallowed",
            "alter table threads drop column late_created",
            "alter table threads drop column late_one",
            "drop table message_words",
            "drop table unindexed_messages",
            "drop table search_build",
            "drop table sent_forms",
            "drop table external_ids",
            "alter table threads drop column last_message",
            "alter table threads drop column last_message_at",
            "alter table users drop column claims_issued",
            "alter table users drop column upserted",
            forget,
        ])
        .await;
    core.start_again().await;
    assert_eq!(peers(&core, &ada).await, [bob.clone(), dee.clone(), cyd.clone()]);
    core.send(&ada, &cyd, "after").await.expect("stored");
    assert_eq!(peers(&core, &ada).await, [cyd.clone(), bob.clone(), dee]);
    // What was not noted of what was there is counted.
    let state = core.state(&ada, &bob).await;
    assert_eq!((state.unread, state.last_id > 0), (1, true));
    assert_eq!(core.state(&cyd, &ada).await.unread, 1);
    assert_eq!(core.thread_page(&ada, 200, "").await.expect("a page").unread_total, 2);
}

#[tokio::test]
async fn a_user_with_many_threads_gets_them_all() {
    const THREADS: usize = 2_500;
    let core = Core::start().await;
    let [ada] = core.users().await;
    let peers: Vec<_> = (0..THREADS).map(|_| Uuid::new_v4().to_string()).collect();
    for some in peers.chunks(1_000) {
        core.upsert(some).await;
    }
    let mut pipeline = Pipeline::open(&core).await;
    for (number, peer) in peers.iter().enumerate() {
        pipeline.message(number as u64, text(&ada, peer, "hello")).await;
        if number >= IN_FLIGHT {
            pipeline.answer().await.expect("an answer");
        }
    }
    pipeline.finish().await.expect("a good end");
    let threads = core.threads(&ada).await.expect("threads");
    let found = threads.iter().map(|thread| &thread.user_two.as_ref().expect("a user").id);
    assert!(found.eq(peers.iter().rev()));
}

/// A page is cut off in the middle, and the conversation grows while it is read.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_may_be_left_and_may_meet_writers() {
    const MESSAGES: usize = 5_000;
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let history = conversation(&core, &ada, &bob, MESSAGES).await;
    for _ in 0..20 {
        let pages = core.chat().list_messages(page(&ada, &bob)).await.expect("a list");
        let mut pages = pages.into_inner();
        pages.message().await.expect("a page").expect("a page");
    }
    let writer = tokio::spawn({
        let (mut chat, ada, bob) = (core.connect().await.chat(), ada.clone(), bob.clone());
        async move {
            for number in 0..300 {
                let sent = chat.send_message(text(&ada, &bob, &format!("new {number}"))).await;
                sent.expect("stored");
            }
        }
    });
    while !writer.is_finished() {
        let found = core.history(&bob, &ada).await.expect("a history");
        assert!(found.starts_with(&history));
        let new = found[MESSAGES..].iter().map(|message| message.body.clone());
        assert!(new.eq((0..found.len() - MESSAGES).map(|number| format!("new {number}"))));
    }
    writer.await.expect("a writer");
    assert_eq!(core.history(&bob, &ada).await.expect("a history").len(), MESSAGES + 300);
}
