//! What a request is called on its way, so that whoever made it, the edge and the core can name it to one another: in logs, in
//! answers, and in the details of a refusal. Where it is traced it knows where it is in its trace, too.

use std::{fmt, sync::Arc};

use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue};
use uuid::{Builder, Uuid, fmt::Hyphenated};

use crate::trace_context::{TRACE_PARENT, TraceContext, TraceId};

/// Of public requests and answers, and of gRPC metadata.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_BYTES: usize = 64;
/// What the bytes of one begin with.
const DRAWN: u8 = 0;
const GIVEN: u8 = 1;

/// 1 to 64 letters, digits and hyphens of ASCII: those of a caller, or a UUID that was drawn.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RequestId {
    name: Form,
    /// The span that it is worked on in; absent where it is not traced, as most are not.
    trace: Option<Arc<TraceContext>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Form {
    /// Most are: they take no memory beside.
    Drawn(Uuid),
    Given(Arc<str>),
}

tokio::task_local! {
    static CURRENT: RequestId;
}

impl RequestId {
    pub fn draw() -> Self {
        Self::from_uuid(Uuid::new_v4())
    }

    pub fn from_uuid(id: Uuid) -> Self {
        Self::named(Form::Drawn(id))
    }

    fn named(name: Form) -> Self {
        Self { name, trace: None }
    }

    /// The one of a request that is one of many: `session` is random, and `number` counts. A UUID of version 8.
    pub fn numbered(session: u64, number: u64) -> Self {
        let bytes = Uuid::from_u64_pair(session, number).into_bytes();
        Self::from_uuid(Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// The one that a caller gives, if it is one.
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let is_one = (1..=MAX_BYTES).contains(&text.len()) && text.bytes().all(is_plain);
        if !is_one {
            return None;
        }
        // The form that those have which are drawn: another core drew it, or an edge.
        let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        match Uuid::try_parse(text) {
            Ok(id) if text.len() == Hyphenated::LENGTH && is_lower => Some(Self::from_uuid(id)),
            Ok(_) | Err(_) => Some(Self::named(Form::Given(text.into()))),
        }
    }

    /// `X-Request-Id`, else the trace of a `traceparent`, if they are what they should be; else one that is drawn.
    pub fn of(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name)?.to_str().ok();
        let given = text(REQUEST_ID).and_then(Self::parse);
        given.or_else(|| Self::of_trace(text(TRACE_PARENT)?)).unwrap_or_else(Self::draw)
    }

    fn of_trace(parent: &str) -> Option<Self> {
        let trace = TraceContext::parse(parent, "")?.trace_id();
        Some(Self::named(Form::Given(trace.to_string().into())))
    }

    /// The same request where it is worked on in a span.
    pub fn in_trace(self, context: Arc<TraceContext>) -> Self {
        Self { trace: Some(context), ..self }
    }

    /// The same where it is a part of the request that is worked on, if one is.
    pub fn in_current_trace(self) -> Self {
        let trace = CURRENT.try_with(|current| current.trace.clone()).ok().flatten();
        Self { trace, ..self }
    }

    /// The span that it is worked on in, if it is traced.
    pub fn trace(&self) -> Option<&Arc<TraceContext>> {
        self.trace.as_ref()
    }

    /// What its trace is called, for lines that are logged about it.
    pub fn trace_id(&self) -> Option<TraceId> {
        self.trace.as_ref().map(|trace| trace.trace_id())
    }

    /// As short as may be, for cores alone.
    pub fn to_bytes(&self) -> Vec<u8> {
        match &self.name {
            Form::Drawn(id) => [&[DRAWN][..], id.as_bytes()].concat(),
            Form::Given(text) => [&[GIVEN][..], text.as_bytes()].concat(),
        }
    }

    /// What [`Self::to_bytes`] gave; nothing of anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [DRAWN, id @ ..] => Uuid::from_slice(id).ok().map(Self::from_uuid),
            [GIVEN, text @ ..] => Self::parse(str::from_utf8(text).ok()?),
            [] | [..] => None,
        }
    }

    /// Whether whoever makes the request has named it.
    pub fn is_named_by(headers: &HeaderMap) -> bool {
        headers.contains_key(REQUEST_ID) || headers.contains_key(TRACE_PARENT)
    }

    pub fn header_value(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(self.to_string()).ok()
    }

    /// Has [`Self::current`] give it while the work is done.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }

    /// The same of what does not wait.
    pub fn sync_scope<T>(&self, work: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self.clone(), work)
    }

    /// That of the request which is worked on, if one is.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Form::Drawn(id) => fmt::Display::fmt(&id.as_hyphenated(), f),
            Form::Given(id) => f.write_str(id),
        }
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(headers: &[(&'static str, &str)]) -> HeaderMap {
        let parse = |value: &str| HeaderValue::from_bytes(value.as_bytes()).expect("a value");
        headers.iter().map(|(name, value)| (HeaderName::from_static(name), parse(value))).collect()
    }

    fn is_drawn(id: &RequestId) -> bool {
        let text = id.to_string();
        Uuid::try_parse(&text).is_ok_and(|id| id.get_version_num() == 4) && text.len() == 36
    }

    #[test]
    fn what_a_caller_gives_is_taken_if_it_is_short_and_plain() {
        for given in [
            "a",
            "3f6e0b52-8c7e-4e7f-9d0a-5d2f6c1b7a90",
            "3F6E0B52-8C7E-4E7F-9D0A-5D2F6C1B7A90",
            "3f6e0b528c7e4e7f9d0a5d2f6c1b7a90",
            &"x".repeat(64),
        ] {
            let id = RequestId::of(&headers(&[("x-request-id", given)]));
            assert_eq!(id.to_string(), given);
            assert_eq!(id.header_value().expect("a value"), given);
        }
        for odd in ["", &*"x".repeat(65), "a b", "a\"b", "a_b", "a/b", "é", "a=b\t", "%0a", "${x}"]
        {
            let id = RequestId::of(&headers(&[("x-request-id", odd)]));
            assert!(is_drawn(&id), "{odd:?}: {id}");
        }
        assert_ne!(RequestId::of(&HeaderMap::new()), RequestId::of(&HeaderMap::new()));
    }

    #[test]
    fn the_trace_of_a_traceparent_is_taken() {
        const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
        for parent in [
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-will-be-like",
        ] {
            let id = RequestId::of(&headers(&[("traceparent", parent)]));
            assert_eq!(id.to_string(), TRACE, "{parent}");
            // Another name of the request counts before it, if it is one.
            let both = |name| headers(&[("traceparent", parent), ("x-request-id", name)]);
            assert_eq!(RequestId::of(&both("mine")).to_string(), "mine");
            assert_eq!(RequestId::of(&both("not mine")).to_string(), TRACE);
        }
        for wrong in [
            "4bf92f3577b34da6a3ce929d0e0e4736",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        ] {
            assert!(is_drawn(&RequestId::of(&headers(&[("traceparent", wrong)]))), "{wrong}");
        }
    }

    #[test]
    fn those_of_a_session_are_uuids_that_differ_and_belong_together() {
        let ids = [(7, 1), (7, 2), (8, 1)].map(|(session, number)| {
            let id = RequestId::numbered(session, number).to_string();
            assert_eq!(Uuid::try_parse(&id).expect("a UUID").get_version_num(), 8, "{id}");
            id
        });
        assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2], "{ids:?}");
        assert_eq!(ids[0][..18], ids[1][..18]);
    }

    #[test]
    fn bytes_are_read_back() {
        for id in [RequestId::draw(), RequestId::parse("mine-1").expect("one")] {
            assert_eq!(RequestId::from_bytes(&id.to_bytes()), Some(id));
        }
        for odd in [&b""[..], b"\0too short", b"\x01a b", b"\x01\xff", b"\x02a", b"\x01"] {
            assert_eq!(RequestId::from_bytes(odd), None, "{odd:?}");
        }
    }

    #[tokio::test]
    async fn it_is_known_where_the_request_is_worked_on() {
        assert_eq!(RequestId::current(), None);
        let id = RequestId::draw();
        let seen = id.clone().scope(async { RequestId::current() }).await;
        assert_eq!(seen.as_ref(), Some(&id));
        assert_eq!(id.sync_scope(RequestId::current), Some(id.clone()));
        let trace = TraceContext::new(7, 8, true, "").map(Arc::new).expect("a span");
        let traced = id.clone().in_trace(Arc::clone(&trace));
        assert_eq!(traced.to_string(), id.to_string());
        let part = traced.sync_scope(|| RequestId::draw().in_current_trace());
        assert_eq!(part.trace(), Some(&trace));
        assert_eq!(id.sync_scope(|| RequestId::draw().in_current_trace()).trace_id(), None);
        assert_eq!(RequestId::current(), None);
    }
}
