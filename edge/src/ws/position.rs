//! How far a subscription is.

use std::sync::{Arc, Mutex, PoisonError};

use netrox_proto::v1::SubscribeResponse;

/// How far the subscription is, and in which history of the database; a core of 0.1.0 does not tell which.
pub(super) struct Position {
    pub(super) seq: u64,
    pub(super) epoch: Option<Arc<str>>,
}

impl Position {
    /// At the first response of a stream that goes on from `before`.
    pub(super) fn of(before: Option<Self>, first: &SubscribeResponse, epochs: &Epochs) -> Self {
        let seq = before.map_or(first.last_seq, |before| before.seq);
        let mut position = Self { seq, epoch: None };
        position.enter(&first.epoch, epochs);
        position
    }

    pub(super) fn enter(&mut self, epoch: &str, epochs: &Epochs) {
        if !epoch.is_empty() {
            self.epoch = Some(epochs.shared(epoch));
        }
    }
}

/// The epoch that was told last: nearly all subscriptions are in one, and share its text.
#[derive(Debug, Default)]
pub(super) struct Epochs(Mutex<Option<Arc<str>>>);

impl Epochs {
    fn shared(&self, epoch: &str) -> Arc<str> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(last) if **last == *epoch => Arc::clone(last),
            _ => Arc::clone(last.insert(epoch.into())),
        }
    }
}
