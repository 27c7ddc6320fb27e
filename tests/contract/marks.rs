//! `MarkSeen`, `MarkDelivered`, `GetThread`, pages of `ListThreads`: who got how far, and what is unread.

use netrox_proto::v1::{
    DeleteMessageRequest, ErrorReason, ThreadState, event::Change, send_messages_request::Request,
    send_messages_response::Result as Answer,
};
use uuid::Uuid;

use crate::{
    attachment::upload,
    pipeline::{IN_FLIGHT, Pipeline},
    refusal::{assert_invalid, assert_refused},
    running::{Core, text},
    subscribe::Subscription,
};

async fn next_state(subscription: &mut Subscription) -> ThreadState {
    match subscription.event().await.change {
        Some(Change::Thread(state)) => state,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn marks_are_told_to_both_and_never_go_back() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let mut ids = Vec::new();
    for body in ["one", "two", "three"] {
        ids.push(core.send(&ada, &bob, body).await.expect("stored").message_id);
    }
    assert_eq!(core.state(&bob, &ada).await.unread, 3);
    assert_eq!(core.state(&ada, &bob).await.unread, 0);
    let mut peers = Subscription::with_threads(&core, &ada, None).await;
    let mut own = Subscription::with_threads(&core, &bob, None).await;
    let state = core.delivered(&bob, &ada, ids[2]).await.expect("marked");
    assert_eq!((state.delivered_id, state.seen_id, state.unread), (ids[2], 0, 3));
    assert_eq!(next_state(&mut peers).await.peer_delivered_id, ids[2]);
    let state = core.seen(&bob, &ada, ids[1]).await.expect("marked");
    assert_eq!((state.seen_id, state.unread, state.last_id), (ids[1], 1, ids[2]));
    // What was delivered is told to the peer alone.
    let told = next_state(&mut own).await;
    assert_eq!((told.seen_id, told.delivered_id, told.unread), (ids[1], ids[2], 1));
    assert_eq!(next_state(&mut peers).await.peer_seen_id, ids[1]);
    // Lower and equal ones change nothing.
    for up_to in [ids[0], ids[1]] {
        assert_eq!(core.seen(&bob, &ada, up_to).await.expect("marked").seen_id, ids[1]);
    }
    let state = core.seen(&bob, &ada, ids[2]).await.expect("marked");
    assert_eq!((state.seen_id, state.unread), (ids[2], 0));
    assert_eq!(next_state(&mut own).await.seen_id, ids[2]);
    let seen: Vec<_> = core.history(&ada, &bob).await.expect("a history");
    assert!(seen.iter().all(|message| message.seen), "{seen:?}");
}

#[tokio::test]
async fn what_cannot_be_marked_is_refused() {
    let core = Core::start().await;
    let [ada, bob, cyd] = core.users().await;
    assert_refused(core.seen(&bob, &ada, 1).await, ErrorReason::ThreadNotFound);
    assert_refused(core.seen(&bob, &bob, 1).await, ErrorReason::UserUnknown);
    let file = upload(&core, &ada, &bob, "a.txt", b"text").await.expect("stored").id;
    // Nothing of the thread was shown to Bob.
    assert_refused(core.seen(&bob, &ada, file).await, ErrorReason::ThreadNotFound);
    assert_refused(core.thread(&bob, &ada).await, ErrorReason::ThreadNotFound);
    assert_eq!(core.state(&ada, &bob).await.last_id, file);
    let id = core.send(&ada, &bob, "one").await.expect("stored").message_id;
    assert_invalid(core.seen(&bob, &ada, id + 1).await, "up_to_id");
    assert_invalid(core.seen(&bob, &ada, 0).await, "up_to_id");
    assert_refused(core.seen(&cyd, &ada, id).await, ErrorReason::ThreadNotFound);
    core.delete_user(&ada).await.expect("deleted");
    core.seen(&bob, &ada, id).await.expect("the thread of a deleted peer stays");
}

#[tokio::test]
async fn what_is_deleted_or_hidden_is_not_unread() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let mut ids = Vec::new();
    for body in ["one", "two", "three", "four"] {
        ids.push(core.send(&ada, &bob, body).await.expect("stored").message_id);
    }
    core.seen(&bob, &ada, ids[0]).await.expect("marked");
    let mut own = Subscription::with_threads(&core, &bob, None).await;
    core.delete(&ada, ids[1], true).await.expect("deleted");
    assert!(matches!(own.event().await.change, Some(Change::Message(it)) if it.deleted));
    assert_eq!(next_state(&mut own).await.unread, 2);
    core.delete(&bob, ids[2], false).await.expect("hidden");
    assert!(matches!(own.event().await.change, Some(Change::Message(it)) if it.hidden));
    assert_eq!(next_state(&mut own).await.unread, 1);
    // Of what was seen, nothing changes in the thread.
    core.delete(&ada, ids[0], true).await.expect("deleted");
    assert!(matches!(own.event().await.change, Some(Change::Message(it)) if it.id == ids[0]));
    let next = core.send(&ada, &bob, "five").await.expect("stored").message_id;
    assert!(matches!(own.event().await.change, Some(Change::Message(it)) if it.id == next));
    assert_eq!(core.state(&bob, &ada).await.unread, 2);
}

#[tokio::test]
async fn a_file_dispatched_late_is_told_with_the_state_of_its_thread() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let file = upload(&core, &ada, &bob, "a.txt", b"text").await.expect("stored").id;
    let text = core.send(&ada, &bob, "one").await.expect("stored").message_id;
    assert_eq!(core.state(&bob, &ada).await.unread, 1);
    let mut own = Subscription::with_threads(&core, &bob, None).await;
    crate::attachment::dispatch(&core, &ada, file).await.expect("dispatched");
    assert!(matches!(own.event().await.change, Some(Change::Message(it)) if it.id == file));
    let state = next_state(&mut own).await;
    assert_eq!((state.unread, state.last_id), (2, text));
    // Above all that was shown, the message itself tells it.
    let file = upload(&core, &ada, &bob, "b.txt", b"text").await.expect("stored").id;
    crate::attachment::dispatch(&core, &ada, file).await.expect("dispatched");
    assert!(matches!(own.event().await.change, Some(Change::Message(it)) if it.id == file));
    let state = core.seen(&bob, &ada, file).await.expect("marked");
    assert_eq!((state.unread, state.last_id), (0, file));
    assert_eq!(next_state(&mut own).await.seen_id, file);
}

#[tokio::test]
async fn turns_are_counted_over_whatever_lies_between() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let mut marked = 0;
    for round in 0..4 {
        for _ in 0..3 {
            let id = core.send(&ada, &bob, "in").await.expect("stored").message_id;
            if round == 1 {
                marked = id;
            }
        }
        for _ in 0..5 {
            core.send(&bob, &ada, "out").await.expect("stored");
        }
    }
    assert_eq!(core.state(&bob, &ada).await.unread, 12);
    let state = core.seen(&bob, &ada, marked).await.expect("marked");
    assert_eq!(state.unread, 6);
    assert_eq!(core.state(&ada, &bob).await.unread, 20);
}

#[tokio::test]
async fn threads_are_paged_by_their_last_message() {
    let core = Core::start().await;
    let [ada] = core.users().await;
    let peers: [String; 5] = core.users().await;
    for peer in &peers {
        core.send(peer, &ada, "in").await.expect("stored");
    }
    core.send(&ada, &peers[1], "out").await.expect("stored");
    let expected = [1, 4, 3, 2, 0];
    let first = core.thread_page(&ada, 2, "").await.expect("a page");
    assert_eq!((first.unread_total, first.threads.len()), (5, 2));
    assert!(!first.epoch.is_empty() && first.last_seq == 6, "{first:?}");
    let (mut found, mut token) = (first.threads, first.next_page_token);
    while !token.is_empty() {
        let page = core.thread_page(&ada, 2, &token).await.expect("a page");
        found.extend(page.threads);
        token = page.next_page_token;
    }
    let order: Vec<_> = found
        .iter()
        .map(|thread| thread.state.as_ref().expect("a state").peer_id.clone())
        .collect();
    assert_eq!(order, expected.map(|place: usize| peers[place].clone()));
    assert_eq!(found[0].last_message.as_ref().expect("a message").body, "out");
    core.seen(&ada, &peers[0], found[4].state.as_ref().expect("a state").last_id)
        .await
        .expect("marked");
    assert_eq!(core.thread_page(&ada, 1, "").await.expect("a page").unread_total, 4);
    let none = core.thread_page(&ada, 0, "").await.expect("no threads");
    assert_eq!((none.unread_total, none.threads.len(), none.last_seq), (4, 0, 7));
    for (limit, token, field) in
        [(-1, "", "limit"), (201, "", "limit"), (1, "x", "page_token"), (1, "-1", "page_token")]
    {
        assert_invalid(core.thread_page(&ada, limit, token).await, field);
    }
}

/// Gives the ids of what is stored, in the order of the requests.
async fn all_done(core: &Core, requests: impl Iterator<Item = Request>) -> Vec<i64> {
    let mut pipeline = Pipeline::open(core).await;
    let mut ids = Vec::new();
    let mut asked = 0;
    for request in requests {
        pipeline.request(asked, request).await;
        asked += 1;
        if asked > IN_FLIGHT as u64 {
            ids.push(pipeline.next().await);
        }
    }
    while (ids.len() as u64) < asked {
        ids.push(pipeline.next().await);
    }
    ids.sort_unstable_by_key(|(request_id, _)| *request_id);
    let id = |(_, answer)| match answer {
        Answer::Message(message) => message.message_id,
        Answer::Delete(_) => 0,
        other => panic!("{other:?}"),
    };
    ids.into_iter().map(id).collect()
}

/// A thread whose messages the user has deleted looks unread until it is counted.
#[tokio::test]
async fn what_is_unread_is_found_behind_any_number_of_threads_that_are_not() {
    const THREADS: usize = 1_030;
    const LEFT: usize = 20;
    let core = Core::start().await;
    let [ada] = core.users().await;
    let peers: Vec<_> = (0..THREADS).map(|_| Uuid::new_v4().to_string()).collect();
    for some in peers.chunks(1_000) {
        core.upsert(some).await;
    }
    let requests = peers.iter().map(|peer| Request::Message(text(peer, &ada, "in")));
    let stored = all_done(&core, requests).await;
    // More are not counted.
    let unread = async || core.thread_page(&ada, 1, "").await.expect("a page").unread_total;
    assert_eq!(unread().await, 1_000);
    let deleted = stored[..THREADS - LEFT].iter().map(|message_id| {
        let (user_id, message_id) = (ada.clone(), *message_id);
        Request::Delete(DeleteMessageRequest { user_id, message_id, for_everyone: false })
    });
    all_done(&core, deleted).await;
    assert_eq!(unread().await, i32::try_from(LEFT).expect("few"));
}
