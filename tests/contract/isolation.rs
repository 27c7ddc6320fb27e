//! What two users share is nobody else's: no call of another user finds it, and none can tell it
//! from what does not exist.

use std::fmt::Debug;

use netrox_proto::v1::{
    DispatchAttachmentRequest, DownloadAttachmentRequest, GetAttachmentRequest, GetMessageRequest,
    ListMessagesRequest, ListThreadsRequest, SendMessagesRequest, SubscribeRequest, event::Change,
    send_messages_request::Request,
};
use tonic::{Response, Status, Streaming};
use uuid::Uuid;

use crate::{
    attachment::upload,
    refusal::told,
    running::{Connection, Core, collect},
    subscribe::Subscription,
};

/// One object of a conversation, real or invented.
struct Target {
    message_id: i64,
    path: String,
}

/// All that a caller can see of an answer.
type Seen = Vec<(&'static str, String)>;

fn seen<T: Debug>(result: Result<T, Status>) -> String {
    match result {
        Ok(answer) => format!("{answer:?}"),
        Err(status) => told(&status),
    }
}

async fn unary<T: Debug>(result: Result<Response<T>, Status>) -> String {
    seen(result.map(Response::into_inner))
}

async fn streamed<T: Debug>(result: Result<Response<Streaming<T>>, Status>) -> String {
    match result {
        Ok(stream) => seen(collect(stream.into_inner()).await),
        Err(status) => seen(Err::<(), _>(status)),
    }
}

/// Everything that `user` can say of a target.
async fn probe(connection: &Connection, user: &str, target: &Target) -> Seen {
    let mut chat = connection.chat();
    let mut attachment = connection.attachment();
    let user_id = user.to_owned();
    let message_id = target.message_id;
    let path = target.path.clone();
    let dispatch = DispatchAttachmentRequest { sender_id: user_id.clone(), message_id };
    let pipelined = SendMessagesRequest {
        request_id: 1,
        request: Some(Request::Attachment(dispatch.clone())),
        ..Default::default()
    };
    let download = |offset, length| DownloadAttachmentRequest {
        path: path.clone(),
        user_id: Some(user_id.clone()),
        offset,
        length,
    };
    vec![
        (
            "GetMessage",
            unary(
                chat.get_message(GetMessageRequest { user_id: user_id.clone(), message_id }).await,
            )
            .await,
        ),
        ("DispatchAttachment", unary(attachment.dispatch_attachment(dispatch).await).await),
        ("SendMessages", streamed(chat.send_messages(tokio_stream::once(pipelined)).await).await),
        (
            "GetAttachment",
            unary(
                attachment
                    .get_attachment(GetAttachmentRequest {
                        path: path.clone(),
                        user_id: Some(user_id.clone()),
                    })
                    .await,
            )
            .await,
        ),
        (
            "DownloadAttachment",
            streamed(attachment.download_attachment(download(0, None)).await).await,
        ),
        (
            "DownloadAttachment of a range",
            streamed(attachment.download_attachment(download(5, Some(10))).await).await,
        ),
        (
            "DownloadAttachment beyond the end",
            streamed(attachment.download_attachment(download(1 << 40, None)).await).await,
        ),
    ]
}

#[tokio::test]
async fn what_is_not_yours_is_not_there() {
    let core = Core::start().await;
    let [ada, bob, cyd, dan] = core.users().await;
    let mut watching = Subscription::after(&core, &cyd, Some(0)).await;
    let text = core.send(&ada, &bob, "canary-text").await.expect("stored").message_id;
    let waiting =
        upload(&core, &ada, &bob, "canary-name", b"canary-content").await.expect("stored");
    let sent = upload(&core, &ada, &bob, "canary-name", b"canary-content").await.expect("stored");
    let dispatch = DispatchAttachmentRequest { sender_id: ada.clone(), message_id: sent.id };
    core.attachment().dispatch_attachment(dispatch).await.expect("dispatched");
    let path = |message: &netrox_proto::v1::Message| {
        message.attachment.as_ref().expect("a file").path.clone()
    };
    let invented = || format!("attachments/2024/06/17/{}", Uuid::new_v4());
    let targets = [
        Target { message_id: text, path: invented() },
        Target { message_id: waiting.id, path: path(&waiting) },
        Target { message_id: sent.id, path: path(&sent) },
    ];
    let nothing = Target { message_id: sent.id + 1_000_000, path: invented() };
    let nobody = Uuid::new_v4().to_string();

    for outsider in [&cyd, &nobody] {
        let expected = probe(&core, outsider, &nothing).await;
        for target in &targets {
            assert_eq!(probe(&core, outsider, target).await, expected);
        }
    }
    // The probes are good ones: a participant's find what is there.
    let found = probe(&core, &bob, &targets[2]).await;
    let finds = found.iter().filter(|(_, seen)| seen.contains("canary")).count();
    assert!(finds >= 2, "{found:?}");
    // Nor can the receiver dispatch what the sender has not.
    let expected = probe(&core, &bob, &nothing).await;
    let of_the_receiver = probe(&core, &bob, &targets[1]).await;
    for call in [1, 2] {
        assert_eq!(of_the_receiver[call], expected[call]);
    }
    let waiting = core.message(&ada, waiting.id).await.expect("visible");
    assert_eq!(waiting.attachment.expect("a file").dispatched, None);

    // Lists of one who is in nothing, or in something else.
    core.send(&dan, &cyd, "for cyd").await.expect("stored");
    for (user, peer) in [(&cyd, &ada), (&cyd, &bob), (&dan, &ada), (&ada, &cyd), (&ada, &ada)] {
        let request = ListMessagesRequest {
            user_id: user.clone(),
            peer_id: peer.clone(),
            ..Default::default()
        };
        assert_eq!(core.list(request).await.expect("a list"), []);
    }
    let threads = ListThreadsRequest { user_id: cyd.clone(), ..Default::default() };
    let threads = streamed(core.chat().list_threads(threads).await).await;
    assert!(threads.contains(&dan) && !threads.contains(&ada) && !threads.contains(&bob));

    // The only event of an outsider is the outsider's own.
    let event = watching.event().await;
    let Some(Change::Message(message)) = event.change else { panic!("no message") };
    assert_eq!((event.seq, message.body.as_str()), (1, "for cyd"));
    let request = SubscribeRequest {
        user_id: cyd.clone(),
        after_seq: Some(2),
        received_only: false,
        epoch: None,
        ..Default::default()
    };
    core.chat().subscribe(request).await.expect_err("no position that others moved");
}
