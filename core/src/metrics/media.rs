//! Of attachment bytes.

use std::time::Instant;

use netrox_metrics::{By, Durations, Queues, Registry, words};
use prometheus_client::{metrics::counter::Counter, registry::Unit};

use crate::media::Error;

/// From a local write to what a bucket that hangs is given.
const OPERATION_SECONDS: [f64; 11] =
    [0.001, 0.002_5, 0.01, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 20.0];

#[derive(Debug, Clone)]
pub(crate) struct MediaMetrics {
    uploads: By<Transfer, Counter>,
    downloads: By<Transfer, Counter>,
    bytes: By<Direction, Counter>,
    duration: By<MediaOperation, Durations>,
    failures: By<MediaOperation, Counter>,
    pub(crate) queues: Queues,
}

impl Default for MediaMetrics {
    fn default() -> Self {
        Self::new(Queues::default())
    }
}

impl MediaMetrics {
    pub(super) fn new(queues: Queues) -> Self {
        Self {
            uploads: By::counters("result"),
            downloads: By::counters("result"),
            bytes: By::counters("direction"),
            duration: By::new("operation", || Durations::new(&OPERATION_SECONDS)),
            failures: By::counters("operation"),
            queues,
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "media_uploads",
            "Uploads of attachments, by what became of them",
            self.uploads.clone(),
        );
        registry.register(
            "media_downloads",
            "Downloads of attachments, by what became of them",
            self.downloads.clone(),
        );
        registry.register_with_unit(
            "media_transferred",
            "What was written to the media store, and read of it",
            Unit::Bytes,
            self.bytes.clone(),
        );
        registry.register_with_unit(
            "media_operation_duration",
            "Time of an operation of the media store",
            Unit::Seconds,
            self.duration.clone(),
        );
        registry.register(
            "media_operation_failures",
            "Operations of the media store that failed",
            self.failures.clone(),
        );
    }

    /// Counts an upload when what is given is dropped.
    pub(crate) fn upload(&self) -> UnderWay {
        UnderWay { results: self.uploads.clone(), result: Transfer::Failed }
    }

    /// Counts a download, up to its beginning, when what is given is dropped.
    pub(crate) fn download(&self) -> UnderWay {
        UnderWay { results: self.downloads.clone(), result: Transfer::Failed }
    }

    pub(crate) fn moved(&self, direction: Direction, bytes: usize) {
        self.bytes.add(direction, bytes as u64);
    }

    /// Measures an operation to its end.
    pub(crate) async fn measure<T>(
        &self,
        operation: MediaOperation,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let mut measuring =
            Measuring { metrics: self, operation, begun: Instant::now(), failed: true };
        let result = work.await;
        measuring.failed = matches!(result, Err(Error::Unavailable(_)));
        result
    }

    /// It broke off later than it is measured.
    pub(crate) fn failed(&self, operation: MediaOperation) {
        self.failures.count(operation);
    }
}

/// An operation. One that is given up has failed: its caller may have had enough of waiting.
struct Measuring<'a> {
    metrics: &'a MediaMetrics,
    operation: MediaOperation,
    begun: Instant,
    failed: bool,
}

impl Drop for Measuring<'_> {
    fn drop(&mut self) {
        let Self { metrics, operation, begun, failed } = self;
        if let Some(duration) = metrics.duration.of(*operation) {
            duration.observe(begun.elapsed());
        }
        if *failed {
            metrics.failed(*operation);
        }
    }
}

/// A file on its way. It has failed unless somebody says something else.
#[derive(Debug)]
pub(crate) struct UnderWay {
    results: By<Transfer, Counter>,
    result: Transfer,
}

impl UnderWay {
    pub(crate) fn ended(mut self, result: Transfer) {
        self.result = result;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.results.count(self.result);
    }
}

words! {
    /// What became of a file on its way.
    pub(crate) enum Transfer {
        /// An upload is stored, a download has begun.
        Ok = "ok",
        /// It is not there, not theirs, too large, over a limit, or the like.
        Refused = "refused",
        /// The media store, the database or the caller broke off.
        Failed = "failed",
    }
}

words! {
    pub(crate) enum Direction {
        Written = "written",
        Read = "read",
    }
}

words! {
    pub(crate) enum MediaOperation {
        /// Of a part.
        Write = "write",
        /// Of a whole file, or of the end of one in parts.
        Finish = "finish",
        /// Up to the first byte.
        Read = "read",
        Remove = "remove",
    }
}
