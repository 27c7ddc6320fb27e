//! What is traced, and the spans of it. One message is one trace, through edge, core, bus and edge; what is done for many at
//! once, as a commit is, has a trace of its own, and links lead from one to the other.
//!
//! It is of the process, as the log is: off until [`turn_on`], and then a span costs what one look at an atomic does.
//! Whether a request is traced is decided once, where it comes in ([`arrived`]). A span is made for what is traced alone.
//!
//! * [`sampling`]: which requests are.
//! * [`span`]: one span, from its start to its end.
//! * [`ended`]: what becomes of spans that have ended: a bounded queue, whose reader exports them.
//! * [`metrics`]: what is counted of it.

mod ended;
mod metrics;
mod sampling;
mod span;

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering},
};

use netrox_proto::trace_context::TraceContext;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};

pub use opentelemetry_sdk::trace::SpanData;

use self::{ended::Queue, sampling::Decisions};
pub use self::{
    ended::{Ended, QUEUE_SPANS},
    metrics::{Dropped, Metrics},
    sampling::{Caller, Sampling},
    span::{Kind, Span},
};

/// Of a span: a batch has more messages than anybody follows.
const MAX_LINKS: u32 = 128;

static TRACER: OnceLock<Tracer> = OnceLock::new();

#[derive(Debug)]
struct Tracer {
    tracer: SdkTracer,
    /// Not shut down: what has begun is still to end, and be counted.
    _provider: SdkTracerProvider,
    decisions: Decisions,
    has_ended: AtomicBool,
}

/// Where anything is traced.
fn tracer() -> Option<&'static Tracer> {
    TRACER.get().filter(|tracer| !tracer.has_ended.load(Ordering::Relaxed))
}

/// Begins to trace, for the rest of the process. Gives what is to be exported; nothing where it was called before.
pub fn turn_on(sampling: Sampling, metrics: &Metrics) -> Option<Ended> {
    if TRACER.get().is_some() {
        return None;
    }
    let (queue, ended) = Queue::new(metrics.clone());
    // Whether to sample is decided here, and so the library is asked for what is sampled alone.
    let provider = SdkTracerProvider::builder()
        .with_sampler(Sampler::AlwaysOn)
        .with_max_links_per_span(MAX_LINKS)
        .with_span_processor(queue)
        .build();
    let tracer = provider.tracer(env!("CARGO_PKG_NAME"));
    let decisions = Decisions::new(sampling);
    let has_ended = AtomicBool::new(false);
    let tracer = Tracer { tracer, _provider: provider, decisions, has_ended };
    TRACER.set(tracer).ok().map(|()| ended)
}

/// Ends tracing: nothing begins any more. What has begun is exported where it ends while its reader is there.
pub fn turn_off() {
    if let Some(tracer) = TRACER.get() {
        tracer.has_ended.store(true, Ordering::Relaxed);
    }
}

/// Whether anything may be traced.
pub fn is_on() -> bool {
    tracer().is_some()
}

/// The first span of a request in this process, if it is traced. `sent` is what the caller says of its own.
pub fn arrived(name: &'static str, caller: Caller, sent: Option<&TraceContext>) -> Option<Span> {
    let tracer = tracer()?;
    let parent = match tracer.decisions.decide(caller, sent) {
        sampling::Decision::NotTraced => return None,
        sampling::Decision::Root => None,
        sampling::Decision::Follows(parent) => Some(parent),
    };
    Span::start(&tracer.tracer, name, Kind::Server, parent)
}

/// The same of one of many that come on a connection: it has a trace of its own. `opening` is the span in which the connection
/// was opened, where its caller asked for a trace: a link leads to it.
pub fn arrived_by(
    name: &'static str,
    caller: Caller,
    opening: Option<&TraceContext>,
) -> Option<Span> {
    let tracer = tracer()?;
    let opening = match tracer.decisions.decide(caller, opening) {
        sampling::Decision::NotTraced => return None,
        sampling::Decision::Root => None,
        sampling::Decision::Follows(opening) => Some(opening),
    };
    let mut span = Span::start(&tracer.tracer, name, Kind::Server, None)?;
    if let Some(opening) = opening {
        span.link(opening);
    }
    Some(span)
}

/// A span within another, which is sampled.
pub fn within(name: &'static str, kind: Kind, parent: Option<&TraceContext>) -> Option<Span> {
    let tracer = tracer()?;
    let parent = parent.filter(|parent| parent.is_sampled())?;
    Span::start(&tracer.tracer, name, kind, Some(parent))
}

/// A span of what is done for many at once: the first of a trace of its own.
pub fn for_many(name: &'static str) -> Option<Span> {
    Span::start(&tracer()?.tracer, name, Kind::Internal, None)
}

#[cfg(test)]
mod tests;
