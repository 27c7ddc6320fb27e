//! Documented sockets are fed by where a message first appeared, which nothing moves: whatever becomes of a message, each is
//! told of once.

use std::collections::BTreeMap;

use netrox_proto::v1::{SubscribeRequest, event::Change};

use crate::{
    running::{Connection, Core},
    subscribe::Subscription,
};

const MESSAGES: usize = 30;

async fn resumed(core: &Connection, user: &str, after_seq: u64) -> Subscription {
    let request = SubscribeRequest {
        user_id: user.into(),
        after_seq: Some(after_seq),
        received_only: true,
        ..Default::default()
    };
    Subscription::try_open(core, request).await.expect("a subscription")
}

/// In every break one message that was told of and one that was not are edited, or deleted for everyone, or hidden.
#[tokio::test]
async fn a_catch_up_that_breaks_after_each_event_tells_of_each_message_once() {
    let mut core = Core::start().await;
    let [ada, bob] = core.users().await;
    // As they are for Bob: `None` where one is deleted.
    let mut texts = BTreeMap::new();
    for number in 0..MESSAGES {
        let text = number.to_string();
        let id = core.send(&ada, &bob, &text).await.expect("stored").message_id;
        texts.insert(id, Some(text));
    }
    let ids: Vec<_> = texts.keys().copied().collect();
    let last = ids[MESSAGES - 1];
    let (mut position, mut told) = (0, Vec::new());
    for round in 0.. {
        let event = resumed(&core, &bob, position).await.event().await;
        assert!(event.seq > position, "{event:?}");
        assert!([0, event.seq].contains(&event.first_seq), "it appeared there: {event:?}");
        position = event.seq;
        let Some(Change::Message(message)) = event.change else { panic!("no message") };
        let text = (!message.deleted).then_some(message.body);
        assert_eq!(Some(&text), texts.get(&message.id), "the newest state of {}", message.id);
        told.push(message.id);
        if message.id == last {
            break;
        }
        if round == MESSAGES / 3 {
            core.kill_and_restart().await;
        }
        let at = ids.iter().position(|id| *id == message.id).expect("a message");
        let behind = &ids[at + 1..MESSAGES - 1];
        // One that was told of, the next one, and one that is further away.
        let changed = [
            ids[at / 2],
            *behind.first().unwrap_or(&last),
            behind[behind.len() / 2..].first().copied().unwrap_or(last),
        ];
        for (index, id) in changed.into_iter().enumerate() {
            match texts.get(&id) {
                Some(Some(_)) => {}
                Some(None) | None => continue,
            }
            match (round + index) % 4 {
                2 if id != last => {
                    core.delete(&ada, id, true).await.expect("deleted");
                    texts.insert(id, None);
                }
                3 if id != last => {
                    core.delete(&bob, id, false).await.expect("hidden");
                    texts.remove(&id);
                }
                _ => {
                    let text = format!("{id} in round {round}, {index}");
                    core.edit(&ada, id, &text).await.expect("edited");
                    texts.insert(id, Some(text));
                }
            }
        }
    }
    assert!(told.is_sorted_by(|one, other| one < other), "again, or out of order: {told:?}");
    let missed: Vec<_> = texts.keys().filter(|id| !told.contains(id)).collect();
    assert_eq!(missed, Vec::<&i64>::new(), "not told of: {told:?}");
    // Nothing else is on its way.
    core.send(&ada, &bob, "fence").await.expect("stored");
    assert_eq!(resumed(&core, &bob, position).await.message().await.body, "fence");
}
