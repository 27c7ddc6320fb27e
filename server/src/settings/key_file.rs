//! Keys of access tokens in files, which are read again when they change: each time with the same checks.

use std::{path::Path, sync::Arc};

use netrox_edge::config::{JwtKey, KeyFile};
use serde_json::Value;

use crate::secret::{self, Warnings};

/// The size of an HS256 hash, the least that a key should have (RFC 7518 section 3.2).
const MIN_SECRET_BYTES: usize = 32;

/// What a file holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum KeyKind {
    Secret { allow_weak: bool },
    Public,
    Set,
}

pub(super) fn read(path: &Path, kind: KeyKind, warnings: &mut Warnings) -> Result<KeyFile, String> {
    let key = read_key(path, kind, warnings)?;
    let again = path.to_owned();
    // What is to be warned of was said at the start.
    let read = Arc::new(move || read_key(&again, kind, &mut Warnings::default()));
    Ok(KeyFile { path: path.to_owned(), key, read })
}

fn read_key(path: &Path, kind: KeyKind, warnings: &mut Warnings) -> Result<JwtKey, String> {
    let content = match kind {
        KeyKind::Secret { allow_weak } => {
            let secret = secret::read_secret(path, warnings).map_err(|error| error.to_string())?;
            check_secret(secret.reveal(), allow_weak, warnings)?;
            return Ok(JwtKey::Secret(secret.reveal().as_bytes().to_vec()));
        }
        KeyKind::Public => secret::read_file(path).map(JwtKey::PublicKeyPem),
        KeyKind::Set => secret::read_large_file_of(path).map(|(text, mode)| {
            if holds_secrets(&text) {
                secret::warn_of_mode(path, mode, warnings);
            }
            JwtKey::KeySet(text)
        }),
    };
    content.map_err(|error| error.to_string())
}

/// Whether a set has a shared secret.
fn holds_secrets(set: &[u8]) -> bool {
    let set: Value = serde_json::from_slice(set).unwrap_or_default();
    let mut keys = set.get("keys").and_then(Value::as_array).into_iter().flatten();
    keys.any(|key| key.get("kty").is_some_and(|kind| kind == "oct"))
}

/// Whether nobody can guess it or knows it.
pub(super) fn check_secret(
    secret: &str,
    allow_weak: bool,
    warnings: &mut Warnings,
) -> Result<(), String> {
    if secret.contains("PRIVATE KEY-----") {
        return Err("it is a private key: give the public one that belongs to it as \
                    --jwt-public-key-file"
            .to_owned());
    }
    if is_public_key(secret) {
        return Err("it is a public key, with which anybody could sign tokens: give it as \
                    --jwt-public-key-file"
            .to_owned());
    }
    let bytes = secret.len();
    if bytes < MIN_SECRET_BYTES {
        let weak = format!(
            "the secret of access tokens has {bytes} bytes and can be guessed from a token: use \
             {MIN_SECRET_BYTES} random ones or more"
        );
        if !allow_weak {
            return Err(format!("{weak}, or --allow-weak-secret"));
        }
        warnings.add(weak);
    }
    Ok(())
}

/// Whether a text is a key that is handed out: PEM, that of an SSH host, or a JWK.
fn is_public_key(text: &str) -> bool {
    let text = text.trim_start();
    let jwk = || serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text);
    text.contains("-----BEGIN ")
        || ["ssh-", "ecdsa-sha2-"].iter().any(|kind| text.starts_with(kind))
        || text.starts_with('{')
            && jwk().is_ok_and(|key| key.get("kty").is_some_and(|kind| kind != "oct"))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn a_set_with_a_shared_secret_is_for_nobody_else() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("keys.json");
        for (text, mode, is_warned_of) in [
            (r#"{"keys": [{"kty": "EC"}, {"kty": "oct"}]}"#, 0o640, true),
            (r#"{"keys": [{"kty": "oct"}]}"#, 0o600, false),
            (r#"{"keys": [{"kty": "EC"}]}"#, 0o644, false),
            (r#"{"a": "a certificate"}"#, 0o644, false),
            ("", 0o644, false),
        ] {
            fs::write(&path, text).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
            let mut warnings = Warnings::default();
            read(&path, KeyKind::Set, &mut warnings).expect("read");
            let told: Vec<_> = warnings.into_iter().collect();
            assert_eq!(told.iter().any(|line| line.contains("chmod 600")), is_warned_of, "{text}");
        }
    }

    #[test]
    fn a_key_that_is_handed_out_is_no_secret() {
        for key in [
            "-----BEGIN PUBLIC KEY-----\nMFkw…",
            "Of the issuer:\n-----BEGIN CERTIFICATE-----",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI",
            " ecdsa-sha2-nistp256 AAAA",
            r#"{"kty":"RSA","n":"…","e":"AQAB"}"#,
        ] {
            assert!(is_public_key(key), "{key}");
        }
        for secret in ["{kty}", "a secret -----BEGIN", "sshhh", r#"{"a":"kty"}"#] {
            assert!(!is_public_key(secret), "{secret}");
        }
    }
}
