//! One span, from its start to its end.

use std::{fmt::Display, sync::Arc};

use netrox_proto::{request_id::RequestId, trace_context::TraceContext};
use opentelemetry::{
    Context, KeyValue, SpanId, TraceFlags, TraceId, Value,
    trace::{
        Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt as _, TraceState,
        Tracer as _,
    },
};
use opentelemetry_sdk::trace::{SdkTracer, Span as SdkSpan};

/// What a span is to the one that it is within.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It answers a call.
    Server,
    /// It makes one.
    Client,
    Internal,
    /// It takes what another has left, later.
    Consumer,
}

/// One that has begun. It ends when it is dropped.
#[derive(Debug)]
pub struct Span {
    /// Large.
    span: Box<SdkSpan>,
    context: Arc<TraceContext>,
}

impl Span {
    /// Nothing where it ends with the process.
    pub(crate) fn start(
        tracer: &SdkTracer,
        name: &'static str,
        kind: Kind,
        parent: Option<&TraceContext>,
    ) -> Option<Self> {
        let kind = match kind {
            Kind::Server => SpanKind::Server,
            Kind::Client => SpanKind::Client,
            Kind::Internal => SpanKind::Internal,
            Kind::Consumer => SpanKind::Consumer,
        };
        let builder = SpanBuilder::from_name(name).with_kind(kind);
        let around = match parent {
            Some(parent) => Context::new().with_remote_span_context(to_library(parent)),
            None => Context::new(),
        };
        let span = tracer.build_with_context(builder, &around);
        let state = parent.map_or("", TraceContext::state);
        let context = of_library(span.span_context(), state)?;
        Some(Self { span: Box::new(span), context: Arc::new(context) })
    }

    /// Where it is in its trace, for what is within it.
    pub fn context(&self) -> Arc<TraceContext> {
        Arc::clone(&self.context)
    }

    pub fn trace_id(&self) -> netrox_proto::trace_context::TraceId {
        self.context.trace_id()
    }

    /// Says what it is about. Never a text, a token or an address of anybody.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        self.span.set_attribute(KeyValue::new(key, value));
    }

    /// The same of what has its text alone.
    pub fn show(&mut self, key: &'static str, value: impl Display) {
        self.set(key, value.to_string());
    }

    /// What the request is called in the log.
    pub fn request(&mut self, id: &RequestId) {
        self.show("netrox.request_id", id);
    }

    /// Leads from here to a span of another trace.
    pub fn link(&mut self, to: &TraceContext) {
        self.span.add_link(to_library(to), Vec::new());
    }

    /// It did not come to the end that was wanted, for a reason in a word.
    pub fn failed(&mut self, reason: &'static str) {
        self.span.set_status(Status::error(reason));
    }
}

fn to_library(context: &TraceContext) -> SpanContext {
    let flags = if context.is_sampled() { TraceFlags::SAMPLED } else { TraceFlags::default() };
    // What the library takes for none is not shown, and passed on all the same.
    let state = context.state().parse::<TraceState>().unwrap_or_default();
    let trace_id = TraceId::from_bytes(context.trace_id().to_bits().to_be_bytes());
    let span_id = SpanId::from_bytes(context.span_id().to_be_bytes());
    SpanContext::new(trace_id, span_id, flags, context.is_remote(), state)
}

fn of_library(context: &SpanContext, state: &str) -> Option<TraceContext> {
    let trace_id = u128::from_be_bytes(context.trace_id().to_bytes());
    let span_id = u64::from_be_bytes(context.span_id().to_bytes());
    TraceContext::new(trace_id, span_id, context.is_sampled(), state).map(TraceContext::here)
}
