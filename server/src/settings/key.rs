//! Credentials: given, or kept in the data directory where the role has one.

use netrox_edge::config::{Jwt, JwtKey};

use crate::{
    cli::{JwtClaimArgs, JwtKeyArgs, JwtSecretArgs, ServiceTokenArgs},
    secret::{self, DataDir, Secret, ServiceTokens, Warnings},
    sources::{SettingError, Sources},
};

/// The size of an HS256 hash, the least that a key should have (RFC 7518 section 3.2).
const MIN_SECRET_BYTES: usize = 32;

/// The flag of the secret, and its file in the data directory.
pub(crate) const JWT_SECRET: &str = "jwt-secret";

/// Whether a text is a key that is handed out: PEM, that of an SSH host, or a JWK.
fn is_public_key(text: &str) -> bool {
    let text = text.trim_start();
    let jwk = || serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text);
    text.contains("-----BEGIN ")
        || ["ssh-", "ecdsa-sha2-"].iter().any(|kind| text.starts_with(kind))
        || text.starts_with('{')
            && jwk().is_ok_and(|key| key.get("kty").is_some_and(|kind| kind != "oct"))
}

/// Finds the credentials of a role.
pub(crate) struct Keys<'a> {
    sources: &'a Sources,
    data_dir: Option<&'a mut DataDir>,
    warnings: &'a mut Warnings,
}

impl<'a> Keys<'a> {
    pub(crate) fn new(
        sources: &'a Sources,
        data_dir: Option<&'a mut DataDir>,
        warnings: &'a mut Warnings,
    ) -> Self {
        Self { sources, data_dir, warnings }
    }

    pub(crate) fn service_tokens(
        &mut self,
        args: &ServiceTokenArgs,
    ) -> Result<ServiceTokens, SettingError> {
        let (value, file) = (args.service_token.as_ref(), args.service_token_file.as_ref());
        let given = secret::given("service-token", value, file, self.sources, self.warnings)?;
        let list = match given {
            Some(list) => list,
            None => self.kept("service-token", "or --service-token-file")?,
        };
        let flag = if file.is_some() { "service-token-file" } else { "service-token" };
        ServiceTokens::parse(&list).map_err(|reason| self.sources.refuse(flag, reason))
    }

    pub(crate) fn jwt(
        &mut self,
        args: &JwtKeyArgs,
        claims: &JwtClaimArgs,
    ) -> Result<Jwt, SettingError> {
        claims.check(self.sources)?;
        let key = match &args.jwt_public_key_file {
            Some(path) => {
                for (flag, given) in [
                    ("jwt-secret", args.secret.jwt_secret.is_some()),
                    ("jwt-secret-file", args.secret.jwt_secret_file.is_some()),
                ] {
                    if given {
                        return Err(self.sources.conflict("jwt-public-key-file", flag));
                    }
                }
                let pem = secret::read_file(path);
                let pem = pem.map_err(|error| self.sources.refuse("jwt-public-key-file", error))?;
                JwtKey::PublicKeyPem(pem)
            }
            None => {
                let secret =
                    self.jwt_secret(&args.secret, "or --jwt-secret-file or --jwt-public-key-file")?;
                JwtKey::Secret(secret.reveal().as_bytes().to_vec())
            }
        };
        Ok(Jwt {
            key,
            user_claim: claims.jwt_user_claim.clone(),
            type_claim: claims.jwt_type_claim.clone(),
            issuer: claims.jwt_issuer.clone(),
            audience: claims.jwt_audience.clone(),
        })
    }

    pub(crate) fn jwt_secret(
        &mut self,
        args: &JwtSecretArgs,
        alternatives: &str,
    ) -> Result<Secret, SettingError> {
        let (value, file) = (args.jwt_secret.as_ref(), args.jwt_secret_file.as_ref());
        let given = secret::given(JWT_SECRET, value, file, self.sources, self.warnings)?;
        let secret = match given {
            Some(secret) => secret,
            None => self.kept(JWT_SECRET, alternatives)?,
        };
        let flag = if args.jwt_secret_file.is_some() { "jwt-secret-file" } else { "jwt-secret" };
        if secret.reveal().contains("PRIVATE KEY-----") {
            let reason = "it is a private key: give the public one that belongs to it as \
                          --jwt-public-key-file";
            return Err(self.sources.refuse(flag, reason));
        }
        if is_public_key(secret.reveal()) {
            let reason = "it is a public key, with which anybody could sign tokens: give it as \
                          --jwt-public-key-file";
            return Err(self.sources.refuse(flag, reason));
        }
        let bytes = secret.reveal().len();
        if bytes < MIN_SECRET_BYTES {
            let weak = format!(
                "the secret of access tokens has {bytes} bytes and can be guessed from a token: use \
                 {MIN_SECRET_BYTES} random ones or more"
            );
            if !args.allow_weak_secret {
                let reason = format!("{weak}, or --allow-weak-secret");
                return Err(self.sources.refuse(flag, reason));
            }
            self.warnings.add(weak);
        }
        Ok(secret)
    }

    /// The secret `name` of the data directory.
    fn kept(&mut self, name: &'static str, alternatives: &str) -> Result<Secret, SettingError> {
        match &mut self.data_dir {
            Some(data_dir) => data_dir
                .secret(name, self.warnings)
                .map_err(|error| self.sources.refuse("data-dir", error)),
            None => Err(self.sources.refuse(
                name,
                format!("must be given, {alternatives}: an edge on its own keeps no secrets"),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
