//! Messages that are sent, once and again.

use proptest::sample::Index;
use uuid::Uuid;

use super::{Case, Sent};
use crate::v2::{
    model::{
        action::{DEVICES, USERS},
        asked::Unsent,
    },
    view::Rest,
};

impl Case<'_> {
    pub(super) async fn send(
        &mut self,
        device: usize,
        to: usize,
        reply_to: Option<&Index>,
        also_on: Option<usize>,
    ) {
        let sender = device / DEVICES;
        let to = (sender + to) % USERS;
        let number = self.sent.len();
        let target = reply_to.and_then(|index| self.pick(device, index, false));
        let target = target.filter(|id| self.peer_of(device, *id).id == self.users[to].id);
        let unsent = Unsent {
            client_ref: Uuid::new_v4().to_string(),
            to: self.users[to].clone(),
            body: format!("canary {number}"),
            reply_to: target,
        };
        let mut bodies = vec![unsent.body.clone()];
        let client_ref = unsent.client_ref.clone();
        if let Some(step) = also_on {
            let other = sender * DEVICES + (device + step) % DEVICES;
            let body = format!("canary {number} elsewhere");
            bodies.push(body.clone());
            self.devices[other].put(Unsent { body, reply_to: None, ..unsent.clone() });
            self.devices[other].flush().await;
        }
        self.devices[device].put(unsent);
        self.devices[device].flush().await;
        let alone = also_on.is_none().then_some((device, to));
        let under_block = self.blocks.is_known(to, sender).then(|| self.blocks.count());
        self.sent.push(Sent { sender, client_ref, bodies, alone, under_block });
    }

    /// Whatever else it says, it is the message that is there.
    pub(super) async fn repeat(&mut self, send: &Index, device: usize, is_by_rest: bool) {
        let sender = device / DEVICES;
        let mut stored = Vec::new();
        for device in &self.devices[sender * DEVICES..][..DEVICES] {
            stored.extend(device.told.iter().filter_map(|(asked, answer)| {
                let client_ref = asked.client_ref().filter(|_| answer["action"] == "ack")?;
                Some((client_ref.to_owned(), answer["message_id"].clone()))
            }));
        }
        if stored.is_empty() {
            return;
        }
        let (client_ref, id) = send.get(&stored).clone();
        let (to, body) = (self.users[(sender + 1) % USERS].clone(), "canary repeated".to_owned());
        if is_by_rest {
            let edge = self.edge();
            let rest = Rest { edge, user: &self.users[sender] };
            if let Some(message) = rest.send(&to.id, &body, &client_ref).await {
                assert_eq!(message["id"], id, "{message}");
            }
        } else {
            self.devices[device].put(Unsent { client_ref, to, body, reply_to: None });
            self.devices[device].flush().await;
        }
    }
}
