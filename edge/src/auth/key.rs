//! The key that access tokens are verified with: which algorithms it is for, and whether it can verify anything.

use jsonwebtoken::{Algorithm, DecodingKey};
use simple_asn1::{ASN1Block, OID, oid};

use super::der;

/// Why the configured keys cannot verify tokens, in one line.
#[derive(Debug, thiserror::Error)]
#[error("the key for access tokens is not usable: {0}")]
pub struct ConfigError(String);

impl ConfigError {
    pub(super) fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }

    /// With whose keys they are, where there are several issuers.
    pub(super) fn of_issuer(self, name: Option<&str>) -> Self {
        match name {
            Some(name) => Self(format!("of the issuer {name:?}: {}", self.0)),
            None => self,
        }
    }

    pub(super) fn reason(&self) -> &str {
        &self.0
    }
}

/// What is safe, and what the library verifies.
pub(super) const RSA_BITS: std::ops::RangeInclusive<u64> = 2_048..=8_192;

/// A key, and the algorithms that it is for.
pub(super) type UsableKey = (DecodingKey, Vec<Algorithm>);

pub(super) const OF_SECRETS: [Algorithm; 3] =
    [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];

pub(super) fn of_secret(secret: &[u8]) -> Result<UsableKey, ConfigError> {
    if secret.is_empty() {
        return Err(ConfigError::new("the secret is empty"));
    }
    Ok((DecodingKey::from_secret(secret), OF_SECRETS.to_vec()))
}

/// Of a public key or a certificate.
pub(super) fn of_pem(pem: &[u8]) -> Result<UsableKey, ConfigError> {
    let marker = b"PRIVATE KEY";
    if pem.windows(marker.len()).any(|window| window == marker) {
        return Err(ConfigError::new("it is a private key, a public key is needed"));
    }
    let none = || ConfigError::new("not an RSA, EC or Ed25519 public key in PEM form");
    let blocks = pem::parse_many(pem).map_err(|_| none())?;
    let block = match &blocks[..] {
        [] => return Err(none()),
        [block] => block,
        // The library takes the first and says nothing of the others.
        several => {
            let count = several.len();
            return Err(ConfigError::new(format!(
                "the file holds {count} PEM blocks, and one key is taken"
            )));
        }
    };
    der::check(block.contents()).map_err(ConfigError::new)?;
    if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
        let bits = key.try_get_as_bytes().ok().and_then(modulus_bits).ok_or_else(none)?;
        if !RSA_BITS.contains(&bits) {
            let (least, most) = RSA_BITS.into_inner();
            return Err(ConfigError::new(format!(
                "an RSA key of {bits} bits; it must have {least} to {most}"
            )));
        }
        let algorithms = key.family().algorithms().to_vec();
        return Ok((key, algorithms));
    }
    if let Ok(key) = DecodingKey::from_ed_pem(pem) {
        return Ok((key, vec![Algorithm::EdDSA]));
    }
    let tree = simple_asn1::from_der(block.contents()).map_err(|_| none())?;
    let key = DecodingKey::from_ec_pem(pem).map_err(|_| match unsupported(&tree) {
        Some(kind) => ConfigError::new(format!("{kind}; it must be an RSA, EC or Ed25519 key")),
        None => none(),
    })?;
    let curve = curve(&tree);
    let algorithm = match curve {
        Some("P-256") => Algorithm::ES256,
        Some("P-384") => Algorithm::ES384,
        other => {
            let name = other.unwrap_or("a curve without a known name");
            return Err(ConfigError::new(format!(
                "an EC key on {name}; it must be on P-256 or P-384"
            )));
        }
    };
    Ok((key, vec![algorithm]))
}

/// Of an RSA public key as PKCS #1 has it.
#[expect(clippy::wildcard_enum_match_arm, reason = "an enum of simple_asn1")]
fn modulus_bits(der: &[u8]) -> Option<u64> {
    der::check(der).ok()?;
    let blocks = simple_asn1::from_der(der).ok()?;
    let [ASN1Block::Sequence(_, numbers)] = &blocks[..] else { return None };
    match numbers.first()? {
        ASN1Block::Integer(_, modulus) => Some(modulus.bits()),
        _ => None,
    }
}

/// The name of the curve that a key is on.
fn curve(tree: &[ASN1Block]) -> Option<&'static str> {
    find(tree, |id| {
        let curves = [
            (oid!(1, 2, 840, 10_045, 3, 1, 7), "P-256"),
            (oid!(1, 3, 132, 0, 34), "P-384"),
            (oid!(1, 3, 132, 0, 35), "P-521"),
            (oid!(1, 3, 132, 0, 33), "P-224"),
            (oid!(1, 3, 132, 0, 10), "secp256k1"),
            (oid!(1, 3, 36, 3, 3, 2, 8, 1, 1, 7), "brainpoolP256r1"),
            (oid!(1, 3, 36, 3, 3, 2, 8, 1, 1, 11), "brainpoolP384r1"),
            (oid!(1, 3, 36, 3, 3, 2, 8, 1, 1, 13), "brainpoolP512r1"),
        ];
        curves.into_iter().find_map(|(curve, name)| (id == curve).then_some(name))
    })
}

/// The name of a kind of key that nothing here verifies.
fn unsupported(tree: &[ASN1Block]) -> Option<&'static str> {
    find(tree, |id| {
        let kinds = [
            (oid!(1, 3, 101, 110), "an X25519 key"),
            (oid!(1, 3, 101, 111), "an X448 key"),
            (oid!(1, 3, 101, 113), "an Ed448 key"),
            (oid!(1, 2, 840, 10_040, 4, 1), "a DSA key"),
            (oid!(1, 2, 840, 113_549, 1, 1, 10), "an RSA key for PSS alone"),
        ];
        kinds.into_iter().find_map(|(kind, name)| (id == kind).then_some(name))
    })
}

/// The first identifier in the tree that `name` knows.
#[expect(clippy::wildcard_enum_match_arm, reason = "an enum of simple_asn1")]
fn find(
    tree: &[ASN1Block],
    name: impl Fn(&OID) -> Option<&'static str> + Copy,
) -> Option<&'static str> {
    tree.iter().find_map(|block| match block {
        ASN1Block::Sequence(_, blocks) => find(blocks, name),
        ASN1Block::ObjectIdentifier(_, id) => name(id),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(pem: &[u8]) -> String {
        match of_pem(pem) {
            Ok((_, algorithms)) => panic!("taken for {algorithms:?}"),
            Err(error) => error.to_string(),
        }
    }

    macro_rules! key {
        ($name:literal) => {
            include_bytes!(concat!("keys/", $name, ".pem"))
        };
    }

    #[test]
    fn a_key_that_verifies_nothing_is_refused_by_its_name() {
        for (pem, named) in [
            (&key!("rsa-1024.pub")[..], "an RSA key of 1024 bits; it must have 2048"),
            (key!("secp256k1.pub"), "an EC key on secp256k1; it must be on P-256 or P-384"),
            (key!("brainpool.pub"), "an EC key on brainpoolP256r1"),
            (key!("p521.pub"), "an EC key on P-521"),
            (key!("explicit.pub"), "an EC key on a curve without a known name"),
            (key!("ed448.pub"), "an Ed448 key"),
            (key!("ed25519"), "a private key"),
            (b"secret", "not an RSA, EC or Ed25519 public key"),
        ] {
            let refused = refused(pem);
            assert!(refused.contains(named), "{named} is not in {refused}");
        }
    }

    /// Whoever rotates keys would believe that both count.
    #[test]
    fn a_second_key_in_the_file_is_refused() {
        let both = [&key!("p256.pub")[..], b"\n", key!("rsa.pub")].concat();
        assert!(refused(&both).contains("2 PEM blocks"));
        // What stands around a key is no key.
        let commented = [b"Of the issuer:\n", &key!("p256.pub")[..]].concat();
        let key = of_pem(&commented).expect("a usable key");
        assert_eq!(key.1, [Algorithm::ES256]);
    }
}
