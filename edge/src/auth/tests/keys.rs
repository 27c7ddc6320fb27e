//! Keys of tests, and what an issuer would publish of them.

use super::*;
use jsonwebtoken::DecodingKey;
use simple_asn1::ASN1Block;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signer {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Signer {
    pub(super) const ALL: [Self; 4] = [Self::Rsa, Self::P256, Self::P384, Self::Ed25519];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rsa => "rsa",
            Self::P256 => "p256",
            Self::P384 => "p384",
            Self::Ed25519 => "ed25519",
        }
    }

    pub(super) fn algorithm(self) -> Algorithm {
        match self {
            Self::Rsa => Algorithm::RS256,
            Self::P256 => Algorithm::ES256,
            Self::P384 => Algorithm::ES384,
            Self::Ed25519 => Algorithm::EdDSA,
        }
    }

    pub(super) fn key(self) -> EncodingKey {
        let key = match self {
            Self::Rsa => EncodingKey::from_rsa_pem(key!("rsa")),
            Self::P256 => EncodingKey::from_ec_pem(key!("p256")),
            Self::P384 => EncodingKey::from_ec_pem(key!("p384")),
            Self::Ed25519 => EncodingKey::from_ed_pem(key!("ed25519")),
        };
        key.expect("a key")
    }

    pub(super) fn jwk(self, name: &str) -> Value {
        let mut jwk = self.nameless();
        jwk["kid"] = name.into();
        jwk
    }

    pub(super) fn nameless(self) -> Value {
        let coordinates = |curve: &str, key: Result<DecodingKey, _>| {
            let key = key.map_err(|_: jsonwebtoken::errors::Error| ()).expect("a key");
            let point = key.try_get_as_bytes().expect("a point")[1..].to_vec();
            let (x, y) = point.split_at(point.len() / 2);
            json!({"kty": "EC", "crv": curve, "x": encoded(x), "y": encoded(y)})
        };
        match self {
            Self::Rsa => {
                let key = DecodingKey::from_rsa_pem(key!("rsa.pub")).expect("a key");
                let der = simple_asn1::from_der(key.try_get_as_bytes().expect("DER"));
                let [ASN1Block::Sequence(_, numbers)] = &der.expect("DER")[..] else { panic!() };
                let [ASN1Block::Integer(_, n), ASN1Block::Integer(_, e)] = &numbers[..] else {
                    panic!()
                };
                let [n, e] = [n, e].map(|number| encoded(&number.to_bytes_be().1));
                json!({"kty": "RSA", "n": n, "e": e})
            }
            Self::P256 => coordinates("P-256", DecodingKey::from_ec_pem(key!("p256.pub"))),
            Self::P384 => coordinates("P-384", DecodingKey::from_ec_pem(key!("p384.pub"))),
            Self::Ed25519 => {
                let key = DecodingKey::from_ed_pem(key!("ed25519.pub")).expect("a key");
                let point = encoded(key.try_get_as_bytes().expect("a point"));
                json!({"kty": "OKP", "crv": "Ed25519", "x": point})
            }
        }
    }
}

pub(super) fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A JWK Set of keys that have the names of their kinds.
pub(super) fn set(signers: &[Signer]) -> Value {
    let keys: Vec<_> = signers.iter().map(|signer| signer.jwk(signer.name())).collect();
    json!({"keys": keys})
}

/// A P-256 key that is in no set.
pub(super) fn strange() -> EncodingKey {
    EncodingKey::from_ec_pem(key!("p256-other")).expect("a key")
}
