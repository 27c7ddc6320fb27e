use std::time::Duration;

use futures_util::future::join_all;
use netrox_proto::v1::{
    chat_service_server::ChatServiceServer, directory_service_server::DirectoryServiceServer,
};
use tokio::{
    runtime::{self, Runtime},
    time::{Instant, advance, sleep, timeout},
};
use tonic::{Code, transport::Server};

use super::*;
use crate::{
    core_client::CoreTransport,
    stub_core::{self, Sends, StubCore, authorization, user},
    unused_address::unused_address,
};

mod second;

const ALICE: u128 = 1;
const BOB: u128 = 2;

struct World {
    core: StubCore,
    sends: SendPipeline,
    tasks: Tasks,
}

const WAIT: Duration = Duration::from_secs(10);

fn world(in_process: bool) -> World {
    world_with(in_process, WAIT)
}

fn world_with(in_process: bool, wait: Duration) -> World {
    let core = StubCore::default();
    core.add_user(user(ALICE));
    core.add_user(user(BOB));
    let tasks = Tasks::default();
    let sends = SendPipeline::new(
        &core.client(),
        in_process,
        wait,
        &Arc::default(),
        &tasks,
        &Metrics::default(),
    );
    World { core, sends, tasks }
}

impl World {
    fn send(&self, body: impl Into<String>) -> PendingSend {
        self.submit(ALICE, SendCommand::Message { receiver: user(BOB), body: body.into() })
    }

    fn submit(&self, sender: u128, command: SendCommand) -> PendingSend {
        match self.sends.submit(
            &self.sends.sender(user(sender), TokenMark::default()),
            command,
            Instant::now(),
        ) {
            Submission::Accepted(pending) => pending,
            Submission::NoRoom(command) => panic!("no room for {command:?}"),
        }
    }

    /// The database behind the core is away.
    fn hand_back(&self) {
        self.core.break_streams(&Failure::new(ErrorReason::HandedBack, "away"));
    }
}

fn reason(outcome: SendResult) -> ErrorReason {
    outcome.expect_err("a failure").reason()
}

#[tokio::test(start_paused = true)]
async fn keeps_what_the_core_answered() {
    let world = world(true);
    for expected in [1, 2] {
        let sent = world.send("a").await;
        let Ok(Sent::Message(SendMessageResponse { message_id, thread_id, created, .. })) = sent
        else {
            panic!("not stored: {sent:?}");
        };
        assert_eq!((message_id, thread_id), (expected, 1));
        assert!(created.is_some());
    }
    let delivered = world.submit(ALICE, SendCommand::Dispatch { message_id: 35 }).await;
    assert_eq!(delivered, Ok(Sent::Dispatch(DispatchAttachmentResponse::default())));
}

#[tokio::test(start_paused = true)]
async fn keeps_the_order_of_a_user_and_answers_each() {
    let world = world(true);
    let pending: Vec<_> = (0..1_900).map(|number| world.send(number.to_string())).collect();
    let unknown = SendCommand::Message { receiver: user(99), body: "x".into() };
    let unknown = world.submit(ALICE, unknown);
    let dispatch = world.submit(ALICE, SendCommand::Dispatch { message_id: 35 });
    for outcome in join_all(pending).await {
        assert_eq!(outcome.map(drop), Ok(()));
    }
    assert_eq!(reason(unknown.await), ErrorReason::ReceiverUnknown);
    assert_eq!(dispatch.await.map(drop), Ok(()));
    let state = world.core.state();
    let expected: Vec<_> = (0..1_900).map(|number| number.to_string()).collect();
    assert_eq!(state.bodies(), expected);
    assert!(matches!(
        &state.received.last().expect("a request").request,
        Some(Request::Attachment(dispatch)) if dispatch.message_id == 35
    ));
}

#[tokio::test(start_paused = true)]
async fn sets_a_client_ref_over_the_network_only() {
    for in_process in [true, false] {
        let world = world(in_process);
        assert_eq!(world.send("a").await.map(drop), Ok(()));
        assert_eq!(world.core.state().stored[0].client_ref.is_none(), in_process);
    }
}

#[tokio::test(start_paused = true)]
async fn repeats_what_is_in_doubt_once_in_order_and_before_anything_newer() {
    let world = world(false);
    world.core.change(|state| state.sends = Sends::Unanswered);
    let mut pending: Vec<_> = (0..10).map(|number| world.send(number.to_string())).collect();
    world.core.wait_for("10 messages", |state| state.stored.len() == 10).await;
    world.core.change(|state| state.sends = Sends::Ignored);
    pending.extend((10..20).map(|number| world.send(number.to_string())));
    world.core.wait_for("20 requests", |state| state.received.len() == 20).await;

    world.core.change(|state| state.sends = Sends::Answered);
    world.core.break_streams(&Failure::new(ErrorReason::StoreUnavailable, "restart"));
    pending.extend((20..30).map(|number| world.send(number.to_string())));
    for outcome in join_all(pending).await {
        assert_eq!(outcome.map(drop), Ok(()));
    }
    let state = world.core.state();
    let expected: Vec<_> = (0..30).map(|number| number.to_string()).collect();
    assert_eq!(state.bodies(), expected);
    assert_eq!(state.received.len(), 20 + 30);
}

#[tokio::test(start_paused = true)]
async fn in_process_what_is_in_doubt_is_not_repeated() {
    let world = world(true);
    world.core.change(|state| state.sends = Sends::Unanswered);
    let pending = world.send("a");
    world.core.wait_for("a message", |state| state.stored.len() == 1).await;
    world.core.change(|state| state.sends = Sends::Answered);
    world.core.break_streams(&Failure::new(ErrorReason::Internal, "a panic"));
    assert_eq!(reason(pending.await), ErrorReason::OutcomeUnknown);
    assert_eq!(world.send("b").await.map(drop), Ok(()));
    assert_eq!(world.core.state().bodies(), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_core_that_shuts_down_in_process_has_not_read_what_it_did_not_answer() {
    let world = world(true);
    world.core.change(|state| state.sends = Sends::Ignored);
    let pending = world.send("a");
    world.core.wait_for("a request", |state| state.received.len() == 1).await;
    world.core.break_streams(&Failure::new(ErrorReason::ShuttingDown, "bye"));
    assert_eq!(reason(pending.await), ErrorReason::ShuttingDown);
}

#[tokio::test(start_paused = true)]
async fn without_a_wait_it_refuses_at_once_while_the_core_is_down_and_recovers_by_itself() {
    let world = world_with(false, Duration::ZERO);
    assert_eq!(world.send("a").await.map(drop), Ok(()));
    world.core.change(|state| {
        state.is_down = true;
        state.sends = Sends::Unanswered;
    });
    let in_doubt = world.send("b");
    world.core.wait_for("b", |state| state.stored.len() == 2).await;
    world.core.break_streams(&Failure::new(ErrorReason::StoreUnavailable, "down"));
    // Waits for the one attempt to reach another core.
    assert_eq!(reason(world.send("c").await), ErrorReason::StoreUnavailable);
    let start = Instant::now();
    for _ in 0..100 {
        assert_eq!(reason(world.send("d").await), ErrorReason::StoreUnavailable);
    }
    assert_eq!(start.elapsed(), Duration::ZERO);

    world.core.change(|state| {
        state.is_down = false;
        state.sends = Sends::Answered;
    });
    assert_eq!(in_doubt.await.map(drop), Ok(()));
    assert_eq!(world.send("e").await.map(drop), Ok(()));
    assert_eq!(world.core.state().bodies(), ["a", "b", "e"]);
}

#[tokio::test(start_paused = true)]
async fn doubt_ends_after_a_while() {
    let world = world(false);
    world.core.change(|state| state.sends = Sends::Unanswered);
    let pending = world.send("a");
    world.core.wait_for("a", |state| state.stored.len() == 1).await;
    let start = Instant::now();
    world.core.change(|state| state.is_down = true);
    world.core.break_streams(&Failure::new(ErrorReason::StoreUnavailable, "down"));
    assert_eq!(reason(pending.await), ErrorReason::OutcomeUnknown);
    assert!(start.elapsed().abs_diff(WAIT) < Duration::from_millis(500));
}

/// A message that is stored, whose stream breaks before the answer, and that is repeated.
async fn repeated(world: &World) -> PendingSend {
    world.core.change(|state| state.sends = Sends::Unanswered);
    let pending = world.send("a");
    world.core.wait_for("a", |state| state.stored.len() == 1).await;
    world.core.break_streams(&Failure::new(ErrorReason::StoreUnavailable, "restart"));
    world.core.wait_for("a repetition", |state| state.received.len() == 2).await;
    pending
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_a_repetition_does_not_tell_what_became_of_the_first() {
    use ErrorReason as R;
    let unknown = R::OutcomeUnknown;
    for (told, expected) in [
        (Failure::new(R::Overloaded, "busy"), unknown),
        (Failure::new(R::UserUnknown, "another database"), unknown),
        (Failure::new(R::BodyTooLarge, "another limit"), unknown),
        (Failure::new(R::Internal, "a defect"), unknown),
        // The core sees to it that these hold for the first copy; one of before it gave codes does not.
        (Failure::new(R::Overtaken, "later"), R::Overtaken),
        (Failure { code: 0, ..Failure::new(R::Overtaken, "later") }, unknown),
        (Failure::new(R::ReceiverUnknown, "nobody"), R::ReceiverUnknown),
        (Failure { code: 0, ..Failure::new(R::ReceiverUnknown, "nobody") }, unknown),
        (Failure::invalid_field("body", "empty"), R::InvalidField),
    ] {
        let world = world(false);
        let pending = repeated(&world).await;
        world.core.refuse_unanswered(&told);
        assert_eq!(reason(pending.await), expected, "{told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_can_be_found_out_in_time_is() {
    for told in [ErrorReason::StoreUnavailable, ErrorReason::OutcomeUnknown] {
        let world = world(false);
        let pending = repeated(&world).await;
        world.core.refuse_unanswered(&Failure::new(told, "not yet"));
        world.core.wait_for("another", |state| state.received.len() == 3).await;
        world.core.refuse_unanswered(&Failure::new(told, "not yet"));
        world.core.change(|state| state.sends = Sends::Answered);
        assert_eq!(pending.await.map(drop), Ok(()));
        assert_eq!(world.core.state().stored.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_outcome_that_the_core_does_not_know_is_asked_for_again() {
    let world = world(false);
    world.core.change(|state| state.sends = Sends::Unanswered);
    let pending = world.send("a");
    world.core.wait_for("a", |state| state.stored.len() == 1).await;
    let unknown = Failure::new(ErrorReason::OutcomeUnknown, "the database failed");
    world.core.refuse_unanswered(&unknown);
    world.core.change(|state| state.sends = Sends::Answered);
    assert_eq!(pending.await.map(drop), Ok(()));
    {
        let state = world.core.state();
        let repetitions: Vec<_> = state.received.iter().map(|it| it.is_repetition).collect();
        assert_eq!((state.stored.len(), &repetitions[..]), (1, &[false, true][..]));
    }
    for (code, expected) in [(unknown.code, Ok(())), (0, Err(ErrorReason::OutcomeUnknown))] {
        world.core.change(|state| state.sends = Sends::Ignored);
        let received = world.core.state().received.len();
        let pending = world.submit(ALICE, SendCommand::Dispatch { message_id: 35 });
        world.core.wait_for("a dispatch", |state| state.received.len() == received + 1).await;
        // Of a core that does not give back what came after it, a dispatch has nothing that would keep it behind that.
        world.core.refuse_unanswered(&Failure { code, ..unknown.clone() });
        world.core.change(|state| state.sends = Sends::Answered);
        assert_eq!(pending.await.map(drop).map_err(|failure| failure.reason()), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reason_of_a_later_version_is_understood_by_its_code() {
    for (code, expected) in [
        (Code::PermissionDenied, ErrorReason::Internal),
        (Code::InvalidArgument, ErrorReason::InvalidField),
        (Code::Unavailable, ErrorReason::StoreUnavailable),
        (Code::Aborted, ErrorReason::OutcomeUnknown),
    ] {
        let world = world(true);
        world.core.change(|state| state.sends = Sends::Ignored);
        let pending = world.send("a");
        world.core.wait_for("a", |state| state.received.len() == 1).await;
        let later = Failure { reason: 4_711, code: code.into(), ..Failure::default() };
        world.core.refuse_unanswered(&later);
        assert_eq!(reason(pending.await), expected, "{code:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_core_is_told_how_old_a_request_is_and_how_long_it_may_wait() {
    for (in_process, wait) in
        [true, false].into_iter().flat_map(|it| [(it, WAIT), (it, Duration::ZERO)])
    {
        let world = world_with(in_process, wait);
        assert_eq!(world.send("a").await.map(drop), Ok(()));
        sleep(Duration::from_secs(10)).await;
        world.core.change(|state| state.sends = Sends::Unanswered);
        let pending = world.send("b");
        world.core.wait_for("b", |state| state.stored.len() == 2).await;
        sleep(Duration::from_secs(3)).await;
        world.core.break_streams(&Failure::new(ErrorReason::StoreUnavailable, "restart"));
        if in_process {
            assert_eq!(reason(pending.await), ErrorReason::OutcomeUnknown);
        } else {
            world.core.wait_for("a repetition", |state| state.received.len() == 3).await;
        }
        let state = world.core.state();
        let told = |place: usize| {
            let request = &state.received[place];
            assert_eq!(request.hand_back, !in_process);
            (request.sent_after_ms, request.wait_ms)
        };
        let wait_ms = u32::try_from(wait.as_millis()).ok();
        assert_eq!([told(0), told(1)], [(Some(0), wait_ms), (Some(10_000), wait_ms)]);
        if in_process {
            continue;
        }
        // A core that is not told of the wait begins it within three seconds of what it takes for new.
        let repeated =
            if wait.is_zero() { (Some(-2_000), Some(0)) } else { (Some(0), Some(7_000)) };
        assert_eq!(told(2), repeated);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_head_was_slow_is_ended_and_another_tells_the_age() {
    let world = world(false);
    let [slow, good] = [Duration::from_secs(1), Duration::ZERO];
    for heads in [[slow, good], [slow, good]] {
        // Each lane has a stream of its own.
        let heads = heads.into_iter().flat_map(|delay| [delay; LANES]);
        world.core.change(|state| state.slow_heads = heads.collect());
        world.core.break_streams(&Failure::new(ErrorReason::StoreUnavailable, "restart"));
        world.core.wait_for("the heads", |state| state.slow_heads.is_empty()).await;
        assert_eq!(world.send("a").await.map(drop), Ok(()));
        let told = world.core.state().received.last().map(|request| request.sent_after_ms);
        assert!(matches!(told, Some(Some(_))), "{told:?}");
        let left = |state: &stub_core::State| state.open_streams() == LANES;
        world.core.wait_for("the end of those that were given up", left).await;
    }
    // Where it is always slow, another would be no better.
    world.core.change(|state| state.slow_heads = [slow; 2 * LANES].into());
    world.core.break_streams(&Failure::new(ErrorReason::StoreUnavailable, "restart"));
    world.core.wait_for("the heads", |state| state.slow_heads.is_empty()).await;
    assert_eq!(world.send("a").await.map(drop), Ok(()));
    assert_eq!(world.core.state().received.last().map(|it| it.sent_after_ms), Some(None));
}

#[tokio::test(start_paused = true)]
async fn what_was_repeated_before_a_break_is_repeated_in_its_place_after_it() {
    for is_repeated in [true, false] {
        let world = world(false);
        world.core.change(|state| state.sends = Sends::Ignored);
        let older = world.send("older");
        world.core.wait_for("older", |state| state.received.len() == 1).await;
        world.core.refuse_unanswered(&Failure::new(ErrorReason::OutcomeUnknown, "not yet"));
        advance(Duration::from_millis(1)).await;
        let newer = world.send("newer");
        let count = if is_repeated { 3 } else { 2 };
        world.core.wait_for("both", |state| state.received.len() == count).await;
        world.core.change(|state| state.sends = Sends::Answered);
        world.core.break_streams(&Failure::new(ErrorReason::StoreUnavailable, "restart"));
        let results = join_all([older, newer]).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        let state = world.core.state();
        assert_eq!(state.bodies(), ["older", "newer"], "{is_repeated}");
        assert_eq!(state.received.len(), count + 2);
    }
}

#[tokio::test(start_paused = true)]
async fn is_bounded_on_the_stream_and_for_each_user() {
    let world = world(false);
    world.core.change(|state| state.sends = Sends::Ignored);
    let command = || SendCommand::Message { receiver: user(BOB), body: "x".repeat(512) };
    // Nothing was taken onto the stream yet, and a user has a MiB.
    let start = Instant::now();
    let mut pending: Vec<_> = (0..1_100).map(|_| world.submit(ALICE, command())).collect();
    for refused in join_all(pending.drain(1_024..)).await {
        assert_eq!(reason(refused), ErrorReason::Overloaded);
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    world.core.wait_for("1,024 requests", |state| state.received.len() == 1_024).await;
    // The stream is full, but nothing is known to be away yet: the next one stays with its sender.
    let next = world.sends.submit(
        &world.sends.sender(user(ALICE), TokenMark::default()),
        command(),
        Instant::now(),
    );
    assert!(matches!(next, Submission::NoRoom(_)));
    // Another user of the same lane waits for a place on the stream.
    let other = world.submit(ALICE + 2 * LANES as u128, command());
    assert_eq!(reason(other.await), ErrorReason::Overloaded);
    assert!(start.elapsed().abs_diff(WAIT) < Duration::from_millis(500));
    for outcome in join_all(pending).await {
        assert_eq!(reason(outcome), ErrorReason::OutcomeUnknown);
    }
    assert_eq!(world.core.state().received.len(), 1_024);
    // The places are free when the core answers, though late.
    world.core.answer_all();
    assert_eq!(world.send("a").await.map(drop), Ok(()));
}

/// As many as 1,000 users with 8 long messages each, of a core that is slow and not away.
#[tokio::test(start_paused = true)]
async fn what_has_no_room_for_anyone_stays_with_its_sender_until_something_is_away() {
    let world = world(false);
    assert_eq!(world.send("first").await.map(drop), Ok(()));
    world.core.change(|state| state.sends = Sends::Ignored);
    let submit = |sender: u128| {
        let body = "x".repeat(16 * 1024);
        let command = SendCommand::Message { receiver: user(BOB), body };
        world.sends.submit(
            &world.sends.sender(user(sender), TokenMark::default()),
            command,
            Instant::now(),
        )
    };
    let mut pending = Vec::new();
    let full = (1_000..).find_map(|number| match submit(number / 8) {
        Submission::Accepted(accepted) => {
            pending.push(accepted);
            None
        }
        Submission::NoRoom(command) => Some(command),
    });
    assert!(full.is_some() && pending.len() > 900, "{}", pending.len());
    // Nothing is answered for longer than what is just under way takes.
    sleep(Duration::from_secs(1)).await;
    let Submission::Accepted(refused) = submit(1) else { panic!("it is not refused") };
    assert_eq!(reason(refused.await), ErrorReason::Overloaded);
    world.core.change(|state| state.sends = Sends::Answered);
    world.core.answer_all();
    for outcome in join_all(pending).await {
        assert_eq!(outcome.map(drop), Ok(()));
    }
    assert!(matches!(submit(1), Submission::Accepted(_)));
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_while_the_core_is_down_waits_and_keeps_its_order() {
    let world = world(false);
    assert_eq!(world.send("0").await.map(drop), Ok(()));
    world.core.change(|state| state.is_down = true);
    world.core.break_streams(&Failure::new(ErrorReason::StoreUnavailable, "down"));
    let mut pending = Vec::new();
    for number in 1..80 {
        pending.push(world.send(number.to_string()));
        pending.push(world.submit(ALICE, SendCommand::Dispatch { message_id: number }));
        sleep(Duration::from_millis(100)).await;
    }
    world.core.change(|state| state.is_down = false);
    for outcome in join_all(pending).await {
        assert_eq!(outcome.map(drop), Ok(()));
    }
    let state = world.core.state();
    let bodies: Vec<_> = (0..80).map(|number| number.to_string()).collect();
    assert_eq!(state.bodies(), bodies);
    let dispatched = state.received.iter().filter_map(|it| match &it.request {
        Some(Request::Attachment(dispatch)) => Some(dispatch.message_id),
        _ => None,
    });
    assert!(dispatched.eq(1..80));
    assert!(state.received.iter().all(|request| !request.is_repetition));
}

#[tokio::test(start_paused = true)]
async fn what_has_waited_for_as_long_as_it_may_is_refused_and_nothing_else() {
    let world = world(false);
    world.core.change(|state| state.is_down = true);
    world.core.break_streams(&Failure::new(ErrorReason::StoreUnavailable, "down"));
    let start = Instant::now();
    let mut pending = Vec::new();
    while start.elapsed() < Duration::from_secs(20) {
        let body = pending.len().to_string();
        pending.push((Instant::now(), tokio::spawn(world.send(body))));
        sleep(Duration::from_millis(500)).await;
    }
    world.core.change(|state| state.is_down = false);
    let mut stored = Vec::new();
    for (number, (sent, outcome)) in pending.into_iter().enumerate() {
        match outcome.await.expect("a task") {
            Ok(_) => stored.push(number.to_string()),
            Err(failure) => {
                assert_eq!(failure.reason(), ErrorReason::StoreUnavailable);
                assert!(sent - start < Duration::from_millis(10_500), "{number}");
            }
        }
    }
    assert!((19..=21).contains(&stored.len()), "{}", stored.len());
    assert_eq!(world.core.state().bodies(), stored);
}

#[tokio::test(start_paused = true)]
async fn what_the_core_gives_back_is_sent_again_one_first_and_is_no_repetition() {
    let world = world(false);
    world.core.change(|state| state.sends = Sends::Ignored);
    let pending: Vec<_> = (0..10).map(|number| world.send(number.to_string())).collect();
    world.core.wait_for("10 requests", |state| state.received.len() == 10).await;
    for attempt in 1..=3 {
        world.hand_back();
        world.core.wait_for("one more", |state| state.received.len() == 10 + attempt).await;
        sleep(Duration::from_millis(100)).await;
        assert_eq!(world.core.state().received.len(), 10 + attempt);
    }
    world.core.change(|state| state.sends = Sends::Answered);
    world.hand_back();
    for outcome in join_all(pending).await {
        assert_eq!(outcome.map(drop), Ok(()));
    }
    let state = world.core.state();
    let expected: Vec<_> = (0..10).map(|number| number.to_string()).collect();
    assert_eq!(state.bodies(), expected);
    assert!(state.received.iter().all(|request| !request.is_repetition));
}

#[tokio::test(start_paused = true)]
async fn what_is_given_back_of_a_repetition_stays_one() {
    let world = world(false);
    let pending = repeated(&world).await;
    world.hand_back();
    world.core.wait_for("another", |state| state.received.len() == 3).await;
    world.core.change(|state| state.sends = Sends::Answered);
    world.hand_back();
    assert_eq!(pending.await.map(drop), Ok(()));
    let state = world.core.state();
    let repetitions: Vec<_> = state.received.iter().map(|it| it.is_repetition).collect();
    assert_eq!((state.stored.len(), &repetitions[..]), (1, &[false, true, true, true][..]));
}

#[tokio::test(start_paused = true)]
async fn at_the_end_of_its_patience_nothing_waits_and_what_is_in_doubt_is_told_so() {
    let world = world(false);
    world.core.change(|state| state.sends = Sends::Unanswered);
    let in_doubt = world.send("a");
    world.core.wait_for("a", |state| state.stored.len() == 1).await;
    world.core.change(|state| state.is_down = true);
    world.core.break_streams(&Failure::new(ErrorReason::StoreUnavailable, "down"));
    let waiting = world.send("b");
    let start = Instant::now();
    sleep(Duration::from_millis(400)).await;
    world.sends.lose_patience();
    assert_eq!(reason(waiting.await), ErrorReason::StoreUnavailable);
    assert_eq!(reason(world.send("c").await), ErrorReason::StoreUnavailable);
    assert!(start.elapsed() < Duration::from_millis(500));
    assert_eq!(reason(in_doubt.await), ErrorReason::OutcomeUnknown);
    world.sends.close();
    world.sends.ended().await;
}

#[tokio::test(start_paused = true)]
async fn closes_after_the_last_answer() {
    let world = world(false);
    world.core.change(|state| state.sends = Sends::Unanswered);
    let pending = world.send("a");
    world.core.wait_for("a", |state| state.stored.len() == 1).await;
    world.sends.close();
    assert_eq!(reason(world.send("b").await), ErrorReason::ShuttingDown);
    world.tasks.begin_drain();
    sleep(Duration::from_secs(1)).await;
    assert!(world.tasks.are_running());
    world.core.answer_all();
    assert_eq!(pending.await.map(drop), Ok(()));
    world.tasks.ended().await;
}

#[tokio::test(start_paused = true)]
async fn a_core_that_hangs_does_not_keep_it_from_closing() {
    let world = world(false);
    world.core.change(|state| state.sends = Sends::Ignored);
    let pending = world.send("a");
    world.core.wait_for("a", |state| state.received.len() == 1).await;
    world.sends.close();
    world.tasks.begin_drain();
    advance(WAIT + Duration::from_secs(2)).await;
    assert_eq!(reason(pending.await), ErrorReason::OutcomeUnknown);
    world.tasks.ended().await;
}

/// A core on a port of its own, whose runtime can be shut down with all its connections.
fn serve(core: &StubCore, address: std::net::SocketAddr) -> Runtime {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let server = Server::builder()
        .add_service(ChatServiceServer::new(core.clone()))
        .add_service(DirectoryServiceServer::new(core.clone()))
        .serve(address);
    runtime.spawn(async move { server.await.expect("a server") });
    runtime
}

#[tokio::test]
async fn a_core_that_dies_and_comes_back_over_the_network_loses_and_doubles_nothing() {
    let address = unused_address();
    let core = StubCore::default();
    core.add_user(user(ALICE));
    core.add_user(user(BOB));
    let transport =
        CoreTransport::remote([format!("http://{address}").parse().expect("a URI")], None);
    let client = CoreClient::new(transport, authorization());
    let tasks = Tasks::default();
    let server = serve(&core, address);
    let sends = SendPipeline::new(
        &client,
        false,
        Duration::ZERO,
        &Arc::default(),
        &tasks,
        &Metrics::default(),
    );
    let world = World { core, sends, tasks };
    // The server may not listen yet.
    let mut number = 0;
    while world.send(number.to_string()).await.is_err() {
        number += 1;
        sleep(Duration::from_millis(10)).await;
    }
    world.core.change(|state| state.sends = Sends::Unanswered);
    let mut in_doubt: Vec<_> = (0..100).map(|_| world.send("in doubt")).collect();
    world.core.wait_for("100 messages", |state| state.stored.len() == 101).await;
    server.shutdown_background();
    world.core.change(|state| state.sends = Sends::Answered);
    // Until the break is noticed, commands go into doubt.
    loop {
        let mut pending = world.send("in doubt");
        match timeout(Duration::from_millis(50), &mut pending).await {
            Ok(outcome) => break assert_eq!(reason(outcome), ErrorReason::StoreUnavailable),
            Err(_) => in_doubt.push(pending),
        }
    }

    let server = serve(&world.core, address);
    let count = 1 + in_doubt.len() + 1;
    for outcome in join_all(in_doubt).await {
        assert_eq!(outcome.map(drop), Ok(()));
    }
    assert_eq!(world.send("after").await.map(drop), Ok(()));
    {
        let state = world.core.state();
        assert_eq!(state.stored.len(), count);
        assert_eq!(state.bodies().last(), Some(&"after"));
    }
    server.shutdown_background();
}
