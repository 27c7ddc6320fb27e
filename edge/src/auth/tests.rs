use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::FutureExt as _;
use http::{HeaderValue, header};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::config::{self, JwtKey};

const PATIENCE: Patience = Patience::NONE;
const SECRET: &[u8] = b"a secret of at least thirty-two bytes";
const USER: &str = "96bf0d3f-720d-4620-8dee-0f59f997cb51";

macro_rules! key {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/auth/keys/", $name, ".pem"))
    };
}

mod keys;
mod wrong_sets;
mod wrong_tokens;

fn config(key: JwtKey) -> Jwt {
    Jwt::of_key(key)
}

/// The same with other demands.
fn with(mut config: Jwt, change: impl FnOnce(&mut config::Issuer)) -> Jwt {
    change(&mut config.issuers[0]);
    config
}

fn issued_by(name: &str) -> impl FnOnce(&mut config::Issuer) + use<'_> {
    |issuer| issuer.name = Some(name.to_owned())
}

fn meant_for(audience: &str) -> impl FnOnce(&mut config::Issuer) + use<'_> {
    |issuer| issuer.audiences = vec![audience.to_owned()]
}

/// Of what waits for nothing.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("no fetch to wait for")
}

fn secret_config() -> Jwt {
    config(JwtKey::Secret(SECRET.to_vec()))
}

/// What Django SimpleJWT puts into an access token, changed by `changes`; null removes a claim.
fn claims(changes: &Value) -> Value {
    let mut claims = json!({
        "token_type": "access", "exp": now() + 300, "iat": now(), "jti": "8c1f", "user_id": USER,
    });
    let object = claims.as_object_mut().expect("an object");
    for (claim, value) in changes.as_object().expect("an object") {
        object.insert(claim.clone(), value.clone());
    }
    claims
}

fn sign(header: &Header, claims: &Value) -> String {
    encode(header, claims, &EncodingKey::from_secret(SECRET)).expect("a token")
}

fn token(changes: &Value) -> String {
    sign(&Header::default(), &claims(changes))
}

fn verify(config: &Jwt, token: &str) -> Result<Identity, Refusal> {
    let authenticator = Authenticator::new(config).expect("a usable key");
    at_once(authenticator.authenticate(&HeaderMap::new(), Some(token), PATIENCE, (), || {}))
}

fn is_accepted(config: &Jwt, token: &str) -> bool {
    verify(config, token).is_ok()
}

/// A token of parts that no library would make.
fn raw_token(header: &str, payload: &str, signature: &str) -> String {
    let encode = |text| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{signature}", encode(header), encode(payload))
}

#[test]
fn a_token_names_its_user() {
    let changes = json!({
        "exp": now() + 60, "user_id": USER.to_uppercase(),
        "email": "a@example.com", "profile": {"name": "Ä", "n": [1, 2.50]},
    });
    let identity = verify(&secret_config(), &token(&changes)).expect("a good token");
    assert_eq!(identity.user_id.to_string(), USER);
    assert_eq!(identity.expires_at, changes["exp"].as_i64().expect("a number"));
    assert_eq!(identity.email.as_deref(), Some("a@example.com"));
    let profile: Value =
        serde_json::from_str(&identity.profile_json.expect("a profile")).expect("JSON");
    assert_eq!(profile, changes["profile"]);
}

#[test]
fn of_a_refused_token_the_user_is_known_if_it_is_signed_as_it_should_be() {
    let authenticator = Authenticator::new(&secret_config()).expect("a usable key");
    let user = |token: &str| authenticator.user_of_refused(&HeaderMap::new(), Some(token));
    for changes in [json!({"exp": now() - 60}), json!({"token_type": "refresh"})] {
        let token = token(&changes);
        assert!(!is_accepted(&secret_config(), &token));
        assert_eq!(user(&token).map(|user| user.to_string()).as_deref(), Some(USER));
    }
    let key = EncodingKey::from_secret(b"another secret of thirty-two bytes or so");
    let forged = encode(&Header::default(), &claims(&json!({})), &key).expect("a token");
    for token in [forged.as_str(), "", "x", &token(&json!({"user_id": "x"}))] {
        assert_eq!(user(token), None);
    }
}

#[test]
fn a_profile_keeps_its_text() {
    let payload = format!(
        r#"{{"exp": {}, "user_id": "{USER}", "profile": {{"b": 1.50,  "a": "\u00e4"}}}}"#,
        now() + 60
    );
    let unsigned = raw_token(r#"{"alg":"HS256"}"#, &payload, "");
    let message = unsigned.trim_end_matches('.');
    let key = EncodingKey::from_secret(SECRET);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256);
    let token = format!("{message}.{}", signature.expect("a signature"));
    let identity = verify(&secret_config(), &token).expect("a good token");
    assert_eq!(identity.profile_json.as_deref(), Some(r#"{"b": 1.50,  "a": "\u00e4"}"#));
}

#[test]
fn optional_claims_may_be_absent_null_or_of_a_wrong_type() {
    for (changes, email, profile_json) in [
        (json!({}), None, None),
        (json!({"email": null, "profile": null}), None, Some("null")),
        (json!({"email": 7, "profile": 7}), None, Some("7")),
        (json!({"email": ""}), Some(""), None),
    ] {
        let identity = verify(&secret_config(), &token(&changes)).expect("a good token");
        assert_eq!(identity.email.as_deref(), email, "{changes}");
        assert_eq!(identity.profile_json.as_deref(), profile_json, "{changes}");
    }
}

#[test]
fn claims_decide() {
    for (changes, accepted) in [
        (json!({}), true),
        (json!({"token_type": "refresh"}), false),
        (json!({"token_type": null}), false),
        (json!({"token_type": 1}), false),
        (json!({"exp": null}), false),
        (json!({"exp": "9999999999"}), false),
        (json!({"exp": now() - 3}), true),
        (json!({"exp": now() - 20}), false),
        (json!({"exp": -1}), false),
        (json!({"exp": now() as f64 + 60.5}), true),
        (json!({"exp": 1e300}), false),
        (json!({"nbf": now() + 3}), true),
        (json!({"nbf": now() + 60}), false),
        (json!({"nbf": "soon"}), false),
        (json!({"nbf": -1}), true),
        (json!({"nbf": null}), true),
        (json!({"user_id": 7}), false),
        (json!({"user_id": "7"}), false),
        (json!({"user_id": USER.replace('-', "")}), false),
        (json!({"user_id": format!("{{{USER}}}")}), false),
        // A bad claim is not made up for by "sub".
        (json!({"user_id": 7, "sub": USER}), false),
        // What is not configured is not looked at.
        (json!({"aud": "someone", "iss": "anyone"}), true),
    ] {
        assert_eq!(is_accepted(&secret_config(), &token(&changes)), accepted, "{changes}");
    }
    let mut without_type = claims(&json!({}));
    without_type.as_object_mut().expect("an object").remove("token_type");
    assert!(is_accepted(&secret_config(), &sign(&Header::default(), &without_type)));
    let mut without_expiry = claims(&json!({}));
    without_expiry.as_object_mut().expect("an object").remove("exp");
    assert!(!is_accepted(&secret_config(), &sign(&Header::default(), &without_expiry)));
}

#[test]
fn the_users_claim_is_configurable_and_falls_back_to_the_subject() {
    let config = with(secret_config(), |issuer| issuer.user_claim = "uid".into());
    let other = "87c8b8e2-3efc-4a4a-b667-1f9c0d7e8437";
    for (changes, user) in [
        (json!({"uid": other, "sub": USER}), Some(other)),
        (json!({"sub": other}), Some(other)),
        (json!({}), None),
    ] {
        let found = verify(&config, &token(&changes)).map(|identity| identity.user_id.to_string());
        assert_eq!(found.ok().as_deref(), user, "{changes}");
    }
}

#[test]
fn the_type_claim_is_configurable() {
    let config = with(secret_config(), |issuer| issuer.type_claim = "typ".into());
    for (changes, accepted) in [
        (json!({"typ": "access"}), true),
        (json!({"typ": "refresh"}), false),
        (json!({"typ": null}), false),
        (json!({}), true),
        // Of another meaning there.
        (json!({"token_type": "Bearer", "typ": "access"}), true),
    ] {
        assert_eq!(is_accepted(&config, &token(&changes)), accepted, "{changes}");
    }
}

#[test]
fn a_refusal_names_its_reason() {
    let with_names = with(with(secret_config(), issued_by("django")), meant_for("chat"));
    let named = json!({"iss": "django", "aud": "chat"});
    let (good, rsa) = (token(&named), EncodingKey::from_rsa_pem(key!("rsa")).expect("a key"));
    let other_key = EncodingKey::from_secret(b"another secret");
    let foreign = encode(&Header::default(), &claims(&named), &other_key).expect("a token");
    let other_kind = encode(&Header::new(Algorithm::RS256), &claims(&named), &rsa);
    for (token, reason) in [
        (String::new(), Refusal::Malformed),
        ("x".repeat(MAX_TOKEN_BYTES + 1), Refusal::TooLong),
        (format!("{good}."), Refusal::Malformed),
        (raw_token(r#"{"alg":"none"}"#, "{}", ""), Refusal::Malformed),
        (foreign, Refusal::Signature),
        (other_kind.expect("a token"), Refusal::Algorithm),
        (token(&json!({"iss": "other", "aud": "chat"})), Refusal::Issuer),
        (token(&json!({"aud": "chat"})), Refusal::Issuer),
        (token(&json!({"iss": "django", "aud": "web"})), Refusal::Audience),
        (token(&json!({"iss": "django"})), Refusal::Audience),
    ] {
        assert_eq!(verify(&with_names, &token).err(), Some(reason), "{token}");
    }
    for (changes, reason) in [
        (json!({"exp": null}), Refusal::NoExpiry),
        (json!({"exp": now() - 60}), Refusal::Expired),
        (json!({"nbf": now() + 60}), Refusal::NotYetValid),
        (json!({"nbf": []}), Refusal::BadStart),
        (json!({"token_type": "refresh"}), Refusal::Type),
        (json!({"user_id": 7}), Refusal::NoUser),
    ] {
        assert_eq!(verify(&secret_config(), &token(&changes)).err(), Some(reason), "{changes}");
    }
}

#[test]
fn a_clock_before_1970_is_a_clock() {
    let authenticator = Authenticator::new(&secret_config()).expect("a usable key");
    let verify = |changes| at_once(authenticator.verify(&token(&changes), -86_400)).map(|_| ());
    assert_eq!(verify(json!({})), Ok(()));
    assert_eq!(verify(json!({"nbf": 0})), Err(Refusal::NotYetValid));
    assert_eq!(at_once(authenticator.verify(&token(&json!({})), i64::MIN)).map(|_| ()), Ok(()));
    assert_eq!(
        at_once(authenticator.verify(&token(&json!({})), i64::MAX)).map(|_| ()),
        Err(Refusal::Expired)
    );
    // Else the library asks the clock, and panics.
    let mut validations = authenticator.issuers[0].validations();
    assert!(validations.all(|demands| !demands.validate_exp && !demands.validate_nbf));
}

#[test]
fn audience_and_issuer_are_demanded_where_they_are_configured() {
    let with_audience = with(secret_config(), meant_for("chat"));
    for (changes, accepted) in [
        (json!({"aud": "chat"}), true),
        (json!({"aud": ["web", "chat"]}), true),
        (json!({"aud": "web"}), false),
        (json!({"aud": []}), false),
        (json!({"aud": 7}), false),
        (json!({}), false),
    ] {
        assert_eq!(is_accepted(&with_audience, &token(&changes)), accepted, "{changes}");
    }
    let with_issuer = with(secret_config(), issued_by("django"));
    for (changes, accepted) in [
        (json!({"iss": "django"}), true),
        (json!({"iss": "other"}), false),
        (json!({"iss": ["django"]}), false),
        (json!({"iss": ["other", "django"]}), false),
        (json!({"iss": null}), false),
        (json!({}), false),
    ] {
        assert_eq!(is_accepted(&with_issuer, &token(&changes)), accepted, "{changes}");
    }
}

#[test]
fn a_secret_verifies_its_three_algorithms_and_no_other() {
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        assert!(is_accepted(&secret_config(), &sign(&Header::new(algorithm), &claims(&json!({})))));
    }
    let other = config(JwtKey::Secret(b"another secret".to_vec()));
    assert!(!is_accepted(&other, &token(&json!({}))));

    let payload = claims(&json!({})).to_string();
    for algorithm in ["none", "None", "NONE", "HS1", "RS256", ""] {
        let header = format!(r#"{{"typ":"JWT","alg":"{algorithm}"}}"#);
        let signed = token(&json!({}));
        let signature = signed.rsplit('.').next().expect("a signature");
        for signature in ["", signature] {
            let token = raw_token(&header, &payload, signature);
            assert!(!is_accepted(&secret_config(), &token), "{algorithm}");
        }
    }
}

#[test]
fn a_public_key_verifies_the_algorithms_that_fit_it() {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    let rsa = EncodingKey::from_rsa_pem(key!("rsa")).expect("a key");
    let p256 = EncodingKey::from_ec_pem(key!("p256")).expect("a key");
    let p384 = EncodingKey::from_ec_pem(key!("p384")).expect("a key");
    let ed25519 = EncodingKey::from_ed_pem(key!("ed25519")).expect("a key");
    let signers = [
        (&rsa, vec![RS256, RS384, RS512, PS256, PS384, PS512]),
        (&p256, vec![ES256]),
        (&p384, vec![ES384]),
        (&ed25519, vec![EdDSA]),
    ];
    let verifiers: [&[u8]; 4] =
        [key!("rsa.pub"), key!("p256.pub"), key!("p384.pub"), key!("ed25519.pub")];
    for (own, public_key) in verifiers.into_iter().enumerate() {
        let config = config(JwtKey::PublicKeyPem(public_key.to_vec()));
        for (other, (key, algorithms)) in signers.iter().enumerate() {
            for algorithm in algorithms {
                let token = encode(&Header::new(*algorithm), &claims(&json!({})), key);
                let accepted = is_accepted(&config, &token.expect("a token"));
                assert_eq!(accepted, own == other, "{algorithm:?} against key {own}");
            }
        }
        // A public key is no secret: nobody may sign with its text.
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let forged = encode(
                &Header::new(algorithm),
                &claims(&json!({})),
                &EncodingKey::from_secret(public_key),
            );
            assert!(!is_accepted(&config, &forged.expect("a token")));
        }
    }
}

#[test]
fn unusable_keys_are_refused_at_the_start() {
    let private_keys: [&[u8]; 4] = [key!("rsa"), key!("p256"), key!("p384"), key!("ed25519")];
    let others: [&[u8]; 4] = [b"", b"secret", key!("p521.pub"), b"-----BEGIN PUBLIC KEY-----\n"];
    for pem in private_keys.into_iter().chain(others) {
        let error = Authenticator::new(&config(JwtKey::PublicKeyPem(pem.to_vec()))).err();
        let message = error.expect("a refusal").to_string();
        assert!(message.starts_with("the key for access tokens is not usable: "), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }
    assert!(Authenticator::new(&config(JwtKey::Secret(Vec::new()))).is_err());
}

#[test]
fn headers_with_demands_are_refused_and_hints_ignored() {
    let critical = Header { crit: Some(vec!["b64".into()]), ..Header::default() };
    assert!(!is_accepted(&secret_config(), &sign(&critical, &claims(&json!({})))));
    let hints = Header {
        kid: Some("../../etc/passwd".into()),
        jku: Some("http://127.0.0.1:9/keys".into()),
        ..Header::default()
    };
    assert!(is_accepted(&secret_config(), &sign(&hints, &claims(&json!({})))));
}

#[test]
fn a_token_has_at_most_eight_kibibytes() {
    let padded = |bytes: usize| token(&json!({"pad": "x".repeat(bytes)}));
    let longest = (5_500..6_200).map(padded).rfind(|token| token.len() <= MAX_TOKEN_BYTES);
    let longest = longest.expect("one that fits");
    assert!(is_accepted(&secret_config(), &longest));
    let too_long = (5_500..6_200).map(padded).find(|token| token.len() > MAX_TOKEN_BYTES);
    assert!(!is_accepted(&secret_config(), &too_long.expect("one that does not")));
}

#[test]
fn the_header_counts_over_the_query() {
    let authenticator = Authenticator::new(&secret_config()).expect("a usable key");
    let good = token(&json!({}));
    let bearer = format!("Bearer {good}");
    let other_case = format!("bEaReR  {good} ");
    for (headers, query, accepted) in [
        (vec![], Some(good.as_str()), true),
        (vec![], None, false),
        (vec![], Some(""), false),
        (vec![bearer.as_str()], None, true),
        (vec![other_case.as_str()], None, true),
        (vec![bearer.as_str()], Some("bad"), true),
        (vec!["Bearer bad"], Some(good.as_str()), false),
        (vec!["Basic dXNlcjpwYXNz"], Some(good.as_str()), false),
        (vec!["Bearer"], None, false),
        (vec![good.as_str()], None, false),
        (vec![bearer.as_str(), bearer.as_str()], None, false),
        (vec!["Bearer \u{e9}"], None, false),
    ] {
        let mut map = HeaderMap::new();
        for value in &headers {
            let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header value");
            map.append(header::AUTHORIZATION, value);
        }
        let result = at_once(authenticator.authenticate(&map, query, PATIENCE, (), || {}));
        assert_eq!(result.is_ok(), accepted, "{headers:?} {query:?}");
    }
}

proptest! {
    #[test]
    fn a_changed_token_is_refused(index: prop::sample::Index, byte in "[A-Za-z0-9_.-]") {
        let good = token(&json!({}));
        let index = index.index(good.len());
        // The last character of a signature holds bits that do not count.
        prop_assume!(index + 1 < good.len() && good[index..=index] != byte);
        let mut changed = good;
        changed.replace_range(index..=index, &byte);
        prop_assert!(!is_accepted(&secret_config(), &changed));
    }

    #[test]
    fn anything_else_is_refused(text in "\\PC{0,200}") {
        prop_assert!(!is_accepted(&secret_config(), &text));
    }
}

#[test]
fn the_token_is_found_anywhere_in_the_query() {
    for (query, token) in [
        ("token=a.b.c", Some("a.b.c")),
        ("x=1&token=a.b-_c&token=other", Some("a.b-_c")),
        ("token=a%2Eb%2ec", Some("a.b.c")),
        ("token=", Some("")),
        ("mytoken=a", None),
        ("token", None),
        ("token=%ff", None),
        ("", None),
    ] {
        assert_eq!(query_token(Some(query)).as_deref(), token, "{query}");
    }
    assert_eq!(query_token(None), None);
}

/// What was verified before says nothing of the time.
#[test]
fn a_token_that_is_remembered_ends_and_begins_like_any_other() {
    let authenticator =
        Authenticator::new(&config(JwtKey::PublicKeyPem(key!("p256.pub").to_vec())));
    let authenticator = authenticator.expect("a usable key");
    let key = EncodingKey::from_ec_pem(key!("p256")).expect("a key");
    let start = now();
    let claims = claims(&json!({"exp": start + 60, "nbf": start}));
    let token = encode(&Header::new(Algorithm::ES256), &claims, &key).expect("a token");
    let verify = |token: &str, now| at_once(authenticator.verify(token, now)).map(drop);
    // Refused, it is not remembered as anything.
    assert_eq!(verify(&token, start + 71), Err(Refusal::Expired));
    for _ in 0..2 {
        for now in [start - 10, start, start + 70] {
            assert_eq!(verify(&token, now), Ok(()), "{}", now - start);
        }
        assert_eq!(verify(&token, start + 71), Err(Refusal::Expired));
        assert_eq!(verify(&token, start - 11), Err(Refusal::NotYetValid));
    }
    // One with another signature is another one.
    let (signed, signature) = token.rsplit_once('.').expect("a signature");
    let other = if signature.starts_with('A') { "B" } else { "A" };
    let forged = format!("{signed}.{other}{}", &signature[1..]);
    assert_eq!(verify(&forged, start), Err(Refusal::Signature));
    assert_eq!(verify(&token, start), Ok(()));
}
