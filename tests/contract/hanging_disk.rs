//! A disk that hangs in the middle of a commit: nobody waits for it, and everybody is told what is so.

use std::time::{Duration, Instant};

use netrox_harness::{Role, crowding::crowded, eventually, hanging_disk::HangingDisk, within};
use netrox_proto::v1::{ErrorReason, SendMessageRequest, send_messages_response::Result as Answer};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use uuid::Uuid;

use crate::{
    pipeline::Pipeline,
    refusal::{assert_failure, assert_refused},
    running::{Core, text},
    subscribe::Subscription,
};

/// What is promised is 1.5 s, and nothing like this on a machine that does nothing else.
const LONGEST: Duration = Duration::from_secs(6);
const BEHIND: u64 = 200;

async fn health(core: &Core) -> ServingStatus {
    let mut health = HealthClient::new(core.channel().await);
    let answer = health.check(HealthCheckRequest { service: String::new() }).await;
    answer.expect("an answer").into_inner().status()
}

async fn has_health(core: &Core, status: ServingStatus) {
    eventually("another health", async || (health(core).await == status).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_commit_that_hangs() {
    let disk = HangingDisk::make();
    let builder = Core::builder().set("store-wait", "0");
    let core = Core::launch(disk.under(builder, Role::Core(0))).await;
    let [ada, bob] = core.users().await;
    core.send(&ada, &bob, "before").await.expect("stored");
    let mut subscription = Subscription::open(&core, &bob).await;
    for round in 1..=2 {
        disk.hang();
        let began_at = Instant::now();
        let request = SendMessageRequest {
            client_ref: Some(Uuid::new_v4().to_string()),
            ..text(&ada, &bob, &format!("hung {round}"))
        };
        let hung = {
            let (mut chat, request) = (core.chat(), request.clone());
            tokio::spawn(async move { chat.send_message(request).await })
        };
        disk.hangs().await;
        // Behind it, and more when it is known.
        let pipeline = Pipeline::open(&core).await;
        for number in 0..BEHIND {
            pipeline.message(number, text(&ada, &bob, "behind")).await;
        }
        let refused = within("an answer", hung).await.expect("a send");
        assert_refused(refused, ErrorReason::OutcomeUnknown);
        for answer in pipeline.finish().await.expect("a good end").into_values() {
            let Answer::Failure(failure) = answer else { panic!("not a failure: {answer:?}") };
            assert_failure(&failure, ErrorReason::StoreUnavailable, "");
        }
        has_health(&core, ServingStatus::NotServing).await;
        let took = began_at.elapsed();
        assert!(took < crowded(LONGEST), "{took:?} until all were told");
        let asked_at = Instant::now();
        for _ in 0..10 {
            let refused = core.send(&ada, &bob, "later").await;
            assert_refused(refused, ErrorReason::StoreUnavailable);
        }
        let took = asked_at.elapsed();
        assert!(took < crowded(Duration::from_secs(2)), "{took:?} for refusals of what is known");
        // Reading goes on, and does not show what may be gone after a power cut.
        assert_eq!(core.history(&bob, &ada).await.expect("a history").len(), round);
        assert_eq!(health(&core).await, ServingStatus::NotServing);

        disk.go_on();
        let body = format!("hung {round}");
        assert_eq!(subscription.message().await.body, body, "it was stored after all");
        has_health(&core, ServingStatus::Serving).await;
        let history = core.history(&bob, &ada).await.expect("a history");
        assert_eq!(history.len(), round + 1, "what was refused was stored");
        assert_eq!(history[round].body, body);
        let repeated = core.chat().send_message(request).await.expect("the same answer");
        assert_eq!(repeated.into_inner().message_id, history[round].id);
        let log = core.process.log(Role::Core(0));
        log.counts("the database does not take writes", round).await;
        log.counts("the database takes writes again", round).await;
    }
}

/// SIGTERM while the disk hangs: what cannot end is cut off.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_hangs_does_not_hold_up_the_end() {
    let disk = HangingDisk::make();
    let builder = Core::builder().set("drain-timeout", "2s");
    let mut core = Core::launch(disk.under(builder, Role::Core(0))).await;
    let [ada, bob] = core.users().await;
    core.send(&ada, &bob, "before").await.expect("stored");
    disk.hang();
    let (mut chat, request) = (core.chat(), text(&ada, &bob, "hung"));
    let hung = tokio::spawn(async move { chat.send_message(request).await });
    disk.hangs().await;
    let began_at = Instant::now();
    core.terminate();
    assert_eq!(core.exit_code().await, Some(0));
    let took = began_at.elapsed();
    assert!(took < crowded(LONGEST), "{took:?} until the end");
    assert_refused(within("an answer", hung).await.expect("a send"), ErrorReason::OutcomeUnknown);
    disk.go_on();
    core.start_again().await;
    let history = core.history(&bob, &ada).await.expect("a history");
    assert_eq!(history[0].body, "before");
}
