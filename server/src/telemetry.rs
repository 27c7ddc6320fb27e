//! Logs, to stderr. A thread of its own writes them, so that a reader of stderr that stalls or goes
//! away neither blocks nor ends the program: lines that find the queue full are dropped.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    env,
    io::{self, IsTerminal, Write},
    panic,
};

use tracing::{Level, Metadata};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    Layer,
    filter::{FilterExt, filter_fn},
    fmt,
    prelude::*,
};

use self::sparse::{Sparse, is_ours};
use crate::{
    cli::{LogArgs, LogFormat},
    failure::Failure,
};

mod sparse;

/// Some MiB at most.
const QUEUE_LINES: usize = 16_384;

/// Writes what is queued when it is dropped, unless stderr is stuck.
#[derive(Debug)]
pub(crate) struct Telemetry {
    output: NonBlocking,
    format: LogFormat,
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
        let (filter, named) = args.log_filter.into_parts();
        let lines = Sparse::new(lines, named).with_filter(filter.and(filter_fn(is_safe)));
        tracing_subscriber::registry().with(lines).init();
        panic::set_hook(Box::new(log_panic));
        Self { output, format: args.log_format, _writer: writer }
    }

    /// Prints a text for people, in order with the log lines around it.
    pub(crate) fn print(&self, text: &str) {
        if self.format == LogFormat::Text {
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
