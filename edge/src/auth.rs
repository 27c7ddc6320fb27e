//! Access tokens: who calls (PROTOCOL section 1). With [`key`] the only user of `jsonwebtoken`.

use std::collections::HashMap;

use http::{HeaderMap, header};
use jsonwebtoken::{DecodingKey, Validation, decode};
use netrox_proto::ids::UserId;
use serde_json::value::RawValue;

mod key;

pub use self::key::ConfigError;
use crate::config::Jwt;

/// For clocks that disagree.
const LEEWAY_SECONDS: u64 = 10;
const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// Tried after the configured claim.
const SUBJECT_CLAIM: &str = "sub";

/// Of every reason alike, so that a refusal tells nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unauthenticated;

/// What a valid token says of its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) user_id: UserId,
    /// Unix seconds.
    pub(crate) expires_at: i64,
    /// The `iat` claim in Unix seconds, where it is a number.
    pub(crate) issued_at: Option<i64>,
    /// The `email` claim, where it is a string.
    pub(crate) email: Option<String>,
    /// The `profile` claim as JSON text; "null" where it is null.
    pub(crate) profile_json: Option<String>,
}

/// Verifies access tokens with one key.
pub(crate) struct Authenticator {
    key: DecodingKey,
    validation: Validation,
    user_claim: String,
}

type Claims = HashMap<String, Box<RawValue>>;

impl Authenticator {
    pub(crate) fn new(config: &Jwt) -> Result<Self, ConfigError> {
        let (key, algorithms) = key::verification_key(&config.key)?;
        let mut validation = Validation {
            algorithms,
            leeway: LEEWAY_SECONDS,
            validate_nbf: true,
            validate_aud: config.audience.is_some(),
            ..Validation::default()
        };
        // With an audience, or an issuer, configured, a token without one is refused too.
        let mut required = vec!["exp"];
        if let Some(audience) = &config.audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        if let Some(issuer) = &config.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        Ok(Self { key, validation, user_claim: config.user_claim.clone() })
    }

    /// The user of a request: by its `Authorization` header or, only where it has none, by the
    /// `token` of its query.
    pub(crate) fn authenticate(
        &self,
        headers: &HeaderMap,
        query_token: Option<&str>,
    ) -> Result<Identity, Unauthenticated> {
        let mut authorizations = headers.get_all(header::AUTHORIZATION).iter();
        let token = match (authorizations.next(), authorizations.next()) {
            (Some(authorization), None) => {
                authorization.to_str().ok().and_then(bearer_token).ok_or(Unauthenticated)?
            }
            (None, _) => query_token.ok_or(Unauthenticated)?,
            (Some(_), Some(_)) => return Err(Unauthenticated),
        };
        self.verify(token)
    }

    fn verify(&self, token: &str) -> Result<Identity, Unauthenticated> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Unauthenticated);
        }
        let token =
            decode::<Claims>(token, &self.key, &self.validation).map_err(|_| Unauthenticated)?;
        // No extension is understood here, so none may be critical (RFC 7515 section 4.1.11).
        if token.header.crit.is_some() {
            return Err(Unauthenticated);
        }
        let claims = token.claims;
        if claims.get("token_type").is_some_and(|kind| text(kind).as_deref() != Some("access")) {
            return Err(Unauthenticated);
        }
        let user_id = claims
            .get(&self.user_claim)
            .or_else(|| claims.get(SUBJECT_CLAIM))
            .and_then(|claim| text(claim)?.parse().ok())
            .ok_or(Unauthenticated)?;
        let expires_at =
            claims.get("exp").and_then(|claim| seconds(claim)).ok_or(Unauthenticated)?;
        Ok(Identity {
            user_id,
            expires_at,
            issued_at: claims.get("iat").and_then(|claim| seconds(claim)),
            email: claims.get("email").and_then(|claim| text(claim)),
            profile_json: claims.get("profile").map(|claim| claim.get().to_owned()),
        })
    }
}

/// The credentials of the scheme "Bearer", whose case does not count (RFC 9110 section 11.1).
fn bearer_token(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
}

/// Whole seconds of a time. Saturates.
fn seconds(claim: &RawValue) -> Option<i64> {
    serde_json::from_str::<f64>(claim.get()).ok().map(|seconds| seconds.floor() as i64)
}

fn text(claim: &RawValue) -> Option<String> {
    serde_json::from_str(claim.get()).ok()
}

#[cfg(test)]
mod tests;
