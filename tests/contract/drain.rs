//! SIGTERM, and calls that never come to their end.

use netrox_harness::{eventually, settings::SERVICE_TOKEN, within};
use netrox_proto::v1::{
    DownloadAttachmentRequest, ErrorReason, ListMessagesRequest, SubscribeRequest,
    UploadAttachmentRequest,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::interceptor::InterceptedService;

use crate::{
    attachment::{chunk, start, upload},
    pipeline::{IN_FLIGHT, Pipeline},
    refusal::assert_refused,
    running::{Core, text},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_does_not_wait_forever_for_anybody() {
    let mut core = Core::start_with(&[("drain-timeout", "2s")]).await;
    let [ada, bob] = core.users().await;
    let file = upload(&core, &ada, &bob, "a.bin", &vec![7; 20_000_000]).await.expect("stored");
    let path = file.attachment.expect("a file").path;
    let mut pipeline = Pipeline::open(&core).await;
    for number in 0..2_000 {
        pipeline.message(number, text(&ada, &bob, &"x".repeat(8_000))).await;
        if number >= IN_FLIGHT as u64 {
            pipeline.answer().await.expect("an answer");
        }
    }
    let before = core.data_files().len();

    // Streams that nobody reads, and one that nobody finishes, each on a connection of its own.
    let request = DownloadAttachmentRequest { path, ..Default::default() };
    let download = core.connect().await.attachment().download_attachment(request).await;
    let list =
        ListMessagesRequest { user_id: ada.clone(), peer_id: bob.clone(), ..Default::default() };
    let list = core.connect().await.chat().list_messages(list).await;
    let subscribe = SubscribeRequest {
        user_id: bob.clone(),
        after_seq: Some(0),
        received_only: false,
        epoch: None,
        ..Default::default()
    };
    let subscription = core.connect().await.chat().subscribe(subscribe).await;
    let (parts, receiver) = mpsc::channel(4);
    // More than is held in memory before a file is begun.
    for part in [start(&ada, "never finished"), chunk(&[7; 200_000]), chunk(&[7; 200_000])] {
        let part = UploadAttachmentRequest { part: Some(part) };
        parts.send(part).await.expect("room for a part");
    }
    let mut attachment = core.connect().await.attachment();
    let unfinished =
        tokio::spawn(
            async move { attachment.upload_attachment(ReceiverStream::new(receiver)).await },
        );
    let credential = netrox_harness::grpc::Credential::new(SERVICE_TOKEN);
    let (questions, receiver) = mpsc::channel(1);
    let reflection = InterceptedService::new(core.channel().await, credential);
    let reflection = crate::reflection::open(reflection, ReceiverStream::new(receiver)).await;
    eventually("the beginning of the upload", async || {
        (core.data_files().len() > before).then_some(())
    })
    .await;

    core.terminate();
    assert_eq!(core.exit_code().await, Some(0));
    within("the end of the upload", unfinished).await.expect("a task").expect_err("cut off");
    drop((download, list, subscription, reflection, questions, pipeline, parts));

    core.start_again().await;
    core.keeps_files(1).await;
    assert_eq!(core.history(&ada, &bob).await.expect("a history").len(), 2_001);
}

/// What comes while a core drains is refused, and not lost without a word.
#[tokio::test(flavor = "multi_thread")]
async fn calls_during_a_drain_are_answered_or_refused() {
    let mut core = Core::start().await;
    let [ada, bob] = core.users().await;
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..8 {
        let (mut chat, ada, bob) = (core.connect().await.chat(), ada.clone(), bob.clone());
        callers.spawn(async move {
            let mut stored = Vec::new();
            for number in 0.. {
                match chat.send_message(text(&ada, &bob, &format!("{caller} {number}"))).await {
                    Ok(answer) => stored.push(answer.into_inner().message_id),
                    Err(status) => return (stored, status),
                }
            }
            unreachable!("the core ends")
        });
    }
    eventually("some messages", async || {
        let history = core.history(&ada, &bob).await.expect("a history");
        (history.len() > 50).then_some(())
    })
    .await;
    core.terminate();
    let mut answered = Vec::new();
    while let Some(caller) = within("the end of a caller", callers.join_next()).await {
        let (stored, end) = caller.expect("a caller");
        answered.extend(stored);
        // Refused by the core, or not taken by a connection that is going away.
        if !end.details().is_empty() {
            assert_refused(Err::<(), _>(end), ErrorReason::ShuttingDown);
        }
    }
    assert_eq!(core.exit_code().await, Some(0));
    core.start_again().await;
    let history = core.history(&ada, &bob).await.expect("a history");
    let stored: std::collections::HashSet<_> = history.iter().map(|message| message.id).collect();
    assert!(answered.iter().all(|id| stored.contains(id)));
}
