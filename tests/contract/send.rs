//! `ChatService.SendMessage`: what is stored, what is refused, and that it is safe to repeat.

use std::collections::HashSet;

use netrox_proto::v1::{ErrorReason, SendMessageRequest, SendMessageResponse};
use uuid::Uuid;

use crate::{
    refusal::{assert_invalid, assert_refused},
    running::{Core, micros, text},
};

const MAX_BODY_BYTES: usize = 16_384;

#[tokio::test]
async fn a_message_is_stored_exactly_as_sent() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let bodies = [
        "hello",
        " leading, trailing and \t inner space \r\n",
        "\u{feff}e\u{301}\u{202e}rtl \u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}",
        "'; drop table messages; -- \\ \" %s {}",
        "\u{1}\u{7f}\u{10ffff}\u{e000}",
    ];
    let mut last = (0, 0);
    for body in bodies {
        let answer = core.send(&ada, &bob, body).await.expect("stored");
        let created = answer.created.expect("an instant");
        assert_eq!(created.nanos % 1_000, 0, "whole microseconds");
        assert!((answer.message_id, micros(&created)) > last, "ids and instants grow");
        last = (answer.message_id, micros(&created));
        let stored = core.message(&bob, answer.message_id).await.expect("visible");
        assert_eq!(stored.id, answer.message_id);
        assert_eq!(stored.thread_id, answer.thread_id);
        assert_eq!((&stored.sender_id, &stored.receiver_id), (&ada, &bob));
        assert_eq!(stored.body, body);
        assert_eq!((stored.created, stored.updated), (Some(created), Some(created)));
        assert_eq!((stored.seen, stored.deleted, stored.attachment), (false, false, None));
    }
    let history = core.history(&ada, &bob).await.expect("a history");
    assert_eq!(history.iter().map(|message| &message.body).collect::<Vec<_>>(), bodies);
}

#[tokio::test]
async fn both_directions_share_one_thread() {
    let core = Core::start().await;
    let [ada, bob, cyd] = core.users().await;
    let there = core.send(&ada, &bob, "there").await.expect("stored");
    let back = core.send(&bob, &ada, "back").await.expect("stored");
    let other = core.send(&cyd, &ada, "other").await.expect("stored");
    assert_eq!(there.thread_id, back.thread_id);
    assert_ne!(there.thread_id, other.thread_id);
    for id in [there.message_id, back.message_id, other.message_id, there.thread_id] {
        assert!((1..1 << 53).contains(&id), "{id}");
    }
}

#[tokio::test]
async fn ids_are_accepted_in_either_case() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let answer = core.send(&ada.to_uppercase(), &bob.to_uppercase(), "hello").await;
    let stored = core.message(&ada, answer.expect("stored").message_id).await.expect("visible");
    assert_eq!((stored.sender_id, stored.receiver_id), (ada, bob));
}

#[tokio::test]
async fn a_malformed_field_is_named() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let good = text(&ada, &bob, "hello");
    for malformed in malformed_ids(&ada) {
        let request = SendMessageRequest { sender_id: malformed.clone(), ..good.clone() };
        assert_invalid(core.chat().send_message(request).await, "sender_id");
        let request = SendMessageRequest { receiver_id: malformed.clone(), ..good.clone() };
        assert_invalid(core.chat().send_message(request).await, "receiver_id");
        let request = SendMessageRequest { client_ref: Some(malformed), ..good.clone() };
        assert_invalid(core.chat().send_message(request).await, "client_ref");
    }
    for body in ["", "\0", "before\0after"] {
        assert_invalid(core.send(&ada, &bob, body).await, "body");
    }
    assert_eq!(core.history(&ada, &bob).await.expect("a history"), []);
}

/// Everything a UUID parser may let through, and the contract does not.
pub(crate) fn malformed_ids(good: &str) -> Vec<String> {
    vec![
        String::new(),
        "x".into(),
        good.replace('-', ""),
        format!("{{{good}}}"),
        format!("urn:uuid:{good}"),
        format!(" {good}"),
        format!("{good}\n"),
        good[..35].into(),
        format!("{good}0"),
        format!("g{}", &good[1..]),
        good.replacen('-', "0", 1),
        "\u{661}".repeat(18),
    ]
}

#[tokio::test]
async fn a_body_may_be_as_long_as_the_limit() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let too_large = ErrorReason::BodyTooLarge;
    // The limit counts bytes of UTF-8, not characters.
    for (character, bytes) in [("x", 1), ("\u{1f600}", 4)] {
        let longest = character.repeat(MAX_BODY_BYTES / bytes);
        let answer = core.send(&ada, &bob, &longest).await.expect("stored");
        let stored = core.message(&bob, answer.message_id).await.expect("visible");
        assert!(stored.body == longest);
        assert_refused(core.send(&ada, &bob, &format!("{longest}x")).await, too_large);
    }
    assert_eq!(core.history(&ada, &bob).await.expect("a history").len(), 2);
}

#[tokio::test]
async fn the_limit_of_a_body_is_a_setting() {
    let core = Core::start_with(&[("max-body-bytes", "10")]).await;
    let [ada, bob] = core.users().await;
    core.send(&ada, &bob, "0123456789").await.expect("stored");
    assert_refused(core.send(&ada, &bob, "0123456789a").await, ErrorReason::BodyTooLarge);
}

#[tokio::test]
async fn only_known_users_write_to_other_known_users() {
    let core = Core::start().await;
    let [ada, bob, gone] = core.users().await;
    core.delete_user(&gone).await.expect("deleted");
    let nobody = Uuid::new_v4().to_string();

    let receiver_unknown = ErrorReason::ReceiverUnknown;
    assert_refused(core.send(&ada, &nobody, "hello").await, receiver_unknown);
    assert_refused(core.send(&ada, &gone, "hello").await, receiver_unknown);
    assert_refused(core.send(&nobody, &bob, "hello").await, ErrorReason::UserUnknown);
    assert_refused(core.send(&gone, &bob, "hello").await, ErrorReason::UserDeleted);
    let to_oneself = ErrorReason::ReceiverIsSender;
    assert_refused(core.send(&ada, &ada, "hello").await, to_oneself);
    assert_refused(core.send(&ada, &ada.to_uppercase(), "hello").await, to_oneself);

    assert_eq!(core.threads(&ada).await.expect("threads"), []);
    assert_eq!(core.threads(&bob).await.expect("threads"), []);
}

#[tokio::test]
async fn a_repetition_gets_the_original_answer() {
    let core = Core::start().await;
    let [ada, bob, cyd] = core.users().await;
    let client_ref = Uuid::new_v4().to_string();
    let send = |request: SendMessageRequest| {
        let mut chat = core.chat();
        async move { chat.send_message(request).await.map(tonic::Response::into_inner) }
    };
    let original = SendMessageRequest {
        client_ref: Some(client_ref.clone()),
        ..text(&ada, &bob, "the first")
    };
    let answer = send(original.clone()).await.expect("stored");
    let repetitions = [
        original.clone(),
        SendMessageRequest { client_ref: Some(client_ref.to_uppercase()), ..original.clone() },
        SendMessageRequest { body: "another".into(), ..original.clone() },
        SendMessageRequest { receiver_id: cyd.clone(), ..original.clone() },
    ];
    assert!(!answer.repeated);
    let answer = SendMessageResponse { repeated: true, ..answer };
    for repetition in repetitions {
        assert_eq!(send(repetition).await.expect("the answer"), answer);
    }
    // "At any time": also when it could not be stored any more.
    core.delete_user(&bob).await.expect("deleted");
    assert_eq!(send(original.clone()).await.expect("the answer"), answer);

    // The reference belongs to its sender.
    let others =
        SendMessageRequest { sender_id: cyd.clone(), receiver_id: ada.clone(), ..original };
    assert_ne!(send(others).await.expect("stored").message_id, answer.message_id);
    assert_eq!(core.history(&ada, &bob).await.expect("a history").len(), 1);
    assert_eq!(core.history(&ada, &cyd).await.expect("a history").len(), 1);
}

#[tokio::test]
async fn a_refused_send_does_not_use_up_its_reference() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let nobody = Uuid::new_v4().to_string();
    let mut request = text(&ada, &nobody, "hello");
    request.client_ref = Some(Uuid::new_v4().to_string());
    let refused = core.chat().send_message(request.clone()).await;
    assert_refused(refused, ErrorReason::ReceiverUnknown);
    request.receiver_id = bob.clone();
    core.chat().send_message(request).await.expect("stored");
    assert_eq!(core.history(&ada, &bob).await.expect("a history").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_reference_at_once_on_many_connections_is_one_message() {
    const REFERENCES: usize = 20;
    const REPETITIONS: usize = 8;
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let mut sends = tokio::task::JoinSet::new();
    let mut connections = Vec::new();
    for _ in 0..REPETITIONS {
        connections.push(core.connect().await);
    }
    let references: Vec<_> = (0..REFERENCES).map(|_| Uuid::new_v4().to_string()).collect();
    for reference in &references {
        for connection in &connections {
            let mut request = text(&ada, &bob, reference);
            request.client_ref = Some(reference.clone());
            let mut chat = connection.chat();
            let reference = reference.clone();
            sends.spawn(async move { (reference, chat.send_message(request).await) });
        }
    }
    let mut answers = HashSet::new();
    while let Some(sent) = sends.join_next().await {
        let (reference, answer) = sent.expect("a task");
        let answer = answer.expect("stored").into_inner();
        answers.insert((reference, answer.message_id, answer.created.map(|at| micros(&at))));
    }
    assert_eq!(answers.len(), REFERENCES, "{answers:?}");
    let history = core.history(&ada, &bob).await.expect("a history");
    let stored: HashSet<_> = history.iter().map(|message| message.body.clone()).collect();
    assert_eq!(history.len(), REFERENCES);
    assert_eq!(stored, references.into_iter().collect());
}

#[tokio::test]
async fn a_repetition_after_a_restart_gets_the_original_answer() {
    let mut core = Core::start().await;
    let [ada, bob] = core.users().await;
    let mut request = text(&ada, &bob, "hello");
    request.client_ref = Some(Uuid::new_v4().to_string());
    let answer = core.chat().send_message(request.clone()).await.expect("stored").into_inner();
    core.kill_and_restart().await;
    let repeated = core.chat().send_message(request).await.expect("the answer").into_inner();
    assert_eq!(repeated, SendMessageResponse { repeated: true, ..answer });
    assert_eq!(core.history(&ada, &bob).await.expect("a history").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_observer_sees_concurrent_senders_in_one_order() {
    const SENDS: usize = 50;
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let mut senders = tokio::task::JoinSet::new();
    for (from, to) in [(&ada, &bob), (&bob, &ada), (&ada, &bob), (&bob, &ada)] {
        let (mut chat, from, to) = (core.connect().await.chat(), from.clone(), to.clone());
        senders.spawn(async move {
            let mut ids = Vec::new();
            for number in 0..SENDS {
                let sent = chat.send_message(text(&from, &to, &number.to_string())).await;
                ids.push(sent.expect("stored").into_inner().message_id);
            }
            ids
        });
    }
    let mut answered = Vec::new();
    while let Some(ids) = senders.join_next().await {
        let ids = ids.expect("a task");
        assert!(ids.is_sorted(), "one sender's messages keep their order");
        answered.extend(ids);
    }
    answered.sort_unstable();
    let one = core.history(&ada, &bob).await.expect("a history");
    assert_eq!(one, core.history(&bob, &ada).await.expect("a history"));
    assert_eq!(one.iter().map(|message| message.id).collect::<Vec<_>>(), answered);
    let instants: Vec<_> = one.iter().map(|m| micros(&m.created.expect("an instant"))).collect();
    assert!(instants.windows(2).all(|pair| pair[0] < pair[1]), "instants grow");
}
