//! One key of a JWK Set (RFC 7517): whether it verifies access tokens here, and with which algorithms.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde_json::{Map, Value};

use super::{
    key::{OF_SECRETS, RSA_BITS},
    key_set::VerifyingKey,
};

/// The size of an HS256 hash, the least that a key should have (RFC 7518 section 3.2).
const MIN_SECRET_BYTES: usize = 32;
/// What the library takes: odd, and of at most 33 bits.
const RSA_EXPONENTS: std::ops::RangeInclusive<u64> = 3..=(1 << 33) - 1;

/// Who hands out a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// A file of the operator's, which may hold shared secrets.
    File,
    /// An issuer, over the network.
    Network,
}

/// What the key is for, or why it is left out.
pub(super) fn key(jwk: &Value, origin: Origin) -> Result<VerifyingKey, String> {
    let Value::Object(jwk) = jwk else { return Err("it is no object".to_owned()) };
    let name = match jwk.get("kid") {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) => Some(name.clone()),
        Some(_) => return Err("its \"kid\" is no text".to_owned()),
    };
    check_purpose(jwk)?;
    let (key, fitting) = match text(jwk, "kty")? {
        "RSA" => (rsa(jwk)?, AlgorithmFamily::Rsa.algorithms().to_vec()),
        "EC" => elliptic(jwk)?,
        "OKP" => (edwards(jwk)?, vec![Algorithm::EdDSA]),
        "oct" if origin == Origin::File => (secret(jwk)?, OF_SECRETS.to_vec()),
        "oct" => return Err("it is a shared secret, which is taken from a file alone".to_owned()),
        other => return Err(format!("its kind {} is none of RSA, EC, OKP", shown(other))),
    };
    let algorithms = match jwk.get("alg") {
        None | Some(Value::Null) => fitting,
        Some(Value::String(name)) => {
            // RFC 9864 calls EdDSA with this curve by its own name.
            let name = if name == "Ed25519" { "EdDSA" } else { name };
            let algorithm = name.parse().ok().filter(|named| fitting.contains(named));
            vec![
                algorithm
                    .ok_or_else(|| format!("its algorithm {} does not fit it", shown(name)))?,
            ]
        }
        Some(_) => return Err("its \"alg\" is no text".to_owned()),
    };
    Ok(VerifyingKey::new((key, algorithms), name))
}

/// Keys of an encryption stand beside those of signatures.
fn check_purpose(jwk: &Map<String, Value>) -> Result<(), String> {
    match jwk.get("use") {
        None | Some(Value::Null) => {}
        Some(Value::String(purpose)) if purpose == "sig" => {}
        Some(_) => return Err("its \"use\" is not \"sig\"".to_owned()),
    }
    match jwk.get("key_ops") {
        None | Some(Value::Null) => {}
        Some(Value::Array(operations)) if operations.iter().any(|name| name == "verify") => {}
        Some(_) => return Err("its \"key_ops\" do not have \"verify\"".to_owned()),
    }
    if jwk.contains_key("d") {
        return Err("it is a private key, which whoever reads the set could sign with".to_owned());
    }
    Ok(())
}

fn rsa(jwk: &Map<String, Value>) -> Result<DecodingKey, String> {
    let (modulus, exponent) = (number(jwk, "n")?, number(jwk, "e")?);
    let leading = modulus.first().map_or(0, |byte| byte.leading_zeros());
    let bits = (modulus.len() as u64 * 8).saturating_sub(leading.into());
    if !RSA_BITS.contains(&bits) {
        let (least, most) = RSA_BITS.into_inner();
        return Err(format!("it is an RSA key of {bits} bits; it must have {least} to {most}"));
    }
    if modulus.last().is_some_and(|byte| byte % 2 == 0) {
        return Err("its \"n\" is even".to_owned());
    }
    let value = (exponent.len() <= 8)
        .then(|| exponent.iter().fold(0, |value: u64, byte| (value << 8) | u64::from(*byte)));
    if !value.is_some_and(|value| RSA_EXPONENTS.contains(&value) && value % 2 == 1) {
        return Err("its \"e\" is no exponent of an RSA key".to_owned());
    }
    Ok(DecodingKey::from_rsa_raw_components(&modulus, &exponent))
}

fn elliptic(jwk: &Map<String, Value>) -> Result<(DecodingKey, Vec<Algorithm>), String> {
    let (algorithm, bytes) = match text(jwk, "crv")? {
        "P-256" => (Algorithm::ES256, 32),
        "P-384" => (Algorithm::ES384, 48),
        other => return Err(format!("its curve {} is neither P-256 nor P-384", shown(other))),
    };
    let mut point = vec![4];
    for coordinate in ["x", "y"] {
        let value = decoded(jwk, coordinate)?;
        if value.len() != bytes {
            return Err(format!("its {coordinate:?} has {} bytes, not {bytes}", value.len()));
        }
        point.extend(value);
    }
    Ok((DecodingKey::from_ec_der(&point), vec![algorithm]))
}

fn edwards(jwk: &Map<String, Value>) -> Result<DecodingKey, String> {
    let curve = text(jwk, "crv")?;
    if curve != "Ed25519" {
        return Err(format!("its curve {} is not Ed25519", shown(curve)));
    }
    let point = decoded(jwk, "x")?;
    if point.len() != 32 {
        return Err(format!("its \"x\" has {} bytes, not 32", point.len()));
    }
    Ok(DecodingKey::from_ed_der(&point))
}

fn secret(jwk: &Map<String, Value>) -> Result<DecodingKey, String> {
    let secret = decoded(jwk, "k")?;
    if secret.len() < MIN_SECRET_BYTES {
        let bytes = secret.len();
        return Err(format!("it is a secret of {bytes} bytes, and {MIN_SECRET_BYTES} are needed"));
    }
    Ok(DecodingKey::from_secret(&secret))
}

fn text<'a>(jwk: &'a Map<String, Value>, member: &str) -> Result<&'a str, String> {
    let value = jwk.get(member).ok_or_else(|| format!("it has no {member:?}"))?;
    value.as_str().ok_or_else(|| format!("its {member:?} is no text"))
}

fn decoded(jwk: &Map<String, Value>, member: &str) -> Result<Vec<u8>, String> {
    // Some write the padding that RFC 7515 leaves out.
    let text = text(jwk, member)?.trim_end_matches('=');
    URL_SAFE_NO_PAD.decode(text).map_err(|_| format!("its {member:?} is not base64url"))
}

/// Without the zeros that some write before it.
fn number(jwk: &Map<String, Value>, member: &str) -> Result<Vec<u8>, String> {
    let mut bytes = decoded(jwk, member)?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.drain(..zeros);
    Ok(bytes)
}

/// What an issuer wrote, for one line of a log.
pub(super) fn shown(text: &str) -> String {
    const MAX_CHARACTERS: usize = 64;
    let short: String = text.chars().take(MAX_CHARACTERS).collect();
    format!("{short:?}")
}
