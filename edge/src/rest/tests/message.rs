use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::{StreamExt, stream};
use http::Method;
use netrox_proto::{
    time::timestamp,
    v1::{ErrorReason, Failure, ListMessagesResponse, Message, User},
};
use tokio::sync::Notify;
use tonic::Status;

use crate::{
    stub_core::answers,
    stub_edge::{ALICE, BOB, StubEdge, bearer},
};

pub(super) const PATH: &str = "/chat/messages/87c8b8e2-3efc-4a4a-b667-1f9c0d7e8437/";

fn message(id: i64, sender: &str, receiver: &str, body: &str) -> Message {
    let created = Some(timestamp(1_718_623_701_902_531 + id));
    Message {
        id,
        thread_id: 1,
        sender_id: sender.into(),
        receiver_id: receiver.into(),
        body: body.into(),
        created,
        updated: created,
        seen: id == 1,
        deleted: false,
        attachment: None,
        ..Default::default()
    }
}

fn user(id: &str) -> User {
    User { id: id.into(), ..Default::default() }
}

fn first(messages: Vec<Message>) -> ListMessagesResponse {
    ListMessagesResponse { users: vec![user(ALICE), user(BOB)], messages }
}

fn more(messages: Vec<Message>) -> ListMessagesResponse {
    ListMessagesResponse { users: vec![], messages }
}

fn refuse(edge: &StubEdge, reason: ErrorReason) {
    let failure = Failure::new(reason, "why");
    edge.core.state().messages = Some(Box::new(move |_| Err(failure.clone().into())));
}

#[tokio::test]
async fn a_core_that_cannot_answer_is_503_and_a_defect_500() {
    let edge = StubEdge::start().await;
    let alice = bearer(ALICE);
    let headers = [("authorization", alice.as_str())];
    for reason in
        [ErrorReason::Overloaded, ErrorReason::StoreUnavailable, ErrorReason::ShuttingDown]
    {
        refuse(&edge, reason);
        let answer = edge.get(PATH, &headers).await;
        answer.assert_refused(503, "Temporarily unavailable, try again");
    }
    // As the first item of the stream it is still in time for the status.
    edge.core.state().messages =
        Some(Box::new(|_| Ok(Box::pin(stream::iter([Err(Status::unavailable("gone"))])))));
    assert_eq!(edge.get(PATH, &headers).await.status, 503);

    refuse(&edge, ErrorReason::Internal);
    let answer = edge.get(PATH, &headers).await;
    assert_eq!(answer.status, 500);
    let message = answer.json()["message"].as_str().expect("a message").to_owned();
    let id = message.strip_prefix("Internal error ").expect("an id");
    assert_eq!(id.len(), 36, "{message}");
}

#[tokio::test]
async fn a_core_that_lists_nothing_has_no_threads_and_breaks_its_contract_on_messages() {
    let edge = StubEdge::start().await;
    edge.core.state().messages = Some(Box::new(|_| Ok(answers([]))));
    let alice = bearer(ALICE);
    let headers = [("authorization", alice.as_str())];
    let threads = edge.get("/chat/get-user-threads", &headers).await;
    assert_eq!(threads.text(), r#"{"status":"success","entity":[],"message":null,"success":true}"#);
    assert_eq!(edge.get(PATH, &headers).await.status, 500);
}

#[tokio::test]
async fn a_list_that_breaks_off_never_looks_whole() {
    let edge = StubEdge::start().await;
    let foreign = message(2, BOB, "3fa85f64-5717-4562-b3fc-2c963f66afa6", "not yours");
    let endings = [Err(Status::unavailable("gone")), Ok(more(vec![foreign]))];
    let alice = bearer(ALICE);
    for ending in endings {
        edge.core.state().messages = Some(Box::new(move |_| {
            let items = [Ok(first(vec![message(1, ALICE, BOB, "hello")])), ending.clone()];
            Ok(Box::pin(stream::iter(items)))
        }));
        let headers = [("authorization", alice.as_str())];
        let answer = edge.attempt(Method::GET, PATH, &headers, "").await;
        answer.expect_err("an answer that breaks off");
    }
}

/// Wakes `dropped` when the stream that owns it is dropped.
struct NotifyOnDrop(Arc<Notify>);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// Makes the core list messages without end, and gives the number of pieces taken so far.
fn list_without_end(edge: &StubEdge) -> (Arc<AtomicUsize>, Arc<Notify>) {
    let (taken, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    edge.core.state().messages = Some(Box::new({
        let (taken, dropped) = (Arc::clone(&taken), Arc::clone(&dropped));
        move |_| {
            let (taken, guard) = (Arc::clone(&taken), NotifyOnDrop(Arc::clone(&dropped)));
            let endless = stream::repeat_with(move || {
                let _ = &guard;
                taken.fetch_add(1, Ordering::Relaxed);
                Ok(first((1..=100).map(|id| message(id, ALICE, BOB, "hello")).collect()))
            });
            Ok(endless.boxed())
        }
    }));
    (taken, dropped)
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_core_back() {
    let edge = StubEdge::start().await;
    let (taken, dropped) = list_without_end(&edge);
    let alice = bearer(ALICE);
    let headers = [("authorization", alice.as_str())];
    let response = edge.start_request(Method::GET, PATH, &headers, "").await;
    // Others are served meanwhile, more of them than pieces would fit into any buffer.
    for _ in 0..2_000 {
        assert_eq!(edge.get("/healthz", &[]).await.status, 200);
    }
    // 40 KiB each; what the kernel takes for a connection is some MiB.
    let stalled = taken.load(Ordering::Relaxed);
    assert!(stalled < 500, "{stalled} pieces for nobody");
    drop(response);
    dropped.notified().await;
}
