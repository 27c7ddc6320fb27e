//! What libraries log of what a peer does, a stranger too: a line of each kind once a minute at most, or a peer would write the log.

use std::{
    collections::HashMap,
    hash::{Hash, Hasher},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tracing::{
    Event, Level, Metadata, Subscriber,
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
    kinds: Kinds<Place>,
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

/// A place in the code that logs.
#[derive(Debug, Clone, Copy)]
struct Place(&'static Metadata<'static>);

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.0.callsite() == other.0.callsite()
    }
}

impl Eq for Place {}

impl Hash for Place {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.callsite().hash(state);
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

impl<K: Copy + Eq + Hash> Kinds<K> {
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

    /// What was left out and not told while its time passed.
    fn take_overdue(&self, now: Instant) -> Vec<(K, u64)> {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let overdue = kinds.iter_mut().filter(|(_, (written, left_out))| {
            *left_out > 0 && now.saturating_duration_since(*written) >= INTERVAL
        });
        overdue.map(|(kind, (_, left_out))| (*kind, std::mem::take(left_out))).collect()
    }
}

/// As loud as the lines that it stands for, so that no filter has those and not this.
fn tell(kind: &Metadata<'_>, left_out: u64) {
    let library = kind.target();
    macro_rules! at {
        ($level:expr) => {
            tracing::event!(
                $level,
                library,
                left_out,
                "lines of the same kind were left out since the last; --log-filter {library}=warn has them all"
            )
        };
    }
    match *kind.level() {
        Level::ERROR => at!(Level::ERROR),
        Level::WARN => at!(Level::WARN),
        Level::INFO => at!(Level::INFO),
        Level::DEBUG => at!(Level::DEBUG),
        Level::TRACE => at!(Level::TRACE),
    }
}

impl<S, L> Layer<S> for Sparse<L>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    L: Layer<S>,
{
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let (metadata, now) = (event.metadata(), Instant::now());
        let left_out = match self.is_limited(metadata) {
            true => self.kinds.happened(Place(metadata), now),
            false => Some(0),
        };
        if let Some(left_out) = left_out {
            self.layer.on_event(event, context);
            if left_out > 0 {
                tell(metadata, left_out);
            }
        }
        // With whatever line comes next, since a kind may not come again.
        for (place, left_out) in self.kinds.take_overdue(now) {
            tell(place.0, left_out);
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

    #[test]
    fn what_was_left_out_is_told_when_its_time_is_over() {
        let kinds = Kinds::default();
        let start = Instant::now();
        for _ in 0..3 {
            kinds.happened('a', start);
        }
        kinds.happened('b', start);
        assert_eq!(kinds.take_overdue(start + INTERVAL / 2), []);
        assert_eq!(kinds.take_overdue(start + INTERVAL), [('a', 2)]);
        assert_eq!(kinds.take_overdue(start + INTERVAL), []);
        assert_eq!(kinds.happened('a', start + INTERVAL), Some(0), "told already");
    }

    /// A layer that keeps the levels of what it is given.
    struct Levels(std::sync::Arc<Mutex<Vec<Level>>>);

    impl<S: Subscriber> Layer<S> for Levels {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.0.lock().expect("a lock").push(*event.metadata().level());
        }
    }

    #[test]
    fn what_was_left_out_is_told_as_loud_as_it_was() {
        use tracing_subscriber::prelude::*;

        let lines = std::sync::Arc::new(Mutex::new(Vec::new()));
        let loud = tracing_subscriber::registry().with(Levels(lines.clone()));
        tracing::subscriber::with_default(loud, || {
            for kind in [
                tracing::error_span!(target: "h2", "a line").metadata(),
                tracing::debug_span!(target: "h2", "a line").metadata(),
            ] {
                tell(kind.expect("enabled"), 7);
            }
        });
        assert_eq!(*lines.lock().expect("a lock"), [Level::ERROR, Level::DEBUG]);
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
