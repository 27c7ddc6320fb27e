//! What becomes of spans that have ended. Nobody who ends one waits: beyond the length of the queue it is dropped and counted.

use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{Span as SdkSpan, SpanData, SpanProcessor},
};
use tokio::sync::mpsc::{self, error::TrySendError};

use crate::metrics::{Dropped, Metrics};

/// Each is about a KiB.
pub const QUEUE_SPANS: usize = 4_096;

/// The end of the queue at which spans are taken out. The reader is of the program.
pub type Ended = mpsc::Receiver<SpanData>;

#[derive(Debug)]
pub(crate) struct Queue {
    ended: mpsc::Sender<SpanData>,
    metrics: Metrics,
}

impl Queue {
    pub(crate) fn new(metrics: Metrics) -> (Self, Ended) {
        let (ended, receiver) = mpsc::channel(QUEUE_SPANS);
        let looked_at = ended.downgrade();
        metrics.queues.add("trace_spans", QUEUE_SPANS, move || {
            looked_at.upgrade().map(|queue| queue.max_capacity() - queue.capacity())
        });
        (Self { ended, metrics }, receiver)
    }
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut SdkSpan, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        match self.ended.try_send(span) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => self.metrics.dropped.count(Dropped::Queue),
            Err(TrySendError::Closed(_)) => self.metrics.dropped.count(Dropped::Shutdown),
        }
    }

    /// The reader takes what there is.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}
