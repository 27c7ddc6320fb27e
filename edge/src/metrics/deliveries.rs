//! What users receive.

use std::{
    fmt::{self, Write as _},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use netrox_metrics::{By, Durations, Registry};
use netrox_proto::{
    time,
    trace_context::TraceId,
    v1::{ErrorReason, Message},
};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family},
};

use crate::wire::Generation;

/// From one fsync of a good disk to where a lost hint is found out of, and beyond.
const DELIVERY_SECONDS: [f64; 14] =
    [0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

#[derive(Debug, Clone)]
pub(crate) struct DeliveryMetrics {
    frames: By<Generation, Counter>,
    duration: Durations,
    broken: Family<BrokenSubscription, Counter>,
}

impl Default for DeliveryMetrics {
    fn default() -> Self {
        let (frames, broken) = (By::counters("generation"), Family::default());
        Self { frames, duration: Durations::new(&DELIVERY_SECONDS), broken }
    }
}

impl DeliveryMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "deliveries",
            "Frames of what users receive that were given to a WebSocket",
            self.frames.clone(),
        );
        registry.register_durations(
            "delivery_duration",
            "Time from when a core dated a message until it is given to a WebSocket of its receiver",
            &self.duration,
        );
        registry.register(
            "subscriptions_broken",
            "Subscriptions to a core that ended while somebody was connected, by what they ended with",
            self.broken.clone(),
        );
    }

    /// What came just now is given to sockets of a generation.
    pub(crate) fn begin(&self, generation: Generation) -> Delivering<'_> {
        Delivering { metrics: self, generation, at: None, frames: 0 }
    }

    pub(crate) fn subscription_broke(&self, reason: ErrorReason) {
        let labels = BrokenSubscription { reason: Reason(reason) };
        self.broken.get_or_create(&labels).inc();
    }
}

/// What came at once is counted at once, when this is dropped.
#[derive(Debug)]
pub(crate) struct Delivering<'a> {
    metrics: &'a DeliveryMetrics,
    generation: Generation,
    /// Now, from when somebody asks for it.
    at: Option<i64>,
    frames: u64,
}

/// How late a message is that is about to be given to sockets of its receiver.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lateness {
    message_id: i64,
    trace_id: Option<TraceId>,
    late: Duration,
}

impl Delivering<'_> {
    /// Of a message that is new to its receiver, who is not catching up.
    pub(crate) fn lateness(
        &mut self,
        message: &Message,
        trace_id: Option<TraceId>,
    ) -> Option<Lateness> {
        let dispatched = message.attachment.as_ref().and_then(|file| file.dispatched.as_ref());
        let dated = time::micros(dispatched.or(message.created.as_ref())?);
        let at = *self.at.get_or_insert_with(now_micros);
        // One that is before its time says how far the clocks of a core and of this edge differ, and nothing else.
        let late = u64::try_from(at.saturating_sub(dated)).ok()?;
        Some(Lateness { message_id: message.id, trace_id, late: Duration::from_micros(late) })
    }

    /// A socket was given a frame.
    pub(crate) fn given(&mut self, lateness: Option<Lateness>) {
        self.frames += 1;
        if let Some(Lateness { message_id, trace_id, late }) = lateness {
            let named = || ("message_id", message_id.to_string());
            self.metrics.duration.observe_one(late, trace_id, named);
        }
    }

    /// Something had to be waited for.
    pub(crate) fn has_waited(&mut self) {
        self.at = None;
    }
}

impl Drop for Delivering<'_> {
    fn drop(&mut self) {
        self.metrics.frames.add(self.generation, self.frames);
    }
}

/// Since 1970.
#[expect(clippy::disallowed_methods, reason = "messages are dated by the wall clock of a core")]
fn now_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BrokenSubscription {
    reason: Reason,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Reason(ErrorReason);

/// As error.proto names it, in lower case and without what all have in common.
impl EncodeLabelValue for Reason {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        let name = self.0.as_str_name().trim_start_matches("ERROR_REASON_");
        name.chars().try_for_each(|letter| encoder.write_char(letter.to_ascii_lowercase()))
    }
}
