//! Which generation a handshake asks for, and where it wants to go on (PROTOCOL-2 section 1).

use axum::{body::Body, http::Request};
use http::{HeaderMap, HeaderValue, header};
use percent_encoding::percent_decode_str;

use crate::{ticket::Ticket, wire::Generation};

const SUBPROTOCOL: HeaderValue = HeaderValue::from_static("netrox.chat.v2");
/// The value of the parameter `protocol`.
const SECOND: &str = "2";

/// What a handshake asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) generation: Generation,
    /// It is offered by name, and so is to be named in the answer.
    is_named: bool,
    /// The cursor to go on from. Only the second generation has one.
    pub(super) after: Option<String>,
    /// Shown in the place of a token. Only the second generation has one, and an `Authorization` header counts before it.
    pub(super) ticket: Option<Ticket>,
}

impl Offer {
    pub(super) fn of(request: &Request<Body>) -> Self {
        let query = request.uri().query();
        let is_named = names_second(request.headers());
        if !is_named && parameter(query, "protocol").as_deref() != Some(SECOND) {
            return Self { generation: Generation::V1, is_named: false, after: None, ticket: None };
        }
        let has_header = request.headers().contains_key(header::AUTHORIZATION);
        let ticket = parameter(query, "ticket").filter(|_| !has_header).map(Ticket);
        Self { generation: Generation::V2, is_named, after: parameter(query, "after"), ticket }
    }

    /// Names the subprotocol where it was offered: to all others nothing may be named.
    pub(super) fn accept(&self, headers: &mut HeaderMap) {
        if self.is_named {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL);
        }
    }
}

/// Several lines are one list (RFC 6455 section 11.3.4).
fn names_second(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let mut names = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    names.any(|name| name.trim_ascii() == SUBPROTOCOL.as_bytes())
}

/// The first parameter of that name; empty where it is not text.
fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let value = query?.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    Some(percent_decode_str(value).decode_utf8().map(Into::into).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(query: &str, lines: &[&'static str]) -> Offer {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = format!("/ws/chat/room/{query}").parse().expect("a target");
        for line in lines {
            let line = HeaderValue::from_static(line);
            request.headers_mut().append(header::SEC_WEBSOCKET_PROTOCOL, line);
        }
        Offer::of(&request)
    }

    #[test]
    fn the_second_generation_is_for_those_who_ask_for_it() {
        const V1: (Generation, Option<&str>) = (Generation::V1, None);
        const NAMED: (Generation, Option<&str>) = (Generation::V2, Some("netrox.chat.v2"));
        const UNNAMED: (Generation, Option<&str>) = (Generation::V2, None);
        for (query, lines, expected) in [
            ("", &["netrox.chat.v2"][..], NAMED),
            ("?protocol=1", &["netrox.chat.v2"], NAMED),
            ("?protocol=2", &["netrox.chat.v2"], NAMED),
            ("", &["chat, netrox.chat.v2 ,other"], NAMED),
            ("", &["chat", "other,netrox.chat.v2"], NAMED),
            ("?protocol=2", &[], UNNAMED),
            ("?token=x&protocol=2", &[], UNNAMED),
            ("?protocol=%32", &[], UNNAMED),
            ("?protocol=2", &["chat"], UNNAMED),
            ("", &[], V1),
            ("", &["chat"], V1),
            ("", &["netrox.chat.v20", "Netrox.Chat.V2", "netrox.chat.v2;q=1", ""], V1),
            ("?protocol=3", &[], V1),
            ("?protocol=", &["chat"], V1),
            ("?protocol=02", &[], V1),
            ("?xprotocol=2&Protocol=2", &[], V1),
        ] {
            let offer = offer(query, lines);
            let mut headers = HeaderMap::new();
            offer.accept(&mut headers);
            let named = headers.get(header::SEC_WEBSOCKET_PROTOCOL);
            let named = named.map(|name| name.to_str().expect("ASCII"));
            assert_eq!((offer.generation, named), expected, "{query} {lines:?}");
        }
    }

    #[test]
    fn only_the_second_generation_has_tickets_and_a_header_counts_before() {
        let ticket = |query: &str| offer(query, &[]).ticket.map(|Ticket(ticket)| ticket);
        assert_eq!(ticket("?ticket=abc"), None);
        assert_eq!(ticket("?protocol=2&token=x"), None);
        assert_eq!(ticket("?protocol=2&ticket=a-b_c&token=x"), Some("a-b_c".into()));
        assert_eq!(ticket("?ticket=&protocol=2"), Some(String::new()));
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = "/ws/chat/room/?protocol=2&ticket=x".parse().expect("a target");
        assert_eq!(Offer::of(&request).ticket, Some(Ticket("x".into())));
        request.headers_mut().insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer y"));
        assert_eq!(Offer::of(&request).ticket, None);
    }

    #[test]
    fn only_the_second_generation_goes_on_from_a_cursor() {
        let after = |query: &str| offer(query, &[]).after;
        assert_eq!(after("?after=abc"), None);
        assert_eq!(after("?protocol=2"), None);
        assert_eq!(after("?protocol=2&after=a.b-c_d"), Some("a.b-c_d".into()));
        assert_eq!(after("?after=&protocol=2"), Some(String::new()));
        assert_eq!(after("?protocol=2&after=%ff"), Some(String::new()));
    }
}
