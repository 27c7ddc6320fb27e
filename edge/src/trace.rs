//! The spans of an edge: a request over HTTP, a send of a WebSocket, a delivery. The spans of the log have the same names, where
//! there are some.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use netrox_proto::{
    ids::UserId,
    request_id::RequestId,
    trace_context::{NOT_TRACED, TRACE_PARENT, TraceContext},
    v1::{self, Event, Failure, event::Change},
};
use netrox_traces::{Caller, Kind, Span, arrived, arrived_by, within};

use crate::metrics::SendKind;

/// Of answers to who sent a `traceparent`: the span of the request here (W3C Trace Context Level 2 has it as a draft).
const TRACE_RESPONSE: HeaderName = HeaderName::from_static("traceresponse");

/// A request, up to the head of its answer. `route` is a word: paths can hold secrets.
pub(crate) struct TracedRequest {
    span: Span,
    /// Its client has a span of its own.
    is_asked: bool,
}

/// With what the request is called from here on.
pub(crate) fn request(
    id: RequestId,
    method: &Method,
    headers: &HeaderMap,
    route: &'static str,
) -> (Option<TracedRequest>, RequestId) {
    if !netrox_traces::is_on() {
        return (None, id);
    }
    let sent = TraceContext::of(headers);
    let Some(mut span) = arrived("http", Caller::Public, sent.as_ref()) else { return (None, id) };
    span.request(&id);
    span.set("netrox.route", route);
    span.set("http.request.method", word_of(method));
    let id = id.in_trace(span.context());
    (Some(TracedRequest { span, is_asked: sent.is_some() }), id)
}

impl TracedRequest {
    /// Ends with the head of an answer.
    pub(crate) fn answered(mut self, status: StatusCode, headers: &mut HeaderMap) {
        self.span.set("http.response.status_code", i64::from(status.as_u16()));
        if status.is_server_error() {
            self.span.failed("the server is at fault");
        }
        // Documented clients know no such header.
        if self.is_asked
            && let Ok(value) = HeaderValue::try_from(self.span.context().parent())
        {
            headers.insert(TRACE_RESPONSE, value);
        }
    }
}

/// A client can make names up.
fn word_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}

/// The span of a handshake whose client asked for a trace, and has it: that of the request that is worked on.
pub(crate) fn asked_by(headers: &HeaderMap) -> Option<Arc<TraceContext>> {
    let current = RequestId::current()?;
    let context = current.trace()?;
    TraceContext::of(headers).is_some_and(|sent| sent.is_sampled()).then(|| Arc::clone(context))
}

/// A command of a WebSocket until it is answered, in a trace of its own, with what it is called from here on. `upgrade` is the
/// span of the handshake, if its client asked for one.
pub(crate) fn send(
    id: RequestId,
    user: UserId,
    kind: SendKind,
    upgrade: Option<&TraceContext>,
) -> (Option<Span>, RequestId) {
    let Some(mut span) = arrived_by("send", Caller::Public, upgrade) else { return (None, id) };
    span.request(&id);
    span.show("user.id", user);
    span.set("netrox.kind", netrox_metrics::Word::word(kind));
    let id = id.in_trace(span.context());
    (Some(span), id)
}

/// Why a command is not known to have taken effect.
pub(crate) fn refused(span: &mut Span, failure: &Failure) {
    span.failed(failure.reason().as_str_name().trim_start_matches("ERROR_REASON_"));
}

/// What a request of a pipeline says of it, for the core, which would decide anew otherwise.
pub(crate) fn to_wire(id: &RequestId) -> Option<v1::TraceContext> {
    if !netrox_traces::is_on() {
        return None;
    }
    Some(id.trace().map(|context| v1::TraceContext::from(&**context)).unwrap_or_default())
}

/// The same of a call, in its metadata.
pub(crate) fn add_to(id: Option<&RequestId>, headers: &mut HeaderMap) {
    if !netrox_traces::is_on() {
        return;
    }
    match id.and_then(RequestId::trace) {
        Some(context) => context.add_to(headers),
        None => {
            headers.insert(TRACE_PARENT, NOT_TRACED);
        }
    }
}

/// An event on its way to the sockets of its user.
pub(crate) fn delivery(user: UserId, event: &Event) -> Option<Span> {
    let context = event.trace.as_ref().filter(|_| netrox_traces::is_on())?.understood()?;
    let mut span = within("deliver", Kind::Consumer, Some(&context))?;
    span.show("user.id", user);
    match &event.change {
        Some(Change::Message(message)) => span.set("message.id", message.id),
        Some(Change::Thread(_) | Change::Typing(_) | Change::Presence(_) | Change::User(_))
        | None => {}
    }
    Some(span)
}
