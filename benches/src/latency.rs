//! Latencies as percentiles.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

const MAX_NANOS: u64 = 60_000_000_000;

/// Latencies from a microsecond to a minute, to three digits.
#[derive(Debug, Clone)]
pub(crate) struct Latencies(Histogram<u64>);

/// Milliseconds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Summary {
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

impl Latencies {
    #[expect(clippy::expect_used, reason = "the bounds are constants")]
    pub(crate) fn new() -> Self {
        Self(Histogram::new_with_bounds(1_000, MAX_NANOS, 3).expect("sound bounds"))
    }

    pub(crate) fn record(&mut self, nanos: u64) {
        self.0.saturating_record(nanos);
    }

    pub(crate) fn record_duration(&mut self, duration: Duration) {
        self.record(duration.as_nanos().try_into().unwrap_or(MAX_NANOS));
    }

    #[expect(clippy::expect_used, reason = "all have the same bounds")]
    pub(crate) fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("equal bounds");
    }

    pub(crate) fn summary(&self) -> Summary {
        let millis = |nanos: u64| nanos as f64 / 1e6;
        let at = |quantile| millis(self.0.value_at_quantile(quantile));
        Summary {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: millis(self.0.max()),
        }
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { p50, p90, p99, p999, max } = self;
        write!(
            f,
            "p50 {p50:.2} ms, p90 {p90:.2} ms, p99 {p99:.2} ms, p99.9 {p999:.2} ms, max {max:.2} ms"
        )
    }
}
