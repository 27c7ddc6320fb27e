//! What hyper takes and RFC 9112 does not let a server take, and a path that clients put together badly.

use axum::response::{IntoResponse, Response};
use http::{
    HeaderMap, HeaderValue, Request, Uri, Version, header,
    uri::{Authority, PathAndQuery},
};

use crate::{error::PublicError, rest, wire::v2::problem::Problem};

/// The refusal of a request whose head is not to be acted upon.
pub(super) fn refusal<B>(request: &Request<B>) -> Option<Response> {
    let headers = request.headers();
    let refusal = match (check_host(headers, request.version()), check_coding(headers)) {
        (Err(refusal), _) | (_, Err(refusal)) => refusal,
        (Ok(()), Ok(())) => return None,
    };
    let mut response = if rest::is_second_generation(request.uri().path()) {
        Problem::from(refusal).into_response()
    } else {
        refusal.into_response()
    };
    // Where the next request begins is not known.
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    Some(response)
}

/// A host that was documented with a slash at its end, before a path that begins with one (PROTOCOL section 2).
pub(super) fn take_doubled_slash(uri: &mut Uri) {
    let Some(single) = uri.path_and_query().and_then(|path| path.as_str().strip_prefix('/')) else {
        return;
    };
    if single.starts_with('/')
        && !single.starts_with("//")
        && let Ok(path_and_query) = PathAndQuery::try_from(single)
    {
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(path_and_query);
        if let Ok(taken) = Uri::from_parts(parts) {
            *uri = taken;
        }
    }
}

/// Section 3.2: one Host, which names a host.
fn check_host(headers: &HeaderMap, version: Version) -> Result<(), PublicError> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.as_bytes(),
        (None, _) if version < Version::HTTP_11 => return Ok(()),
        _ => return Err(PublicError::bad_request("There must be one Host header")),
    };
    let is_host = |host| Authority::try_from(host).is_ok_and(|host| !host.as_str().contains('@'));
    // Of a target without an authority it may be empty.
    if !host.is_empty() && !is_host(host) {
        return Err(PublicError::bad_request("The Host header names no host"));
    }
    Ok(())
}

/// Section 6.1: `chunked`, once and last; what else the body is coded in is not understood here.
fn check_coding(headers: &HeaderMap) -> Result<(), PublicError> {
    let fields = headers.get_all(header::TRANSFER_ENCODING).iter();
    let codings = fields.flat_map(|field| field.as_bytes().split(|byte| *byte == b','));
    let mut count = 0;
    let (mut has_none, mut has_other) = (false, false);
    for coding in codings.map(<[u8]>::trim_ascii) {
        count += 1;
        has_none |= coding.is_empty();
        has_other |= !coding.is_empty() && !coding.eq_ignore_ascii_case(b"chunked");
    }
    if has_other {
        Err(PublicError::not_implemented("Transfer-Encoding: chunked is the only one here"))
    } else if has_none || count > 1 {
        Err(PublicError::bad_request("Malformed Transfer-Encoding"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubled_slash_at_the_start_counts_as_one() {
        for (given, taken) in [
            ("//ws/chat/room/?token=//a", "/ws/chat/room/?token=//a"),
            ("//", "/"),
            ("/chat//messages/", "/chat//messages/"),
            ("///chat/", "///chat/"),
            ("/", "/"),
            ("*", "*"),
            ("http://localhost//chat/?a", "http://localhost/chat/?a"),
        ] {
            let mut uri: Uri = given.parse().expect("a target");
            take_doubled_slash(&mut uri);
            assert_eq!(uri.to_string(), taken);
        }
    }
}
