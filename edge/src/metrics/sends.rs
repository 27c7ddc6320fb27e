//! What users send, on its way to the core and back.

use std::time::Duration;

use netrox_metrics::{By, Durations, Registry, words};
use netrox_proto::request_id::RequestId;
use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Unit,
};

use crate::sends::MAX_BYTES;

/// From one fsync of a good disk to what a send may wait for.
const SEND_SECONDS: [f64; 14] =
    [0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

#[derive(Debug, Clone)]
pub(crate) struct SendMetrics {
    answered: By<SendKind, Counter>,
    duration: Durations,
    held_bytes: Gauge,
    refused: By<SendRefusal, Counter>,
}

impl Default for SendMetrics {
    fn default() -> Self {
        let (answered, refused) = (By::counters("kind"), By::counters("reason"));
        let (duration, held_bytes) = (Durations::new(&SEND_SECONDS), Gauge::default());
        Self { answered, duration, held_bytes, refused }
    }
}

impl SendMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "sends",
            "What users sent that took effect, by its kind",
            self.answered.clone(),
        );
        registry.register_durations(
            "send_duration",
            "Time from when a send came until it was known to have taken effect",
            &self.duration,
        );
        registry.register_with_unit(
            "sends_held",
            "Memory of sends that were taken and are not answered",
            Unit::Bytes,
            self.held_bytes.clone(),
        );
        let max_bytes = Gauge::<i64>::default();
        max_bytes.set(MAX_BYTES as i64);
        registry.register_with_unit(
            "sends_held_limit",
            "What it may be: beyond it sockets are not read, or sends refused",
            Unit::Bytes,
            max_bytes,
        );
        registry.register(
            "sends_refused",
            "Sends that were not known to be stored, by what their senders were told",
            self.refused.clone(),
        );
    }

    /// It took effect so long after it came.
    pub(crate) fn answered(&self, kind: SendKind, took: Duration, id: &RequestId) {
        self.answered.count(kind);
        self.duration.observe_one(took, id.trace_id(), || ("request_id", id.to_string()));
    }

    pub(crate) fn held_bytes(&self) -> Gauge {
        self.held_bytes.clone()
    }

    pub(crate) fn refused(&self, reason: SendRefusal) {
        self.refused.count(reason);
    }
}

words! {
    /// What is sent.
    pub(crate) enum SendKind {
        Message = "message",
        Attachment = "attachment",
        Edit = "edit",
        Delete = "delete",
        Mark = "mark",
        Block = "block",
    }
}

words! {
    /// Sends that were refused for nothing that is wrong with them.
    pub(crate) enum SendRefusal {
        /// More were under way than may be, or than were stored in time.
        Overloaded = "overloaded",
        /// The core or its database was away.
        Unavailable = "unavailable",
        /// It may be stored.
        OutcomeUnknown = "outcome_unknown",
    }
}
