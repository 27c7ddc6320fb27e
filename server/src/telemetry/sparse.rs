//! What a peer, a disk or a network could write the log full by. What libraries log of what a peer does, a stranger too: a
//! line of each kind once a minute at most. Our own warnings and errors: [`MOST`] of each kind. Most of them are told more
//! seldom where they are made; none can be forgotten here.

use std::{
    hash::{Hash, Hasher},
    sync::{Arc, PoisonError, RwLock},
    time::Instant,
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use super::kinds::Kinds;

/// Warnings of a place in our code in a minute, and errors: so many that each of a few requests that fail is found by its
/// id, and so few that no disk is filled.
const MOST: u32 = 100;
/// Of a place in the code of a library.
const MOST_OF_LIBRARIES: u32 = 1;
/// Of the lines that count what was left out.
pub(super) const TARGET: &str = module_path!();

/// Whether a line is of this program.
pub(super) fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("netrox_")
}

/// Libraries that the operator has asked for by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted(Arc<RwLock<Vec<String>>>);

impl Wanted {
    pub(super) fn new(names: Vec<String>) -> Self {
        Self(Arc::new(RwLock::new(names)))
    }

    pub(super) fn set(&self, names: Vec<String>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = names;
    }

    fn has(&self, target: &str) -> bool {
        let names = self.0.read().unwrap_or_else(PoisonError::into_inner);
        names.iter().any(|name| target.starts_with(name.as_str()))
    }
}

/// Passes on few lines of each kind.
#[derive(Debug)]
pub(super) struct Sparse<L> {
    layer: L,
    kinds: Kinds<Place>,
    wanted: Wanted,
}

impl<L> Sparse<L> {
    pub(super) fn new(layer: L, wanted: Wanted) -> Self {
        Self { layer, kinds: Kinds::default(), wanted }
    }

    /// How many lines of its kind are written in a minute, if not all are.
    fn most(&self, metadata: &Metadata<'_>) -> Option<u32> {
        if !is_ours(metadata) {
            return (!self.wanted.has(metadata.target())).then_some(MOST_OF_LIBRARIES);
        }
        // Those of this module are one for each kind.
        let is_limited = *metadata.level() <= Level::WARN && metadata.target() != TARGET;
        is_limited.then_some(MOST)
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

/// As loud as the lines that it stands for. No filter has those and not this: `super::filter` sees to it.
fn tell(kind: &Metadata<'_>, left_out: u64) {
    macro_rules! at {
        ($level:expr) => {
            if is_ours(kind) {
                let location = kind.file().zip(kind.line());
                let location = location.map(|(file, line)| format!("{file}:{line}"));
                tracing::event!(
                    $level,
                    location,
                    left_out,
                    "lines of the same kind were left out since the last"
                )
            } else {
                let library = kind.target();
                tracing::event!(
                    $level,
                    library,
                    left_out,
                    "lines of the same kind were left out since the last; --log-filter {library}=warn has them all"
                )
            }
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
        let left_out = match self.most(metadata) {
            Some(most) => self.kinds.happened(Place(metadata), most, now),
            None => Some(0),
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
    use std::sync::Mutex;

    use super::*;

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
        let wanted = Wanted::new(wanted.iter().map(|name| (*name).to_owned()).collect());
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

    #[test]
    fn no_place_of_ours_writes_the_log_full_of_warnings() {
        use tracing_subscriber::prelude::*;

        let written = Written::default();
        let lines = written.0.clone();
        let subscriber =
            tracing_subscriber::registry().with(Sparse::new(written, Wanted::default()));
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..MOST * 2 {
                tracing::warn!(target: "netrox_core::warning", "a kind");
                tracing::error!(target: "netrox_core::error", "another");
                tracing::info!(target: "netrox_core::info", "no trouble");
            }
        });
        let lines = lines.lock().expect("a lock");
        for (target, expected) in [("warning", MOST), ("error", MOST), ("info", MOST * 2)] {
            let target = format!("netrox_core::{target}");
            let count = lines.iter().filter(|line| **line == target).count();
            assert_eq!(count, expected as usize, "{target}");
        }
    }

    #[test]
    fn what_is_wanted_can_be_changed() {
        let wanted = Wanted::new(vec!["h2".to_owned()]);
        let sparse = Sparse::new((), wanted.clone());
        assert!(sparse.wanted.has("h2::proto") && !sparse.wanted.has("sqlx::query"));
        wanted.set(vec!["sqlx".to_owned()]);
        assert!(!sparse.wanted.has("h2::proto") && sparse.wanted.has("sqlx::query"));
    }
}
