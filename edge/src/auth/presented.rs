//! Where a request has its token.

use http::{HeaderMap, header};
use percent_encoding::percent_decode_str;

use super::refusal::Refusal;

/// The `token` of a query.
pub(crate) fn query_token(query: Option<&str>) -> Option<String> {
    let token = query?.split('&').find_map(|pair| pair.strip_prefix("token="))?;
    percent_decode_str(token).decode_utf8().ok().map(Into::into)
}

pub(super) fn token_of<'a>(
    headers: &'a HeaderMap,
    query_token: Option<&'a str>,
) -> Result<&'a str, Refusal> {
    let mut authorizations = headers.get_all(header::AUTHORIZATION).iter();
    match (authorizations.next(), authorizations.next()) {
        (Some(authorization), None) => {
            authorization.to_str().ok().and_then(bearer_token).ok_or(Refusal::OtherScheme)
        }
        (None, _) => query_token.ok_or(Refusal::Missing),
        (Some(_), Some(_)) => Err(Refusal::SeveralHeaders),
    }
}

/// The credentials of the scheme "Bearer", whose case does not count (RFC 9110 section 11.1).
fn bearer_token(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
}
