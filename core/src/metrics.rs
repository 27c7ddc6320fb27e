//! What can be measured of a core. Labels are words of ours, never what a caller sent.
//!
//! docs/OPERATING.md tells what each metric means, and what to do about it.

use std::{
    fmt::{self, Write as _},
    hash::Hash,
    time::Duration,
};

use netrox_tls::HandshakeFailure;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

/// Seconds of a commit: one fsync of a good disk to what the watchdog calls overdue, and beyond.
const COMMIT_SECONDS: [f64; 14] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 3.0, 10.0];
/// Writes that share a commit: up to what a batch may have.
const BATCH_WRITES: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

/// What a core counts: cheap handles. Those that are in no registry are counted for nobody.
#[derive(Debug, Clone)]
pub struct Metrics {
    pub(crate) commits: Commits,
    pub(crate) feed_reads: FeedReads,
    pub(crate) serving: Serving,
    pub(crate) failed_handshakes: FailedHandshakes,
    pub(crate) service_calls: ServiceCalls,
    pub(crate) quota_refusals: QuotaRefusals,
}

impl Default for Metrics {
    fn default() -> Self {
        let commits = Commits {
            seconds: Histogram::new(COMMIT_SECONDS),
            writes: Histogram::new(BATCH_WRITES),
            failed: by_label(CommitFailure::ALL, |outcome| CommitFailed { outcome }),
            waiting: Gauge::default(),
            unknown: Counter::default(),
            messages: Counter::default(),
        };
        let feed_reads = FeedReads(by_label(ReadCause::ALL, |cause| FeedRead { cause }));
        let serving = Serving(by_label(Part::ALL, |part| OfPart { part }));
        let failed_handshakes = FailedHandshakes::default();
        failed_handshakes.begin();
        let service_calls = ServiceCalls::default();
        let quota_refusals = QuotaRefusals(by_label(Quota::ALL, |quota| OfQuota { quota }));
        Self { commits, feed_reads, serving, failed_handshakes, service_calls, quota_refusals }
    }
}

impl Metrics {
    /// Metrics that the registry shows.
    pub fn registered(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let Self { commits, feed_reads, serving, failed_handshakes, service_calls, quota_refusals } =
            &metrics;
        registry.register(
            "grpc_tls_handshakes_failed",
            "Connections to the gRPC listener that came to nothing in their TLS handshake",
            failed_handshakes.0.clone(),
        );
        registry.register_with_unit(
            "commit_duration",
            "Time of a transaction of writes, from its beginning until it is durable",
            Unit::Seconds,
            commits.seconds.clone(),
        );
        registry.register(
            "commit_writes",
            "Writes that one transaction made durable",
            commits.writes.clone(),
        );
        registry.register(
            "commits_failed",
            "Transactions of writes that were not known to be stored, by what became of their writes",
            commits.failed.clone(),
        );
        registry.register(
            "writes_waiting",
            "Writes that were taken and are not answered",
            commits.waiting.clone(),
        );
        registry.register(
            "writes_unknown",
            "Writes whose callers were told that nobody knows whether they are stored",
            commits.unknown.clone(),
        );
        registry.register("messages_stored", "Messages that were stored", commits.messages.clone());
        registry.register(
            "feed_reads",
            "Reads of the database for a subscription, by why it was read",
            feed_reads.0.clone(),
        );
        registry.register(
            "serving",
            "Whether the core serves: 1, or 0 while the part it names is away",
            serving.0.clone(),
        );
        registry.register(
            "service_calls",
            "Calls of the services that are named in the file of services, and of --service-token",
            service_calls.0.clone(),
        );
        registry.register(
            "quota_refusals",
            "Sends and uploads that were refused because their user was over a quota",
            quota_refusals.0.clone(),
        );
        metrics
    }
}

/// With a series for each value from the beginning: a rate needs its zero.
fn by_label<L, S, M, const N: usize>(values: [L; N], labels: impl Fn(L) -> S) -> Family<S, M>
where
    S: Clone + Hash + Eq,
    M: Default,
{
    let family = Family::default();
    for value in values {
        drop(family.get_or_create(&labels(value)));
    }
    family
}

/// Of the committer.
#[derive(Debug, Clone)]
pub(crate) struct Commits {
    seconds: Histogram,
    writes: Histogram,
    failed: Family<CommitFailed, Counter>,
    waiting: Gauge,
    unknown: Counter,
    messages: Counter,
}

impl Commits {
    /// So many writes are durable, `messages` of which are messages; it took so long.
    pub(crate) fn stored(&self, writes: usize, messages: usize, took: Duration) {
        self.seconds.observe(took.as_secs_f64());
        self.writes.observe(writes as f64);
        self.messages.inc_by(messages as u64);
    }

    pub(crate) fn failed(&self, outcome: CommitFailure) {
        self.failed.get_or_create(&CommitFailed { outcome }).inc();
    }

    /// Counts a write as waiting until what is given is dropped.
    pub(crate) fn wait(&self) -> WaitingWrite {
        self.waiting.inc();
        WaitingWrite { waiting: self.waiting.clone(), unknown: self.unknown.clone() }
    }
}

#[derive(Debug)]
pub(crate) struct WaitingWrite {
    waiting: Gauge,
    unknown: Counter,
}

impl WaitingWrite {
    /// Its caller is told that nobody knows whether it is stored.
    pub(crate) fn is_unknown(&self) {
        self.unknown.inc();
    }
}

impl Drop for WaitingWrite {
    fn drop(&mut self) {
        self.waiting.dec();
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CommitFailed {
    outcome: CommitFailure,
}

/// What became of the writes of a commit that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum CommitFailure {
    /// They wait for the database, or were given back.
    PutBack,
    /// Their callers are told that nothing was stored, or a batch is tried again write by write.
    Refused,
    /// Whether they are stored could not be found out.
    Unknown,
}

impl CommitFailure {
    const ALL: [Self; 3] = [Self::PutBack, Self::Refused, Self::Unknown];
}

impl EncodeLabelValue for CommitFailure {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(match self {
            Self::PutBack => "put_back",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        })
    }
}

/// Of subscriptions.
#[derive(Debug, Clone)]
pub(crate) struct FeedReads(Family<FeedRead, Counter>);

impl FeedReads {
    pub(crate) fn read_for(&self, cause: ReadCause) {
        self.0.get_or_create(&FeedRead { cause }).inc();
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FeedRead {
    cause: ReadCause,
}

/// Why a subscription reads the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ReadCause {
    /// It goes on from an earlier position, or what it is to read takes more than one read.
    Position,
    /// What came was not the next after what it had.
    Hole,
    /// Its queue was full, or it was told to look.
    Behind,
}

impl ReadCause {
    const ALL: [Self; 3] = [Self::Position, Self::Hole, Self::Behind];
}

impl EncodeLabelValue for ReadCause {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(match self {
            Self::Position => "position",
            Self::Hole => "hole",
            Self::Behind => "behind",
        })
    }
}

/// Whether there is service, as `grpc.health.v1` says.
#[derive(Debug, Clone)]
pub(crate) struct Serving(Family<OfPart, Gauge>);

impl Serving {
    pub(crate) fn set(&self, part: Part, serves: bool) {
        self.0.get_or_create(&OfPart { part }).set(i64::from(serves));
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPart {
    part: Part,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    /// The database takes writes.
    Database,
    /// The media directory takes files.
    Files,
}

impl Part {
    const ALL: [Self; 2] = [Self::Database, Self::Files];
}

impl EncodeLabelValue for Part {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(match self {
            Self::Database => "database",
            Self::Files => "files",
        })
    }
}

/// TLS handshakes that came to nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct FailedHandshakes(Family<FailedHandshake, Counter>);

impl FailedHandshakes {
    /// A rate needs its zero.
    fn begin(&self) {
        for failure in HandshakeFailure::ALL {
            drop(self.0.get_or_create(&FailedHandshake { reason: failure.word() }));
        }
    }

    pub(crate) fn count(&self, failure: HandshakeFailure) {
        self.0.get_or_create(&FailedHandshake { reason: failure.word() }).inc();
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailedHandshake {
    reason: &'static str,
}

/// Of services, by their names, which are from a file of the operator.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServiceCalls(Family<ServiceCall, Counter>);

/// Of one service.
#[derive(Debug, Clone)]
pub(crate) struct OfService {
    pub(crate) taken: Counter,
    /// It may not make them.
    pub(crate) refused: Counter,
}

impl ServiceCalls {
    /// From the beginning: a rate needs its zero.
    pub(crate) fn of(&self, service: &str) -> OfService {
        let [taken, refused] = CallResult::ALL.map(|result| {
            let call = ServiceCall { service: service.to_owned(), result };
            self.0.get_or_create(&call).clone()
        });
        OfService { taken, refused }
    }

    /// It is not there any more.
    pub(crate) fn forget(&self, service: &str) {
        for result in CallResult::ALL {
            self.0.remove(&ServiceCall { service: service.to_owned(), result });
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ServiceCall {
    service: String,
    result: CallResult,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum CallResult {
    Taken,
    Refused,
}

impl CallResult {
    const ALL: [Self; 2] = [Self::Taken, Self::Refused];
}

impl EncodeLabelValue for CallResult {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(match self {
            Self::Taken => "taken",
            Self::Refused => "refused",
        })
    }
}

/// What users are over.
#[derive(Debug, Clone)]
pub(crate) struct QuotaRefusals(Family<OfQuota, Counter>);

impl QuotaRefusals {
    pub(crate) fn count(&self, quota: Quota) {
        self.0.get_or_create(&OfQuota { quota }).inc();
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OfQuota {
    quota: Quota,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Quota {
    NewConversations,
    Storage,
}

impl Quota {
    const ALL: [Self; 2] = [Self::NewConversations, Self::Storage];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::NewConversations => "new_conversations",
            Self::Storage => "storage",
        }
    }
}

impl EncodeLabelValue for Quota {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text;

    use super::*;

    fn shown(registry: &Registry) -> String {
        let mut shown = String::new();
        text::encode(&mut shown, registry).expect("a string takes it");
        shown
    }

    #[test]
    fn every_series_is_there_from_the_beginning_and_counts() {
        let mut registry = Registry::with_prefix("netrox_chat");
        let metrics = Metrics::registered(&mut registry);
        let before = shown(&registry);
        for line in [
            "netrox_chat_commit_duration_seconds_count 0",
            "netrox_chat_commit_writes_count 0",
            "netrox_chat_commits_failed_total{outcome=\"put_back\"} 0",
            "netrox_chat_commits_failed_total{outcome=\"unknown\"} 0",
            "netrox_chat_writes_waiting 0",
            "netrox_chat_messages_stored_total 0",
            "netrox_chat_feed_reads_total{cause=\"hole\"} 0",
            "netrox_chat_serving{part=\"files\"} 0",
        ] {
            assert!(before.lines().any(|shown| shown == line), "{line}:\n{before}");
        }
        let first = metrics.commits.wait();
        let _second = metrics.commits.wait();
        first.is_unknown();
        drop(first);
        metrics.commits.stored(3, 2, Duration::from_millis(2));
        metrics.commits.failed(CommitFailure::Refused);
        metrics.feed_reads.read_for(ReadCause::Behind);
        metrics.serving.set(Part::Database, true);
        metrics.service_calls.of("gone").taken.inc();
        metrics.service_calls.forget("gone");
        metrics.service_calls.of("billing").refused.inc();
        let after = shown(&registry);
        for line in [
            "netrox_chat_commit_duration_seconds_bucket{le=\"0.001\"} 0",
            "netrox_chat_commit_duration_seconds_bucket{le=\"0.0025\"} 1",
            "netrox_chat_commit_writes_sum 3.0",
            "netrox_chat_commits_failed_total{outcome=\"refused\"} 1",
            "netrox_chat_writes_waiting 1",
            "netrox_chat_writes_unknown_total 1",
            "netrox_chat_messages_stored_total 2",
            "netrox_chat_feed_reads_total{cause=\"behind\"} 1",
            "netrox_chat_serving{part=\"database\"} 1",
            "netrox_chat_service_calls_total{service=\"billing\",result=\"taken\"} 0",
            "netrox_chat_service_calls_total{service=\"billing\",result=\"refused\"} 1",
        ] {
            assert!(after.lines().any(|shown| shown == line), "{line}:\n{after}");
        }
        assert!(!after.contains("gone"), "{after}");
    }
}
