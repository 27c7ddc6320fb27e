//! `ChatService.SendMessages`: many sends in one stream, each answered for itself.

use std::{collections::HashMap, error::Error as _};

use netrox_harness::within;
use netrox_proto::v1::{
    DispatchAttachmentRequest, ErrorReason, SendMessageRequest, SendMessageResponse,
    SendMessagesRequest, SendMessagesResponse, send_messages_request::Request,
    send_messages_response::Result as Answer,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use uuid::Uuid;

use crate::{
    attachment::upload,
    refusal::{assert_failure, assert_refused},
    running::{Connection, Core, collect, text},
};

/// Requests of a pipeline that wait for their answers at a time, if it matters that each is stored: one that says nothing
/// else is refused after 3 seconds, and a machine may be busy.
pub(crate) const IN_FLIGHT: usize = 32;
/// The setting of a core that lets many wait for longer, of pipelines that say so.
pub(crate) const LONG_WAIT: (&str, &str) = ("store-wait", "30s");
/// The same as `wait_ms`.
const LONG_WAIT_MS: Option<u32> = Some(30_000);

pub(crate) struct Pipeline {
    requests: mpsc::Sender<SendMessagesRequest>,
    answers: Streaming<SendMessagesResponse>,
    /// Of requests that do not say themselves how long they may wait.
    wait_ms: Option<u32>,
}

impl Pipeline {
    pub(crate) async fn open(connection: &Connection) -> Self {
        let (requests, receiver) = mpsc::channel(16);
        let mut chat = connection.chat();
        let answers = within("a pipeline", chat.send_messages(ReceiverStream::new(receiver))).await;
        Self { requests, answers: answers.expect("a pipeline").into_inner(), wait_ms: None }
    }

    /// For as many at once as a core takes, on one with [`LONG_WAIT`].
    pub(crate) fn waiting_long(self) -> Self {
        Self { wait_ms: LONG_WAIT_MS, ..self }
    }

    pub(crate) async fn request(&self, request_id: u64, request: impl Into<Option<Request>>) {
        let (request, wait_ms) = (request.into(), self.wait_ms);
        self.put(SendMessagesRequest { request_id, request, wait_ms, ..Default::default() }).await;
    }

    pub(crate) async fn put(&self, request: SendMessagesRequest) {
        within("room for a request", self.requests.send(request)).await.expect("an open pipeline");
    }

    pub(crate) async fn message(&self, request_id: u64, message: SendMessageRequest) {
        self.request(request_id, Request::Message(message)).await;
    }

    /// The next answer; `None` at the end.
    pub(crate) async fn answer(&mut self) -> Result<Option<(u64, Answer)>, Status> {
        let answer = within("an answer", self.answers.message()).await?;
        Ok(answer.map(|answer| (answer.request_id, answer.result.expect("a result"))))
    }

    pub(crate) async fn next(&mut self) -> (u64, Answer) {
        self.answer().await.expect("an answer").expect("an answer")
    }

    /// Half-closes, and gives the rest of the answers.
    pub(crate) async fn finish(self) -> Result<HashMap<u64, Answer>, Status> {
        drop(self.requests);
        let answers = collect(self.answers).await?;
        let count = answers.len();
        let answers: HashMap<_, _> = answers
            .into_iter()
            .map(|answer| (answer.request_id, answer.result.expect("a result")))
            .collect();
        assert_eq!(answers.len(), count, "an answer for each request");
        Ok(answers)
    }
}

fn message_id(answer: &Answer) -> i64 {
    match answer {
        Answer::Message(stored) => stored.message_id,
        other => panic!("instead of a stored message: {other:?}"),
    }
}

/// Several users share a pipeline, as the connections of an edge do.
#[tokio::test(flavor = "multi_thread")]
async fn interleaved_users_keep_each_their_order() {
    const SENDS: usize = 300;
    let core = Core::start_with(&[LONG_WAIT]).await;
    let users: [String; 6] = core.users().await;
    let pairs: Vec<_> = users.chunks(2).collect();
    let mut pipeline = Pipeline::open(&core).await;
    let requests = pipeline.requests.clone();
    let writer = {
        let pairs: Vec<_> = pairs.iter().map(|pair| [pair[0].clone(), pair[1].clone()]).collect();
        tokio::spawn(async move {
            for number in 0..SENDS {
                for (index, [one, two]) in pairs.iter().enumerate() {
                    let message = text(one, two, &number.to_string());
                    let request = SendMessagesRequest {
                        request_id: (number * 10 + index) as u64,
                        request: Some(Request::Message(message)),
                        wait_ms: LONG_WAIT_MS,
                        ..Default::default()
                    };
                    requests.send(request).await.expect("an open pipeline");
                }
            }
        })
    };
    let mut answers = HashMap::new();
    while answers.len() < SENDS * pairs.len() {
        let (request_id, answer) = pipeline.next().await;
        assert_eq!(answers.insert(request_id, message_id(&answer)), None, "answered twice");
    }
    writer.await.expect("a writer");
    for (index, pair) in pairs.iter().enumerate() {
        let history = core.history(&pair[0], &pair[1]).await.expect("a history");
        let stored: Vec<_> =
            history.iter().map(|message| (message.body.clone(), message.id)).collect();
        let sent: Vec<_> = (0..SENDS)
            .map(|number| (number.to_string(), answers[&((number * 10 + index) as u64)]))
            .collect();
        assert_eq!(stored, sent);
    }
    assert_eq!(pipeline.finish().await.expect("a good end"), HashMap::new());
}

#[tokio::test]
async fn a_refused_request_does_not_end_the_stream() {
    let core = Core::start_with(&[("max-body-bytes", "100")]).await;
    let [ada, bob, gone] = core.users().await;
    core.delete_user(&gone).await.expect("deleted");
    let nobody = Uuid::new_v4().to_string();
    let good = text(&ada, &bob, "hello");
    let refused = [
        (text("x", &bob, "b"), ErrorReason::InvalidField, "sender_id"),
        (text(&ada, "", "b"), ErrorReason::InvalidField, "receiver_id"),
        (text(&ada, &bob, ""), ErrorReason::InvalidField, "body"),
        (text(&ada, &bob, "\0"), ErrorReason::InvalidField, "body"),
        (
            SendMessageRequest { client_ref: Some("x".into()), ..good.clone() },
            ErrorReason::InvalidField,
            "client_ref",
        ),
        (text(&ada, &bob, &"x".repeat(101)), ErrorReason::BodyTooLarge, ""),
        (text(&ada, &ada, "b"), ErrorReason::ReceiverIsSender, ""),
        (text(&ada, &nobody, "b"), ErrorReason::ReceiverUnknown, ""),
        (text(&ada, &gone, "b"), ErrorReason::ReceiverUnknown, ""),
        (text(&nobody, &bob, "b"), ErrorReason::UserUnknown, ""),
        (text(&gone, &bob, "b"), ErrorReason::UserDeleted, ""),
    ];
    let pipeline = Pipeline::open(&core).await;
    let mut goods = Vec::new();
    for (number, (message, _, _)) in (0..).zip(&refused) {
        pipeline.message(number * 2, message.clone()).await;
        pipeline.message(number * 2 + 1, good.clone()).await;
        goods.push(number * 2 + 1);
    }
    pipeline.request(u64::MAX, None).await;
    let text_id = core.send(&ada, &bob, "a text").await.expect("stored").message_id;
    for (request_id, message_id) in [(1_000, text_id), (1_001, i64::MAX)] {
        let request = DispatchAttachmentRequest { sender_id: ada.clone(), message_id };
        pipeline.request(request_id, Request::Attachment(request)).await;
    }
    let request = DispatchAttachmentRequest { sender_id: "x".into(), message_id: 1 };
    pipeline.request(1_002, Request::Attachment(request)).await;

    let answers = pipeline.finish().await.expect("a good end");
    assert_eq!(answers.len(), refused.len() * 2 + 4);
    let failure = |request_id: u64| match &answers[&request_id] {
        Answer::Failure(failure) => failure,
        other => panic!("instead of a failure: {other:?}"),
    };
    for (number, (_, reason, field)) in (0..).zip(&refused) {
        assert_failure(failure(number * 2), *reason, field);
    }
    assert_failure(failure(u64::MAX), ErrorReason::InvalidField, "request");
    assert_failure(failure(1_000), ErrorReason::MessageNotFound, "");
    assert_failure(failure(1_001), ErrorReason::MessageNotFound, "");
    assert_failure(failure(1_002), ErrorReason::InvalidField, "sender_id");
    let mut stored: Vec<_> = goods.iter().map(|id| message_id(&answers[id])).collect();
    assert!(stored.is_sorted());
    stored.push(text_id);
    stored.sort_unstable();
    let history = core.history(&bob, &ada).await.expect("a history");
    assert_eq!(history.iter().map(|message| message.id).collect::<Vec<_>>(), stored);
}

#[tokio::test]
async fn a_half_closed_stream_ends_after_its_last_answer() {
    const SENDS: u64 = 500;
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    // Nothing waits for an answer before the end of the requests.
    let requests: Vec<_> = (0..SENDS)
        .map(|request_id| SendMessagesRequest {
            request_id,
            request: Some(Request::Message(text(&ada, &bob, "hello"))),
            ..Default::default()
        })
        .collect();
    let answers = core.chat().send_messages(tokio_stream::iter(requests)).await.expect("a stream");
    let answers = collect(answers.into_inner()).await.expect("a good end");
    let mut ids: Vec<_> = answers.iter().map(|answer| answer.request_id).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..SENDS).collect::<Vec<_>>());
    let nothing = core.chat().send_messages(tokio_stream::empty()).await.expect("a stream");
    assert_eq!(collect(nothing.into_inner()).await.expect("a good end"), []);
}

#[tokio::test]
async fn texts_and_files_take_effect_in_the_order_sent() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let mut files = Vec::new();
    for _ in 0..10 {
        files.push(upload(&core, &ada, &bob, "a.txt", b"content").await.expect("stored").id);
    }
    let mut subscription = crate::subscribe::Subscription::open(&core, &bob).await;
    let mut pipeline = Pipeline::open(&core).await;
    for (number, file) in (0..).zip(&files) {
        pipeline.message(number * 2, text(&ada, &bob, &number.to_string())).await;
        let request = DispatchAttachmentRequest { sender_id: ada.clone(), message_id: *file };
        pipeline.request(number * 2 + 1, Request::Attachment(request)).await;
    }
    for _ in 0..files.len() * 2 {
        let (request_id, answer) = pipeline.next().await;
        match answer {
            Answer::Message(_) => assert_eq!(request_id % 2, 0),
            Answer::Attachment(dispatched) => {
                assert_eq!(request_id % 2, 1);
                assert!(!dispatched.already_dispatched);
                assert!(dispatched.dispatched.is_some());
            }
            other @ (Answer::Edit(_)
            | Answer::Delete(_)
            | Answer::Seen(_)
            | Answer::Delivered(_)
            | Answer::Block(_)
            | Answer::Unblock(_)
            | Answer::Failure(_)) => panic!("{other:?}"),
        }
    }
    for (number, file) in files.iter().enumerate() {
        assert_eq!(subscription.message().await.body, number.to_string());
        assert_eq!(subscription.message().await.id, *file);
    }
}

#[tokio::test]
async fn a_reference_counts_within_a_stream_and_across_calls() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let mut message = text(&ada, &bob, "hello");
    message.client_ref = Some(Uuid::new_v4().to_string());
    let pipeline = Pipeline::open(&core).await;
    for request_id in 0..50 {
        pipeline.message(request_id, message.clone()).await;
    }
    let answers = pipeline.finish().await.expect("a good end");
    let unary = core.chat().send_message(message).await.expect("the answer").into_inner();
    assert_eq!(answers.len(), 50);
    let first = SendMessageResponse { repeated: false, ..unary };
    let firsts = answers.values().filter(|answer| **answer == Answer::Message(first)).count();
    assert_eq!((unary.repeated, firsts), (true, 1));
    for answer in answers.into_values() {
        assert!(answer == Answer::Message(unary) || answer == Answer::Message(first));
    }
    assert_eq!(core.history(&ada, &bob).await.expect("a history").len(), 1);
}

/// What a client does whose stream broke: it sends everything unanswered again.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_stream_is_repeated_without_loss_or_double() {
    const SENDS: usize = 400;
    let core = Core::start_with(&[LONG_WAIT]).await;
    let [ada, bob] = core.users().await;
    let messages: Vec<_> = (0..SENDS)
        .map(|number| SendMessageRequest {
            client_ref: Some(Uuid::new_v4().to_string()),
            ..text(&ada, &bob, &number.to_string())
        })
        .collect();
    let mut answered = HashMap::new();
    let mut breaks = 0;
    while answered.len() < SENDS {
        let connection = core.connect().await;
        let mut pipeline = Pipeline::open(&connection).await;
        let requests = pipeline.requests.clone();
        let unanswered: Vec<_> = (0..SENDS)
            .filter(|number| !answered.contains_key(number))
            .map(|number| (number, messages[number].clone()))
            .collect();
        let writer = tokio::spawn(async move {
            for (number, message) in unanswered {
                let request = SendMessagesRequest {
                    request_id: number as u64,
                    request: Some(Request::Message(message)),
                    wait_ms: LONG_WAIT_MS,
                    ..Default::default()
                };
                if requests.send(request).await.is_err() {
                    return;
                }
            }
        });
        for _ in 0..50 {
            if answered.len() == SENDS {
                break;
            }
            let (number, answer) = pipeline.next().await;
            answered.insert(number as usize, message_id(&answer));
        }
        breaks += 1;
        // Reset with requests under way.
        drop(pipeline);
        writer.await.expect("a writer");
    }
    assert!(breaks >= 8, "{breaks}");
    let history = core.history(&ada, &bob).await.expect("a history");
    assert_eq!(history.len(), SENDS);
    for message in history {
        let number: usize = message.body.parse().expect("a number");
        assert_eq!(answered[&number], message.id);
    }
}

/// The core stops reading a stream whose answers pile up, and goes on when they are read.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_late_gets_every_answer() {
    const SENDS: u64 = 3_000;
    const BEFORE_READING: u64 = 1_024;
    let core = Core::start_with(&[LONG_WAIT]).await;
    let [ada, bob, cyd] = core.users().await;
    let mut pipeline = Pipeline::open(&core).await;
    let requests = pipeline.requests.clone();
    let (sent, mut progress) = tokio::sync::watch::channel(0);
    let writer = tokio::spawn(async move {
        for request_id in 0..SENDS {
            let message = text(&ada, &bob, &request_id.to_string());
            let request = SendMessagesRequest {
                request_id,
                request: Some(Request::Message(message)),
                wait_ms: LONG_WAIT_MS,
                ..Default::default()
            };
            requests.send(request).await.expect("an open pipeline");
            sent.send_replace(request_id + 1);
        }
        (ada, bob)
    });
    let begun = within("1,024 requests", progress.wait_for(|sent| *sent >= BEFORE_READING)).await;
    drop(begun);
    // Others on the same connection are not held up.
    let [dan] = core.users().await;
    core.send(&cyd, &dan, "meanwhile").await.expect("stored");
    let mut answered = 0;
    while answered < SENDS {
        message_id(&pipeline.next().await.1);
        answered += 1;
    }
    let (ada, bob) = writer.await.expect("a writer");
    let history = core.history(&ada, &bob).await.expect("a history");
    assert!(
        history.iter().map(|m| &m.body).eq(&(0..SENDS).map(|n| n.to_string()).collect::<Vec<_>>())
    );
}

/// A drain answers all that was read, then says that another core may take the rest.
#[tokio::test(flavor = "multi_thread")]
async fn a_drain_ends_the_stream_after_the_answers() {
    let mut core = Core::start_with(&[LONG_WAIT]).await;
    let [ada, bob] = core.users().await;
    let mut pipeline = Pipeline::open(&core).await;
    let requests = pipeline.requests.clone();
    let (from, to) = (ada.clone(), bob.clone());
    let writer = tokio::spawn(async move {
        for request_id in 0.. {
            let message = text(&from, &to, &request_id.to_string());
            let request = SendMessagesRequest {
                request_id,
                request: Some(Request::Message(message)),
                wait_ms: LONG_WAIT_MS,
                ..Default::default()
            };
            if requests.send(request).await.is_err() {
                return;
            }
        }
    });
    let mut answered = HashMap::new();
    for _ in 0..200 {
        let (request_id, answer) = pipeline.next().await;
        answered.insert(request_id, message_id(&answer));
    }
    core.terminate();
    let end = loop {
        match pipeline.answer().await {
            Ok(Some((request_id, Answer::Message(stored)))) => {
                answered.insert(request_id, stored.message_id);
            }
            Ok(Some((_, Answer::Failure(failure)))) => {
                assert_failure(&failure, ErrorReason::ShuttingDown, "");
            }
            Ok(other) => panic!("the stream ended with {other:?}"),
            Err(status) => break status,
        }
    };
    // What was sent and not read may make the connection break before its end is seen.
    if end.source().is_none() {
        assert_refused(Err::<(), _>(end), ErrorReason::ShuttingDown);
    }
    drop(pipeline);
    writer.await.expect("a writer");
    assert_eq!(core.exit_code().await, Some(0));
    core.start_again().await;
    let history = core.history(&ada, &bob).await.expect("a history");
    let stored: HashMap<u64, _> = history
        .iter()
        .map(|message| (message.body.parse().expect("a number"), message.id))
        .collect();
    for (request_id, message_id) in answered {
        assert_eq!(stored.get(&request_id), Some(&message_id), "{request_id} was answered");
    }
}
