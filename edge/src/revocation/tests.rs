use std::sync::Arc;

use netrox_proto::v1::{AllTokens, revoked_tokens::Tokens, session_notice::Notice};
use tokio::time::{advance, sleep};

use super::*;
use crate::{
    Edge, Metrics,
    config::Limits,
    sends::{SendCommand, SendPipeline, Submission},
    stub_core::{StubCore, authorization, config, user},
    tasks::Tasks,
};

fn all(issued_until: i64) -> RevokedTokens {
    RevokedTokens { tokens: Some(Tokens::All(AllTokens {})), issued_until, expires_at: None }
}

fn of_user(number: u128) -> RevokedTokens {
    let tokens = Some(Tokens::UserId(user(number).0.as_bytes().to_vec()));
    RevokedTokens { tokens, issued_until: 100, expires_at: None }
}

#[tokio::test(start_paused = true)]
async fn who_comes_while_a_core_is_silent_waits_for_it_and_not_for_ever() {
    let revocations = Revocations::default();
    let token = TokenMark::new(None, None, Some(7.0));
    let patience = Patience(Duration::from_secs(4));
    let check = || revocations.check(user(1), &token, patience);
    assert_eq!(check().await, Ok(()), "nobody tells");
    revocations.set_behind();
    assert_eq!(check().await, Err(Refusal::RevocationsUnknown));
    let (checked, ()) = tokio::join!(check(), async {
        sleep(Duration::from_secs(1)).await;
        revocations.add(vec![all(7)]);
        revocations.set_heard(Instant::now());
    });
    assert_eq!(checked, Err(Refusal::Revoked), "it is learned before it is served");
    // A process that stood still has not noticed the silence.
    advance(KNOWN_FOR).await;
    assert!(!revocations.is_known() && !revocations.are_unknown_for_long(), "a core may be back");
    assert_eq!(check().await, Err(Refusal::RevocationsUnknown));
    advance(UNKNOWN_TOO_LONG).await;
    assert!(revocations.are_unknown_for_long());
    let (checked, ()) = tokio::join!(check(), async {
        revocations.set_heard(Instant::now());
    });
    assert_eq!(checked, Err(Refusal::Revoked));
    assert!(!revocations.are_unknown_for_long());
}

#[test]
fn what_is_told_again_is_not_new() {
    let revocations = Revocations::default();
    let add = |revoked| revocations.add(vec![revoked]).0.len();
    let until = |expires_at| RevokedTokens { expires_at, ..all(7) };
    assert_eq!([add(all(7)), add(all(7)), add(all(6)), add(all(8))], [1, 0, 0, 1]);
    assert_eq!(add(until(Some(1))), 0, "it means no other tokens");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_while_it_is_not_known_whose_tokens_count_and_then_only_of_those() {
    let core = StubCore::default();
    (1..=3).for_each(|number| core.add_user(user(number)));
    let (revocations, tasks) = (Arc::new(Revocations::default()), Tasks::default());
    let (wait, metrics) = (Duration::from_secs(10), Metrics::default());
    let sends = SendPipeline::new(&core.client(), false, wait, &revocations, &tasks, &metrics);
    let send = |from| {
        let command = SendCommand::Message { receiver: user(2), body: "hello".into() };
        let sender = sends.sender(user(from), TokenMark::new(None, None, Some(7.0)));
        match sends.submit(&sender, command, Instant::now()) {
            Submission::Accepted(pending) => pending,
            Submission::NoRoom(command) => panic!("no room for {command:?}"),
        }
    };
    assert!(send(1).await.is_ok());
    revocations.set_behind();
    let (stolen, good) = (send(1), send(3));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(core.state().received.len(), 1, "the stream is open, and nothing goes onto it");
    revocations.add(vec![of_user(1)]);
    revocations.set_heard(Instant::now());
    assert!(stolen.await.is_err());
    assert!(good.await.is_ok());
    assert_eq!(core.state().stored.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn cores_that_know_nothing_of_it_are_asked_again_and_one_among_others_is_passed_over() {
    let core = StubCore::default();
    let edge =
        Edge::new(config(Limits::default()), core.transport(), authorization(), Metrics::default())
            .expect("a usable key");
    let revocations = edge.shared.authenticator.revocations();
    let is_untold = || revocations.known_until.load(Ordering::Acquire) == FOR_EVER;
    core.wait_for("a call", |state| state.watches.asked > 3).await;
    assert!(is_untold(), "nobody has to wait");
    core.change(|state| {
        state.watches.is_known = true;
        state.watches.kept.push(Notice::Revoked(of_user(1)));
    });
    let learned = |number| async move {
        let token = TokenMark::new(None, None, Some(7.0));
        while !revocations.mean(user(number), &token) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    let within = Duration::from_secs(3);
    timeout(within, learned(1)).await.expect("it is asked each second");
    // A core of before is reached in between.
    core.change(|state| {
        state.watches.unknown = 2;
        state.watches.kept = vec![Notice::Revoked(of_user(2))];
        state.watches.end_all();
    });
    let never_untold = async {
        loop {
            assert!(!is_untold());
            sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        () = never_untold => {}
        learned = timeout(within, learned(2)) => learned.expect("another core tells"),
    }
    assert!(revocations.mean(user(1), &TokenMark::default()), "what was known counts still");
    edge.shared.tasks.begin_drain();
}
