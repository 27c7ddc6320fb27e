//! Marks of what was seen and delivered.

use super::*;
use crate::stub_core::Sends;

/// How far the core was told each time.
fn told(world: &World) -> Vec<i64> {
    use netrox_proto::v1::send_messages_request::Request;
    let state = world.core.state();
    let up_to = state.received.iter().filter_map(|request| match request.request.as_ref()? {
        Request::Seen(mark) => Some(mark.up_to_id),
        Request::Delivered(mark) => Some(mark.up_to_id),
        Request::Message(_)
        | Request::Attachment(_)
        | Request::Edit(_)
        | Request::Delete(_)
        | Request::Block(_)
        | Request::Unblock(_) => None,
    });
    up_to.collect()
}

fn slow(rate: u32, burst: u32) -> Limits {
    Limits { receipt_rate: rate, receipt_burst: burst, ..unlimited() }
}

/// A user who was sent so many messages.
async fn reader(world: &World, messages: usize) -> Client {
    let bodies = numbers(0..messages);
    let bodies: Vec<_> = bodies.iter().map(String::as_str).collect();
    world.core.deliver(user(BOB), user(ALICE), &bodies);
    world.live(ALICE).await
}

#[tokio::test(start_paused = true)]
async fn over_the_rate_they_become_one_and_each_is_answered() {
    let world = world(slow(1, 3));
    let mut alice = reader(&world, 100).await;
    let start = Instant::now();
    for up_to in 1..=100 {
        alice.send(mark("seen", Some(&up_to.to_string()), BOB, up_to)).await;
    }
    let mut references = Vec::new();
    for _ in 0..100 {
        let ack = alice.answer().await;
        assert_eq!(ack["action"], "ack", "{ack}");
        let reference: i64 = ack["ref"].as_str().expect("a reference").parse().expect("a number");
        let seen_id = ack["seen_id"].as_i64().expect("a mark");
        assert!(seen_id >= reference, "{ack}");
        assert_eq!(ack["unread"], 100 - seen_id);
        references.push(reference);
    }
    references.sort_unstable();
    assert_eq!(references, (1..=100).collect::<Vec<_>>());
    let told = told(&world);
    assert!(told.len() <= 5 && told.last() == Some(&100), "{told:?}");
    assert!(start.elapsed() <= seconds(2), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_storm_is_never_refused_and_its_last_word_is_told() {
    let world = world(slow(20, 200));
    let mut alice = reader(&world, 5_000).await;
    let start = Instant::now();
    for up_to in 1..=5_000 {
        alice.send(mark("seen", None, BOB, up_to)).await;
        if up_to % 500 == 0 {
            let is_refused = |frame: &Value| frame["action"] == "error";
            assert!(!alice.rest().await.iter().any(is_refused));
        }
    }
    let told = told(&world);
    assert_eq!(told.last(), Some(&5_000));
    let allowed = 200 + start.elapsed().as_secs() as usize * 20;
    assert!(told.len() <= allowed, "{} of {allowed}", told.len());
}

#[tokio::test(start_paused = true)]
async fn those_of_several_threads_and_kinds_wait_apart() {
    let world = world(slow(1, 1));
    world.core.deliver(user(BOB), user(ALICE), &["a", "b"]);
    world.core.deliver(user(3), user(ALICE), &["c", "d"]);
    let mut alice = world.live(ALICE).await;
    let start = Instant::now();
    for (action, reference, peer, up_to) in [
        ("seen", "a", BOB, 1),
        ("seen", "b", BOB, 1),
        ("delivered", "c", BOB, 2),
        ("seen", "d", 3, 3),
        ("seen", "e", BOB, 2),
    ] {
        alice.send(mark(action, Some(reference), peer, up_to)).await;
    }
    let mut answers = Vec::new();
    for _ in 0..5 {
        let ack = alice.answer().await;
        answers.push((
            ack["ref"].as_str().expect("a reference").to_owned(),
            start.elapsed().as_secs(),
        ));
    }
    let expected = [("a", 0), ("b", 1), ("e", 1), ("c", 2), ("d", 3)];
    assert_eq!(answers, expected.map(|(reference, after)| (reference.to_owned(), after)));
}

#[tokio::test(start_paused = true)]
async fn without_a_rate_one_of_a_thread_is_under_way_at_a_time() {
    let world = world(unlimited());
    world.core.deliver(user(BOB), user(ALICE), &["a"; 10]);
    world.core.deliver(user(3), user(ALICE), &["c"]);
    let mut alice = world.live(ALICE).await;
    world.core.change(|state| state.sends = Sends::Unanswered);
    for up_to in 1..=10 {
        alice.send(mark("seen", Some(&up_to.to_string()), BOB, up_to)).await;
    }
    alice.send(mark("delivered", Some("kind"), BOB, 9)).await;
    alice.send(mark("seen", Some("thread"), 3, 11)).await;
    world.core.wait_for("three", |state| state.received.len() == 3).await;
    assert_eq!(told(&world), [1, 9, 11]);
    world.core.change(|state| state.sends = Sends::Answered);
    world.core.refuse_unanswered(&unavailable());
    let mut answers = Vec::new();
    for _ in 0..12 {
        let answer = alice.answer().await;
        let reference = answer["ref"].as_str().expect("a reference").to_owned();
        answers.push((answer["action"] == "ack", reference, answer["seen_id"].as_i64()));
    }
    answers.sort_by_key(|(_, reference, _)| reference.parse::<i64>().unwrap_or_default());
    let refused: Vec<_> = answers.iter().filter(|(is_ack, ..)| !is_ack).map(|it| &*it.1).collect();
    assert_eq!(refused, ["kind", "thread", "1"], "{answers:?}");
    assert!(answers.iter().all(|(is_ack, _, seen_id)| !is_ack || *seen_id == Some(10)));
    assert_eq!(told(&world), [1, 9, 11, 10]);
}

#[tokio::test(start_paused = true)]
async fn one_that_goes_too_far_takes_no_other_along() {
    let world = world(slow(1, 1));
    let mut alice = reader(&world, 10).await;
    alice.send(mark("seen", None, BOB, 1)).await;
    for (reference, up_to) in [("a", 2), ("b", 99), ("c", 5), ("d", 99)] {
        alice.send(mark("seen", Some(reference), BOB, up_to)).await;
    }
    let mut answers = Vec::new();
    for _ in 0..4 {
        let answer = alice.answer().await;
        answers.push((
            answer["ref"].as_str().expect("a reference").to_owned(),
            answer["code"].as_str().unwrap_or("").to_owned(),
            answer["seen_id"].as_i64(),
        ));
    }
    let refused = |reference: &str| (reference.to_owned(), "invalid_field".to_owned(), None);
    let seen = |reference: &str| (reference.to_owned(), String::new(), Some(5));
    answers.sort();
    assert_eq!(answers, [seen("a"), refused("b"), seen("c"), refused("d")]);
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_of_the_user_over_all_connections_and_no_sends_wait_for_it() {
    let world = world(slow(1, 2));
    let mut one = reader(&world, 10).await;
    let mut other = world.live(ALICE).await;
    let start = Instant::now();
    for (client, up_to) in [(&mut one, 1), (&mut other, 2)] {
        client.send(mark("seen", Some("r"), BOB, up_to)).await;
        client.answer().await;
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    one.send(mark("seen", Some("late"), BOB, 3)).await;
    one.send(message_to(BOB, 1)).await;
    assert_eq!(one.answer().await["client_ref"], client_ref(1));
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(one.answer().await["ref"], "late");
    assert_eq!(start.elapsed(), seconds(1));
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_told_though_the_client_goes() {
    let world = world(slow(1, 1));
    let mut alice = reader(&world, 10).await;
    for up_to in [1, 2, 10] {
        alice.send(mark("seen", None, BOB, up_to)).await;
    }
    alice.send(mark("delivered", None, BOB, 10)).await;
    world.core.wait_for("the first", |state| !state.received.is_empty()).await;
    drop(alice);
    world.core.wait_for("all", |state| state.received.len() == 3).await;
    assert_eq!(told(&world), [1, 10, 10]);
}

#[tokio::test(start_paused = true)]
async fn a_core_that_refuses_is_told_to_each_of_them() {
    let world = world(slow(1, 1));
    let mut alice = reader(&world, 10).await;
    world.core.change(|state| state.marks_failure = Some(unavailable()));
    for reference in [Some("a"), Some("b"), None, None, Some("c")] {
        alice.send(mark("seen", reference, BOB, 1)).await;
    }
    let mut refused = Vec::new();
    for _ in 0..4 {
        let error = alice.answer().await;
        assert_eq!(error["code"], "unavailable", "{error}");
        refused.push(error["ref"].as_str().unwrap_or("none").to_owned());
    }
    assert_eq!(refused, ["a", "b", "none", "c"]);
}
