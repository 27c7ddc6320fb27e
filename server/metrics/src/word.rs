//! Metrics by a label that has one of a few words.

use std::{fmt, sync::Arc};

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder},
    metrics::{MetricType, TypedMetric, counter::Counter, gauge::Gauge},
};

/// What a label tells apart: words of ours, never what a caller sent.
pub trait Word: Copy + Eq + fmt::Debug + Send + Sync + 'static {
    /// All that there are.
    const ALL: &'static [Self];

    /// As the label has it.
    fn word(self) -> &'static str;
}

/// `words! { enum Cause { Hole = "hole", } }`: an enum that is a [`Word`].
#[macro_export]
macro_rules! words {
    (
        $(#[$about:meta])*
        $visibility:vis enum $name:ident { $($(#[$each:meta])* $variant:ident = $word:literal,)+ }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        $visibility enum $name { $($(#[$each])* $variant,)+ }

        impl $crate::Word for $name {
            const ALL: &'static [Self] = &[$(Self::$variant,)+];

            fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }
    };
}

/// A metric for each word. All are there from the beginning: a rate needs its zero. A cheap handle.
#[derive(Debug)]
pub struct By<W, M> {
    label: &'static str,
    each: Arc<[(W, M)]>,
}

impl<W, M> Clone for By<W, M> {
    fn clone(&self) -> Self {
        Self { label: self.label, each: Arc::clone(&self.each) }
    }
}

impl<W: Word, M> By<W, M> {
    pub fn new(label: &'static str, metric: impl Fn() -> M) -> Self {
        Self { label, each: W::ALL.iter().map(|word| (*word, metric())).collect() }
    }

    /// That of a word which is among all.
    pub fn of(&self, word: W) -> Option<&M> {
        self.each.iter().find_map(|(each, metric)| (*each == word).then_some(metric))
    }
}

impl<W: Word> By<W, Counter> {
    pub fn counters(label: &'static str) -> Self {
        Self::new(label, Counter::default)
    }

    pub fn count(&self, word: W) {
        self.add(word, 1);
    }

    pub fn add(&self, word: W, count: u64) {
        if let Some(counter) = self.of(word) {
            counter.inc_by(count);
        }
    }
}

impl<W: Word> By<W, Gauge> {
    pub fn gauges(label: &'static str) -> Self {
        Self::new(label, Gauge::default)
    }

    pub fn set(&self, word: W, value: i64) {
        if let Some(gauge) = self.of(word) {
            gauge.set(value);
        }
    }

    /// Counts one more of the word until what is given is dropped.
    pub fn hold(&self, word: W) -> Held {
        let gauge = self.of(word).cloned();
        if let Some(gauge) = &gauge {
            gauge.inc();
        }
        Held(gauge)
    }
}

/// One that is there.
#[derive(Debug, Default)]
pub struct Held(Option<Gauge>);

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(gauge) = &self.0 {
            gauge.dec();
        }
    }
}

impl<W: Word, M: EncodeMetric + TypedMetric> EncodeMetric for By<W, M> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (word, metric) in &*self.each {
            metric.encode(encoder.encode_family(&[(self.label, word.word())])?)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }
}
