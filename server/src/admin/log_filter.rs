//! `/log-filter`: what is logged, seen and changed while the program runs, by who may administer it.
//!
//! No web page may, whatever browser it is in. Nothing here counts that a browser sends by itself: a token is read from
//! `Authorization` alone, which a page can set on a request to another origin only after a question (OPTIONS) that is
//! answered with no leave. A page that has a name of its own lead here (DNS rebinding) asks nobody for leave, and has no
//! token either. Beyond that, whatever says that it comes from a page is refused before anything of it is looked at.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Collected, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use netrox_audit::{Audit, Name, Refused};
use netrox_core::{Administrators, Core, NotAdministrator};

use super::{TEXT_TYPE, response, text};
use crate::{
    cli::LogFilter,
    telemetry::{Filter, Kinds, Shown},
};

pub(super) const PATH: &str = "/log-filter";

/// Of a filter; the audit log has two of them in a line.
const MAX_BODY_BYTES: usize = 1024;
/// For how long a filter may be, where its time is given.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3_600);
/// What browsers say of themselves, and nobody else.
const OF_PAGES: [&str; 2] = ["origin", "sec-fetch-site"];
const HINT: &str = "send a service token with the scope admin, or --service-token, as Authorization: Bearer TOKEN; an \
                    edge knows its own --service-token alone";

/// What may be done here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    See,
    Change,
    GoBack,
}

impl Verb {
    fn of(method: &Method) -> Option<Self> {
        match *method {
            Method::GET | Method::HEAD => Some(Self::See),
            Method::PUT => Some(Self::Change),
            Method::DELETE => Some(Self::GoBack),
            _ => None,
        }
    }

    /// For the audit log.
    fn name(self) -> &'static str {
        match self {
            Self::See => "GET /log-filter",
            Self::Change => "PUT /log-filter",
            Self::GoBack => "DELETE /log-filter",
        }
    }
}

/// Why nothing is done, in words for who asked.
#[derive(Debug, PartialEq, Eq)]
struct No(StatusCode, String);

impl No {
    fn wrong(reason: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, reason.into())
    }
}

/// The place in the listener.
#[derive(Debug)]
pub(super) struct Door {
    filter: Arc<Filter>,
    /// Who has a token of the process itself: all that is known of an edge, and of a core before it is open.
    own: Administrators,
    has_core: bool,
    audit: Audit,
    told: Kinds<&'static str>,
}

impl Door {
    pub(super) fn new(
        filter: Arc<Filter>,
        service_tokens: &[String],
        has_core: bool,
        audit: Audit,
    ) -> Self {
        let own = Administrators::by_tokens(service_tokens.to_owned());
        Self { filter, own, has_core, audit, told: Kinds::default() }
    }

    pub(super) fn filter(&self) -> Arc<Filter> {
        Arc::clone(&self.filter)
    }

    pub(super) fn audit(&self) -> Audit {
        self.audit.clone()
    }

    /// `core` is there once it is open.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        core: Option<&Core>,
    ) -> Response<Full<Bytes>> {
        let Some(verb) = Verb::of(request.method()) else {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "GET, PUT or DELETE");
            let allowed = HeaderValue::from_static("GET, HEAD, PUT, DELETE");
            response.headers_mut().insert(header::ALLOW, allowed);
            return response;
        };
        let caller = Caller { verb, peer: peer.ip().to_canonical() };
        let (head, body) = request.into_parts();
        // Also of who is refused: what is left unread would cut off the answer. It is short.
        let body = Limited::new(body, MAX_BODY_BYTES).collect().await;
        let service = match self.service(&head.headers, core) {
            Ok(service) => service,
            Err(refusal) => return self.refuse(&refusal, caller),
        };
        let body = body.map(Collected::to_bytes).map_err(|error| unread(&*error));
        match self.take(head.uri.query(), body, caller, &service) {
            Ok(shown) => response(StatusCode::OK, TEXT_TYPE, lines(&shown)),
            Err(No(status, reason)) => text(status, &reason),
        }
    }

    fn service(&self, head: &HeaderMap, core: Option<&Core>) -> Result<Arc<str>, Refusal> {
        if OF_PAGES.iter().any(|name| head.contains_key(*name)) {
            return Err(Refusal::OfPage);
        }
        let own = self.own.find(head);
        let found = match core.map(Core::administrators) {
            Some(administrators) => administrators.find(head),
            None if self.has_core && own.is_err() => return Err(Refusal::Starting),
            None => own,
        };
        found.map_err(Refusal::Nobody)
    }

    fn take(
        &self,
        query: Option<&str>,
        body: Result<Bytes, No>,
        caller: Caller,
        service: &str,
    ) -> Result<Shown, No> {
        let lasts = lasts(query)?;
        let filter = match caller.verb {
            Verb::See if lasts.is_none() => return Ok(self.filter.show()),
            Verb::See => return Err(No::wrong("there is for=TIME of PUT alone")),
            Verb::Change => given(&body?)?,
            Verb::GoBack => None,
        };
        if filter.is_none() && lasts.is_some() {
            return Err(No::wrong("for=TIME goes with a filter: that of the start stays"));
        }
        let changed = self.filter.change(filter.as_ref(), lasts, service, &self.audit, |event| {
            event.actor(service).method(Some(caller.verb.name())).peer(Some(caller.peer))
        });
        changed.map_err(|error| No(StatusCode::INTERNAL_SERVER_ERROR, error))
    }

    fn refuse(&self, refusal: &Refusal, caller: Caller) -> Response<Full<Bytes>> {
        let (status, name, reason, actor) = match refusal {
            Refusal::Starting => {
                (StatusCode::SERVICE_UNAVAILABLE, Name::AuthenticationRefused, "starting", None)
            }
            Refusal::OfPage => {
                (StatusCode::FORBIDDEN, Name::AuthenticationRefused, "from_a_page", None)
            }
            Refusal::Nobody(NotAdministrator::Unknown(reason)) => {
                (StatusCode::UNAUTHORIZED, Name::AuthenticationRefused, *reason, None)
            }
            Refusal::Nobody(NotAdministrator::LacksScope(service)) => {
                (StatusCode::FORBIDDEN, Name::ScopeRefused, "admin", Some(&**service))
            }
        };
        let (method, peer) = (Some(caller.verb.name()), Some(caller.peer));
        let refused = Refused { name, reason, actor, target: None, method, peer };
        self.audit.refused(refused, |event| event);
        if let Some(untold) = self.told.happened(reason, 1, Instant::now()) {
            tracing::warn!(
                untold,
                reason,
                service = actor,
                peer = %caller.peer,
                method = caller.verb.name(),
                "a request for the log filter is refused"
            );
        }
        let line = match refusal {
            Refusal::OfPage => "no web page may see or change the log filter".to_owned(),
            Refusal::Starting => {
                "starting: until it has started, a core knows its --service-token alone".to_owned()
            }
            Refusal::Nobody(nobody) => format!("{nobody}: {HINT}"),
        };
        let mut response = text(status, &line);
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

/// Who asks for what.
#[derive(Debug, Clone, Copy)]
struct Caller {
    verb: Verb,
    peer: IpAddr,
}

#[derive(Debug)]
enum Refusal {
    OfPage,
    /// The services are not known yet.
    Starting,
    Nobody(NotAdministrator),
}

/// `name: value` in each.
fn lines(Shown { now, start, lasts }: &Shown) -> String {
    let mut lines = format!("filter: {now}\nat_start: {start}\n");
    if let Some(lasts) = lasts {
        lines += &format!("lasts_seconds: {}\n", lasts.as_secs());
    }
    lines
}

/// How long a filter is to stay.
fn lasts(query: Option<&str>) -> Result<Option<Duration>, No> {
    let Some(query) = query.filter(|query| !query.is_empty()) else { return Ok(None) };
    let Some(time) = query.strip_prefix("for=") else {
        return Err(No::wrong("not known: there is ?for=TIME, for=30m for example"));
    };
    match humantime::parse_duration(time) {
        Ok(time) if (SHORTEST..=LONGEST).contains(&time) => Ok(Some(time)),
        Ok(_) => Err(No::wrong("for=TIME: from 1s to 7d")),
        Err(error) => Err(No::wrong(format!("for=TIME: {error}"))),
    }
}

/// Why there is no body.
fn unread(error: &(dyn std::error::Error + Send + Sync + 'static)) -> No {
    if error.is::<LengthLimitError>() {
        let reason = format!("a filter has {MAX_BODY_BYTES} bytes at most");
        return No(StatusCode::PAYLOAD_TOO_LARGE, reason);
    }
    No::wrong(error.to_string())
}

/// Nothing where the body is empty.
fn given(body: &[u8]) -> Result<Option<LogFilter>, No> {
    let text = str::from_utf8(body).map_err(|_| No::wrong("a filter is text"))?.trim();
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(No::wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_bounded_and_all_else_is_refused() {
        for (query, seconds) in [("for=1s", 1), ("for=10m", 600), ("for=1h30m", 5_400)] {
            assert_eq!(lasts(Some(query)), Ok(Some(Duration::from_secs(seconds))), "{query}");
        }
        assert_eq!(lasts(None), Ok(None));
        assert_eq!(lasts(Some("")), Ok(None));
        for wrong in ["for=", "for=0s", "for=8d", "for=soon", "fro=1m", "for=-1m", "token=x"] {
            let No(status, _) = lasts(Some(wrong)).expect_err(wrong);
            assert_eq!(status, StatusCode::BAD_REQUEST, "{wrong}");
        }
    }

    #[test]
    fn what_is_given_is_a_filter_or_nothing() {
        let text =
            |body: &[u8]| given(body).map(|filter| filter.map(|filter| filter.text().to_owned()));
        assert_eq!(text(b" netrox_edge=debug\r\n"), Ok(Some("info,netrox_edge=debug".to_owned())));
        assert_eq!(text(b" \n"), Ok(None));
        for wrong in [&b"inof"[..], b"warn\nerror", b"\xff", b"warn,"] {
            let No(status, _) = text(wrong).expect_err("no filter");
            assert_eq!(status, StatusCode::BAD_REQUEST, "{wrong:?}");
        }
    }

    #[test]
    fn what_is_shown_has_a_line_for_each() {
        let shown = |lasts| {
            let (now, start) = ("info,netrox_edge=debug".to_owned(), "info".to_owned());
            lines(&Shown { now, start, lasts })
        };
        let both = "filter: info,netrox_edge=debug\nat_start: info\n";
        assert_eq!(shown(None), both);
        let lasts = Some(Duration::from_millis(1_900));
        assert_eq!(shown(lasts), format!("{both}lasts_seconds: 1\n"));
    }
}
