//! What a token says that is signed as it should be (PROTOCOL section 1).

use netrox_proto::{external_id::ExternalId, ids::UserId};
use serde_json::value::RawValue;

use super::{
    issuer::{Claims, Issuer, Signed},
    refusal::Refusal,
    user::Bearer,
};
use crate::revocation::TokenMark;

/// For clocks that disagree.
pub(super) const LEEWAY_SECONDS: i64 = 10;

/// What a valid token says of its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) user_id: UserId,
    /// What the issuer calls the user, where the id was made of that.
    pub(crate) external_id: Option<ExternalId>,
    /// Unix seconds.
    pub(crate) expires_at: i64,
    /// The `iat` claim in Unix seconds, where it is a number.
    pub(crate) issued_at: Option<i64>,
    /// The `email` claim, where it is a string.
    pub(crate) email: Option<String>,
    /// The `profile` claim as JSON text; "null" where it is null.
    pub(crate) profile_json: Option<String>,
    /// What it is known by when it is taken away.
    pub(crate) token: TokenMark,
}

/// Until when a token is taken that expires then, in Unix seconds.
pub(crate) fn accepted_until(expires_at: i64) -> i64 {
    expires_at.saturating_add(LEEWAY_SECONDS)
}

/// Of a token that is not valid now, no more than that is looked at.
pub(super) fn identity(
    issuer: &Issuer,
    signed: &Signed,
    now: i64,
) -> Result<(Identity, Option<i64>), Refusal> {
    // No extension is understood here, so none may be critical (RFC 7515 section 4.1.11).
    if signed.token.header.crit.is_some() {
        return Err(Refusal::Critical);
    }
    let claims = &signed.token.claims;
    let expires_at = claims.get("exp").and_then(|claim| time(claim)).ok_or(Refusal::NoExpiry)?;
    check_times(expires_at, None, now)?;
    let not_before = match claims.get("nbf").filter(|claim| claim.get() != "null") {
        Some(start) => Some(time(start).ok_or(Refusal::BadStart)?),
        None => None,
    };
    check_times(expires_at, not_before, now)?;
    let kind = claims.get(&issuer.type_claim);
    if kind.is_some_and(|kind| text(kind).as_deref() != Some("access")) {
        return Err(Refusal::Type);
    }
    let Bearer { id: user_id, external_id } = issuer.bearer(claims)?;
    let identity = Identity {
        user_id,
        external_id,
        expires_at,
        issued_at: claims.get("iat").and_then(|claim| time(claim)),
        email: claims.get("email").and_then(|claim| text(claim)),
        profile_json: claims.get("profile").map(|claim| claim.get().to_owned()),
        token: token_mark(claims),
    };
    Ok((identity, not_before))
}

/// A `jti` that is a number is taken as it is written.
fn token_mark(claims: &Claims) -> TokenMark {
    let issuer = claims.get("iss").and_then(|claim| text(claim));
    let id = claims.get("jti").filter(|claim| claim.get() != "null");
    let id = id.map(|claim| text(claim).unwrap_or_else(|| claim.get().to_owned()));
    let issued_at = claims.get("iat").and_then(|claim| serde_json::from_str(claim.get()).ok());
    TokenMark::new(issuer.as_deref(), id.as_deref(), issued_at)
}

pub(super) fn check_times(
    expires_at: i64,
    not_before: Option<i64>,
    now: i64,
) -> Result<(), Refusal> {
    if accepted_until(expires_at) < now {
        return Err(Refusal::Expired);
    }
    if not_before.is_some_and(|start| start > now.saturating_add(LEEWAY_SECONDS)) {
        return Err(Refusal::NotYetValid);
    }
    Ok(())
}

/// A number of seconds, whole or not. Saturates.
fn time(claim: &RawValue) -> Option<i64> {
    let seconds = serde_json::from_str::<f64>(claim.get()).ok()?;
    Some(seconds.round() as i64)
}

pub(super) fn text(claim: &RawValue) -> Option<String> {
    serde_json::from_str(claim.get()).ok()
}
