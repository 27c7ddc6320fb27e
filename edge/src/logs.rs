//! What a test logs.

use std::{
    io,
    sync::{Arc, Mutex, Once, PoisonError},
};

use tracing::{level_filters::LevelFilter, subscriber::DefaultGuard};
use tracing_subscriber::{Registry, fmt::MakeWriter};

/// The lines of this thread, from its creation on.
pub(crate) struct Logs {
    lines: Lines,
    _guard: DefaultGuard,
}

/// Lets nothing be off for good. While a process has one subscriber, tracing asks the thread that meets a line
/// first whether anybody wants it and keeps the answer for all threads: a test that logs to nobody would
/// silence the line here.
fn enable_all_lines() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        tracing::subscriber::set_global_default(Registry::default())
            .expect("the first global subscriber");
    });
    // A line that another thread met just before.
    tracing::callsite::rebuild_interest_cache();
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Logs {
    pub(crate) fn capture() -> Self {
        enable_all_lines();
        let lines = Lines::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(LevelFilter::TRACE)
            .with_ansi(false)
            .with_writer(lines.clone())
            .finish();
        Self { lines, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// Those since the last look.
    pub(crate) fn take(&self) -> String {
        let lines =
            std::mem::take(&mut *self.lines.0.lock().unwrap_or_else(PoisonError::into_inner));
        String::from_utf8(lines).expect("UTF-8")
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
