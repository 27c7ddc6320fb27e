//! What a core says of a send that is repeated, and of one that comes late, is true of every copy of it.

use std::time::Duration;

use netrox_harness::Role;
use netrox_harness::process::Signal;
use netrox_proto::v1::{
    ErrorReason, SendMessageRequest, SendMessagesRequest, send_messages_request::Request,
    send_messages_response::Result as Answer,
};
use uuid::Uuid;

use crate::{
    pipeline::Pipeline,
    refusal::{assert_failure, assert_refused},
    running::{Core, text},
};

/// The reference of this number of one start of a client.
pub(crate) fn of_start(start: u64, number: u64) -> Uuid {
    uuid::Builder::from_custom_bytes(Uuid::from_u64_pair(start, number).into_bytes()).into_uuid()
}

/// As edges of before drew them.
fn of_time(millis: u64, number: u8) -> Uuid {
    uuid::Builder::from_unix_timestamp_millis(millis, &[0, 0, 0, 0, 0, 0, 0, 0, 0, number])
        .into_uuid()
}

struct World {
    core: Core,
    ada: String,
    bob: String,
    pipeline: Pipeline,
    last_request_id: u64,
}

impl World {
    async fn start() -> Self {
        let core = Core::start().await;
        let [ada, bob] = core.users().await;
        let pipeline = Pipeline::open(&core).await;
        Self { core, ada, bob, pipeline, last_request_id: 0 }
    }

    fn message(&self, client_ref: Uuid) -> SendMessageRequest {
        let client_ref = Some(client_ref.to_string());
        SendMessageRequest { client_ref, ..text(&self.ada, &self.bob, "hello") }
    }

    async fn ask(&mut self, request: SendMessagesRequest) -> Answer {
        self.last_request_id += 1;
        let request_id = self.last_request_id;
        self.pipeline.put(SendMessagesRequest { request_id, ..request }).await;
        let (answered, answer) = self.pipeline.next().await;
        assert_eq!(answered, request_id);
        answer
    }

    async fn send(&mut self, message: SendMessageRequest, is_repetition: bool) -> Answer {
        let request = Some(Request::Message(message));
        self.ask(SendMessagesRequest { request, is_repetition, ..Default::default() }).await
    }

    async fn stored(&mut self, client_ref: Uuid) -> i64 {
        stored(&self.send(self.message(client_ref), false).await)
    }

    async fn repeated(&mut self, client_ref: Uuid) -> Answer {
        self.send(self.message(client_ref), true).await
    }

    async fn history(&self) -> Vec<i64> {
        let history = self.core.history(&self.ada, &self.bob).await.expect("a history");
        history.iter().map(|message| message.id).collect()
    }
}

#[track_caller]
pub(crate) fn stored(answer: &Answer) -> i64 {
    match answer {
        Answer::Message(stored) => stored.message_id,
        other => panic!("not stored: {other:?}"),
    }
}

#[track_caller]
pub(crate) fn assert_fails(answer: &Answer, reason: ErrorReason) {
    match answer {
        Answer::Failure(failure) => assert_failure(failure, reason, ""),
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn only_what_the_same_start_of_a_client_sent_later_overtakes() {
    let mut world = World::start().await;
    let second = world.stored(of_start(1, 2)).await;
    assert_fails(&world.repeated(of_start(1, 1)).await, ErrorReason::Overtaken);
    assert_eq!(stored(&world.repeated(of_start(1, 2)).await), second, "the original answer");
    let third = stored(&world.repeated(of_start(1, 3)).await);
    // Another start, before and after it.
    let others = [
        stored(&world.repeated(of_start(0, 1)).await),
        stored(&world.repeated(of_start(2, 1)).await),
    ];
    assert_eq!(world.history().await, [second, third, others[0], others[1]]);
}

/// One send of a service, or a clock that was years ahead, once.
#[tokio::test]
async fn a_reference_of_another_kind_overtakes_nothing() {
    let mut world = World::start().await;
    let now = 1_750_000_000_000;
    let mut expected = Vec::new();
    let foreign = "f47ac10b-58cc-4372-a567-0e02b2c3d479".parse().expect("a UUID");
    // The same as a version 7 of a moment from now, but for the version.
    let alike = Uuid::from_u128(of_time(now + 1_000, 1).as_u128() ^ (0x3 << 76));
    assert_eq!(alike.get_version_num(), 4);
    for client_ref in [foreign, alike, of_time(now + 3_600_000, 1), of_start(u64::MAX, 1)] {
        expected.push(world.stored(client_ref).await);
        expected.push(stored(&world.repeated(of_time(now, expected.len() as u8)).await));
        expected.push(stored(&world.repeated(of_start(7, expected.len() as u64)).await));
        let no_order = stored(&world.repeated(Uuid::new_v4()).await);
        expected.push(no_order);
    }
    assert_eq!(world.history().await, expected);
    // An edge of before, whose clock goes on.
    world.stored(of_time(now + 5_000, 1)).await;
    assert_fails(&world.repeated(of_time(now + 4_999, 1)).await, ErrorReason::Overtaken);
}

#[tokio::test]
async fn a_repetition_that_was_refused_is_stored_by_no_other_copy() {
    let mut world = World::start().await;
    let later = world.stored(of_start(1, 9)).await;
    let receiver = Uuid::new_v4().to_string();
    let overtaken = world.message(of_start(1, 1));
    let to_nobody =
        SendMessageRequest { receiver_id: receiver.clone(), ..world.message(of_start(2, 1)) };
    for (message, reason) in
        [(&overtaken, ErrorReason::Overtaken), (&to_nobody, ErrorReason::ReceiverUnknown)]
    {
        assert_fails(&world.send(message.clone(), true).await, reason);
    }
    // Now it could be stored.
    world.core.upsert(&[receiver]).await;
    for message in [overtaken, to_nobody] {
        // The first copy, which was under way for longer.
        assert_fails(&world.send(message.clone(), false).await, ErrorReason::Overtaken);
        let unary = world.core.chat().send_message(message.clone()).await;
        assert_refused(unary, ErrorReason::Overtaken);
        assert_fails(&world.send(message, true).await, ErrorReason::Overtaken);
    }
    assert_eq!(world.history().await, [later]);
}

#[tokio::test]
async fn a_request_that_is_too_old_is_not_stored() {
    let mut world = World::start().await;
    let aged = |message: SendMessageRequest, millis: i64| SendMessagesRequest {
        request: Some(Request::Message(message)),
        sent_after_ms: Some(-millis),
        ..Default::default()
    };
    for millis in [3_001, 60_000, i64::MAX] {
        let request = aged(world.message(Uuid::new_v4()), millis);
        assert_fails(&world.ask(request).await, ErrorReason::StoreUnavailable);
    }
    let request = aged(world.message(Uuid::new_v4()), 1_000);
    let id = stored(&world.ask(request).await);
    // The client's clock is fast.
    let request = aged(world.message(Uuid::new_v4()), -60_000);
    let next = stored(&world.ask(request).await);
    assert_eq!(world.history().await, [id, next]);
}

/// The time that a core was stopped counts, wherever the request waited for it.
#[tokio::test]
async fn what_waited_for_a_core_that_was_stopped_is_not_stored() {
    let mut world = World::start().await;
    let opened = tokio::time::Instant::now();
    let before = world.stored(Uuid::new_v4()).await;
    world.core.process.process(Role::Core(0)).signal(Signal::STOP);
    for request_id in 101..110 {
        let request = Some(Request::Message(world.message(Uuid::new_v4())));
        let sent_after_ms = Some(i64::try_from(opened.elapsed().as_millis()).expect("millis"));
        let request =
            SendMessagesRequest { request_id, request, sent_after_ms, ..Default::default() };
        world.pipeline.put(request).await;
    }
    // Longer than the 3 seconds that anything may wait.
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    world.core.process.process(Role::Core(0)).signal(Signal::CONT);
    for _ in 101..110 {
        assert_fails(&world.pipeline.next().await.1, ErrorReason::StoreUnavailable);
    }
    let after = world.stored(Uuid::new_v4()).await;
    assert_eq!(world.history().await, [before, after]);
}
