//! Access tokens: who calls (PROTOCOL section 1). With [`key`] the only user of `jsonwebtoken`.

mod explanation;
mod key;
mod refusal;
mod verified;

use std::{
    collections::HashMap,
    time::{SystemTime, UNIX_EPOCH},
};

use http::{HeaderMap, header};
use jsonwebtoken::{DecodingKey, Validation, decode};
use netrox_proto::ids::UserId;
use percent_encoding::percent_decode_str;
use serde_json::value::RawValue;

pub use self::{
    explanation::{Explanation, explain},
    key::ConfigError,
    refusal::Refusal,
};
use self::{
    refusal::Tally,
    verified::{Verified, VerifiedTokens},
};
use crate::config::{Jwt, JwtKey};

/// For clocks that disagree.
const LEEWAY_SECONDS: i64 = 10;
const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// Tried after the configured claim.
const SUBJECT_CLAIM: &str = "sub";

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

impl Identity {
    /// Until when the token is taken, in Unix seconds.
    pub(crate) fn accepted_until(&self) -> i64 {
        accepted_until(self.expires_at)
    }
}

fn accepted_until(expires_at: i64) -> i64 {
    expires_at.saturating_add(LEEWAY_SECONDS)
}

/// Verifies access tokens with one key.
pub(crate) struct Authenticator {
    key: DecodingKey,
    validation: Validation,
    user_claim: String,
    type_claim: String,
    /// Where a signature costs more than a digest.
    verified: Option<VerifiedTokens>,
    tally: Tally,
}

type Claims = HashMap<String, Box<RawValue>>;

impl Authenticator {
    pub(crate) fn new(config: &Jwt) -> Result<Self, ConfigError> {
        let (key, algorithms) = key::verification_key(&config.key)?;
        let mut validation = Validation {
            algorithms,
            // Times are ours to check: the library panics before 1970, and takes an `nbf` of null for one.
            validate_exp: false,
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
        let verified = match &config.key {
            JwtKey::Secret(_) => None,
            JwtKey::PublicKeyPem(_) => Some(VerifiedTokens::new()),
        };
        Ok(Self {
            key,
            validation,
            user_claim: config.user_claim.clone(),
            type_claim: config.type_claim.clone(),
            verified,
            tally: Tally::default(),
        })
    }

    /// The user of a request: by its `Authorization` header or, only where it has none, by the
    /// `token` of its query. A refusal is logged and counted.
    pub(crate) fn authenticate(
        &self,
        headers: &HeaderMap,
        query_token: Option<&str>,
    ) -> Result<Identity, Refusal> {
        let verified = token_of(headers, query_token).and_then(|token| self.verify(token, now()));
        match &verified {
            Ok(_) => self.tally.accepted(),
            Err(refusal) => self.tally.refused(*refusal),
        }
        verified
    }

    /// Tells the operator what was refused since the last time. To be called once a minute.
    pub(crate) fn tell(&self) {
        self.tally.take().tell();
    }

    /// `now` is in seconds since 1970.
    fn verify(&self, token: &str, now: i64) -> Result<Identity, Refusal> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Refusal::TooLong);
        }
        let Verified { identity, not_before } = match &self.verified {
            Some(verified) => verified.get_or_verify(token, || self.verify_signed(token, now))?,
            None => self.verify_signed(token, now)?,
        };
        check_times(identity.expires_at, not_before, now)?;
        Ok(identity)
    }

    /// Of a token that is not valid now, no more than that is looked at.
    fn verify_signed(&self, token: &str, now: i64) -> Result<Verified, Refusal> {
        let token = decode::<Claims>(token, &self.key, &self.validation)?;
        // No extension is understood here, so none may be critical (RFC 7515 section 4.1.11).
        if token.header.crit.is_some() {
            return Err(Refusal::Critical);
        }
        let claims = token.claims;
        let expires_at =
            claims.get("exp").and_then(|claim| time(claim)).ok_or(Refusal::NoExpiry)?;
        check_times(expires_at, None, now)?;
        let not_before = match claims.get("nbf").filter(|claim| claim.get() != "null") {
            Some(start) => Some(time(start).ok_or(Refusal::BadStart)?),
            None => None,
        };
        check_times(expires_at, not_before, now)?;
        let kind = claims.get(&self.type_claim);
        if kind.is_some_and(|kind| text(kind).as_deref() != Some("access")) {
            return Err(Refusal::Type);
        }
        let user_id = self.user(&claims).ok_or(Refusal::NoUser)?;
        let identity = Identity {
            user_id,
            expires_at,
            issued_at: claims.get("iat").and_then(|claim| time(claim)),
            email: claims.get("email").and_then(|claim| text(claim)),
            profile_json: claims.get("profile").map(|claim| claim.get().to_owned()),
        };
        Ok(Verified { identity, not_before })
    }

    fn user(&self, claims: &Claims) -> Option<UserId> {
        let claim = claims.get(&self.user_claim).or_else(|| claims.get(SUBJECT_CLAIM))?;
        text(claim)?.parse().ok()
    }

    /// Whose token it is that was refused, if it is signed as it should be.
    pub(crate) fn user_of_refused(
        &self,
        headers: &HeaderMap,
        query_token: Option<&str>,
    ) -> Option<UserId> {
        let token = token_of(headers, query_token).ok()?;
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        self.user(&decode::<Claims>(token, &self.key, &self.validation).ok()?.claims)
    }
}

fn check_times(expires_at: i64, not_before: Option<i64>, now: i64) -> Result<(), Refusal> {
    if accepted_until(expires_at) < now {
        return Err(Refusal::Expired);
    }
    if not_before.is_some_and(|start| start > now.saturating_add(LEEWAY_SECONDS)) {
        return Err(Refusal::NotYetValid);
    }
    Ok(())
}

/// The `token` of a query.
pub(crate) fn query_token(query: Option<&str>) -> Option<String> {
    let token = query?.split('&').find_map(|pair| pair.strip_prefix("token="))?;
    percent_decode_str(token).decode_utf8().ok().map(Into::into)
}

fn token_of<'a>(headers: &'a HeaderMap, query_token: Option<&'a str>) -> Result<&'a str, Refusal> {
    let mut authorizations = headers.get_all(header::AUTHORIZATION).iter();
    match (authorizations.next(), authorizations.next()) {
        (Some(authorization), None) => {
            authorization.to_str().ok().and_then(bearer_token).ok_or(Refusal::OtherScheme)
        }
        (None, _) => query_token.ok_or(Refusal::Missing),
        (Some(_), Some(_)) => Err(Refusal::SeveralHeaders),
    }
}

/// In seconds since 1970; below zero where the clock is before.
#[expect(clippy::disallowed_methods, reason = "tokens expire by the wall clock")]
fn now() -> i64 {
    let seconds = |duration: std::time::Duration| i64::try_from(duration.as_secs());
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => seconds(since).unwrap_or(i64::MAX),
        Err(error) => seconds(error.duration()).map_or(i64::MIN, |before| -before),
    }
}

/// A number of seconds, whole or not. Saturates.
fn time(claim: &RawValue) -> Option<i64> {
    let seconds = serde_json::from_str::<f64>(claim.get()).ok()?;
    Some(seconds.round() as i64)
}

/// The credentials of the scheme "Bearer", whose case does not count (RFC 9110 section 11.1).
fn bearer_token(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_matches(' '))
}

fn text(claim: &RawValue) -> Option<String> {
    serde_json::from_str(claim.get()).ok()
}

#[cfg(test)]
mod tests;
