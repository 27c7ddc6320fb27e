use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures_util::{StreamExt, stream};
use http::Method;
use netrox_proto::{
    time::timestamp,
    v1::{ErrorReason, Failure, ListMessagesRequest, ListMessagesResponse, Message},
};
use tokio::sync::Notify;
use tonic::Status;

use crate::{
    stub::{answers, user},
    world::{ALICE, BOB, World, bearer},
};

pub(crate) const PATH: &str = "/chat/messages/87c8b8e2-3efc-4a4a-b667-1f9c0d7e8437/";
const EMPTY: &str = concat!(
    r#"{"status":"success","entity":{"messages":[]},"#,
    r#""message":"Messages retreived successfully","success":true}"#
);

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
    }
}

fn first(messages: Vec<Message>) -> ListMessagesResponse {
    ListMessagesResponse { users: vec![user(ALICE), user(BOB)], messages }
}

fn more(messages: Vec<Message>) -> ListMessagesResponse {
    ListMessagesResponse { users: vec![], messages }
}

pub(crate) fn refuse(world: &World, reason: ErrorReason) {
    let failure = Failure::new(reason, "why");
    world.core.state().list_messages = Arc::new(move |_| Err(failure.clone().into()));
}

#[tokio::test]
async fn a_conversation_is_listed_as_documented() {
    let world = World::start().await;
    world.core.state().list_messages = Arc::new(|request| {
        let expected = ListMessagesRequest {
            user_id: ALICE.into(),
            peer_id: BOB.into(),
            ..Default::default()
        };
        assert_eq!(request, expected);
        Ok(answers([
            first(vec![message(1, ALICE, BOB, "hello")]),
            more(vec![]),
            more(vec![message(2, BOB, ALICE, "\"hi\""), message(3, ALICE, BOB, " ")]),
        ]))
    });
    let user =
        |id: &str| format!(r#"{{"id":"{id}","email":"{}@example.com","profile":null}}"#, &id[..4]);
    let message = |id: i64, sender: &str, receiver: &str, body: &str| {
        let time = format!("2024-06-17T11:28:21.90253{}Z", 1 + id);
        format!(
            concat!(
                r#"{{"id":{},"sender":{},"receiver":{},"attached_file_size":"0kb","message":{},"#,
                r#""updated":"{}","created":"{}","seen":{},"deleted":false,"#,
                r#""attached_file":null,"attached_file_name":null,"thread":1}}"#
            ),
            id,
            user(sender),
            user(receiver),
            body,
            time,
            time,
            id == 1
        )
    };
    let messages = [
        message(1, ALICE, BOB, r#""hello""#),
        message(2, BOB, ALICE, r#""\"hi\"""#),
        message(3, ALICE, BOB, r#"" ""#),
    ];
    let expected = EMPTY.replace("[]", &format!("[{}]", messages.join(",")));
    let alice = bearer(ALICE);
    for path in [
        PATH,
        PATH.trim_end_matches('/'),
        &PATH.to_uppercase().replace("/CHAT/MESSAGES/", "/chat/messages/"),
    ] {
        let answer = world.get(path, &[("authorization", &alice)]).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.text(), expected, "{path}");
        assert_eq!(answer.headers["content-type"], "application/json");
    }
    let head = world.request(Method::HEAD, PATH, &[("authorization", &alice)], "").await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
}

#[tokio::test]
async fn without_messages_the_list_is_empty() {
    let world = World::start().await;
    let alice = bearer(ALICE);
    world.core.state().list_messages = Arc::new(|_| Ok(answers([first(vec![])])));
    assert_eq!(world.get(PATH, &[("authorization", &alice)]).await.text(), EMPTY);
    // Oneself: whatever the core would say.
    refuse(&world, ErrorReason::Internal);
    let own = format!("/chat/messages/{}/", ALICE.to_uppercase());
    let answer = world.get(&own, &[("authorization", &alice)]).await;
    assert_eq!((answer.status.as_u16(), answer.text()), (200, EMPTY));
}

#[tokio::test]
async fn whom_nobody_knows_is_an_invalid_receiver() {
    let world = World::start().await;
    let alice = bearer(ALICE);
    refuse(&world, ErrorReason::UserUnknown);
    let undashed = PATH.replace('-', "");
    for path in
        [PATH, "/chat/messages/7/", "/chat/messages/%ff/", "/chat/messages/a%2Fb/", &undashed]
    {
        let answer = world.get(path, &[("authorization", &alice)]).await;
        answer.assert_refused(404, "Invalid receipient");
    }
}

#[tokio::test]
async fn a_core_that_cannot_answer_is_503_and_a_defect_500() {
    let world = World::start().await;
    let alice = bearer(ALICE);
    let headers = [("authorization", alice.as_str())];
    for reason in
        [ErrorReason::Overloaded, ErrorReason::StoreUnavailable, ErrorReason::ShuttingDown]
    {
        refuse(&world, reason);
        let answer = world.get(PATH, &headers).await;
        answer.assert_refused(503, "Temporarily unavailable, try again");
    }
    // As the first item of the stream it is still in time for the status.
    world.core.state().list_messages =
        Arc::new(|_| Ok(Box::pin(stream::iter([Err(Status::unavailable("gone"))]))));
    assert_eq!(world.get(PATH, &headers).await.status, 503);

    refuse(&world, ErrorReason::Internal);
    let answer = world.get(PATH, &headers).await;
    assert_eq!(answer.status, 500);
    let message = answer.json()["message"].as_str().expect("a message").to_owned();
    let id = message.strip_prefix("Internal error ").expect("an id");
    assert_eq!(id.len(), 36, "{message}");
}

#[tokio::test]
async fn a_list_that_breaks_off_never_looks_whole() {
    let world = World::start().await;
    let foreign = message(2, BOB, "3fa85f64-5717-4562-b3fc-2c963f66afa6", "not yours");
    let endings = [Err(Status::unavailable("gone")), Ok(more(vec![foreign]))];
    let alice = bearer(ALICE);
    for ending in endings {
        world.core.state().list_messages = Arc::new(move |_| {
            let items = [Ok(first(vec![message(1, ALICE, BOB, "hello")])), ending.clone()];
            Ok(Box::pin(stream::iter(items)))
        });
        let headers = [("authorization", alice.as_str())];
        let answer = world.attempt(Method::GET, PATH, &headers, "").await;
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
fn list_without_end(world: &World) -> (Arc<AtomicUsize>, Arc<Notify>) {
    let (taken, dropped) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    world.core.state().list_messages = Arc::new({
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
    });
    (taken, dropped)
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_core_back() {
    let world = World::start().await;
    let (taken, dropped) = list_without_end(&world);
    let alice = bearer(ALICE);
    let headers = [("authorization", alice.as_str())];
    let response = world.start_request(Method::GET, PATH, &headers, "").await;
    // Others are served meanwhile, more of them than pieces would fit into any buffer.
    for _ in 0..2_000 {
        assert_eq!(world.get("/healthz", &[]).await.status, 200);
    }
    // 40 KiB each; what the kernel takes for a connection is some MiB.
    let stalled = taken.load(Ordering::Relaxed);
    assert!(stalled < 500, "{stalled} pieces for nobody");
    drop(response);
    dropped.notified().await;
}

#[tokio::test]
async fn reads_at_a_time_are_limited_for_each_user() {
    let world = World::with_limits(|limits| limits.max_history_reads_per_user = 2).await;
    let (_, dropped) = list_without_end(&world);
    let (alice, bob) = (bearer(ALICE), bearer(BOB));
    let headers = [("authorization", alice.as_str())];
    let one = world.start_request(Method::GET, PATH, &headers, "").await;
    let two = world.start_request(Method::GET, PATH, &headers, "").await;
    for path in [PATH, "/chat/get-user-threads/"] {
        let refused = world.get(path, &headers).await;
        refused.assert_refused(429, "Too many requests at a time");
    }
    let others = world.get("/chat/get-user-threads/", &[("authorization", &bob)]).await;
    assert_eq!(others.status, 200);

    drop(one);
    dropped.notified().await;
    // The place is free as soon as the core's stream is gone.
    assert_eq!(world.get("/chat/get-user-threads/", &headers).await.status, 200);
    drop(two);
}
