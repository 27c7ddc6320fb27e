//! Logs, to stderr. A thread of its own writes them, so that a reader of stderr that stalls or goes
//! away neither blocks nor ends the program: lines that find the queue full are dropped.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    env,
    io::{self, IsTerminal, Write},
    panic,
    sync::Arc,
};

use tracing::{Level, Metadata, Subscriber};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, LevelFilter, filter_fn},
    fmt, layer,
    prelude::*,
    reload,
};

use self::{
    filter::with_changes,
    sparse::{Sparse, Wanted, is_ours},
};
pub(crate) use self::{
    filter::{Filter, Shown},
    kinds::Kinds,
};
use crate::{
    cli::{LogArgs, LogFormat},
    failure::Failure,
};

mod filter;
mod kinds;
mod sparse;

/// Some MiB at most.
const QUEUE_LINES: usize = 16_384;

/// Writes what is queued when it is dropped, unless stderr is stuck.
#[derive(Debug)]
pub(crate) struct Telemetry {
    output: NonBlocking,
    format: LogFormat,
    filter: Arc<Filter>,
    _writer: WorkerGuard,
}

impl Telemetry {
    /// To be called once in a process.
    pub(crate) fn start(args: LogArgs) -> Self {
        let builder = NonBlockingBuilder::default().buffered_lines_limit(QUEUE_LINES).lossy(true);
        let (output, writer) = builder.thread_name("stderr").finish(io::stderr());
        let lines = fmt::layer().with_writer({
            let output = output.clone();
            move || output.clone()
        });
        let lines = match args.log_format {
            LogFormat::Text => lines.with_ansi(wants_colour()).boxed(),
            LogFormat::Json => lines.json().flatten_event(true).boxed(),
        };
        let (filter, named) = with_changes(&args.log_filter);
        let wanted = Wanted::new(named);
        let (filter, handle) = reload::Layer::new(filter);
        let lines = Sparse::new(lines, wanted.clone()).with_filter(and_safe(filter));
        tracing_subscriber::registry().with(lines).init();
        panic::set_hook(Box::new(log_panic));
        let apply = move |filter: EnvFilter, named: Vec<String>| -> Result<(), String> {
            handle.reload(filter).map_err(|error: reload::Error| error.to_string())?;
            wanted.set(named);
            Ok(())
        };
        let filter = Arc::new(Filter::new(args.log_filter, Box::new(apply)));
        Self { output, format: args.log_format, filter, _writer: writer }
    }

    /// What of the log is written, which can be changed.
    pub(crate) fn filter(&self) -> Arc<Filter> {
        Arc::clone(&self.filter)
    }

    /// Whether people read what is written, and no program.
    pub(crate) fn is_for_people(&self) -> bool {
        self.format == LogFormat::Text
    }

    /// Prints a text for people, in order with the log lines around it.
    pub(crate) fn print(&self, text: &str) {
        if self.is_for_people() {
            self.write(text);
        }
    }

    /// Says why the program ends. A wrong setting is one plain line in either format.
    pub(crate) fn report(&self, failure: &Failure) {
        if let Failure::Setting(_) = failure {
            self.write(&format!("{}\n", failure.line()));
        } else {
            tracing::error!("{failure}");
        }
    }

    fn write(&self, text: &str) {
        // Fails only where the writer's thread is gone, and then nobody reads it.
        let _ = self.output.clone().write_all(text.as_bytes());
    }
}

/// A filter that can be exchanged, of what is safe. It is exchanged alone, and what both say of a place in the code is kept
/// there until then: a line that is not written costs a look at the highest level of all, and no lock.
fn and_safe<S: Subscriber>(filter: reload::Layer<EnvFilter, S>) -> impl layer::Filter<S> {
    // Without a hint of its own the two had none together.
    filter.and(filter_fn(is_safe).with_max_level_hint(LevelFilter::TRACE))
}

fn wants_colour() -> bool {
    io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Libraries show whole requests and frames in their debug lines, with tokens and message bodies, and repeat in
/// their info lines what ours say.
fn is_safe(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::WARN || is_ours(metadata)
}

/// Where, not what: the text of a panic may quote a message.
fn log_panic(info: &panic::PanicHookInfo<'_>) {
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then_some(backtrace);
    tracing::error!(
        location = info.location().map(tracing::field::display),
        backtrace = backtrace.map(tracing::field::display),
        "panicked",
    );
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::{Registry, layer::Filter as _};

    use super::*;

    fn filter(text: &str) -> EnvFilter {
        with_changes(&text.parse().expect("a filter")).0
    }

    /// Else each line that is not written would take a lock.
    #[test]
    fn what_is_not_written_is_known_beforehand() {
        let places = tracing::subscriber::with_default(Registry::default(), || {
            let line = tracing::debug_span!(target: "netrox_core", "a line").metadata();
            [line, tracing::debug_span!(target: "h2", "a line").metadata()]
        });
        let [ours, of_library] = places.map(|place| place.expect("enabled"));
        let (exchanged, handle) = reload::Layer::<_, Registry>::new(filter("info"));
        let both = and_safe(exchanged);
        assert_eq!(both.max_level_hint(), Some(LevelFilter::INFO));
        assert!(both.callsite_enabled(ours).is_never());
        handle.reload(filter("warn,netrox_core=debug")).expect("exchanged");
        assert_eq!(both.max_level_hint(), Some(LevelFilter::DEBUG));
        assert!(both.callsite_enabled(ours).is_always());
        assert!(both.callsite_enabled(of_library).is_never());
        handle.reload(filter("trace")).expect("exchanged");
        assert!(both.callsite_enabled(of_library).is_never(), "a library shows what users send");
        handle.reload(filter("off")).expect("exchanged");
        assert!(both.callsite_enabled(ours).is_never());
        assert_eq!(both.max_level_hint(), Some(LevelFilter::INFO), "for the lines about a change");
    }
}
