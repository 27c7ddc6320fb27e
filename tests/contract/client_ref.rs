//! References that a user's own client chooses, and what else comes with such sends.

use netrox_proto::v1::{
    ErrorReason, SendMessageRequest, SendMessageResponse, UploadAttachmentRequest,
    UploadAttachmentResponse, UploadStart, upload_attachment_request::Part,
};
use tonic::{Response, Status};
use uuid::Uuid;

use crate::{
    attachment::{chunk, finish, upload},
    refusal::{assert_invalid, assert_refused},
    running::{Core, text},
    subscribe::Subscription,
};

async fn send(core: &Core, request: SendMessageRequest) -> Result<SendMessageResponse, Status> {
    core.chat().send_message(request).await.map(Response::into_inner)
}

fn of_client(sender: &str, receiver: &str, body: &str, client_ref: &str) -> SendMessageRequest {
    SendMessageRequest {
        client_ref: Some(client_ref.into()),
        from_client: true,
        ..text(sender, receiver, body)
    }
}

#[tokio::test]
async fn a_reference_is_told_to_its_sender_alone_and_finds_the_message() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let client_ref = Uuid::new_v4().to_string();
    assert_refused(core.sent(&ada, &client_ref).await, ErrorReason::MessageNotFound);
    let mut sent = Subscription::open(&core, &ada).await;
    let mut received = Subscription::open(&core, &bob).await;
    let request = of_client(&ada, &bob, "one", &client_ref.to_uppercase());
    let first = send(&core, request.clone()).await.expect("stored");
    assert!(!first.repeated);
    let again = SendMessageRequest { body: "other".into(), receiver_id: ada.clone(), ..request };
    // Whom it is for is not looked at again.
    let unknown = SendMessageRequest { receiver_id: Uuid::new_v4().to_string(), ..again.clone() };
    for again in [again, unknown] {
        let again = send(&core, again).await.expect("it was stored");
        assert_eq!(again, SendMessageResponse { repeated: true, ..first });
    }
    assert_eq!(sent.message().await.client_ref.as_ref(), Some(&client_ref));
    assert_eq!(received.message().await.client_ref, None);
    let found = core.sent(&ada, &client_ref).await.expect("found");
    assert_eq!((found.id, found.client_ref.as_ref()), (first.message_id, Some(&client_ref)));
    assert_refused(core.sent(&bob, &client_ref).await, ErrorReason::MessageNotFound);
    for (user, expected) in [(&ada, Some(&client_ref)), (&bob, None)] {
        let peer = if *user == ada { &bob } else { &ada };
        let history = core.history(user, peer).await.expect("a history");
        assert_eq!(history[0].client_ref.as_ref(), expected);
    }
    // What a service draws is its own business.
    let own = Uuid::new_v4().to_string();
    let request =
        SendMessageRequest { client_ref: Some(own.clone()), ..text(&ada, &bob, "of a service") };
    send(&core, request).await.expect("stored");
    assert_eq!(core.sent(&ada, &own).await.expect("found").client_ref, None);
}

#[tokio::test]
async fn a_reply_names_a_message_that_its_sender_sees_in_that_thread() {
    let core = Core::start().await;
    let [ada, bob, cyd] = core.users().await;
    let target = core.send(&ada, &bob, "one").await.expect("stored").message_id;
    let elsewhere = core.send(&ada, &cyd, "two").await.expect("stored").message_id;
    let file = upload(&core, &ada, &bob, "a.txt", b"text").await.expect("stored").id;
    let reply = |sender: &str, receiver: &str, id| SendMessageRequest {
        reply_to_id: Some(id),
        ..text(sender, receiver, "reply")
    };
    let stored = send(&core, reply(&bob, &ada, target)).await.expect("stored").message_id;
    assert_eq!(core.message(&ada, stored).await.expect("visible").reply_to_id, Some(target));
    for (sender, receiver, id) in [
        (&ada, &bob, elsewhere),
        (&bob, &cyd, target),
        (&bob, &ada, file),
        (&ada, &bob, target + 1_000_000),
    ] {
        let refused = send(&core, reply(sender, receiver, id)).await;
        assert_refused(refused, ErrorReason::MessageNotFound);
    }
    assert_invalid(send(&core, reply(&ada, &bob, 0)).await, "reply_to_id");
    send(&core, reply(&ada, &bob, file)).await.expect("one's own file");
    core.delete(&ada, target, true).await.expect("deleted");
    send(&core, reply(&bob, &ada, target)).await.expect("a deleted one too");
    core.delete(&bob, target, false).await.expect("hidden");
    let refused = send(&core, reply(&bob, &ada, target)).await;
    assert_refused(refused, ErrorReason::MessageNotFound);
}

async fn upload_all(core: &Core, parts: Vec<Part>) -> Result<UploadAttachmentResponse, Status> {
    let parts = parts.into_iter().map(|part| UploadAttachmentRequest { part: Some(part) });
    let parts = tokio_stream::iter(parts.collect::<Vec<_>>());
    core.attachment().upload_attachment(parts).await.map(Response::into_inner)
}

#[tokio::test]
async fn an_upload_is_one_message_however_often_it_comes_and_may_be_shown_at_once() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let client_ref = Uuid::new_v4().to_string();
    let start = Part::Start(UploadStart {
        sender_id: ada.clone(),
        file_name: "a.txt".into(),
        client_ref: Some(client_ref.clone()),
        from_client: true,
        meta_json: Some("{}".into()),
        dispatch: true,
        ..Default::default()
    });
    let mut received = Subscription::open(&core, &bob).await;
    let parts = vec![start.clone(), chunk(b"text"), finish(&bob, "a file")];
    let first = upload_all(&core, parts.clone()).await.expect("stored");
    let message = first.message.expect("a message");
    assert!(!first.repeated && message.attachment.as_ref().expect("a file").dispatched.is_some());
    assert_eq!((message.client_ref.as_ref(), message.rev), (Some(&client_ref), 1));
    assert_eq!(message.meta_json.as_deref(), Some("{}"));
    let told = received.message().await;
    assert_eq!((told.id, told.client_ref), (message.id, None));
    assert_eq!(core.state(&bob, &ada).await.unread, 1);
    core.edit(&ada, message.id, "edited").await.expect("edited");
    for parts in [parts, vec![start]] {
        let again = upload_all(&core, parts).await.expect("stored before");
        assert!(again.repeated);
        let again = again.message.expect("a message");
        assert_eq!((again.id, again.body.as_str()), (message.id, "edited"));
    }
    core.keeps_files(1).await;
}
