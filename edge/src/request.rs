//! A request on its way through the edge: its id, and the span that has all that is logged about it.

use netrox_proto::request_id::RequestId;
use tracing::Span;

/// Of a request over HTTP. `route` is a word: paths can hold secrets.
pub(crate) fn span(id: &RequestId, route: &'static str) -> Span {
    let trace_id = id.trace_id().map(tracing::field::display);
    tracing::info_span!("http", route, request_id = %id, trace_id)
}

/// The id of the request that is worked on, or a new one where that is nobody's request.
pub(crate) fn current() -> RequestId {
    RequestId::current().unwrap_or_else(RequestId::draw)
}
