//! Which signatures are accepted: those that the configuration names, whatever the token says.

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey};
use netrox_harness::{Arrangement, TestChat, each, settings::JWT_SECRET, token::Claims};

use super::{assert_accepted, assert_refused};

each![
    a_secret_verifies_hs256_hs384_and_hs512,
    none_is_refused,
    an_rsa_key_verifies_rs_and_ps,
    an_elliptic_key_verifies_es256,
    an_edwards_key_verifies_eddsa,
];

const ID: &str = "96bf0d3f-720d-4620-8dee-0f59f997cb51";

async fn a_secret_verifies_hs256_hs384_and_hs512(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let key = EncodingKey::from_secret(JWT_SECRET.as_bytes());
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        let token = Claims::access(ID).sign_with(algorithm, &key);
        assert_accepted(&chat, &format!("{algorithm:?}"), &token).await;
    }
    let (rsa, _) = rsa();
    assert_refused(&chat, "RS256", &Claims::access(ID).sign_with(Algorithm::RS256, &rsa)).await;
}

async fn none_is_refused(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let token = Claims::access(ID).sign(JWT_SECRET);
    let parts: Vec<&str> = token.split('.').collect();
    for algorithm in ["none", "None", "NONE", ""] {
        let header = format!(r#"{{"alg":"{algorithm}","typ":"JWT"}}"#);
        let header = URL_SAFE_NO_PAD.encode(header);
        for signature in ["", parts[2]] {
            let token = format!("{header}.{}.{signature}", parts[1]);
            assert_refused(&chat, algorithm, &token).await;
        }
    }
}

async fn an_rsa_key_verifies_rs_and_ps(arrangement: Arrangement) {
    let (key, public_pem) = rsa();
    use Algorithm::{PS256, PS384, PS512, RS256, RS384, RS512};
    let good = [RS256, RS384, RS512, PS256, PS384, PS512];
    verifies_only(arrangement, &good, &key, &public_pem).await;
}

async fn an_elliptic_key_verifies_es256(arrangement: Arrangement) {
    let (key, public_pem) = elliptic();
    verifies_only(arrangement, &[Algorithm::ES256], &key, &public_pem).await;
}

async fn an_edwards_key_verifies_eddsa(arrangement: Arrangement) {
    let (key, public_pem) = edwards();
    verifies_only(arrangement, &[Algorithm::EdDSA], &key, &public_pem).await;
}

/// Accepts what `key` signs, and neither another key of its kind nor another kind.
async fn verifies_only(
    arrangement: Arrangement,
    good: &[Algorithm],
    key: &EncodingKey,
    public_pem: &str,
) {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(&file, public_pem).expect("write the public key");
    let chat = TestChat::builder(arrangement)
        .unset("jwt-secret")
        .set("jwt-public-key-file", file.path())
        .start()
        .await;
    for algorithm in good {
        let token = Claims::access(ID).sign_with(*algorithm, key);
        assert_accepted(&chat, &format!("{algorithm:?}"), &token).await;
    }
    let others = [
        (Algorithm::RS256, rsa().0),
        (Algorithm::ES256, elliptic().0),
        (Algorithm::EdDSA, edwards().0),
    ];
    for (algorithm, key) in &others {
        let token = Claims::access(ID).sign_with(*algorithm, key);
        assert_refused(&chat, &format!("another key, {algorithm:?}"), &token).await;
    }
    // The public key is no secret: it must not serve as one.
    for secret in [public_pem, public_pem.trim_end(), JWT_SECRET] {
        assert_refused(&chat, "HS256", &Claims::access(ID).sign(secret)).await;
    }
}

/// A fresh private key, and its public half in PEM form.
fn rsa() -> (EncodingKey, String) {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
    let pkcs8 = aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der>::as_der(&pair);
    let pem = pem("PRIVATE KEY", pkcs8.expect("a private key").as_ref());
    let key = EncodingKey::from_rsa_pem(pem.as_bytes()).expect("a private key");
    (key, public_pem(&pair.public_key().as_der().expect("a public key")))
}

pub(super) fn elliptic() -> (EncodingKey, String) {
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).expect("a key");
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref()).expect("a key");
    let pem = pem("PRIVATE KEY", pkcs8.as_ref());
    let key = EncodingKey::from_ec_pem(pem.as_bytes()).expect("a private key");
    (key, public_pem(&pair.public_key().as_der().expect("a public key")))
}

fn edwards() -> (EncodingKey, String) {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("a key");
    let pem = pem("PRIVATE KEY", pkcs8.as_ref());
    let key = EncodingKey::from_ed_pem(pem.as_bytes()).expect("a private key");
    (key, public_pem(&pair.public_key().as_der().expect("a public key")))
}

fn public_pem(der: &PublicKeyX509Der<'_>) -> String {
    pem("PUBLIC KEY", der.as_ref())
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
