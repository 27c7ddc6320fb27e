//! How long something took, in buckets, with an exemplar for each: the first after a scrape, and in its place the first that is
//! traced.

use std::{
    fmt::{self, Display, Write as _},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
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
    /// Whether the next one leaves its name: [`ANY`], [`TRACED`] or [`NONE`]. Two do at most between two scrapes.
    wants: AtomicU8,
    exemplar: Mutex<Option<Exemplar>>,
}

const NONE: u8 = 0;
/// One that is traced alone: there is another already.
const TRACED: u8 = 1;
const ANY: u8 = 2;

#[derive(Debug)]
struct Exemplar {
    label: &'static str,
    value: String,
    trace_id: Option<String>,
    took: Duration,
    at: SystemTime,
}

impl Bucket {
    fn new() -> Self {
        let (count, wants) = (AtomicU64::new(0), AtomicU8::new(ANY));
        Self { count, wants, exemplar: Mutex::default() }
    }

    /// Whether the next one leaves its name.
    fn takes(&self, is_traced: bool) -> bool {
        let (wants, next) = match is_traced {
            true => (self.wants.load(Ordering::Relaxed), NONE),
            false => (self.wants.load(Ordering::Relaxed) & ANY, TRACED),
        };
        let relaxed = Ordering::Relaxed;
        wants != NONE && self.wants.compare_exchange(wants, next, relaxed, relaxed).is_ok()
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

    /// The same with what it can be found by: its trace, where it has one, and a label and its value, which are asked for now
    /// and then.
    pub fn observe_one(
        &self,
        took: Duration,
        trace_id: Option<impl Display>,
        named: impl FnOnce() -> (&'static str, String),
    ) {
        let Some(bucket) = self.count(took) else { return };
        if bucket.takes(trace_id.is_some()) {
            let (label, value) = named();
            let trace_id = trace_id.map(|id| id.to_string());
            *bucket.exemplar() = Some(Exemplar { label, value, trace_id, took, at: now() });
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
            bucket.wants.store(ANY, Ordering::Relaxed);
            shown
        };
        self.0.buckets.iter().map(shown).collect()
    }
}

impl Exemplar {
    fn shown(&self) -> Option<String> {
        let Self { label, value, trace_id, took, at } = self;
        let mut shown = format!(" # {{{label}=\"");
        for letter in value.chars() {
            match letter {
                '"' | '\\' => write!(shown, "\\{letter}").ok()?,
                '\n' => shown.push_str("\\n"),
                _ => shown.push(letter),
            }
        }
        let at = at.duration_since(UNIX_EPOCH).ok()?;
        shown.push('"');
        if let Some(trace_id) = trace_id {
            // Digits alone.
            write!(shown, ",trace_id=\"{trace_id}\"").ok()?;
        }
        write!(shown, "}} {} {:.3}", took.as_secs_f64(), at.as_secs_f64()).ok()?;
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
