//! Wrong keys and sets of keys, each with what is wrong with it. Whoever adds a row gives a reason.

use super::{
    keys::{self, Signer, encoded},
    *,
};
use crate::auth::{
    jwk::Origin,
    jwks::{self, Parsed},
};

fn parse(set: &Value, origin: Origin) -> Result<Parsed, String> {
    jwks::parse(set.to_string().as_bytes(), origin).map_err(|error| error.to_string())
}

fn of_set(set: &Value) -> Authenticator {
    let config = config(JwtKey::KeySet(set.to_string().into_bytes()));
    Authenticator::new(&config).expect("a usable key")
}

fn token(signer: Signer, name: Option<&str>) -> String {
    let header = Header { kid: name.map(str::to_owned), ..Header::new(signer.algorithm()) };
    encode(&header, &claims(&json!({})), &signer.key()).expect("a token")
}

fn accepts(authenticator: &Authenticator, signer: Signer, name: Option<&str>) -> bool {
    at_once(authenticator.verify(&token(signer, name), now())).is_ok()
}

/// A key, what is changed of it (null removes), and a part of the reason why it is left out.
fn wrong_keys() -> Vec<(Signer, Value, &'static str)> {
    use Signer::{Ed25519, P256, P384, Rsa};
    let short = encoded(&[255; 128]);
    let long = encoded(&[255; 1_025]);
    let even = encoded(&[254; 256]);
    vec![
        (Rsa, json!({"kid": 7}), "\"kid\" is no text"),
        (Rsa, json!({"kid": ["rsa"]}), "\"kid\" is no text"),
        (Rsa, json!({"kid": {"rsa": 1}}), "\"kid\" is no text"),
        (Rsa, json!({"kty": null}), "no \"kty\""),
        (Rsa, json!({"kty": 1}), "\"kty\" is no text"),
        (Rsa, json!({"kty": "rsa"}), "none of RSA, EC, OKP"),
        (Rsa, json!({"kty": "DSA"}), "none of RSA, EC, OKP"),
        (Rsa, json!({"kty": "AKP"}), "none of RSA, EC, OKP"),
        (Rsa, json!({"kty": "EC"}), "no \"crv\""),
        (Rsa, json!({"kty": "OKP"}), "no \"crv\""),
        (Rsa, json!({"kty": "oct"}), "no \"k\""),
        (Rsa, json!({"use": "enc"}), "\"use\" is not"),
        (Rsa, json!({"use": "SIG"}), "\"use\" is not"),
        (Rsa, json!({"use": ""}), "\"use\" is not"),
        (Rsa, json!({"use": ["sig"]}), "\"use\" is not"),
        (Rsa, json!({"key_ops": []}), "\"key_ops\" do not"),
        (Rsa, json!({"key_ops": ["sign"]}), "\"key_ops\" do not"),
        (Rsa, json!({"key_ops": ["encrypt", "wrapKey"]}), "\"key_ops\" do not"),
        (Rsa, json!({"key_ops": "verify"}), "\"key_ops\" do not"),
        (Rsa, json!({"key_ops": ["VERIFY"]}), "\"key_ops\" do not"),
        (Rsa, json!({"d": "AQAB"}), "a private key"),
        (P256, json!({"d": "AQAB"}), "a private key"),
        (Ed25519, json!({"d": "AQAB"}), "a private key"),
        (Rsa, json!({"alg": "RSA-OAEP"}), "does not fit"),
        (Rsa, json!({"alg": "RSA-OAEP-256"}), "does not fit"),
        (Rsa, json!({"alg": "RSA1_5"}), "does not fit"),
        (Rsa, json!({"alg": "RS1"}), "does not fit"),
        (Rsa, json!({"alg": "HS256"}), "does not fit"),
        (Rsa, json!({"alg": "ES256"}), "does not fit"),
        (Rsa, json!({"alg": "none"}), "does not fit"),
        (Rsa, json!({"alg": ""}), "does not fit"),
        (Rsa, json!({"alg": 256}), "\"alg\" is no text"),
        (Rsa, json!({"alg": ["RS256"]}), "\"alg\" is no text"),
        (P256, json!({"alg": "ES384"}), "does not fit"),
        (P256, json!({"alg": "ECDH-ES"}), "does not fit"),
        (P256, json!({"alg": "ES256K"}), "does not fit"),
        (P384, json!({"alg": "ES256"}), "does not fit"),
        (Ed25519, json!({"alg": "Ed448"}), "does not fit"),
        (Ed25519, json!({"alg": "HS256"}), "does not fit"),
        (Rsa, json!({"n": null}), "no \"n\""),
        (Rsa, json!({"e": null}), "no \"e\""),
        (Rsa, json!({"n": 7}), "\"n\" is no text"),
        (Rsa, json!({"e": 65_537}), "\"e\" is no text"),
        (Rsa, json!({"n": "n+/="}), "\"n\" is not base64url"),
        (Rsa, json!({"e": "?"}), "\"e\" is not base64url"),
        (Rsa, json!({"n": ""}), "an RSA key of 0 bits"),
        (Rsa, json!({"n": short}), "an RSA key of 1024 bits"),
        (Rsa, json!({"n": long}), "an RSA key of 8200 bits"),
        (Rsa, json!({"n": even}), "\"n\" is even"),
        (Rsa, json!({"e": ""}), "no exponent"),
        (Rsa, json!({"e": "AA"}), "no exponent"),
        (Rsa, json!({"e": "AQ"}), "no exponent"),
        (Rsa, json!({"e": "Ag"}), "no exponent"),
        (Rsa, json!({"e": encoded(&[1, 0, 0])}), "no exponent"),
        (Rsa, json!({"e": encoded(&[255; 8])}), "no exponent"),
        (Rsa, json!({"e": encoded(&[255; 9])}), "no exponent"),
        (P256, json!({"crv": null}), "no \"crv\""),
        (P256, json!({"crv": "P-384"}), "32 bytes, not 48"),
        (P256, json!({"crv": "P-521"}), "neither P-256 nor P-384"),
        (P256, json!({"crv": "P-224"}), "neither P-256 nor P-384"),
        (P256, json!({"crv": "secp256k1"}), "neither P-256 nor P-384"),
        (P256, json!({"crv": "p-256"}), "neither P-256 nor P-384"),
        (P256, json!({"crv": "Ed25519"}), "neither P-256 nor P-384"),
        (P256, json!({"x": null}), "no \"x\""),
        (P256, json!({"y": null}), "no \"y\""),
        (P256, json!({"x": ""}), "0 bytes, not 32"),
        (P256, json!({"x": encoded(&[7; 31])}), "31 bytes, not 32"),
        (P256, json!({"y": encoded(&[7; 33])}), "33 bytes, not 32"),
        (P384, json!({"x": encoded(&[7; 32])}), "32 bytes, not 48"),
        (Ed25519, json!({"crv": "X25519"}), "not Ed25519"),
        (Ed25519, json!({"crv": "Ed448"}), "not Ed25519"),
        (Ed25519, json!({"crv": "P-256"}), "not Ed25519"),
        (Ed25519, json!({"x": null}), "no \"x\""),
        (Ed25519, json!({"x": encoded(&[7; 31])}), "31 bytes, not 32"),
        (Ed25519, json!({"x": encoded(&[7; 57])}), "57 bytes, not 32"),
        (Ed25519, json!({"kty": "EC"}), "neither P-256 nor P-384"),
    ]
}

fn changed(signer: Signer, changes: &Value) -> Value {
    let mut jwk = signer.jwk(signer.name());
    let object = jwk.as_object_mut().expect("an object");
    for (member, value) in changes.as_object().expect("an object") {
        match value {
            Value::Null => drop(object.remove(member)),
            value => drop(object.insert(member.clone(), value.clone())),
        }
    }
    jwk
}

#[test]
fn a_wrong_key_is_left_out_with_its_reason_and_spoils_no_other() {
    for (signer, changes, reason) in wrong_keys() {
        let other = Signer::ALL.into_iter().find(|other| *other != signer).expect("another");
        let set = json!({"keys": [changed(signer, &changes), other.jwk("good")]});
        for origin in [Origin::File, Origin::Network] {
            let Parsed { set, left_out } = parse(&set, origin).expect("a usable key");
            assert_eq!(set.len(), 1, "{changes}");
            let is_secret = origin == Origin::Network && reason == "no \"k\"";
            let reason = if is_secret { "from a file alone" } else { reason };
            assert!(left_out.contains(reason), "{changes}: {reason:?} is not in {left_out}");
        }
        let authenticator = of_set(&set);
        for name in [Some(signer.name()), Some("7"), None] {
            assert!(!accepts(&authenticator, signer, name), "{changes} {name:?}");
        }
        assert!(accepts(&authenticator, other, Some("good")), "{changes}");
    }
}

#[test]
fn what_is_no_set_of_keys_is_refused_as_a_whole() {
    let good = Signer::P256.jwk("p256").to_string();
    let certificates = r#"{"keys": "-----BEGIN CERTIFICATE-----"}"#;
    for (text, reason) in [
        (String::new(), "no JSON object"),
        ("keys".to_owned(), "no JSON object"),
        ("null".to_owned(), "no JSON object"),
        ("[]".to_owned(), "no JSON object"),
        ("{}".to_owned(), "no JSON object"),
        (good.clone(), "no JSON object"),
        (format!("[{good}]"), "no JSON object"),
        (format!("[[{good}]]"), "no JSON object"),
        (format!("{{\"keys\": {good}}}"), "no JSON object"),
        (format!("{{\"keys\": [{good}]"), "no JSON object"),
        (format!("{{\"keys\": [{good}]}}}}"), "no JSON object"),
        (format!("{{\"keys\": [{good}], \"keys\": []}}"), "no JSON object"),
        (format!("{{\"Keys\": [{good}]}}"), "no JSON object"),
        (format!("{{\"jwks\": {{\"keys\": [{good}]}}}}"), "no JSON object"),
        ("{\"keys\": null}".to_owned(), "no JSON object"),
        ("{\"keys\": {}}".to_owned(), "no JSON object"),
        (certificates.to_owned(), "no JSON object"),
        ("<html>down for maintenance</html>".to_owned(), "no JSON object"),
        ("{\"error\": \"down\"}".to_owned(), "no JSON object"),
        ("{\"keys\": []}".to_owned(), "no key that is usable"),
        ("{\"keys\": [null, 7, \"x\", []]}".to_owned(), "it is no object"),
        ("{\"a\": \"-----BEGIN CERTIFICATE-----\"}".to_owned(), "no key that is usable"),
        (format!("{{\"keys\": [{}]}}", vec![good.as_str(); 257].join(",")), "more than 256 keys"),
        (format!("{{\"keys\": [{good}]}}{}", " ".repeat(524_288)), "larger than 512 KiB"),
        (format!("{{\"keys\": {}{}}}", "[".repeat(500), "]".repeat(500)), "no JSON object"),
        ("\u{feff}{\"keys\": []}".to_owned(), "no JSON object"),
    ] {
        for origin in [Origin::File, Origin::Network] {
            let error = jwks::parse(text.as_bytes(), origin).expect_err("no set").to_string();
            let start: String = text.chars().take(80).collect();
            assert!(error.contains(reason), "{start}: {reason:?} is not in {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
    assert!(jwks::parse(b"{\"keys\": [{\"\xff\": 1}]}", Origin::File).is_err());
}

#[test]
fn the_name_that_a_token_gives_chooses_the_key() {
    use Signer::{P256, Rsa};
    let nameless = |signer: Signer| signer.nameless();
    for (what, keys, taken, refused) in [
        (
            "one key without a name is taken for all",
            vec![nameless(P256)],
            vec![None, Some("x"), Some("")],
            vec![],
        ),
        (
            "one key with a name is taken for those that name it or nothing",
            vec![P256.jwk("a")],
            vec![None, Some("a")],
            vec![Some("b"), Some("")],
        ),
        (
            "of several named keys any is taken for those that name none",
            vec![P256.jwk("a"), Rsa.jwk("b")],
            vec![None, Some("a")],
            vec![Some("b"), Some("c")],
        ),
        (
            "a token that names none is held against eight keys of its algorithm",
            (0..8).map(|number| P256.jwk(&number.to_string())).chain([Rsa.jwk("b")]).collect(),
            vec![None, Some("7")],
            vec![Some("b"), Some("8")],
        ),
        (
            "and not against more",
            (0..9).map(|number| P256.jwk(&number.to_string())).collect(),
            vec![Some("8")],
            vec![None, Some("9")],
        ),
        (
            "but against those without a name",
            (0..9).map(|number| P256.jwk(&number.to_string())).chain([nameless(P256)]).collect(),
            vec![None, Some("8"), Some("9")],
            vec![],
        ),
        (
            "those without a name are tried for what no key is named after",
            vec![nameless(P256), Rsa.jwk("b"), nameless(Rsa)],
            vec![None, Some("a")],
            vec![Some("b")],
        ),
        (
            "all keys of one name are tried",
            vec![Rsa.jwk("a"), P256.jwk("a")],
            vec![None, Some("a")],
            vec![Some("b")],
        ),
    ] {
        let authenticator = of_set(&json!({"keys": keys}));
        for name in taken {
            assert!(accepts(&authenticator, P256, name), "{what}: {name:?}");
        }
        for name in refused {
            assert!(!accepts(&authenticator, P256, name), "{what}: {name:?}");
        }
    }
}

#[test]
fn a_shared_secret_is_taken_from_a_file_alone() {
    let secret = json!({"kty": "oct", "kid": "old", "k": encoded(SECRET)});
    let set = json!({"keys": [secret, Signer::P256.jwk("new")]});
    let fetched = parse(&set, Origin::Network).expect("a usable key");
    assert_eq!(fetched.set.len(), 1);
    assert!(fetched.left_out.contains("from a file alone"), "{}", fetched.left_out);
    let authenticator = of_set(&set);
    let header = Header { kid: Some("old".into()), ..Header::default() };
    let old = sign(&header, &claims(&json!({})));
    assert!(at_once(authenticator.verify(&old, now())).is_ok());
    assert!(accepts(&authenticator, Signer::P256, Some("new")));
    // One kind of key is not tried for the other's tokens.
    let header = Header { kid: Some("new".into()), ..Header::default() };
    assert!(at_once(authenticator.verify(&sign(&header, &claims(&json!({}))), now())).is_err());
    let weak = json!({"kty": "oct", "k": encoded(b"guess me")});
    let error = parse(&json!({"keys": [weak]}), Origin::File).expect_err("no usable key");
    assert!(error.contains("a secret of 8 bytes"), "{error}");
}

#[test]
fn a_map_of_certificates_is_a_set() {
    let certificate = String::from_utf8_lossy(key!("p256.crt"));
    let rsa = String::from_utf8_lossy(key!("rsa.crt"));
    let map = json!({"a": certificate, "b": rsa, "c": "no certificate", "d": 7});
    let parsed = parse(&map, Origin::Network).expect("a usable key");
    assert_eq!(parsed.set.len(), 2);
    assert_eq!(parsed.left_out.matches("no certificate in PEM form").count(), 2);
    let authenticator = of_set(&map);
    assert!(accepts(&authenticator, Signer::P256, Some("a")));
    assert!(accepts(&authenticator, Signer::Rsa, Some("b")));
    for (signer, name) in [(Signer::P256, Some("b")), (Signer::Rsa, Some("a"))] {
        assert!(!accepts(&authenticator, signer, name), "{signer:?} {name:?}");
    }
}

#[test]
fn a_certificate_that_is_too_large_or_too_deep_is_not_read() {
    let pem = |der: &[u8]| {
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    };
    let deep =
        (0..17).fold(Vec::new(), |inner, _| [&[0x30, inner.len() as u8], &inner[..]].concat());
    let good = String::from_utf8_lossy(key!("p256.crt"));
    let longest = format!("{good}{}", "\n".repeat(8_192 - good.len()));
    let too_long = format!("{longest}\n");
    let map = json!({"good": longest, "long": too_long, "deep": pem(&deep)});
    for origin in [Origin::File, Origin::Network] {
        let parsed = parse(&map, origin).expect("a usable key");
        assert_eq!(parsed.set.len(), 1);
        for reason in ["\"long\": it is larger than 8 KiB", "\"deep\": its DER is nested more"] {
            assert!(parsed.left_out.contains(reason), "{reason} is not in {}", parsed.left_out);
        }
    }
    let key = JwtKey::PublicKeyPem(pem(&deep).into_bytes());
    let error = Authenticator::new(&config(key)).err().expect("a refusal").to_string();
    assert!(error.contains("16 deep"), "{error}");
}

#[test]
fn one_name_has_eight_keys_at_most() {
    let keys = vec![Signer::P256.jwk("a"); 9];
    let parsed = parse(&json!({"keys": keys}), Origin::Network).expect("usable keys");
    assert_eq!(parsed.set.len(), 8);
    assert!(parsed.left_out.contains("more than 8"), "{}", parsed.left_out);
}

#[test]
fn a_key_may_be_written_with_padding_or_leading_zeros() {
    let mut rsa = Signer::Rsa.jwk("rsa");
    let modulus = URL_SAFE_NO_PAD.decode(rsa["n"].as_str().expect("text")).expect("base64url");
    rsa["n"] = encoded(&[&[0], &modulus[..]].concat()).into();
    let mut p256 = Signer::P256.jwk("p256");
    p256["x"] = format!("{}=", p256["x"].as_str().expect("text")).into();
    p256["use"] = Value::Null;
    let mut ed = Signer::Ed25519.jwk("ed25519");
    ed["alg"] = "Ed25519".into();
    ed["key_ops"] = json!(["verify"]);
    let authenticator = of_set(&json!({"keys": [rsa, p256, ed], "expires": 7}));
    for signer in [Signer::Rsa, Signer::P256, Signer::Ed25519] {
        assert!(accepts(&authenticator, signer, Some(signer.name())), "{signer:?}");
    }
}

#[test]
fn only_one_of_several_issuers_takes_a_token() {
    let issuer = |name: &str, signer: Signer| config::Issuer {
        name: Some(name.to_owned()),
        audiences: vec![format!("chat-{name}")],
        ..config(JwtKey::KeySet(keys::set(&[signer]).to_string().into_bytes())).issuers.remove(0)
    };
    let mut jwt = secret_config();
    jwt.issuers[0].name = Some("three".to_owned());
    jwt.issuers.extend([issuer("one", Signer::P256), issuer("two", Signer::Rsa)]);
    jwt.issuers[2].algorithms = Some(vec!["PS256".to_owned()]);
    let authenticator = Authenticator::new(&jwt).expect("usable keys");
    let verify = |signer: Signer, algorithm, changes: &Value| {
        let header = Header { kid: Some(signer.name().into()), ..Header::new(algorithm) };
        let token = encode(&header, &claims(changes), &signer.key()).expect("a token");
        // The second time it may be remembered.
        let verify = || at_once(authenticator.verify(&token, now())).map(drop);
        let first = verify();
        assert_eq!(verify(), first);
        first
    };
    let (es, ps) = (Algorithm::ES256, Algorithm::PS256);
    for (signer, algorithm, iss, aud, expected) in [
        (Signer::P256, es, "one", "chat-one", Ok(())),
        (Signer::Rsa, ps, "two", "chat-two", Ok(())),
        (Signer::P256, es, "two", "chat-two", Err(Refusal::Algorithm)),
        (Signer::Rsa, ps, "one", "chat-one", Err(Refusal::UnknownKey)),
        (Signer::P256, es, "one", "chat-two", Err(Refusal::Audience)),
        (Signer::Rsa, Algorithm::RS256, "two", "chat-two", Err(Refusal::Algorithm)),
        (Signer::P256, es, "three", "", Err(Refusal::Algorithm)),
        (Signer::P256, es, "four", "", Err(Refusal::Issuer)),
    ] {
        let verified = verify(signer, algorithm, &json!({"iss": iss, "aud": aud}));
        assert_eq!(verified, expected, "{signer:?} {algorithm:?} {iss} {aud}");
    }
    assert_eq!(verify(Signer::P256, es, &json!({})), Err(Refusal::Issuer));
    let by_secret = |changes| at_once(authenticator.verify(&super::token(&changes), now()));
    assert!(by_secret(json!({"iss": "three"})).is_ok());
    assert_eq!(by_secret(json!({"iss": "one"})).err(), Some(Refusal::Algorithm));
    let twice = raw_token(r#"{"alg":"ES256"}"#, r#"{"iss":"one","iss":"two","exp":1}"#, "");
    assert_eq!(at_once(authenticator.verify(&twice, now())).err(), Some(Refusal::Malformed));
}

#[test]
fn algorithms_that_no_key_is_for_are_refused_at_the_start() {
    let p256 = || JwtKey::PublicKeyPem(key!("p256.pub").to_vec());
    for (key, algorithms, reason) in [
        (p256(), vec!["HS256"], "no key of this kind is for HS256"),
        (p256(), vec!["ES256", "none"], "\"none\" is no algorithm"),
        (p256(), vec!["RS256"], "for none of the algorithms"),
        (p256(), vec![], "no algorithm is taken"),
        (JwtKey::Secret(SECRET.to_vec()), vec!["ES256"], "no key of this kind is for ES256"),
    ] {
        let names = algorithms.into_iter().map(str::to_owned).collect();
        let jwt = with(config(key), |issuer| issuer.algorithms = Some(names));
        let error = Authenticator::new(&jwt).err().expect("a refusal").to_string();
        assert!(error.contains(reason), "{reason:?} is not in {error}");
    }
}
