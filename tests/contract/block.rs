//! `BlockUser`, `UnblockUser`, `ListBlocks`: whatever a blocked user does, the blocker is shown nothing of it.

use netrox_proto::v1::{
    BlockUserRequest, DownloadAttachmentRequest, ErrorReason, GetAttachmentRequest,
    ListBlocksRequest, ListMessagesRequest, Message, SendMessageRequest, SubscribeRequest,
    UnblockUserRequest, UploadAttachmentRequest, UploadFinish, UploadStart, event::Change,
    send_messages_request::Request, send_messages_response::Result as Answer,
    upload_attachment_request::Part,
};
use tonic::Response;
use uuid::Uuid;

use crate::{
    attachment::{chunk, dispatch, upload},
    pipeline::Pipeline,
    refusal::{assert_invalid, assert_refused, told},
    running::{Connection, Core, collect, text},
    subscribe::Subscription,
};

/// Each way in which one user's doing could reach another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WayIn {
    Send,
    Pipeline,
    Repetition,
    Upload,
    UploadAtOnce,
    DispatchOfUpload,
    Edit,
    EditOfSwallowed,
    DeletionOfSwallowed,
    Mark,
}

const WAYS_IN: [WayIn; 10] = [
    WayIn::Send,
    WayIn::Pipeline,
    WayIn::Repetition,
    WayIn::Upload,
    WayIn::UploadAtOnce,
    WayIn::DispatchOfUpload,
    WayIn::Edit,
    WayIn::EditOfSwallowed,
    WayIn::DeletionOfSwallowed,
    WayIn::Mark,
];

/// Uploads a file that is dispatched when it is stored.
async fn upload_at_once(core: &Core, sender: &str, receiver: &str) -> Message {
    let start = UploadStart {
        sender_id: sender.into(),
        file_name: "canary.txt".into(),
        dispatch: true,
        ..Default::default()
    };
    let finish =
        UploadFinish { receiver_id: receiver.into(), body: "canary".into(), ..Default::default() };
    let parts = [Part::Start(start), chunk(b"canary"), Part::Finish(finish)];
    let parts = parts.map(|part| UploadAttachmentRequest { part: Some(part) });
    let answer = core.attachment().upload_attachment(tokio_stream::iter(parts)).await;
    answer.expect("stored").into_inner().message.expect("a message")
}

/// What Bob does to Ada; gives the message and the file that came of it. `shared` is a message that both see.
async fn go_in(
    core: &Core,
    way: WayIn,
    bob: &str,
    ada: &str,
    shared: i64,
) -> (Option<i64>, Option<String>) {
    let file = |message: &Message| message.attachment.as_ref().expect("a file").path.clone();
    match way {
        WayIn::Send => {
            let sent = core.send(bob, ada, "canary").await.expect("stored");
            (Some(sent.message_id), None)
        }
        WayIn::Pipeline => {
            let mut pipeline = Pipeline::open(core).await;
            pipeline.message(1, text(bob, ada, "canary")).await;
            let (_, Answer::Message(sent)) = pipeline.next().await else { panic!("refused") };
            (Some(sent.message_id), None)
        }
        WayIn::Repetition => {
            let client_ref = Some(Uuid::new_v4().to_string());
            let request = SendMessageRequest { client_ref, ..text(bob, ada, "canary") };
            let first = core.chat().send_message(request.clone()).await.expect("stored");
            let again = core.chat().send_message(request).await.expect("stored").into_inner();
            assert!(again.repeated);
            assert_eq!(again.message_id, first.into_inner().message_id);
            (Some(again.message_id), None)
        }
        WayIn::Upload => {
            let message = upload(core, bob, ada, "canary.txt", b"canary").await.expect("stored");
            (Some(message.id), Some(file(&message)))
        }
        WayIn::UploadAtOnce => {
            let message = upload_at_once(core, bob, ada).await;
            assert!(message.attachment.as_ref().expect("a file").dispatched.is_some());
            (Some(message.id), Some(file(&message)))
        }
        WayIn::DispatchOfUpload => {
            let message = upload(core, bob, ada, "canary.txt", b"canary").await.expect("stored");
            let done = dispatch(core, bob, message.id).await.expect("dispatched");
            assert!(!done.already_dispatched);
            let again = dispatch(core, bob, message.id).await.expect("dispatched before");
            assert_eq!((again.dispatched, again.already_dispatched), (done.dispatched, true));
            (Some(message.id), Some(file(&message)))
        }
        WayIn::Edit => {
            assert_eq!(core.edit(bob, shared, "canary").await.expect("edited").body, "canary");
            (None, None)
        }
        WayIn::EditOfSwallowed => {
            let id = core.send(bob, ada, "canary").await.expect("stored").message_id;
            core.edit(bob, id, "canary, edited").await.expect("edited");
            (Some(id), None)
        }
        WayIn::DeletionOfSwallowed => {
            let id = core.send(bob, ada, "canary").await.expect("stored").message_id;
            core.delete(bob, id, true).await.expect("deleted");
            (Some(id), None)
        }
        WayIn::Mark => {
            let last_id = core.state(bob, ada).await.last_id;
            core.delivered(bob, ada, last_id).await.expect("marked");
            assert_eq!(core.seen(bob, ada, last_id).await.expect("marked").seen_id, last_id);
            (None, None)
        }
    }
}

/// All that Ada is shown of Bob, by each way out.
async fn view(core: &Connection, ada: &str, bob: &str) -> Vec<(&'static str, String)> {
    let history = |visible_only, newest_first| ListMessagesRequest {
        user_id: ada.into(),
        peer_id: bob.into(),
        visible_only,
        newest_first,
        ..Default::default()
    };
    let mut page = core.thread_page(ada, 50, "").await.expect("a page");
    let end = page.last_seq;
    page.epoch.clear();
    let mut feed = Vec::new();
    let mut subscription = Subscription::with_threads(core, ada, Some(0)).await;
    while subscription.last_seq() < end || subscription.has_more() {
        feed.push(subscription.event().await);
    }
    vec![
        ("history", format!("{:?}", core.list(history(false, false)).await)),
        ("newest first", format!("{:?}", core.list(history(true, true)).await)),
        ("threads", format!("{:?}", core.threads(ada).await)),
        ("page of threads", format!("{page:?}")),
        ("thread", format!("{:?}", core.thread(ada, bob).await.map_err(|it| told(&it)))),
        ("feed", format!("{feed:?}")),
    ]
}

/// What Ada is told of a message and a file by their names.
async fn asked_for(
    core: &Connection,
    (ada, bob): (&str, &str),
    message: Option<i64>,
    path: Option<String>,
) -> Vec<bool> {
    let mut found = Vec::new();
    if let Some(id) = message {
        found.push(core.message(ada, id).await.is_ok());
        found.push(dispatch(core, ada, id).await.is_ok());
        found.push(core.delete(ada, id, false).await.is_ok());
        let request = SendMessageRequest { reply_to_id: Some(id), ..text(ada, bob, "x") };
        found.push(core.chat().send_message(request).await.is_ok());
    }
    if let Some(path) = path {
        let user_id = Some(ada.to_owned());
        let request = GetAttachmentRequest { path: path.clone(), user_id: user_id.clone() };
        found.push(core.attachment().get_attachment(request).await.is_ok());
        let request = DownloadAttachmentRequest { path, user_id, ..Default::default() };
        let download = core.attachment().download_attachment(request).await;
        let got = match download.map(Response::into_inner) {
            Ok(chunks) => collect(chunks).await.is_ok(),
            Err(_) => false,
        };
        found.push(got);
    }
    found
}

#[tokio::test]
async fn whatever_a_blocked_user_does_the_blocker_is_shown_nothing_of_it() {
    let core = Core::start().await;
    for way in WAYS_IN {
        let [ada, bob, cyd, dan] = core.users().await;
        // Cyd does the same to Ada, who does not block her: so the view sees it.
        let mut shared = Vec::new();
        for sender in [&bob, &cyd] {
            shared.push(core.send(sender, &ada, "shared").await.expect("stored").message_id);
        }
        core.block(&ada, &bob).await.expect("blocked");
        core.block(&ada, &bob).await.expect("again");
        let before = view(&core, &ada, &bob).await;
        let mut own = Subscription::with_threads(&core, &bob, None).await;
        let mut watching = Subscription::with_threads(&core, &ada, None).await;
        let request =
            SubscribeRequest { user_id: ada.clone(), received_only: true, ..Default::default() };
        let mut documented = Subscription::try_open(&core, request).await.expect("a stream");
        let (id, path) = go_in(&core, way, &bob, &ada, shared[0]).await;
        assert_eq!(view(&core, &ada, &bob).await, before, "{way:?}");
        let found = asked_for(&core, (&ada, &bob), id, path.clone()).await;
        assert!(!found.contains(&true), "{way:?}: {found:?}");
        // Nor does a stream carry any of it.
        let next = core.send(&dan, &ada, "next").await.expect("stored").message_id;
        assert_eq!(watching.message().await.id, next, "{way:?}");
        assert_eq!(documented.message().await.id, next, "{way:?}");
        // The blocked one is shown all of it.
        assert!(own.event().await.change.is_some(), "{way:?}");
        if let Some(id) = id {
            let history = core.history(&bob, &ada).await.expect("a history");
            assert!(history.iter().any(|message| message.id == id), "{way:?}");
            assert_eq!(core.message(&bob, id).await.expect("visible").id, id);
            assert_eq!(core.state(&bob, &ada).await.last_id, id);
            let first = core.threads(&bob).await.expect("threads").remove(0);
            assert_eq!(first.id, core.state(&bob, &ada).await.thread_id);
        }
        if let Some(path) = path {
            let found = asked_for(&core, (&bob, &ada), None, Some(path)).await;
            assert_eq!(found, [true, true], "{way:?}");
        }
        // Nothing comes back.
        let before = view(&core, &ada, &bob).await;
        core.unblock(&ada, &bob).await.expect("unblocked");
        core.unblock(&ada, &bob).await.expect("again");
        let after = view(&core, &ada, &bob).await;
        for (before, after) in before.iter().zip(&after).take(3) {
            assert_eq!(after, before, "{way:?}");
        }
        assert!(!format!("{after:?}").contains("canary"), "{way:?}: {after:?}");
        let found = asked_for(&core, (&ada, &bob), id, None).await;
        assert!(!found.contains(&true), "{way:?}: {found:?}");
        // One who is not blocked is seen by it.
        let before = view(&core, &ada, &cyd).await;
        go_in(&core, way, &cyd, &ada, shared[1]).await;
        assert_ne!(view(&core, &ada, &cyd).await, before, "{way:?}");
        // And so is Bob from now on.
        let id = core.send(&bob, &ada, "after it").await.expect("stored").message_id;
        let history = core.history(&ada, &bob).await.expect("a history");
        assert_eq!(history.last().expect("a message").id, id);
        assert_eq!(core.state(&ada, &bob).await.last_id, id);
    }
}

#[tokio::test]
async fn a_blocked_first_contact_makes_no_thread_and_begins_where_it_is_seen() {
    let core = Core::start().await;
    let [ada, bob, cyd] = core.users().await;
    core.block(&ada, &bob).await.expect("blocked");
    let before = view(&core, &ada, &bob).await;
    let first = core.send(&bob, &ada, "canary").await.expect("stored").message_id;
    upload(&core, &bob, &ada, "canary.txt", b"canary").await.expect("stored");
    assert_eq!(view(&core, &ada, &bob).await, before);
    assert_eq!(core.threads(&ada).await.expect("threads"), []);
    assert_refused(core.thread(&ada, &bob).await, ErrorReason::ThreadNotFound);
    assert_refused(core.seen(&ada, &bob, first).await, ErrorReason::ThreadNotFound);
    let of_bob = core.threads(&bob).await.expect("threads");
    assert_eq!(of_bob[0].user_one.as_ref().expect("a user").id, bob);
    // The blocker may go on writing, and is read.
    let sent = core.send(&ada, &bob, "hello").await.expect("stored");
    assert_eq!(core.history(&bob, &ada).await.expect("a history").len(), 3);
    let of_ada = core.threads(&ada).await.expect("threads");
    assert_eq!(of_ada[0].user_one.as_ref().expect("a user").id, ada);
    assert_eq!((of_ada[0].created, of_ada[0].last_activity), (sent.created, sent.created));
    assert_eq!(core.threads(&bob).await.expect("threads")[0].created, of_bob[0].created);
    assert_eq!(core.state(&ada, &bob).await.last_id, sent.message_id);
    // What is swallowed moves the thread for its sender alone.
    core.send(&cyd, &ada, "hello").await.expect("stored");
    core.send(&cyd, &bob, "hello").await.expect("stored");
    let swallowed = core.send(&bob, &ada, "canary").await.expect("stored");
    let order = |threads: Vec<netrox_proto::v1::Thread>| {
        threads.iter().map(|thread| thread.id).collect::<Vec<_>>()
    };
    let thread = sent.thread_id;
    assert_eq!(order(core.threads(&ada).await.expect("threads"))[1], thread);
    assert_eq!(order(core.threads(&bob).await.expect("threads"))[0], thread);
    assert_eq!(order(core.thread_page(&ada, 9, "").await.expect("a page").threads)[1], thread);
    assert_eq!(order(core.thread_page(&bob, 9, "").await.expect("a page").threads)[0], thread);
    let of_ada = core.threads(&ada).await.expect("threads");
    assert_eq!(of_ada[1].last_activity, sent.created);
    assert_ne!(swallowed.created, sent.created);
    // Two who block each other: each sees their own alone, and their own beginning.
    let [eve, fay] = core.users().await;
    core.block(&eve, &fay).await.expect("blocked");
    core.block(&fay, &eve).await.expect("blocked");
    let of_eve = core.send(&eve, &fay, "one").await.expect("stored");
    let of_fay = core.send(&fay, &eve, "two").await.expect("stored");
    for (user, peer, sent) in [(&eve, &fay, of_eve), (&fay, &eve, of_fay)] {
        let history = core.history(user, peer).await.expect("a history");
        assert_eq!(history.iter().map(|it| it.id).collect::<Vec<_>>(), [sent.message_id]);
        let threads = core.threads(user).await.expect("threads");
        assert_eq!(&threads[0].user_one.as_ref().expect("a user").id, user);
        assert_eq!(threads[0].created, sent.created);
        assert_eq!(core.state(user, peer).await.last_id, sent.message_id);
    }
}

#[tokio::test]
async fn a_file_that_waited_is_gone_when_it_is_dispatched_under_a_block() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let file = upload(&core, &bob, &ada, "canary.txt", b"canary").await.expect("stored");
    assert_eq!(core.threads(&ada).await.expect("threads").len(), 1);
    core.block(&ada, &bob).await.expect("blocked");
    dispatch(&core, &bob, file.id).await.expect("dispatched");
    assert_eq!(core.history(&ada, &bob).await.expect("a history"), []);
    assert_eq!(core.threads(&ada).await.expect("threads"), []);
    let path = file.attachment.expect("a file").path;
    assert!(!asked_for(&core, (&ada, &bob), Some(file.id), Some(path)).await.contains(&true));
    assert_eq!(core.threads(&bob).await.expect("threads").len(), 1);
    assert_eq!(core.state(&bob, &ada).await.last_id, file.id);
    core.unblock(&ada, &bob).await.expect("unblocked");
    assert_eq!(core.history(&ada, &bob).await.expect("a history"), []);
    let id = core.send(&bob, &ada, "hello").await.expect("stored").message_id;
    assert_eq!(core.state(&ada, &bob).await.last_id, id);
    assert_eq!(core.state(&ada, &bob).await.unread, 1);
}

#[tokio::test]
async fn a_blocked_user_goes_on_to_see_their_own_newest_message_whoever_wrote_before() {
    let core = Core::start().await;
    let [ada, bob, cyd] = core.users().await;
    // The blocked one is the later user of the two, and the earlier.
    for (ada, bob) in [(&ada, &bob), (&cyd, &ada)] {
        let file = upload(&core, bob, ada, "canary.txt", b"canary").await.expect("stored");
        core.block(ada, bob).await.expect("blocked");
        // What the thread notes of its ends is that file.
        dispatch(&core, bob, file.id).await.expect("dispatched");
        let sent = core.send(ada, bob, "hello").await.expect("stored");
        for _ in 0..2 {
            let id = core.send(bob, ada, "canary").await.expect("stored").message_id;
            assert_eq!(core.state(bob, ada).await.last_id, id);
            let page = core.thread_page(bob, 1, "").await.expect("a page");
            assert_eq!(page.threads[0].id, sent.thread_id);
            assert_eq!(page.threads[0].last_message.as_ref().expect("a message").id, id);
            assert_eq!(core.seen(bob, ada, id).await.expect("marked").last_id, id);
        }
        let state = core.state(ada, bob).await;
        assert_eq!((state.last_id, state.unread), (sent.message_id, 0));
        // The blocked one has marked what the blocker never sees.
        let peer = (state.peer_seen_id, state.peer_delivered_id);
        core.unblock(ada, bob).await.expect("unblocked");
        assert_eq!(peer, (0, 0));
        core.delivered(bob, ada, sent.message_id).await.expect("marked");
        let mut watching = Subscription::with_threads(&core, ada, None).await;
        let told = core.seen(ada, bob, sent.message_id).await.expect("marked");
        let Some(Change::Thread(event)) = watching.event().await.change else { panic!() };
        for state in [core.state(ada, bob).await, told, event] {
            let peer = (state.peer_seen_id, state.peer_delivered_id);
            assert_eq!(peer, (sent.message_id, sent.message_id));
        }
        let id = core.send(bob, ada, "after it").await.expect("stored").message_id;
        let state = core.state(ada, bob).await;
        assert_eq!((state.last_id, state.unread), (id, 1));
    }
}

#[tokio::test]
async fn a_file_that_waited_before_a_newer_message_is_gone_too_under_a_block() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let shown = core.send(&bob, &ada, "shown").await.expect("stored").message_id;
    let file = upload(&core, &bob, &ada, "canary.txt", b"canary").await.expect("stored");
    let sent = core.send(&ada, &bob, "hello").await.expect("stored").message_id;
    core.block(&ada, &bob).await.expect("blocked");
    dispatch(&core, &bob, file.id).await.expect("dispatched");
    core.send(&bob, &ada, "canary").await.expect("stored");
    let state = core.state(&ada, &bob).await;
    assert_eq!((state.last_id, state.unread), (sent, 1));
    core.seen(&ada, &bob, shown).await.expect("marked");
    assert_eq!(core.state(&ada, &bob).await.unread, 0);
    core.unblock(&ada, &bob).await.expect("unblocked");
    assert_eq!(core.thread_page(&ada, 0, "").await.expect("a page").unread_total, 0);
    let id = core.send(&bob, &ada, "after it").await.expect("stored").message_id;
    let state = core.state(&ada, &bob).await;
    assert_eq!((state.last_id, state.unread), (id, 1));
}

#[tokio::test]
async fn an_edit_under_a_block_is_shown_when_it_is_made_again_without_one() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let id = core.send(&bob, &ada, "one").await.expect("stored").message_id;
    let shown = core.message(&ada, id).await.expect("visible");
    core.block(&ada, &bob).await.expect("blocked");
    core.edit_with(&bob, id, "two", Some("{}")).await.expect("edited");
    core.edit_with(&bob, id, "three", Some("{}")).await.expect("edited");
    core.unblock(&ada, &bob).await.expect("unblocked");
    assert_eq!(core.message(&ada, id).await.expect("visible"), shown);
    let of_bob = core.message(&bob, id).await.expect("visible");
    assert_eq!((of_bob.body.as_str(), of_bob.meta_json.as_deref()), ("three", Some("{}")));
    let page = core.thread_page(&ada, 1, "").await.expect("a page");
    assert_eq!(page.threads[0].last_message.as_ref().expect("a message").body, "one");
    // Also where it is the same again.
    let mut watching = Subscription::open(&core, &ada).await;
    core.edit(&bob, id, "three").await.expect("edited");
    let message = watching.message().await;
    assert_eq!((message.body.as_str(), message.meta_json.as_deref()), ("three", Some("{}")));
    assert_eq!(core.message(&ada, id).await.expect("visible"), message);
    // What the receiver goes on to see is not what is deleted for both.
    core.block(&ada, &bob).await.expect("blocked");
    core.edit(&bob, id, "four").await.expect("edited");
    core.delete(&bob, id, true).await.expect("deleted");
    let message = watching.message().await;
    assert!(message.deleted && message.body.is_empty(), "{message:?}");
    assert_eq!(core.message(&ada, id).await.expect("visible"), message);
}

#[tokio::test]
async fn receipts_stop_both_ways_until_the_next_one() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let mut ids = Vec::new();
    for (sender, receiver) in [(&ada, &bob), (&bob, &ada), (&ada, &bob), (&bob, &ada)] {
        ids.push(core.send(sender, receiver, "x").await.expect("stored").message_id);
    }
    core.seen(&ada, &bob, ids[1]).await.expect("marked");
    core.seen(&bob, &ada, ids[0]).await.expect("marked");
    core.block(&ada, &bob).await.expect("blocked");
    let mut at_ada = Subscription::with_threads(&core, &ada, None).await;
    let mut at_bob = Subscription::with_threads(&core, &bob, None).await;
    for (user, peer) in [(&ada, &bob), (&bob, &ada)] {
        let state = core.seen(user, peer, ids[3]).await.expect("marked");
        assert_eq!(state.seen_id, ids[3]);
        assert_eq!(core.state(user, peer).await.seen_id, ids[3]);
    }
    let marks = async |user: &str, peer: &str| {
        let state = core.state(user, peer).await;
        (state.peer_seen_id, state.peer_delivered_id, state.blocked)
    };
    assert_eq!(marks(&ada, &bob).await, (ids[0], ids[0], true));
    assert_eq!(marks(&bob, &ada).await, (ids[1], ids[1], false));
    for (subscription, id) in [(&mut at_ada, ids[0]), (&mut at_bob, ids[1])] {
        let Some(Change::Thread(state)) = subscription.event().await.change else { panic!() };
        assert_eq!((state.seen_id, state.peer_seen_id), (ids[3], id));
    }
    // As documented clients see it.
    let seen = async |user: &str, peer: &str, id: i64| {
        let history = core.history(user, peer).await.expect("a history");
        history.iter().find(|message| message.id == id).expect("there").seen
    };
    assert!(seen(&bob, &ada, ids[1]).await && !seen(&bob, &ada, ids[3]).await);
    assert!(seen(&ada, &bob, ids[3]).await, "the receiver's own answer");
    assert!(!core.message(&bob, ids[3]).await.expect("visible").seen);
    // An unblock brings nothing; the next mark does, a lower one too.
    core.unblock(&ada, &bob).await.expect("unblocked");
    assert_eq!(marks(&bob, &ada).await, (ids[1], ids[1], false));
    let Some(Change::Thread(state)) = at_ada.event().await.change else { panic!() };
    assert_eq!((state.blocked, state.peer_seen_id), (false, ids[0]));
    core.delivered(&ada, &bob, ids[0]).await.expect("marked");
    let Some(Change::Thread(state)) = at_bob.event().await.change else { panic!() };
    assert_eq!((state.peer_seen_id, state.peer_delivered_id), (ids[3], ids[3]));
    assert_eq!(marks(&bob, &ada).await, (ids[3], ids[3], false));
    assert_eq!(marks(&ada, &bob).await, (ids[0], ids[0], false));
    assert!(seen(&bob, &ada, ids[3]).await);
}

#[tokio::test]
async fn a_blocked_thread_does_not_count_in_all_that_is_unread() {
    let core = Core::start().await;
    let [ada, bob, cyd] = core.users().await;
    for sender in [&bob, &bob, &cyd] {
        core.send(sender, &ada, "x").await.expect("stored");
    }
    let total = async || core.thread_page(&ada, 0, "").await.expect("a page").unread_total;
    assert_eq!(total().await, 3);
    let mut watching = Subscription::with_threads(&core, &ada, None).await;
    let mut at_bob = Subscription::with_threads(&core, &bob, None).await;
    core.block(&ada, &bob).await.expect("blocked");
    let Some(Change::Thread(state)) = watching.event().await.change else { panic!() };
    assert_eq!((state.blocked, state.unread), (true, 2));
    assert_eq!(total().await, 1);
    core.unblock(&ada, &bob).await.expect("unblocked");
    let Some(Change::Thread(state)) = watching.event().await.change else { panic!() };
    assert!(!state.blocked);
    assert_eq!(total().await, 3);
    // The blocked one is told nothing of either.
    let id = core.send(&cyd, &bob, "x").await.expect("stored").message_id;
    assert_eq!(at_bob.message().await.id, id);
}

#[tokio::test]
async fn whom_a_user_blocks_is_listed_and_outlives_a_restart() {
    let mut core = Core::start().await;
    let [ada, bob] = core.users().await;
    let peers: [String; 5] = core.users().await;
    for peer in &peers {
        core.block(&ada, peer).await.expect("blocked");
    }
    core.unblock(&ada, &peers[2]).await.expect("unblocked");
    core.unblock(&ada, &bob).await.expect("was not blocked");
    core.block(&peers[0], &ada).await.expect("another's is another's");
    for limit in [1, 2, 4, 200] {
        let blocks = core.blocks(&ada, limit).await.expect("blocks");
        let mut listed: Vec<_> = blocks.iter().map(|block| block.peer_id.clone()).collect();
        listed.sort();
        let mut expected = [0, 1, 3, 4].map(|index| peers[index].clone());
        expected.sort();
        assert_eq!(listed, expected);
        assert!(blocks.iter().all(|block| block.created.is_some()));
    }
    core.delete_user(&peers[1]).await.expect("deleted");
    core.block(&ada, &peers[1]).await.expect("of one who was deleted");
    core.kill_and_restart().await;
    assert_eq!(core.blocks(&ada, 200).await.expect("blocks").len(), 4);
    core.send(&peers[0], &ada, "canary").await.expect("stored");
    assert_eq!(core.history(&ada, &peers[0]).await.expect("a history"), []);
    core.send(&peers[2], &ada, "x").await.expect("stored");
    assert_eq!(core.history(&ada, &peers[2]).await.expect("a history").len(), 1);
    // One who was deleted comes back with their blocks.
    core.delete_user(&ada).await.expect("deleted");
    assert_refused(core.blocks(&ada, 9).await, ErrorReason::UserDeleted);
    assert_refused(core.block(&ada, &bob).await, ErrorReason::UserDeleted);
    core.upsert(std::slice::from_ref(&ada)).await;
    assert_eq!(core.blocks(&ada, 200).await.expect("blocks").len(), 4);
}

#[tokio::test]
async fn what_cannot_be_blocked_is_refused() {
    let core = Core::start().await;
    let [ada] = core.users().await;
    let nobody = Uuid::new_v4().to_string();
    for (user, peer) in [(&ada, &nobody), (&nobody, &ada), (&ada, &ada)] {
        assert_refused(core.block(user, peer).await, ErrorReason::UserUnknown);
        assert_refused(core.unblock(user, peer).await, ErrorReason::UserUnknown);
    }
    assert_refused(core.blocks(&nobody, 9).await, ErrorReason::UserUnknown);
    assert_invalid(core.block("ada", &ada).await, "user_id");
    assert_invalid(core.unblock(&ada, "bob").await, "peer_id");
    assert_invalid(core.blocks(&ada, 0).await, "limit");
    assert_invalid(core.blocks(&ada, 201).await, "limit");
    let page_token = "x".to_owned();
    let request = ListBlocksRequest { user_id: ada.clone(), limit: 9, page_token };
    assert_invalid(core.chat().list_blocks(request).await, "page_token");
}

#[tokio::test]
async fn a_pipeline_blocks_in_the_order_of_its_requests() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let pipeline = Pipeline::open(&core).await;
    let (user_id, peer_id) = (ada.clone(), bob.clone());
    let block =
        Request::Block(BlockUserRequest { user_id: user_id.clone(), peer_id: peer_id.clone() });
    let unblock = Request::Unblock(UnblockUserRequest { user_id, peer_id });
    let sends = ["before", "canary", "after"].map(|body| text(&bob, &ada, body));
    let [before, canary, after] = sends.map(Request::Message);
    for (number, request) in (1..).zip([before, block, canary, unblock, after]) {
        pipeline.request(number, request).await;
    }
    let answers = pipeline.finish().await.expect("a good end");
    assert!(matches!(answers[&2], Answer::Block(_)) && matches!(answers[&4], Answer::Unblock(_)));
    let history = core.history(&ada, &bob).await.expect("a history");
    let bodies: Vec<_> = history.iter().map(|message| message.body.as_str()).collect();
    assert_eq!(bodies, ["before", "after"]);
    assert_eq!(core.history(&bob, &ada).await.expect("a history").len(), 3);
}
