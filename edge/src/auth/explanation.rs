//! What an operator wants to know of a token: whether it is good here, and why not.

use std::{fmt, sync::PoisonError};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::future::join_all;
use jiff::Timestamp;
use netrox_audit::Audit;
use netrox_proto::ids::UserId;
use serde_json::{Map, Value};

use super::{Authenticator, ConfigError, Refusal, SUBJECT_CLAIM, issuer::Issuer, now};
use crate::{
    config::{Jwt, UserIds},
    metrics::KeyMetrics,
    tasks::Tasks,
};

/// Of a claim, so that no line is without end.
const MAX_VALUE_CHARACTERS: usize = 200;
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Whether a token is good, and what it says of itself. Its text is several lines, and holds neither the
/// token nor anything of the key.
#[derive(Debug)]
pub struct Explanation {
    verdict: Result<UserId, Refusal>,
    /// Names and values.
    facts: Vec<(&'static str, String)>,
}

/// Explains a token as an edge with this configuration takes it. Asks the URLs of keys, and changes nothing. Fails if a
/// key is not usable.
pub async fn explain(config: &Jwt, token: &str) -> Result<Explanation, ConfigError> {
    let authenticator = Authenticator::new(config)?;
    if let Some(cache) = &mut *authenticator.cache.lock().unwrap_or_else(PoisonError::into_inner) {
        cache.only_read();
    }
    let tasks = Tasks::default();
    authenticator.keep_keys(&KeyMetrics::default(), &Audit::default(), &tasks);
    // An operator has more patience than a client.
    join_all(authenticator.issuers.iter().map(Issuer::first_ended)).await;
    let now = now();
    let verdict = authenticator.verify(token, now).await.map(|identity| identity.user_id);
    tasks.begin_drain();
    let mut parts = token.split('.').map(object);
    let header = parts.next().flatten();
    let claims = parts.next().flatten();
    let mut facts = Vec::new();
    let issuer = authenticator.issuer_of(token).ok().map(|(_, issuer)| issuer);
    let named = authenticator.issuers.iter();
    let asked = named.filter(|named| issuer.is_none_or(|issuer| std::ptr::eq(*named, issuer)));
    facts.extend(asked.flat_map(Issuer::failures).map(|failure| ("no keys", failure)));
    if let (Some(header), Some(issuer)) = (header, issuer) {
        let known =
            issuer.algorithms().iter().map(|known| format!("{known:?}")).collect::<Vec<_>>();
        let known = format!("the key takes {}", known.join(", "));
        facts.push(("algorithm", with(&value(&header, "alg"), &known)));
        if header.contains_key("kid") {
            facts.push(("key", value(&header, "kid")));
        }
    }
    if let Some(claims) = claims {
        facts.push(("expires", with_distance(&claims, "exp", now)));
        facts.push(("not before", with_distance(&claims, "nbf", now)));
        facts.push(("issued", with_distance(&claims, "iat", now)));
        let names = authenticator.issuers.iter().filter_map(|issuer| issuer.name.as_deref());
        facts.push(("issuer", with(&value(&claims, "iss"), &demanded(names))));
        if let Some(issuer) = issuer {
            let audiences = demanded(issuer.audiences.iter().map(String::as_str));
            facts.push(("audience", with(&value(&claims, "aud"), &audiences)));
            let kind = format!("claim {:?}, \"access\" if it is there", issuer.type_claim);
            facts.push(("type", with(&value(&claims, &issuer.type_claim), &kind)));
            let is_there = claims.contains_key(&issuer.user_claim);
            let counts = is_there || !issuer.takes_subject();
            let claim = if counts { &issuer.user_claim } else { SUBJECT_CLAIM };
            let kind = match &issuer.user_ids {
                UserIds::Uuids { .. } => "a hyphenated UUID",
                UserIds::Mapped { .. } => "text or a whole number",
            };
            let of_user = format!("claim {claim:?}, {kind}");
            facts.push(("user", with(&value(&claims, claim), &of_user)));
        }
    }
    Ok(Explanation { verdict, facts })
}

impl Explanation {
    /// Whether an edge lets its bearer in.
    pub fn is_good(&self) -> bool {
        self.verdict.is_ok()
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.verdict {
            Ok(user) => writeln!(f, "good: a token of the user {user}")?,
            Err(refusal) => writeln!(f, "refused: {refusal}")?,
        }
        for (name, value) in &self.facts {
            writeln!(f, "  {name:<10}  {value}")?;
        }
        Ok(())
    }
}

/// One part of a token, whoever signed it.
fn object(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

/// As JSON, so that nothing in it is more than a value.
fn value(object: &Map<String, Value>, name: &str) -> String {
    let Some(value) = object.get(name) else { return "none".to_owned() };
    let value = value.to_string();
    match value.char_indices().nth(MAX_VALUE_CHARACTERS) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value,
    }
}

fn with(value: &str, remark: &str) -> String {
    format!("{value} ({remark})")
}

fn demanded<'a>(expected: impl Iterator<Item = &'a str>) -> String {
    let expected: Vec<_> = expected.map(|name| format!("{name:?}")).collect();
    if expected.is_empty() {
        return "any will do".to_owned();
    }
    format!("must be {}", expected.join(" or "))
}

fn with_distance(claims: &Map<String, Value>, name: &str, now: i64) -> String {
    let text = value(claims, name);
    let seconds = claims.get(name).and_then(Value::as_f64).map(|seconds| seconds.round() as i64);
    let Some(seconds) = seconds else { return text };
    let Ok(instant) = Timestamp::from_second(seconds) else { return text };
    let distance = distance(seconds.abs_diff(now));
    if seconds < now {
        with(&text, &format!("{instant}, {distance} ago"))
    } else {
        with(&text, &format!("{instant}, in {distance}"))
    }
}

fn distance(seconds: u64) -> String {
    let (unit, name) = match seconds {
        0..MINUTE => (1, "s"),
        MINUTE..HOUR => (MINUTE, "min"),
        HOUR..DAY => (HOUR, "h"),
        DAY.. => (DAY, "d"),
    };
    format!("{} {name}", seconds / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_is_in_the_largest_unit_that_fits() {
        for (seconds, expected) in
            [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7_199, "1 h"), (86_400 * 400, "400 d")]
        {
            assert_eq!(distance(seconds), expected);
        }
    }

    #[test]
    fn a_value_is_one_short_line() {
        let object: Map<String, Value> =
            serde_json::from_value(serde_json::json!({"a": "x\n\u{1b}[31m", "b": "é".repeat(999)}))
                .expect("an object");
        assert!(!value(&object, "a").contains(char::is_control));
        assert_eq!(value(&object, "b").chars().count(), MAX_VALUE_CHARACTERS + 1);
        assert_eq!(value(&object, "c"), "none");
    }
}
