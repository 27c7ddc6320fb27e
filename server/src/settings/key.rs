//! Credentials: given, or kept in the data directory if the role has one.

use std::path::Path;

use netrox_edge::config::{Issuer, Jwt, JwtKey, KeyFetching, KeyFile, KeySource, UserIds};

use super::{
    issuers,
    key_file::{self, KeyKind, check_secret},
};
use crate::{
    cli::{JwtClaimArgs, JwtKeyArgs, JwtSecretArgs, ServiceTokenArgs, UserIdKind},
    secret::{self, DataDir, Secret, ServiceTokens, Warnings},
    sources::{SettingError, Sources},
};

/// The flag of the secret, and its file in the data directory.
pub(crate) const JWT_SECRET: &str = "jwt-secret";

const NAMESPACE_OF_NOTHING: &str =
    "is for users' ids that are mapped: --jwt-user-ids any, or user_ids of an issuer";

/// How access tokens are verified, and the flag that says with which keys.
pub(crate) struct JwtSettings {
    pub(crate) jwt: Jwt,
    pub(crate) flag: &'static str,
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
    ) -> Result<JwtSettings, SettingError> {
        claims.check(self.sources)?;
        let given = args.given();
        if let [flag, other, ..] = given[..]
            && !(flag == "jwt-secret-file" && other == JWT_SECRET)
        {
            return Err(self.sources.conflict(flag, other));
        }
        let given = given.first().copied();
        let (flag, issuers) = match given {
            Some("jwt-issuers-file") => ("jwt-issuers-file", self.issuers(args, claims)?),
            other => {
                let user_ids = self.user_ids(claims)?;
                let (flag, keys) = self.keys(other, args, claims)?;
                self.check_name(&user_ids, &keys)?;
                (flag, vec![issuer(keys, claims, user_ids)])
            }
        };
        self.check_namespace(&issuers)?;
        let fetching = self.fetching(args, &issuers)?;
        Ok(JwtSettings { jwt: Jwt { issuers, fetching }, flag })
    }

    fn issuers(
        &mut self,
        args: &JwtKeyArgs,
        claims: &JwtClaimArgs,
    ) -> Result<Vec<Issuer>, SettingError> {
        let flag = "jwt-issuers-file";
        let others = [
            ("jwt-issuer", claims.jwt_issuer.is_some()),
            ("jwt-audience", claims.jwt_audience.is_some()),
        ];
        if let Some((other, _)) = others.into_iter().find(|(_, is_given)| *is_given) {
            return Err(self.sources.conflict(flag, other));
        }
        let path = args.jwt_issuers_file.clone().unwrap_or_default();
        let issuers = issuers::read(&path, claims, args.secret.allow_weak_secret, self.warnings);
        issuers.map_err(|reason| self.sources.refuse(flag, reason))
    }

    /// Of the one issuer that flags tell of.
    pub(crate) fn user_ids(&self, claims: &JwtClaimArgs) -> Result<UserIds, SettingError> {
        match claims.jwt_user_ids {
            UserIdKind::Uuid => Ok(UserIds::Uuids { beside_mapped: false }),
            UserIdKind::Any => {
                let issuer = claims.jwt_issuer.clone().unwrap_or_default();
                UserIds::mapped(issuer, claims.jwt_user_id_namespace)
                    .map_err(|reason| self.sources.refuse("jwt-issuer", reason))
            }
        }
    }

    /// Keys that may be of several issuers, or become another's, would let each write the other's users.
    fn check_name(&self, user_ids: &UserIds, keys: &[KeySource]) -> Result<(), SettingError> {
        let is_mapped_without_name = match user_ids {
            UserIds::Mapped { issuer, .. } => issuer.is_empty(),
            UserIds::Uuids { .. } => false,
        };
        let may_be_of_several = |source: &KeySource| match source {
            KeySource::Url(_) | KeySource::Discovery(_) => true,
            KeySource::Fixed(key) | KeySource::File(KeyFile { key, .. }) => match key {
                JwtKey::KeySet(_) => true,
                JwtKey::Secret(_) | JwtKey::PublicKeyPem(_) => false,
            },
        };
        if is_mapped_without_name && keys.iter().any(may_be_of_several) {
            let reason = "any needs --jwt-issuer with --jwks-url and --jwks-file: without it, all whose keys these are would \
                          share their users. Several issuers go into a --jwt-issuers-file";
            return Err(self.sources.refuse("jwt-user-ids", reason));
        }
        Ok(())
    }

    pub(crate) fn check_namespace_of(&self, user_ids: &UserIds) -> Result<(), SettingError> {
        let flag = "jwt-user-id-namespace";
        let is_mapped = match user_ids {
            UserIds::Mapped { .. } => true,
            UserIds::Uuids { .. } => false,
        };
        if self.sources.is_given(flag) && !is_mapped {
            return Err(self.sources.refuse(flag, NAMESPACE_OF_NOTHING));
        }
        Ok(())
    }

    fn check_namespace(&self, issuers: &[Issuer]) -> Result<(), SettingError> {
        let checks = issuers.iter().map(|issuer| self.check_namespace_of(&issuer.user_ids));
        // One that is mapped is enough.
        checks.reduce(Result::or).unwrap_or(Ok(()))
    }

    /// Of one issuer, by the flag that was given; else those of the URL that its name is, or a secret of the data directory.
    fn keys(
        &mut self,
        given: Option<&'static str>,
        args: &JwtKeyArgs,
        claims: &JwtClaimArgs,
    ) -> Result<(&'static str, Vec<KeySource>), SettingError> {
        if let Some(urls) = &args.jwks_url {
            let urls = urls.0.iter().cloned().map(KeySource::Url);
            return Ok(("jwks-url", urls.collect()));
        }
        let allow_weak = args.secret.allow_weak_secret;
        for (flag, file, kind) in [
            ("jwks-file", &args.jwks_file, KeyKind::Set),
            ("jwt-public-key-file", &args.jwt_public_key_file, KeyKind::Public),
        ] {
            if let Some(path) = file {
                return self.key_file(flag, path, kind);
            }
        }
        if let (Some(path), None) = (&args.secret.jwt_secret_file, &args.secret.jwt_secret) {
            return self.key_file("jwt-secret-file", path, KeyKind::Secret { allow_weak });
        }
        if let Some(issuer) = claims.jwt_issuer.as_ref().filter(|_| given.is_none())
            && issuer.starts_with("https://")
        {
            let checked = netrox_edge::check_key_url(issuer);
            checked.map_err(|reason| self.sources.refuse("jwt-issuer", reason))?;
            let kept = self.data_dir.as_ref().map(|data_dir| data_dir.path().join(JWT_SECRET));
            if let Some(kept) = kept.filter(|kept| kept.exists()) {
                self.warnings.add(format!(
                    "{} is not used: keys of access tokens are those that {issuer} publishes; \
                     --jwt-secret-file would take it",
                    kept.display()
                ));
            }
            return Ok(("jwt-issuer", vec![KeySource::Discovery(issuer.clone())]));
        }
        let alternatives = "or --jwt-secret-file, --jwt-public-key-file, --jwks-url, \
                            --jwks-file, --jwt-issuers-file, or an https URL as --jwt-issuer";
        let secret = self.jwt_secret(&args.secret, alternatives)?;
        let key = JwtKey::Secret(secret.reveal().as_bytes().to_vec());
        Ok((JWT_SECRET, vec![KeySource::Fixed(key)]))
    }

    fn key_file(
        &mut self,
        flag: &'static str,
        path: &Path,
        kind: KeyKind,
    ) -> Result<(&'static str, Vec<KeySource>), SettingError> {
        let file = key_file::read(path, kind, self.warnings);
        let file = file.map_err(|reason| self.sources.refuse(flag, reason))?;
        Ok((flag, vec![KeySource::File(file)]))
    }

    fn fetching(&self, args: &JwtKeyArgs, issuers: &[Issuer]) -> Result<KeyFetching, SettingError> {
        let is_remote = |source: &KeySource| match source {
            KeySource::Url(_) | KeySource::Discovery(_) => true,
            KeySource::Fixed(_) | KeySource::File(_) => false,
        };
        if !issuers.iter().flat_map(|issuer| &issuer.keys).any(is_remote) {
            let flags = ["jwks-ca-file", "jwks-cache", "jwks-refresh-interval"];
            if let Some(flag) = flags.into_iter().find(|flag| self.sources.is_given(flag)) {
                let reason = "is for keys of a URL, and there is none";
                return Err(self.sources.refuse(flag, reason));
            }
        }
        let ca_pem = match &args.jwks_ca_file {
            Some(path) => {
                let pem = secret::read_large_file(path);
                Some(pem.map_err(|error| self.sources.refuse("jwks-ca-file", error))?)
            }
            None => None,
        };
        if let Some(pem) = &ca_pem {
            let checked = netrox_edge::check_authorities(pem);
            checked.map_err(|reason| self.sources.refuse("jwks-ca-file", reason))?;
        }
        let cache = args.jwks_cache.clone();
        Ok(KeyFetching { refresh_interval: args.jwks_refresh_interval, ca_pem, cache })
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
        let checked = check_secret(secret.reveal(), args.allow_weak_secret, self.warnings);
        checked.map_err(|reason| self.sources.refuse(flag, reason))?;
        Ok(secret)
    }

    /// Of a command that has no data directory.
    pub(crate) fn given_jwt_secret(
        &mut self,
        args: &JwtSecretArgs,
    ) -> Result<Secret, SettingError> {
        if args.jwt_secret.is_none() && args.jwt_secret_file.is_none() {
            let reason = "must be given, or --jwt-secret-file: there are users without a token";
            return Err(self.sources.refuse(JWT_SECRET, reason));
        }
        self.jwt_secret(args, "")
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

fn issuer(keys: Vec<KeySource>, claims: &JwtClaimArgs, user_ids: UserIds) -> Issuer {
    Issuer {
        name: claims.jwt_issuer.clone(),
        audiences: claims.jwt_audience.iter().cloned().collect(),
        keys,
        algorithms: None,
        user_claim: claims.jwt_user_claim.clone(),
        type_claim: claims.jwt_type_claim.clone(),
        user_ids,
    }
}
