//! What libraries log of what a peer does, a stranger too: a line of each kind once a minute at most, or a peer would write the log.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tracing::{
    Event, Metadata, Subscriber,
    callsite::Identifier,
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

/// Between two lines of a kind.
const INTERVAL: Duration = Duration::from_secs(60);

/// Whether a line is of this program.
pub(super) fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("netrox_")
}

/// Passes on all that is ours, and few lines of libraries.
#[derive(Debug)]
pub(super) struct Sparse<L> {
    layer: L,
    kinds: Kinds<Identifier>,
    /// Libraries that the operator has asked for by name.
    wanted: Vec<String>,
}

impl<L> Sparse<L> {
    pub(super) fn new(layer: L, wanted: Vec<String>) -> Self {
        Self { layer, kinds: Kinds::default(), wanted }
    }

    fn is_limited(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        !is_ours(metadata) && !self.wanted.iter().any(|name| target.starts_with(name.as_str()))
    }
}

/// When each kind was written last, and how many of it were left out since. There are as many as places in the code that log.
#[derive(Debug)]
struct Kinds<K>(Mutex<HashMap<K, (Instant, u64)>>);

impl<K> Default for Kinds<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + std::hash::Hash> Kinds<K> {
    /// How many were left out before this one, if it is to be written.
    fn happened(&self, kind: K, now: Instant) -> Option<u64> {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((written, left_out)) = kinds.get_mut(&kind) else {
            kinds.insert(kind, (now, 0));
            return Some(0);
        };
        if now.saturating_duration_since(*written) < INTERVAL {
            *left_out += 1;
            return None;
        }
        *written = now;
        Some(std::mem::take(left_out))
    }
}

impl<S, L> Layer<S> for Sparse<L>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    L: Layer<S>,
{
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        if !self.is_limited(metadata) {
            return self.layer.on_event(event, context);
        }
        let Some(left_out) = self.kinds.happened(metadata.callsite(), Instant::now()) else {
            return;
        };
        self.layer.on_event(event, context);
        if left_out > 0 {
            let library = metadata.target();
            tracing::warn!(
                library,
                left_out,
                "lines of the same kind were left out since the last; --log-filter {library}=warn has them all"
            );
        }
    }

    fn on_layer(&mut self, subscriber: &mut S) {
        self.layer.on_layer(subscriber);
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.layer.on_new_span(attributes, id, context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.layer.on_record(id, values, context);
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        self.layer.on_enter(id, context);
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        self.layer.on_exit(id, context);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        self.layer.on_close(id, context);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_written_once_in_a_while_with_the_number_left_out() {
        let kinds = Kinds::default();
        let start = Instant::now();
        let soon = start + INTERVAL / 2;
        assert_eq!(kinds.happened('a', start), Some(0));
        assert_eq!(kinds.happened('a', start), None);
        assert_eq!(kinds.happened('a', soon), None);
        assert_eq!(kinds.happened('b', soon), Some(0));
        assert_eq!(kinds.happened('a', start + INTERVAL), Some(2));
        assert_eq!(kinds.happened('a', start + INTERVAL + INTERVAL / 2), None);
        assert_eq!(kinds.happened('b', soon + INTERVAL), Some(0));
    }

    /// A layer that keeps the targets of what it is given.
    #[derive(Default)]
    struct Written(std::sync::Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Written {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.0.lock().expect("a lock").push(event.metadata().target().to_owned());
        }
    }

    fn written(wanted: &[&str]) -> Vec<String> {
        use tracing_subscriber::prelude::*;

        let written = Written::default();
        let lines = written.0.clone();
        let wanted = wanted.iter().map(|name| (*name).to_owned()).collect();
        let subscriber = tracing_subscriber::registry().with(Sparse::new(written, wanted));
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..3 {
                tracing::warn!(target: "h2::proto::ping_pong", "one kind");
                tracing::error!(target: "h2::proto::ping_pong", "another kind");
                tracing::warn!(target: "netrox_core", "ours");
            }
        });
        std::mem::take(&mut *lines.lock().expect("a lock"))
    }

    #[test]
    fn what_libraries_repeat_is_left_out_unless_it_is_asked_for() {
        let count = |lines: &[String], name| lines.iter().filter(|line| *line == name).count();
        let few = written(&[]);
        assert_eq!((count(&few, "h2::proto::ping_pong"), count(&few, "netrox_core")), (2, 3));
        let other = written(&["sqlx"]);
        assert_eq!(count(&other, "h2::proto::ping_pong"), 2);
        for name in ["h2", "h2::proto"] {
            assert_eq!(count(&written(&[name]), "h2::proto::ping_pong"), 6, "{name}");
        }
    }
}
