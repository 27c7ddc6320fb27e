//! What a token says before anybody has verified it: enough to choose whose keys it is held against, and whether to ask for
//! newer ones.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::Value;

use super::identity::{LEEWAY_SECONDS, accepted_until};

#[derive(Deserialize)]
pub(super) struct Unverified {
    pub(super) iss: Option<Value>,
    exp: Option<f64>,
    iat: Option<Value>,
}

pub(super) fn read(token: &str) -> Option<Unverified> {
    let claims = token.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
}

/// Whether a token could be good by its time: for one that has expired no key is looked for.
pub(super) fn is_current(token: &str, now: i64) -> bool {
    let expires_at = read(token).and_then(|claims| claims.exp);
    expires_at.is_some_and(|seconds| accepted_until(seconds.round() as i64) >= now)
}

/// The latest moment, in Unix seconds, at which it may have been issued by a clock that differs.
pub(super) fn issued_at(token: &str) -> i64 {
    let issued_at = read(token).and_then(|claims| claims.iat?.as_f64());
    issued_at.map_or(i64::MAX, |seconds| (seconds.round() as i64).saturating_add(LEEWAY_SECONDS))
}
