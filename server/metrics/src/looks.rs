//! Gauges and counters that nobody keeps: they are looked up when somebody asks for them.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::{MetricType, counter::Counter},
};

type Labels = Vec<(&'static str, &'static str)>;
type Look = Box<dyn Fn() -> Option<u64> + Send + Sync>;

/// Values by labels. Those that are not there any more are not shown. A cheap handle.
#[derive(Clone)]
pub struct Looks {
    kind: MetricType,
    looks: Arc<Mutex<Vec<(Labels, Look)>>>,
}

impl fmt::Debug for Looks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels: Vec<_> = self.looks().iter().map(|(labels, _)| labels.clone()).collect();
        f.debug_struct("Looks").field("labels", &labels).finish_non_exhaustive()
    }
}

impl Looks {
    pub fn gauges() -> Self {
        Self { kind: MetricType::Gauge, looks: Arc::default() }
    }

    pub fn counters() -> Self {
        Self { kind: MetricType::Counter, looks: Arc::default() }
    }

    fn looks(&self) -> MutexGuard<'_, Vec<(Labels, Look)>> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `look` is called at each scrape, and neither waits nor walks over what there may be much of. It keeps nothing alive. It
    /// takes the place of one with the same labels.
    pub fn add<const N: usize>(
        &self,
        labels: [(&'static str, &'static str); N],
        look: impl Fn() -> Option<u64> + Send + Sync + 'static,
    ) {
        let mut looks = self.looks();
        looks.retain(|(others, _)| *others != labels);
        looks.push((labels.into(), Box::new(look)));
    }
}

impl EncodeMetric for Looks {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (labels, look) in &*self.looks() {
            let Some(value) = look() else { continue };
            let mut encoder = encoder.encode_family(labels)?;
            match self.kind {
                MetricType::Counter => {
                    encoder.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
                }
                MetricType::Gauge
                | MetricType::Histogram
                | MetricType::Info
                | MetricType::Unknown => encoder.encode_gauge(&value)?,
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        self.kind
    }
}

/// How long the bounded queues of the process are, and how long they may be. A cheap handle.
#[derive(Debug, Clone)]
pub struct Queues {
    pub(crate) lengths: Looks,
    pub(crate) limits: Looks,
    pub(crate) refusals: Looks,
}

impl Default for Queues {
    fn default() -> Self {
        Self { lengths: Looks::gauges(), limits: Looks::gauges(), refusals: Looks::counters() }
    }
}

impl Queues {
    /// One that is waited for, or whose refusals are counted elsewhere. `length` gives nothing where the queue is gone.
    pub fn add(
        &self,
        queue: &'static str,
        limit: usize,
        length: impl Fn() -> Option<usize> + Send + Sync + 'static,
    ) {
        self.look(queue, limit, &Arc::new(length));
    }

    /// What is given counts what it had no room for.
    pub fn add_refusing(
        &self,
        queue: &'static str,
        limit: usize,
        length: impl Fn() -> Option<usize> + Send + Sync + 'static,
    ) -> Counter {
        let (length, refused) = (Arc::new(length), Counter::default());
        self.look(queue, limit, &length);
        let counted = refused.clone();
        self.refusals.add([("queue", queue)], move || length().map(|_| counted.get()));
        refused
    }

    fn look(
        &self,
        queue: &'static str,
        limit: usize,
        length: &Arc<impl Fn() -> Option<usize> + Send + Sync + 'static>,
    ) {
        let labels = [("queue", queue)];
        let (long, there) = (Arc::clone(length), Arc::clone(length));
        self.lengths.add(labels, move || long().map(|length| length as u64));
        self.limits.add(labels, move || there().map(|_| limit as u64));
    }
}
