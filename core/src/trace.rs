//! The spans of a core: a call, a send of a pipeline, a write in its batch, a change that the bus brings. They have the names of the
//! spans of the log, where those have one.

use std::sync::Arc;

use http::{HeaderMap, Response};
use netrox_proto::{request_id::RequestId, trace_context::TraceContext, v1};
use netrox_traces::{Caller, Kind, Span, arrived, for_many, within};
use tonic::{Code, Status, body::Body};

use crate::{
    change::{Change, Subject},
    error::Error,
};

/// A call of a service or an edge, whose token is good, up to the head of its answer. Gives what it is called from here on.
pub(crate) fn call(
    headers: &HeaderMap,
    service: &str,
    method: impl FnOnce() -> &'static str,
) -> Option<(Span, RequestId)> {
    if !netrox_traces::is_on() {
        return None;
    }
    let mut span = arrived("grpc", Caller::Trusted, TraceContext::of(headers).as_ref())?;
    let id = RequestId::current().unwrap_or_else(RequestId::draw);
    let id = entered(&mut span, id);
    span.set("rpc.system", "grpc");
    span.set("rpc.method", method());
    span.show("netrox.caller", service);
    Some((span, id))
}

/// How a call was answered, as far as its head says.
pub(crate) fn answered(span: &mut Span, answer: &Response<Body>) {
    // What is refused has no body.
    let code = Status::from_header_map(answer.headers()).map_or(Code::Ok, |status| status.code());
    span.set("rpc.grpc.status_code", i64::from(i32::from(code)));
    if matches!(code, Code::Unknown | Code::Internal | Code::Unavailable | Code::DeadlineExceeded) {
        span.failed("the core is at fault");
    }
}

/// A request of a pipeline, and what it is called from here on. One that its client traces goes on in the span of the client:
/// there is none of ours between that and the write.
pub(crate) fn piped(
    log_id: &str,
    sent: Option<&v1::TraceContext>,
) -> (Option<Span>, Option<RequestId>) {
    let id = RequestId::parse(log_id);
    if !netrox_traces::is_on() {
        return (None, id);
    }
    if let Some(sent) = sent {
        let sent = sent.understood().filter(TraceContext::is_sampled);
        let in_trace = |context| id.clone().unwrap_or_else(RequestId::draw).in_trace(context);
        return (None, sent.map(Arc::new).map(in_trace).or(id));
    }
    let Some(mut span) = arrived("send", Caller::Trusted, None) else { return (None, id) };
    let id = entered(&mut span, id.unwrap_or_else(RequestId::draw));
    (Some(span), Some(id))
}

/// A write, from when it is queued until it is answered, and its request as what follows from it is to know it.
pub(crate) fn write(id: Option<RequestId>) -> (Option<Span>, Option<RequestId>) {
    let context = id.as_ref().and_then(RequestId::trace).map(Arc::as_ref);
    match within("write", Kind::Internal, context) {
        Some(mut span) => {
            let id = id.map(|id| entered(&mut span, id));
            (Some(span), id)
        }
        None => (None, id),
    }
}

/// A batch of which writes are traced. It is for all of them, and so has a trace of its own: links lead to each of them and back.
pub(crate) fn batch<'a>(writes: usize, traced: impl Iterator<Item = &'a mut Span>) -> Option<Span> {
    let mut traced = traced.peekable();
    traced.peek()?;
    let mut batch = for_many("batch")?;
    batch.set("netrox.writes", i64::try_from(writes).unwrap_or(i64::MAX));
    let context = batch.context();
    for write in traced {
        batch.link(&write.context());
        write.link(&context);
    }
    Some(batch)
}

/// Why a write is not known to be stored.
pub(crate) fn refused(span: &mut Span, error: &Error) {
    span.failed(error.reason().as_str_name().trim_start_matches("ERROR_REASON_"));
}

/// A change that another core has committed. What it leads to here is within it.
pub(crate) fn brought(change: &mut Change) -> Option<Span> {
    let mut span = within("bus", Kind::Consumer, change.trace())?;
    span.show("user.id", change.to);
    if let Subject::Received(message) = &change.subject {
        span.set("message.id", message.id);
    }
    change.request = change.request.take().map(|id| entered(&mut span, id));
    Some(span)
}

/// The request in the span that it is worked on in from here on.
fn entered(span: &mut Span, id: RequestId) -> RequestId {
    span.request(&id);
    id.in_trace(span.context())
}
