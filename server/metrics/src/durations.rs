//! How long something took, in buckets, with an exemplar for each: the newest that was asked for by a scrape.

use std::{
    fmt::{self, Write as _},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::{MetricType, TypedMetric},
};

/// In the sum: a clock that is years off must not make it wrap.
const LONGEST: Duration = Duration::from_secs(3600);

/// A histogram of times. Counts without a lock: the histogram of the library has one, and its exemplars a second. A cheap
/// handle.
#[derive(Debug, Clone)]
pub struct Durations(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// In seconds, each included.
    bounds: &'static [f64],
    /// One more than there are bounds.
    buckets: Box<[Bucket]>,
    nanos: AtomicU64,
}

#[derive(Debug)]
struct Bucket {
    count: AtomicU64,
    /// Whether the next one leaves its name: one does between two scrapes.
    wants: AtomicBool,
    exemplar: Mutex<Option<Exemplar>>,
}

#[derive(Debug)]
struct Exemplar {
    label: &'static str,
    value: String,
    took: Duration,
    at: SystemTime,
}

impl Bucket {
    fn new() -> Self {
        let (count, wants) = (AtomicU64::new(0), AtomicBool::new(true));
        Self { count, wants, exemplar: Mutex::default() }
    }

    /// A few instructions that do not panic.
    fn exemplar(&self) -> MutexGuard<'_, Option<Exemplar>> {
        self.exemplar.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Durations {
    /// `bounds` are the upper ends of the buckets in seconds, which grow.
    pub fn new(bounds: &'static [f64]) -> Self {
        let buckets = (0..=bounds.len()).map(|_| Bucket::new()).collect();
        Self(Arc::new(Inner { bounds, buckets, nanos: AtomicU64::new(0) }))
    }

    pub fn observe(&self, took: Duration) {
        self.count(took);
    }

    /// The same with what it can be found by: a label and its value, which is asked for now and then.
    pub fn observe_one(&self, took: Duration, named: impl FnOnce() -> (&'static str, String)) {
        let Some(bucket) = self.count(took) else { return };
        if bucket.wants.load(Ordering::Relaxed) && bucket.wants.swap(false, Ordering::Relaxed) {
            let (label, value) = named();
            *bucket.exemplar() = Some(Exemplar { label, value, took, at: now() });
        }
    }

    fn count(&self, took: Duration) -> Option<&Bucket> {
        let Inner { bounds, buckets, nanos } = &*self.0;
        let seconds = took.as_secs_f64();
        let bucket = buckets.get(bounds.iter().take_while(|bound| **bound < seconds).count())?;
        bucket.count.fetch_add(1, Ordering::Relaxed);
        let nanos_of_it = took.min(LONGEST).as_nanos();
        nanos.fetch_add(u64::try_from(nanos_of_it).unwrap_or_default(), Ordering::Relaxed);
        Some(bucket)
    }

    /// What stands behind the line of each bucket, if anything does. Asks for new ones.
    pub(crate) fn exemplars(&self) -> Vec<Option<String>> {
        let shown = |bucket: &Bucket| {
            let shown = bucket.exemplar().as_ref().and_then(Exemplar::shown);
            bucket.wants.store(true, Ordering::Relaxed);
            shown
        };
        self.0.buckets.iter().map(shown).collect()
    }
}

impl Exemplar {
    fn shown(&self) -> Option<String> {
        let Self { label, value, took, at } = self;
        let mut shown = format!(" # {{{label}=\"");
        for letter in value.chars() {
            match letter {
                '"' | '\\' => write!(shown, "\\{letter}").ok()?,
                '\n' => shown.push_str("\\n"),
                _ => shown.push(letter),
            }
        }
        let at = at.duration_since(UNIX_EPOCH).ok()?;
        write!(shown, "\"}} {} {:.3}", took.as_secs_f64(), at.as_secs_f64()).ok()?;
        Some(shown)
    }
}

#[expect(clippy::disallowed_methods, reason = "Prometheus wants to know when it was")]
fn now() -> SystemTime {
    SystemTime::now()
}

impl TypedMetric for Durations {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Durations {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let Inner { bounds, buckets, nanos } = &*self.0;
        let bounds = bounds.iter().copied().chain([f64::INFINITY]);
        let counts = buckets.iter().map(|bucket| bucket.count.load(Ordering::Relaxed));
        let buckets: Vec<_> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let seconds = Duration::from_nanos(nanos.load(Ordering::Relaxed)).as_secs_f64();
        encoder.encode_histogram::<NoLabelSet>(seconds, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}
