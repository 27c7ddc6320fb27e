//! Whether answers were true, and what rang.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::v2::{
    client::Held,
    model::{asked::Asked, case::Case, device::Device},
};

/// Of whom nothing is known to be stored.
const UNCERTAIN: [&str; 3] = ["unavailable", "outcome_unknown", "internal"];

impl Case<'_> {
    pub(super) fn check_answer(
        &self,
        asked: &Asked,
        answer: &Value,
        ids: &BTreeMap<String, i64>,
        replayed: &Held,
    ) {
        let what = format!("{asked:?} was told {answer}");
        let is_ack = answer["action"] == "ack";
        let code = answer["code"].as_str().unwrap_or_default();
        assert!(self.kills > 0 || !UNCERTAIN.contains(&code), "{what}");
        let is_uncertain = UNCERTAIN.contains(&code);
        match asked {
            Asked::Send { client_ref } if is_ack => {
                assert_eq!(answer["message_id"], ids[client_ref], "{what}");
                let message = &replayed.messages[&ids[client_ref]];
                for key in ["created", "thread"] {
                    assert_eq!(answer[key], message[key], "{what}, {message}");
                }
            }
            Asked::Send { .. } => assert!(is_uncertain || code == "not_found", "{what}"),
            Asked::Edit { id } if is_ack => {
                let message = &replayed.messages[id];
                let is_true = message["updated"].as_str() >= answer["updated"].as_str();
                assert!(is_true || message["hidden"] == true, "{what}, {message}");
            }
            Asked::Edit { .. } => {
                assert!(is_uncertain || ["not_found", "too_late"].contains(&code), "{what}");
            }
            Asked::Delete { id, is_for_everyone } if is_ack => {
                let message = &replayed.messages[id];
                let is_true =
                    message["hidden"] == true || *is_for_everyone && message["deleted"] == true;
                assert!(is_true, "{what}, {message}");
            }
            Asked::Delete { .. } => assert!(is_uncertain || code == "not_found", "{what}"),
            Asked::Mark { peer, up_to, is_seen } if is_ack => {
                let key = if *is_seen { "seen_id" } else { "delivered_id" };
                let told = answer[key].as_i64();
                assert!(told >= Some(*up_to), "{what}");
                let state = &replayed.threads.get(peer);
                let is_true = state.is_some_and(|state| state[key].as_i64() >= told);
                assert!(is_true || !is_seen, "{what}, {state:?}");
            }
            Asked::Mark { .. } => assert!(is_uncertain, "{what}"),
            Asked::Block { .. } | Asked::Type | Asked::Watch | Asked::Hide => {
                assert!(is_ack || is_uncertain, "{what}");
            }
        }
        if let Asked::Send { client_ref } = asked
            && is_ack
            && answer["repeated"] == false
        {
            let firsts = self.devices.iter().flat_map(|device| &device.told);
            let firsts = firsts.filter(|(asked, answer)| {
                matches!(asked, Asked::Send { client_ref: other } if other == client_ref)
                    && answer["repeated"] == false
            });
            assert_eq!(firsts.count(), 1, "{what}, and another");
        }
    }
}

/// It rang for each message of others that is there still, and that no snapshot told of before.
pub(super) fn check_rings(device: &Device) {
    let user = &device.user;
    let Held { messages, rung, listed, .. } = &device.held;
    let rings = messages.iter().filter(|(id, message)| {
        message["receiver_id"] == user.id
            && message["deleted"] == false
            && message["hidden"] == false
            && !listed.contains(id)
    });
    for (id, message) in rings {
        assert!(rung.contains(id), "it did not ring for {message}");
    }
    for id in rung {
        assert_eq!(
            messages.get(id).map_or(&json!(user.id), |it| &it["receiver_id"]),
            &json!(user.id)
        );
    }
}
