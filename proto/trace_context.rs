//! Where a request is in its trace, as W3C Trace Context has it: what `traceparent` and `tracestate` say.

use std::fmt;

use tonic::codegen::http::{HeaderMap, HeaderName, HeaderValue};

use crate::v1;

/// Of public requests, and of gRPC metadata.
pub const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
pub const TRACE_STATE: HeaderName = HeaderName::from_static("tracestate");
/// What goes with a call of which was decided that it is not traced: whoever is asked decides nothing anew. The ids are of
/// nothing.
pub const NOT_TRACED: HeaderValue =
    HeaderValue::from_static("00-6e6f7420747261636564206174206c6c-6e6f742074726163-00");

/// What has to be passed on of what other tracing systems say; what is longer is left out as a whole.
const MAX_STATE_BYTES: usize = 512;
const MAX_STATE_MEMBERS: usize = 32;
const SAMPLED: u8 = 1;

/// One span of one trace.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    is_sampled: bool,
    /// The span is of another process, as far as is known.
    is_remote: bool,
    /// What other tracing systems say of it, which is passed on.
    state: Option<Box<str>>,
}

impl TraceContext {
    /// Of another process. Nothing where an id is zero. A `state` that is none is left out.
    pub fn new(trace_id: u128, span_id: u64, is_sampled: bool, state: &str) -> Option<Self> {
        let (is_remote, state) = (true, parse_state([state]));
        let is_one = trace_id != 0 && span_id != 0;
        is_one.then_some(Self { trace_id, span_id, is_sampled, is_remote, state })
    }

    /// The same of this process.
    pub fn here(self) -> Self {
        Self { is_remote: false, ..self }
    }

    /// `00-<trace: 32 digits>-<parent: 16>-<flags: 2>`; later versions may have more.
    pub fn parse(parent: &str, state: &str) -> Option<Self> {
        let mut parts = parent.split('-');
        let (version, trace_id) = (hex(parts.next()?, 2)?, hex(parts.next()?, 32)?);
        let (span_id, flags) = (hex(parts.next()?, 16)?, hex(parts.next()?, 2)?);
        let is_valid = version != 0xff && (version != 0 || parts.next().is_none());
        let is_sampled = flags & u128::from(SAMPLED) != 0;
        let span_id = u64::try_from(span_id).ok().filter(|_| is_valid)?;
        Self::new(trace_id, span_id, is_sampled, state)
    }

    /// What a caller says.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let parent = headers.get(TRACE_PARENT)?.to_str().ok()?;
        let context = Self::parse(parent, "")?;
        let states = headers.get_all(TRACE_STATE).iter();
        let states: Option<Vec<_>> = states.map(|state| state.to_str().ok()).collect();
        Some(Self { state: states.and_then(parse_state), ..context })
    }

    /// Puts it where [`Self::of`] finds it.
    pub fn add_to(&self, headers: &mut HeaderMap) {
        if let Ok(parent) = HeaderValue::try_from(self.parent()) {
            headers.insert(TRACE_PARENT, parent);
        }
        if let Some(Ok(state)) = self.state.as_deref().map(HeaderValue::from_str) {
            headers.insert(TRACE_STATE, state);
        }
    }

    /// As `traceparent` has it.
    pub fn parent(&self) -> String {
        let flags = if self.is_sampled { SAMPLED } else { 0 };
        format!("00-{:032x}-{:016x}-{flags:02x}", self.trace_id, self.span_id)
    }

    pub fn trace_id(&self) -> TraceId {
        TraceId(self.trace_id)
    }

    pub fn span_id(&self) -> u64 {
        self.span_id
    }

    /// Whether the trace is kept: what comes after it is to be a part of it.
    pub fn is_sampled(&self) -> bool {
        self.is_sampled
    }

    pub fn is_remote(&self) -> bool {
        self.is_remote
    }

    /// As `tracestate` has it.
    pub fn state(&self) -> &str {
        self.state.as_deref().unwrap_or_default()
    }

    /// As short as may be, for cores alone.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(25 + self.state().len());
        bytes.extend_from_slice(&self.trace_id.to_be_bytes());
        bytes.extend_from_slice(&self.span_id.to_be_bytes());
        bytes.push(u8::from(self.is_sampled));
        bytes.extend_from_slice(self.state().as_bytes());
        bytes
    }

    /// What [`Self::to_bytes`] gave; nothing of anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (trace_id, bytes) = bytes.split_first_chunk()?;
        let (span_id, bytes) = bytes.split_first_chunk()?;
        let (flags, state) = bytes.split_first()?;
        let (trace_id, span_id) = (u128::from_be_bytes(*trace_id), u64::from_be_bytes(*span_id));
        Self::new(trace_id, span_id, *flags & SAMPLED != 0, str::from_utf8(state).ok()?)
    }
}

/// Of a trace, by which people look for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TraceId(u128);

impl TraceId {
    pub fn to_bits(self) -> u128 {
        self.0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<&TraceContext> for v1::TraceContext {
    fn from(context: &TraceContext) -> Self {
        Self { traceparent: context.parent(), tracestate: context.state().to_owned() }
    }
}

impl v1::TraceContext {
    /// What it says, if it is one.
    pub fn understood(&self) -> Option<TraceContext> {
        TraceContext::parse(&self.traceparent, &self.tracestate)
    }
}

/// So many lower case digits.
fn hex(text: &str, len: usize) -> Option<u128> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let is_hex = text.len() == len && text.bytes().all(is_digit);
    if is_hex { u128::from_str_radix(text, 16).ok() } else { None }
}

/// Members of one list or of several, without white space around them; nothing where one is none, or where they are too many.
fn parse_state<'a>(lists: impl IntoIterator<Item = &'a str>) -> Option<Box<str>> {
    let mut state = String::new();
    let members = lists.into_iter().flat_map(|list| list.split(',')).map(str::trim);
    for (count, member) in members.filter(|member| !member.is_empty()).enumerate() {
        let is_plain = member.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        let is_one = is_plain && member.split_once('=').is_some_and(|(key, _)| !key.is_empty());
        if !state.is_empty() {
            state.push(',');
        }
        let is_too_much = state.len() + member.len() > MAX_STATE_BYTES;
        if !is_one || is_too_much || count == MAX_STATE_MEMBERS {
            return None;
        }
        state.push_str(member);
    }
    (!state.is_empty()).then(|| state.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn context() -> TraceContext {
        TraceContext::parse(PARENT, "a=1,b=2").expect("one")
    }

    #[test]
    fn it_is_read_back_whichever_way_it_went() {
        let context = context();
        assert_eq!(context.parent(), PARENT);
        assert_eq!(context.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(context.is_sampled());
        let mut headers = HeaderMap::new();
        context.add_to(&mut headers);
        assert_eq!(TraceContext::of(&headers).as_ref(), Some(&context));
        assert_eq!(v1::TraceContext::from(&context).understood().as_ref(), Some(&context));
        assert_eq!(TraceContext::from_bytes(&context.to_bytes()), Some(context));
        let unsampled = TraceContext::parse(&PARENT.replace("-01", "-00"), "").expect("one");
        assert!(!unsampled.is_sampled());
        assert_eq!(TraceContext::from_bytes(&unsampled.to_bytes()), Some(unsampled));
        let not_traced = NOT_TRACED.to_str().ok().and_then(|text| TraceContext::parse(text, ""));
        assert!(not_traced.is_some_and(|context| !context.is_sampled()));
    }

    #[test]
    fn what_is_none_is_left_out() {
        for wrong in [
            "",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert_eq!(TraceContext::parse(wrong, ""), None, "{wrong}");
        }
        for odd in [&b""[..], &[0; 25], &[1; 24]] {
            assert_eq!(TraceContext::from_bytes(odd), None, "{odd:?}");
        }
        assert_eq!(v1::TraceContext::default().understood(), None);
    }

    #[test]
    fn a_state_is_passed_on_if_it_is_one() {
        let state = |text: &str| TraceContext::parse(PARENT, text).expect("one").state().to_owned();
        assert_eq!(state(" a=1 , b=x y=z,, "), "a=1,b=x y=z");
        let most = vec!["a=1"; 32].join(",");
        assert_eq!(state(&most), most);
        for odd in ["", "a", "=1", "a=1,b", "a=\u{e9}", "a=\n1", &format!("{most},b=1")] {
            assert_eq!(state(odd), "", "{odd:?}");
        }
        assert_eq!(state(&format!("a={}", "x".repeat(510))).len(), 512);
        assert_eq!(state(&format!("a={}", "x".repeat(511))), "");
        let mut headers = HeaderMap::new();
        headers.append(TRACE_PARENT, HeaderValue::from_static(PARENT));
        headers.append(TRACE_STATE, HeaderValue::from_static("a=1"));
        headers.append(TRACE_STATE, HeaderValue::from_static("b=2"));
        assert_eq!(TraceContext::of(&headers), Some(context()));
    }
}
