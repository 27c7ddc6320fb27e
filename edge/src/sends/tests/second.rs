//! What clients of the second generation ask for.

use uuid::Uuid;

use super::*;

fn named(number: u128) -> SendCommand {
    SendCommand::NamedMessage(Box::new(NamedMessage {
        receiver: user(BOB),
        body: number.to_string(),
        client_ref: ClientRef(Uuid::from_u128(number)),
        reply_to: None,
        meta: Some("{}".into()),
    }))
}

fn edit(body: &str) -> SendCommand {
    SendCommand::Edit { message_id: 1, body: body.into(), meta: MetaChange::Removed }
}

fn mark(up_to: i64) -> SendCommand {
    SendCommand::Mark(Mark { kind: MarkKind::Seen, peer: user(BOB), up_to })
}

#[tokio::test]
async fn each_command_reaches_the_core_with_all_that_it_says() {
    for in_process in [true, false] {
        let world = world(in_process);
        let message = SendCommand::NamedMessage(Box::new(NamedMessage {
            receiver: user(BOB),
            body: "hello".into(),
            client_ref: ClientRef(Uuid::from_u128(7)),
            reply_to: None,
            meta: Some(r#"{"k":1}"#.into()),
        }));
        let sent = world.submit(ALICE, message.clone()).await;
        assert!(matches!(sent, Ok(Sent::Message(sent)) if !sent.repeated), "{sent:?}");
        let again = world.submit(ALICE, message).await;
        assert!(matches!(again, Ok(Sent::Message(sent)) if sent.repeated), "{again:?}");
        let stored = world.core.state().stored[0].clone();
        let expected = SendMessageRequest {
            sender_id: user(ALICE).to_string(),
            receiver_id: user(BOB).to_string(),
            body: "hello".into(),
            client_ref: Some(Uuid::from_u128(7).to_string()),
            reply_to_id: None,
            meta_json: Some(r#"{"k":1}"#.into()),
            from_client: true,
        };
        assert_eq!(stored, expected);

        let sent = world.submit(ALICE, edit("x")).await;
        assert!(matches!(sent, Ok(Sent::Edit(Some(_)))), "{sent:?}");
        let marks = Marks { seen_id: 1, delivered_id: 1, unread: 0, last_id: 1 };
        assert_eq!(world.submit(ALICE, mark(1)).await, Ok(Sent::Mark(marks)));
        let delivered = Mark { kind: MarkKind::Delivered, peer: user(ALICE), up_to: 1 };
        let marks = Marks { seen_id: 0, delivered_id: 1, unread: 1, last_id: 1 };
        assert_eq!(world.submit(BOB, SendCommand::Mark(delivered)).await, Ok(Sent::Mark(marks)));
        for for_everyone in [true, false] {
            let delete = SendCommand::Delete { message_id: 1, for_everyone };
            assert_eq!(world.submit(ALICE, delete).await, Ok(Sent::Delete));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_in_doubt_is_repeated_under_the_clients_own_name() {
    let world = world(false);
    world.core.change(|state| state.sends = Sends::Unanswered);
    let pending: Vec<_> = (1..=3)
        .map(named)
        .chain([edit("x"), mark(3)])
        .map(|one| world.submit(ALICE, one))
        .collect();
    world.core.wait_for("all", |state| state.received.len() == 5).await;
    world.core.change(|state| state.sends = Sends::Answered);
    world.core.break_streams(&Failure::new(ErrorReason::ShuttingDown, "bye"));
    let answers = join_all(pending).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(world.core.state().bodies(), ["1", "2", "3"]);
    let repeated: Vec<_> =
        world.core.state().received.iter().skip(5).map(|request| request.is_repetition).collect();
    assert_eq!(repeated, [true; 5]);
}

/// What was sent after it may have taken effect: an edit would undo a later one.
#[tokio::test(start_paused = true)]
async fn only_what_can_come_later_is_repeated_again_and_again() {
    for (command, is_repeated) in [(named(1), true), (mark(1), true), (edit("x"), false)] {
        let world = world(false);
        assert!(world.submit(ALICE, named(9)).await.is_ok());
        world.core.change(|state| state.sends = Sends::Unanswered);
        let pending = world.submit(ALICE, command);
        world.core.wait_for("a request", |state| state.received.len() == 2).await;
        world.core.break_streams(&Failure::new(ErrorReason::ShuttingDown, "bye"));
        world.core.wait_for("a repetition", |state| state.received.len() == 3).await;
        world.core.refuse_unanswered(&Failure::new(ErrorReason::StoreUnavailable, "away"));
        if is_repeated {
            world.core.wait_for("another", |state| state.received.len() == 4).await;
        } else {
            assert_eq!(reason(pending.await), ErrorReason::OutcomeUnknown);
        }
    }
}
