//! What access tokens are verified by: keys that come from URLs, and which tokens are revoked.

use std::fmt::{self, Write as _};

use netrox_metrics::{Registry, Word as _, words};
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Unit,
};

/// Keys of access tokens that come from URLs.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyMetrics {
    fetches: Family<KeyFetch, Counter>,
    fetched_at: Family<KeySource, Gauge>,
}

impl KeyMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "key_fetches",
            "Fetches of keys of access tokens, by their URL and by what came of them",
            self.fetches.clone(),
        );
        registry.register_with_unit(
            "keys_fetched_timestamp",
            "When the keys in use were fetched, by their URL, in Unix time",
            Unit::Seconds,
            self.fetched_at.clone(),
        );
    }

    /// Its keys are to be fetched. A rate needs its zero.
    pub(crate) fn begin(&self, source: &str) {
        for result in Fetch::ALL {
            drop(self.fetches.get_or_create(&KeyFetch::new(source, *result)));
        }
    }

    /// `source` is the operator's.
    pub(crate) fn fetched(&self, source: &str, result: Fetch) {
        self.fetches.get_or_create(&KeyFetch::new(source, result)).inc();
    }

    /// `source` is the operator's, `fetched_at` in Unix seconds.
    pub(crate) fn has_keys(&self, source: &str, fetched_at: i64) {
        let labels = KeySource { source: source.to_owned() };
        self.fetched_at.get_or_create(&labels).set(fetched_at);
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeyFetch {
    source: String,
    result: Fetch,
}

impl KeyFetch {
    fn new(source: &str, result: Fetch) -> Self {
        Self { source: source.to_owned(), result }
    }
}

impl EncodeLabelValue for Fetch {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(self.word())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeySource {
    source: String,
}

words! {
    pub(crate) enum Fetch {
        Ok = "ok",
        /// There was no answer, or none within the limits.
        Failed = "failed",
        /// It was no set with a key that is usable here.
        Unusable = "unusable",
    }
}

/// How this edge learns which tokens are revoked.
#[derive(Debug, Clone, Default)]
pub(crate) struct WatchMetrics {
    live: Gauge,
    heard_at: Gauge,
    kept: Gauge,
}

impl WatchMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "session_watch_live",
            "Whether a core tells which tokens are revoked: 1 if so",
            self.live.clone(),
        );
        registry.register_with_unit(
            "session_watch_heard_timestamp",
            "When a core last told it, in Unix time",
            Unit::Seconds,
            self.heard_at.clone(),
        );
        registry.register(
            "revocations_kept",
            "Revocations of tokens that are known",
            self.kept.clone(),
        );
    }

    pub(crate) fn set_live(&self, is_live: bool) {
        self.live.set(is_live.into());
    }

    /// In Unix seconds.
    pub(crate) fn heard(&self, at: i64) {
        self.heard_at.set(at);
    }

    pub(crate) fn set_kept(&self, count: usize) {
        self.kept.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
