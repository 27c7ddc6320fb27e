//! `ChatService.DeleteMessage`.

use netrox_proto::v1::{ErrorReason, Message, SendMessageRequest};

use crate::{
    attachment::upload,
    refusal::assert_refused,
    running::{Core, text},
    subscribe::Subscription,
};

fn is_empty(message: &Message) -> bool {
    message.body.is_empty()
        && message.attachment.is_none()
        && message.meta_json.is_none()
        && message.reply_to_id.is_none()
}

#[tokio::test]
async fn a_message_deleted_for_everyone_leaves_an_empty_one() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let first = core.send(&bob, &ada, "first").await.expect("stored").message_id;
    let request = SendMessageRequest {
        reply_to_id: Some(first),
        meta_json: Some("{}".into()),
        ..text(&ada, &bob, "one")
    };
    let id = core.chat().send_message(request).await.expect("stored").into_inner().message_id;
    let mut received = Subscription::open(&core, &bob).await;
    assert_refused(core.delete(&bob, id, true).await, ErrorReason::MessageNotAllowed);
    core.delete(&ada, id, true).await.expect("deleted");
    let told = received.message().await;
    assert!(told.deleted && !told.hidden && is_empty(&told), "{told:?}");
    for user in [&ada, &bob] {
        let peer = if *user == ada { &bob } else { &ada };
        let history = core.history(user, peer).await.expect("a history");
        assert_eq!(history.len(), 2);
        assert!(history[1].deleted && is_empty(&history[1]), "{:?}", history[1]);
    }
    // Again, by either of the two.
    core.delete(&ada, id, true).await.expect("deleted before");
    core.delete(&bob, id, true).await.expect("deleted before");
    assert_eq!(core.message(&bob, id).await.expect("visible").rev, told.rev, "no further change");
}

#[tokio::test]
async fn a_message_deleted_for_oneself_is_gone_for_oneself_alone() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let id = core.send(&ada, &bob, "one").await.expect("stored").message_id;
    let mut own = Subscription::open(&core, &bob).await;
    let mut peers = Subscription::open(&core, &ada).await;
    core.delete(&bob, id, false).await.expect("hidden");
    core.delete(&bob, id, false).await.expect("hidden before");
    let told = own.message().await;
    assert!(told.hidden && !told.deleted && is_empty(&told), "{told:?}");
    assert_refused(core.message(&bob, id).await, ErrorReason::MessageNotFound);
    assert_eq!(core.history(&bob, &ada).await.expect("a history"), []);
    assert_eq!(core.history(&ada, &bob).await.expect("a history").len(), 1);
    assert_eq!(core.message(&ada, id).await.expect("visible").body, "one");
    // What it becomes later is not told to who has hidden it.
    core.edit(&ada, id, "two").await.expect("edited");
    let told = own.message().await;
    assert!(told.hidden && is_empty(&told), "{told:?}");
    let next = core.send(&ada, &bob, "next").await.expect("stored").message_id;
    assert_eq!(own.message().await.id, next);
    assert_eq!(peers.message().await.body, "two");
    // A thread has it no more, but its end stays.
    let thread = core.thread(&bob, &ada).await.expect("a thread");
    assert_eq!(thread.last_message.expect("a message").id, next);
    core.delete(&bob, next, false).await.expect("hidden");
    let thread = core.thread(&bob, &ada).await.expect("a thread");
    assert_eq!(thread.last_message, None);
    assert_eq!(thread.state.expect("a state").last_id, next);
}

#[tokio::test]
async fn the_file_of_a_deleted_message_goes() {
    let mut core = Core::start().await;
    let [ada, bob] = core.users().await;
    let kept = upload(&core, &ada, &bob, "kept.txt", b"kept").await.expect("stored");
    let gone = upload(&core, &ada, &bob, "gone.txt", b"gone").await.expect("stored");
    core.keeps_files(2).await;
    core.delete(&ada, gone.id, true).await.expect("deleted");
    core.keeps_files(1).await;
    let deleted = core.message(&ada, gone.id).await.expect("visible");
    assert!(is_empty(&deleted) && deleted.deleted, "{deleted:?}");
    // Neither a start nor what it removes takes the other one.
    core.kill_and_restart().await;
    core.keeps_files(1).await;
    assert!(core.message(&ada, kept.id).await.expect("visible").attachment.is_some());
}
