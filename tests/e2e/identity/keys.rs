//! Keys of access tokens that an issuer publishes: rotation, outage, and what an issuer may do wrong.

mod files;
mod issuers;
mod libraries;
mod rotation;
mod trouble;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use netrox_harness::token::Claims;
use serde_json::{Value, json};

const ID: &str = "96bf0d3f-720d-4620-8dee-0f59f997cb51";

/// A P-256 key of an issuer.
struct Key {
    name: String,
    key: EncodingKey,
    jwk: Value,
}

impl Key {
    fn new(name: &str) -> Self {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref()).expect("a key");
        let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
        let [x, y] = [x, y].map(|coordinate| URL_SAFE_NO_PAD.encode(coordinate));
        let jwk = json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": name, "x": x, "y": y,
        });
        let key = EncodingKey::from_ec_der(pkcs8.as_ref());
        Self { name: name.to_owned(), key, jwk }
    }

    fn sign(&self, claims: &Claims) -> String {
        claims.sign_named(&self.name, Algorithm::ES256, &self.key)
    }

    /// One that no edge has seen.
    fn token(&self) -> String {
        self.sign(&Claims::access(ID))
    }
}

fn set(keys: &[&Key]) -> Value {
    json!({"keys": keys.iter().map(|key| &key.jwk).collect::<Vec<_>>()})
}
