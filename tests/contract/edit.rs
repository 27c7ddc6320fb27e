//! `ChatService.EditMessage`.

use netrox_proto::v1::{ErrorReason, SendMessageRequest, event::Change};

use crate::{
    attachment::upload,
    refusal::{assert_invalid, assert_refused},
    running::{Core, text},
    subscribe::Subscription,
};

#[tokio::test]
async fn an_edit_is_seen_by_both_and_is_no_new_message() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let id = core.send(&ada, &bob, "one").await.expect("stored").message_id;
    let mut received = Subscription::open(&core, &bob).await;
    let mut sent = Subscription::open(&core, &ada).await;
    let edited = core.edit_with(&ada, id, "two", Some(r#"{"kind":"note"}"#)).await.expect("edited");
    assert_eq!(edited.body, "two");
    assert_eq!(edited.meta_json.as_deref(), Some(r#"{"kind":"note"}"#));
    assert!(edited.updated.expect("an instant").nanos != edited.created.expect("one").nanos);
    for (subscription, user) in [(&mut received, &bob), (&mut sent, &ada)] {
        let event = subscription.event().await;
        assert!(event.first_seq < event.seq, "it appeared before: {event:?}");
        let Some(Change::Message(message)) = event.change else { panic!("no message") };
        assert_eq!(message.rev, event.seq);
        let stored = core.message(user, id).await.expect("visible");
        assert_eq!(message, stored);
        assert_eq!(stored.body, "two");
    }
}

#[tokio::test]
async fn the_same_content_changes_nothing_and_meta_can_stay_or_go() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let meta = r#"{"a":9007199254740993}"#;
    let request = SendMessageRequest { meta_json: Some(meta.into()), ..text(&ada, &bob, "one") };
    let id = core.chat().send_message(request).await.expect("stored").into_inner().message_id;
    let before = core.message(&ada, id).await.expect("visible");
    assert_eq!(before.meta_json.as_deref(), Some(meta));
    assert_eq!(core.edit(&ada, id, "one").await.expect("the same"), before);
    let kept = core.edit(&ada, id, "two").await.expect("edited");
    assert_eq!(kept.meta_json.as_deref(), Some(meta));
    let removed = core.edit_with(&ada, id, "two", Some("")).await.expect("edited");
    assert_eq!((removed.meta_json, removed.rev), (None, kept.rev + 1));
}

#[tokio::test]
async fn only_the_sender_may_edit_and_only_what_is_there() {
    let core = Core::start().await;
    let [ada, bob, cyd] = core.users().await;
    let id = core.send(&ada, &bob, "one").await.expect("stored").message_id;
    assert_refused(core.edit(&bob, id, "x").await, ErrorReason::MessageNotAllowed);
    assert_refused(core.edit(&cyd, id, "x").await, ErrorReason::MessageNotFound);
    assert_refused(core.edit(&ada, id + 99, "x").await, ErrorReason::MessageNotFound);
    assert_invalid(core.edit(&ada, id, "").await, "body");
    assert_invalid(core.edit(&ada, id, "\0").await, "body");
    for meta in ["[]", "{", "1", r#"{"a":"\ud800"}"#, &format!("{{\"a\":{}}}", "[".repeat(9))] {
        assert_invalid(core.edit_with(&ada, id, "x", Some(meta)).await, "meta_json");
    }
    let file = upload(&core, &ada, &bob, "a.txt", b"text").await.expect("stored").id;
    assert_refused(core.edit(&bob, file, "x").await, ErrorReason::MessageNotFound);
    assert_eq!(core.edit(&ada, file, "").await.expect("edited").body, "");
    core.delete(&ada, id, true).await.expect("deleted");
    assert_refused(core.edit(&ada, id, "x").await, ErrorReason::TooLate);
    core.delete(&ada, file, false).await.expect("hidden");
    assert_refused(core.edit(&ada, file, "x").await, ErrorReason::MessageNotFound);
}

#[tokio::test]
async fn windows_end() {
    let core = Core::start_with(&[("edit-window", "0s"), ("delete-window", "0s")]).await;
    let [ada, bob] = core.users().await;
    let id = core.send(&ada, &bob, "one").await.expect("stored").message_id;
    assert_refused(core.edit(&ada, id, "two").await, ErrorReason::TooLate);
    assert_refused(core.delete(&ada, id, true).await, ErrorReason::TooLate);
    assert_refused(core.delete(&bob, id, true).await, ErrorReason::MessageNotAllowed);
    core.delete(&ada, id, false).await.expect("no window for oneself");
}
