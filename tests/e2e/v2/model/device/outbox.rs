//! What a device has to send.

use std::collections::BTreeSet;

use serde_json::json;

use super::Device;
use crate::v2::{
    client::message,
    model::asked::{Asked, Unsent},
};

impl Device {
    /// Writes a message down, to be sent until it is known to be stored.
    pub(in crate::v2::model) fn put(&mut self, unsent: Unsent) {
        if self.outbox.iter().all(|it| it.client_ref != unsent.client_ref) {
            self.outbox.push(unsent);
        }
    }

    /// Sends what waits, one message a thread.
    pub(in crate::v2::model) async fn flush(&mut self) {
        let Some(link) = &self.link else { return };
        let under_way: BTreeSet<_> = link.pending.values().filter_map(Asked::client_ref).collect();
        let mut busy = BTreeSet::new();
        let mut due = Vec::new();
        for unsent in &self.outbox {
            let is_first = busy.insert(&unsent.to.id);
            if is_first && !under_way.contains(unsent.client_ref.as_str()) {
                due.push(unsent.clone());
            }
        }
        for unsent in due {
            let mut frame = message(&unsent.to, &unsent.body, &unsent.client_ref);
            if let Some(target) = unsent.reply_to {
                frame["reply_to"] = json!(target);
            }
            self.ask(Asked::Send { client_ref: unsent.client_ref }, frame).await;
        }
    }
}
