//! Wrong tokens, each with what is wrong with it and why it is refused. Whoever adds a row gives a reason.

use axum::{body::to_bytes, response::IntoResponse};
use http::StatusCode;
use jsonwebtoken::crypto;
use uuid::{Uuid, uuid};

use super::{
    keys::{self, Signer},
    *,
};
use crate::{config::UserIds, error::PublicError, wire::v2::problem::Problem};

const ISSUER: &str = "https://issuer.example";
const NAMESPACE: Uuid = uuid!("997dee3e-4d19-48d8-b178-269c1f59000d");

/// Demands all that can be demanded, of tokens of several kinds of keys.
fn authenticator() -> Authenticator {
    let mut set = keys::set(&Signer::ALL);
    let others = set["keys"].as_array_mut().expect("an array");
    others.push(changed(Signer::P256.jwk("encryption"), &json!({"use": "enc"})));
    others.push(changed(Signer::Rsa.jwk("oaep"), &json!({"alg": "RSA-OAEP"})));
    others.push(changed(Signer::Ed25519.jwk("signs"), &json!({"key_ops": ["sign"]})));
    others.push(changed(Signer::Rsa.jwk("only-rs512"), &json!({"alg": "RS512"})));
    let config = config(JwtKey::KeySet(set.to_string().into_bytes()));
    let config = with(with(config, issued_by(ISSUER)), meant_for("chat"));
    Authenticator::new(&config).expect("usable keys")
}

fn changed(mut object: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().expect("an object") {
        object[name] = value.clone();
    }
    object
}

fn good_claims() -> Value {
    claims(&json!({"iss": ISSUER, "aud": "chat"}))
}

fn good_header(signer: Signer) -> Value {
    json!({"typ": "JWT", "alg": signer.algorithm(), "kid": signer.name()})
}

/// Signed as it should be, whatever it says.
fn signed(signer: Signer, algorithm: Algorithm, header: &str, payload: &str) -> String {
    let unsigned = raw_token(header, payload, "");
    let message = unsigned.trim_end_matches('.');
    let signature = crypto::sign(message.as_bytes(), &signer.key(), algorithm);
    format!("{message}.{}", signature.expect("a signature"))
}

fn good(signer: Signer) -> String {
    let header = good_header(signer).to_string();
    signed(signer, signer.algorithm(), &header, &good_claims().to_string())
}

fn with_header(signer: Signer, changes: &Value) -> String {
    let header = changed(good_header(signer), changes).to_string();
    signed(signer, signer.algorithm(), &header, &good_claims().to_string())
}

fn with_claims(changes: &Value) -> String {
    let signer = Signer::Ed25519;
    let payload = changed(good_claims(), changes).to_string();
    signed(signer, signer.algorithm(), &good_header(signer).to_string(), &payload)
}

fn without_claim(name: &str) -> String {
    let mut claims = good_claims();
    claims.as_object_mut().expect("an object").remove(name);
    let signer = Signer::Ed25519;
    signed(signer, signer.algorithm(), &good_header(signer).to_string(), &claims.to_string())
}

/// The same, whose issuer's ids of users are mapped.
fn mapping() -> Authenticator {
    with_user_ids(UserIds::mapped(ISSUER.to_owned(), NAMESPACE).expect("an issuer"))
}

/// The same, beside one whose ids are mapped.
fn beside_mapping() -> Authenticator {
    with_user_ids(UserIds::Uuids { beside_mapped: true })
}

fn with_user_ids(user_ids: UserIds) -> Authenticator {
    let set = keys::set(&Signer::ALL).to_string().into_bytes();
    let config = with(config(JwtKey::KeySet(set)), issued_by(ISSUER));
    Authenticator::new(&with(config, |issuer| issuer.user_ids = user_ids)).expect("usable keys")
}

/// A payload as no library writes it.
fn with_user(claim: &str) -> String {
    let payload = good_claims().to_string();
    let payload = payload.replace(&format!("\"{USER}\""), claim);
    let signer = Signer::Ed25519;
    signed(signer, signer.algorithm(), &good_header(signer).to_string(), &payload)
}

/// What is wrong, the token, and the reason that the operator is told.
type Row = (String, String, Refusal);

fn row(what: impl Into<String>, token: impl Into<String>, refusal: Refusal) -> Row {
    (what.into(), token.into(), refusal)
}

fn of_form() -> Vec<Row> {
    use Refusal::{Malformed, Signature};
    let token = good(Signer::Ed25519);
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!("three parts") };
    let raw =
        |header: &str, payload: &str| signed(Signer::Ed25519, Algorithm::EdDSA, header, payload);
    let plain = good_header(Signer::Ed25519).to_string();
    let mut rows = vec![
        row("nothing", "", Malformed),
        row("a word", "token", Malformed),
        row("dots alone", "..", Malformed),
        row("a header alone", header, Malformed),
        row("no signature part", format!("{header}.{payload}"), Malformed),
        row("a part too many", format!("{token}.{signature}"), Malformed),
        row("five parts, as of an encrypted one", format!("{token}.a.b"), Malformed),
        row("a dot at its end", format!("{token}."), Malformed),
        row("a dot before it", format!(".{token}"), Malformed),
        row("a scheme in it", format!("Bearer {token}"), Malformed),
        row("a line end in it", format!("{header}.\n{payload}.{signature}"), Signature),
        row("a padded header", format!("{header}=.{payload}.{signature}"), Malformed),
        row("a padded payload", format!("{header}.{payload}=.{signature}"), Signature),
        row("quotes around it", format!("\"{token}\""), Malformed),
        row("parts in another order", format!("{payload}.{header}.{signature}"), Malformed),
        row("an empty payload", format!("{header}..{signature}"), Signature),
        row("an empty header", format!(".{payload}.{signature}"), Malformed),
        row("the alphabet of plain base64", format!("+/{}", &token[2..]), Malformed),
        row("a letter of another script", format!("\u{435}{}", &token[1..]), Malformed),
        row("percent signs", token.replace('.', "%2E"), Malformed),
        row("a token of another token", format!("{token},{token}"), Malformed),
        row("longer than any", format!("{token}{}", "A".repeat(MAX_TOKEN_BYTES)), Refusal::TooLong),
    ];
    for (what, header) in [
        ("text", "header"),
        ("an array", "[]"),
        ("null", "null"),
        ("a number", "7"),
        ("no members", "{}"),
        ("a null algorithm", r#"{"alg":null}"#),
        ("a number as algorithm", r#"{"alg":256}"#),
        ("several algorithms", r#"{"alg":["EdDSA"]}"#),
        ("two algorithms of one name", r#"{"alg":"EdDSA","alg":"none"}"#),
        ("a cut object", r#"{"alg":"EdDSA""#),
        ("something behind it", r#"{"alg":"EdDSA"}x"#),
        ("a number as name of a key", r#"{"alg":"EdDSA","kid":1}"#),
        ("a list as name of a key", r#"{"alg":"EdDSA","kid":["ed25519"]}"#),
        ("two names of a key", r#"{"alg":"EdDSA","kid":"ed25519","kid":"rsa"}"#),
        ("a number as type", r#"{"alg":"EdDSA","kid":"ed25519","typ":1}"#),
        ("a word as critical", r#"{"alg":"EdDSA","kid":"ed25519","crit":"exp"}"#),
    ] {
        rows.push(row(format!("a header that is {what}"), raw(header, "{}"), Malformed));
    }
    for (what, payload) in [
        ("nothing", ""),
        ("text", "claims"),
        ("an array", "[]"),
        ("null", "null"),
        ("a number", "7"),
        ("a cut object", r#"{"exp":9999999999"#),
        ("an object and more", r#"{"exp":9999999999}{}"#),
        ("a list of claims", r#"[{"exp":9999999999}]"#),
        ("a number that is none", r#"{"exp":NaN}"#),
    ] {
        rows.push(row(format!("a payload that is {what}"), raw(&plain, payload), Malformed));
    }
    rows
}

fn of_algorithms() -> Vec<Row> {
    use Refusal::{Algorithm as Other, Malformed};
    let mut rows = Vec::new();
    let payload = good_claims().to_string();
    let signature = good(Signer::Rsa);
    let signature = signature.rsplit('.').next().expect("a signature");
    for name in ["none", "None", "NONE", "nOnE", ""] {
        for (what, signature) in [("no signature", ""), ("a signature", signature)] {
            let header = format!(r#"{{"alg":"{name}","kid":"rsa"}}"#);
            let token = raw_token(&header, &payload, signature);
            rows.push(row(format!("the algorithm {name:?} with {what}"), token, Malformed));
        }
    }
    for name in [
        "HS1",
        "RS1",
        "ES512",
        "ES256K",
        "ES521",
        "rs256",
        "RS256 ",
        "Ed448",
        "ML-DSA-44",
        "RSA-OAEP",
        "A128KW",
        "dir",
        "HMAC",
        "RSA",
        "SHA256withRSA",
        "\\u0000RS256",
    ] {
        let header = format!(r#"{{"alg":"{name}","kid":"rsa"}}"#);
        let token = raw_token(&header, &payload, signature);
        rows.push(row(format!("the algorithm {name:?}"), token, Malformed));
    }
    // What everybody knows is no secret.
    let public: [(&str, &[u8]); 4] = [
        ("the text of the RSA key", key!("rsa.pub")),
        ("the text of the P-256 key", key!("p256.pub")),
        ("the text of the P-384 key", key!("p384.pub")),
        ("the text of the Ed25519 key", key!("ed25519.pub")),
    ];
    for (algorithm, name) in
        [(Algorithm::HS256, "HS256"), (Algorithm::HS384, "HS384"), (Algorithm::HS512, "HS512")]
    {
        for (what, text) in public {
            for kid in ["rsa", "p256"] {
                let header = Header { kid: Some(kid.into()), ..Header::new(algorithm) };
                let token = encode(&header, &good_claims(), &EncodingKey::from_secret(text));
                let what = format!("{name} by {what}, of the key {kid}");
                rows.push(row(what, token.expect("a token"), Other));
            }
        }
    }
    // Each key with the algorithm of another.
    for signer in Signer::ALL {
        for named in Signer::ALL.into_iter().filter(|named| *named != signer) {
            let header = changed(good_header(signer), &json!({"kid": named.name()})).to_string();
            let token = signed(signer, signer.algorithm(), &header, &payload);
            let what = format!("signed by {signer:?}, and named after {named:?}");
            rows.push(row(what, token, Other));
        }
    }
    let header = json!({"alg": "RS256", "kid": "only-rs512"}).to_string();
    let token = signed(Signer::Rsa, Algorithm::RS256, &header, &payload);
    rows.push(row("RS256 by a key that is for RS512", token, Other));
    rows
}

fn of_keys() -> Vec<Row> {
    use Refusal::{Signature, UnknownKey};
    let mut rows = Vec::new();
    for (what, name) in [
        ("nobody's", "nobody"),
        ("empty", ""),
        ("in capitals", "ED25519"),
        ("with a space behind", "ed25519 "),
        ("a path", "../../../../dev/null"),
        ("a URL", "https://attacker.example/key"),
        ("a statement", "' UNION SELECT 'key"),
        ("a NUL", "ed25519\0"),
        ("of an encryption key", "encryption"),
        ("of a key for RSA-OAEP", "oaep"),
        ("of a key that only signs", "signs"),
    ] {
        let token = with_header(Signer::Ed25519, &json!({"kid": name}));
        rows.push(row(format!("a name of a key that is {what}"), token, UnknownKey));
    }
    let token = with_header(Signer::Ed25519, &json!({"kid": "x".repeat(2_000)}));
    rows.push(row("a name of a key that is long", token, UnknownKey));
    let nameless = Header::new(Algorithm::ES256);
    let token = encode(&nameless, &good_claims(), &keys::strange()).expect("a token");
    rows.push(row("no name of a key, and the signature of none", token, Signature));

    // A key that comes with the token is nobody's.
    let strange = keys::strange();
    let payload = good_claims().to_string();
    let strange_key = json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"});
    for (what, changes) in [
        ("nothing else", json!({})),
        ("the key itself", json!({"jwk": strange_key})),
        ("a URL of keys", json!({"jku": "https://attacker.example/keys"})),
        ("a URL of certificates", json!({"x5u": "https://attacker.example/keys"})),
        ("certificates", json!({"x5c": ["MIIB"]})),
        ("the print of a certificate", json!({"x5t": "AAAA", "x5t#S256": "AAAA"})),
    ] {
        let header = changed(good_header(Signer::P256), &changes).to_string();
        let unsigned = raw_token(&header, &payload, "");
        let message = unsigned.trim_end_matches('.');
        let signature = crypto::sign(message.as_bytes(), &strange, Algorithm::ES256);
        let token = format!("{message}.{}", signature.expect("a signature"));
        rows.push(row(format!("a key of somebody else, with {what}"), token, Signature));
    }
    rows
}

fn of_signatures() -> Vec<Row> {
    let mut rows = Vec::new();
    for signer in Signer::ALL {
        let token = good(signer);
        let (signed, signature) = token.rsplit_once('.').expect("a signature");
        let bytes = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
        let mut flipped = bytes.clone();
        flipped[0] ^= 1;
        let half = bytes.len() / 2;
        for (what, wrong) in [
            ("empty", Vec::new()),
            ("of zeros", vec![0; bytes.len()]),
            ("of ones", vec![255; bytes.len()]),
            ("a byte short", bytes[1..].to_vec()),
            ("a byte long", [&bytes[..], &[0]].concat()),
            ("changed in a bit", flipped),
            ("half", bytes[..half].to_vec()),
            ("twice there", [&bytes[..], &bytes].concat()),
            ("with its halves exchanged", [&bytes[half..], &bytes[..half]].concat()),
        ] {
            let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(wrong));
            rows.push(row(format!("a signature of {signer:?} {what}"), token, Refusal::Signature));
        }
        let other =
            changed(good_claims(), &json!({"user_id": "87c8b8e2-3efc-4a4a-b667-1f9c0d7e8437"}));
        let token = raw_token(&good_header(signer).to_string(), &other.to_string(), signature);
        let what = format!("the signature of {signer:?} under another user");
        rows.push(row(what, token, Refusal::Signature));
    }
    let payload = good_claims().to_string();
    for (made, said) in [(Algorithm::PS256, "RS256"), (Algorithm::RS256, "PS256")] {
        let header = json!({"alg": said, "kid": "rsa"}).to_string();
        let token = signed(Signer::Rsa, made, &header, &payload);
        rows.push(row(format!("{made:?} that says {said}"), token, Refusal::Signature));
    }
    rows
}

fn of_headers() -> Vec<Row> {
    let critical = [
        ("an extension", json!({"crit": ["b64"], "b64": false})),
        ("one that is not there", json!({"crit": ["exp"]})),
        ("nothing", json!({"crit": []})),
        ("two", json!({"crit": ["b64", "http://example.com/x"], "b64": true})),
    ];
    let critical = critical.into_iter().map(|(what, changes)| {
        let token = with_header(Signer::Ed25519, &changes);
        row(format!("{what} as critical"), token, Refusal::Critical)
    });
    critical.collect()
}

fn of_claims() -> Vec<Row> {
    use Refusal::{
        Audience, BadStart, Expired, Issuer, Malformed, NoExpiry, NoUser, NotYetValid, Type,
    };
    let mut rows = vec![
        row("no time of expiry", without_claim("exp"), NoExpiry),
        row("no issuer", without_claim("iss"), Issuer),
        row("no audience", without_claim("aud"), Audience),
        row("no user", without_claim("user_id"), NoUser),
    ];
    for (claim, value, refusal) in [
        ("exp", json!(null), NoExpiry),
        ("exp", json!("9999999999"), NoExpiry),
        ("exp", json!(true), NoExpiry),
        ("exp", json!([9_999_999_999_u64]), Malformed),
        ("exp", json!({"at": 9_999_999_999_u64}), Malformed),
        ("exp", json!("2099-01-01T00:00:00Z"), NoExpiry),
        ("exp", json!(0), Expired),
        ("exp", json!(-1), NoExpiry),
        ("exp", json!(1.5), Expired),
        ("exp", json!(now() - 60), Expired),
        ("nbf", json!(now() + 60), NotYetValid),
        ("nbf", json!(9_999_999_999_u64), NotYetValid),
        ("nbf", json!("soon"), BadStart),
        ("nbf", json!([]), BadStart),
        ("nbf", json!({}), BadStart),
        ("nbf", json!(true), BadStart),
        ("iss", json!("https://other.example"), Issuer),
        ("iss", json!("https://issuer.example/"), Issuer),
        ("iss", json!("https://ISSUER.example"), Issuer),
        ("iss", json!("issuer.example"), Issuer),
        ("iss", json!(" https://issuer.example"), Issuer),
        ("iss", json!(""), Issuer),
        ("iss", json!(null), Issuer),
        ("iss", json!(["https://issuer.example"]), Issuer),
        ("iss", json!(["https://other.example", "https://issuer.example"]), Issuer),
        ("iss", json!(7), Issuer),
        ("aud", json!("other"), Audience),
        ("aud", json!("CHAT"), Audience),
        ("aud", json!("chat "), Audience),
        ("aud", json!("chat web"), Audience),
        ("aud", json!(""), Audience),
        ("aud", json!([]), Audience),
        ("aud", json!(["web", "mail"]), Audience),
        ("aud", json!(null), Audience),
        ("aud", json!(7), Audience),
        ("aud", json!({"chat": true}), Audience),
        ("token_type", json!("refresh"), Type),
        ("token_type", json!("sliding"), Type),
        ("token_type", json!("id"), Type),
        ("token_type", json!("ACCESS"), Type),
        ("token_type", json!(""), Type),
        ("token_type", json!(null), Type),
        ("token_type", json!(["access"]), Type),
        ("token_type", json!(1), Type),
        ("user_id", json!(7), NoUser),
        ("user_id", json!("7"), NoUser),
        ("user_id", json!(""), NoUser),
        ("user_id", json!(null), NoUser),
        ("user_id", json!([USER]), NoUser),
        ("user_id", json!({"id": USER}), NoUser),
        ("user_id", json!(USER.replace('-', "")), NoUser),
        ("user_id", json!(format!("{{{USER}}}")), NoUser),
        ("user_id", json!(format!("urn:uuid:{USER}")), NoUser),
        ("user_id", json!(format!(" {USER}")), NoUser),
        ("user_id", json!(format!("{USER}\0")), NoUser),
        ("user_id", json!("auth0|5f7c8ec7c33c6c004bbafe82"), NoUser),
        ("user_id", json!(&USER[..35]), NoUser),
    ] {
        let token = with_claims(&json!({claim: value.clone()}));
        rows.push(row(format!("{value} as {claim:?}"), token, refusal));
    }
    rows
}

/// Of users whose ids are mapped: those that are no UUIDs are good.
fn of_mapped_users() -> Vec<Row> {
    use Refusal::{Malformed, NoUser, UserId};
    let mut rows = vec![
        row("no user", without_claim("user_id"), NoUser),
        row("a lone surrogate", with_user(r#""\ud800""#), UserId),
        row("a number with zeros before it", with_user("007"), Malformed),
        row("a number with a plus", with_user("+7"), Malformed),
    ];
    for claim in [
        "null",
        "true",
        "false",
        "7.0",
        "7.5",
        "1e3",
        "1E3",
        "7e0",
        "-0",
        "-0.0",
        "[]",
        "[7]",
        r#"["x"]"#,
        "{}",
        r#"{"id":7}"#,
        r#""""#,
        r#""\u0000""#,
        r#""a\nb""#,
        r#""a\tb""#,
        r#""\u007f""#,
        r#""\u0085""#,
        &"9".repeat(256),
        &format!("\"{}\"", "x".repeat(256)),
        &format!("\"{}\"", "ä".repeat(128)),
    ] {
        rows.push(row(format!("{claim} as a mapped user"), with_user(claim), UserId));
    }
    // A bad claim is not made up for by "sub".
    rows.push(row(
        "a good \"sub\" beside it",
        with_claims(&json!({"user_id": "", "sub": "auth0|7"})),
        UserId,
    ));
    rows
}

/// Of users who might be those of another issuer.
fn of_users_of_others() -> Vec<Row> {
    let of_name = Uuid::new_v5(&NAMESPACE, b"https://other.example\n7").to_string();
    let others = [of_name.to_uppercase(), of_name, "96bf0d3f-720d-5620-0dee-0f59f997cb51".into()];
    let mut rows: Vec<_> = others
        .into_iter()
        .map(|id| {
            let token = with_claims(&json!({"user_id": id}));
            row(format!("{id} beside mapped users"), token, Refusal::UserOfAnother)
        })
        .collect();
    for claim in ["7", r#""7""#, r#""auth0|7""#, r#""""#, "null"] {
        let what = format!("{claim} beside mapped users");
        rows.push(row(what, with_user(claim), Refusal::NoUser));
    }
    rows
}

fn rows() -> Vec<Row> {
    let parts = [of_form(), of_algorithms(), of_keys(), of_signatures(), of_headers(), of_claims()];
    parts.into_iter().flatten().collect()
}

#[test]
fn each_good_token_is_taken() {
    let authenticator = authenticator();
    for signer in Signer::ALL {
        let taken = at_once(authenticator.verify(&good(signer), now()));
        assert_eq!(taken.map(|identity| identity.user_id.to_string()).as_deref(), Ok(USER));
    }
}

/// The second time it may be remembered.
#[test]
fn each_user_is_mapped_or_taken_as_named() {
    let mapping = mapping();
    let id = |claim: &str| {
        let token = with_user(claim);
        let taken = || at_once(mapping.verify(&token, now())).map(|identity| identity.user_id);
        let first = taken();
        assert_eq!(taken(), first, "{claim}");
        assert_eq!(mapping.user_of_refused(&HeaderMap::new(), Some(&token)), first.ok());
        first.expect("a good token").to_string()
    };
    // By Python's uuid5.
    assert_eq!(id(r#""auth0|5f7c8ec7c33c6c004bbafe82""#), "0a3ad925-85f4-5425-8727-70dee5865613");
    assert_eq!(id("42"), "ff1ff739-7263-5326-a417-d0e2d79f16c8");
    assert_eq!(id(r#""42""#), "ff1ff739-7263-5326-a417-d0e2d79f16c8");
    assert_eq!(id(&format!("\"{USER}\"")), "b8c10f45-c507-57d7-b6f4-d08930fd4b79");
    // Who is named by another claim is nobody else's "sub".
    let mut of_claim = self::mapping();
    of_claim.issuers[0].user_claim = "uid".to_owned();
    let of_claim = |claims| at_once(of_claim.verify(&with_claims(&claims), now()));
    assert_eq!(of_claim(json!({"sub": "42"})).map(drop), Err(Refusal::NoUser));
    let taken = of_claim(json!({"sub": "7", "uid": "42"})).map(|identity| identity.user_id);
    let taken = taken.expect("a good token").to_string();
    assert_eq!(taken, "ff1ff739-7263-5326-a417-d0e2d79f16c8");
    let beside = beside_mapping();
    let taken = at_once(beside.verify(&good(Signer::P256), now()));
    assert_eq!(taken.map(|identity| identity.user_id.to_string()).as_deref(), Ok(USER));
}

#[test]
fn each_wrong_token_is_refused_for_its_reason() {
    let rows = rows();
    assert!(rows.len() >= 200, "{}", rows.len());
    for (authenticator, rows) in [
        (authenticator(), rows),
        (mapping(), of_mapped_users()),
        (beside_mapping(), of_users_of_others()),
    ] {
        assert_refused(&authenticator, &rows);
    }
}

fn assert_refused(authenticator: &Authenticator, rows: &[Row]) {
    // What was taken before helps none of them.
    for _ in 0..2 {
        let mut otherwise = Vec::new();
        for (what, token, refusal) in rows {
            let refused = at_once(authenticator.verify(token, now())).map(|_| ()).err();
            if refused != Some(*refusal) {
                otherwise.push(format!("{what}: {refused:?}, not {refusal:?}: {token}"));
            }
        }
        assert!(otherwise.is_empty(), "{otherwise:#?}");
        for signer in Signer::ALL {
            assert!(at_once(authenticator.verify(&good(signer), now())).is_ok());
        }
    }
}

/// A refusal tells nothing of its reason.
#[tokio::test]
async fn all_are_refused_with_the_same_bytes() {
    let mut answers = Vec::new();
    let rows = [rows(), of_mapped_users(), of_users_of_others()];
    for (_, _, refusal) in rows.into_iter().flatten() {
        for response in
            [PublicError::from(refusal).into_response(), Problem::of_token(refusal).into_response()]
        {
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
            let headers = format!("{:?}", response.headers());
            let body = to_bytes(response.into_body(), 4_096).await.expect("a body");
            answers.push((headers, body));
        }
    }
    answers.sort_unstable();
    answers.dedup();
    assert_eq!(answers.len(), 2, "one of each generation");
}
