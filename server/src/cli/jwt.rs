//! How access tokens are verified, and what is in them (PROTOCOL section 1).

use std::{ops::RangeInclusive, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum, builder::BoolishValueParser};
use serde::Deserialize;
use uuid::Uuid;

use super::value::{duration, not_empty};
use crate::{
    secret::Secret,
    sources::{SettingError, Sources},
};

#[derive(Debug, Args)]
#[command(next_help_heading = "Access tokens")]
pub(crate) struct JwtSecretArgs {
    /// Secret that access tokens are signed with (HS256, HS384, HS512); 32 bytes or more
    ///
    /// If the role has a data directory the default is <data-dir>/jwt-secret, generated (mode 0600)
    /// if it is missing. Better given by environment or file: a command line is seen by other users
    /// of the machine.
    #[arg(long, value_name = "SECRET", allow_hyphen_values = true)]
    pub(crate) jwt_secret: Option<Secret>,

    /// File that holds the secret; line ends after it do not count
    #[arg(long, value_name = "FILE")]
    pub(crate) jwt_secret_file: Option<PathBuf>,

    /// Take a secret of less than 32 bytes, which can be guessed from any token [default: it is refused]
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    #[arg(default_value = "false", default_missing_value = "true", hide_default_value = true)]
    #[arg(num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    pub(crate) allow_weak_secret: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Access tokens")]
pub(crate) struct JwtKeyArgs {
    #[command(flatten)]
    pub(crate) secret: JwtSecretArgs,

    /// PEM file of the public key that access tokens are verified with, instead of a secret
    ///
    /// The kind of the key decides on the algorithms: RS* and PS*, ES*, or EdDSA.
    #[arg(long, value_name = "FILE")]
    pub(crate) jwt_public_key_file: Option<PathBuf>,

    /// URL of the issuer's keys, a JWK Set or a map of certificates; several, comma separated
    ///
    /// https, or http to a loopback address. The keys are fetched again at --jwks-refresh-interval, and at once
    /// if a token names one that is not there. Without any flag that says where keys come from, those of an https URL as
    /// --jwt-issuer are found by its OpenID configuration.
    #[arg(long, value_name = "URL", value_parser = parse_jwks_url)]
    pub(crate) jwks_url: Option<JwksUrls>,

    /// File that holds a JWK Set, or a map of certificates; only such a file may hold shared secrets
    #[arg(long, value_name = "FILE")]
    pub(crate) jwks_file: Option<PathBuf>,

    /// JSON file of several issuers, each with keys, audiences, algorithms and claims of its own
    #[arg(long, value_name = "FILE")]
    pub(crate) jwt_issuers_file: Option<PathBuf>,

    /// PEM file of authorities that are trusted beside those of the system when keys are fetched
    #[arg(long, value_name = "FILE")]
    pub(crate) jwks_ca_file: Option<PathBuf>,

    /// File that keeps the last good keys of each URL, for a start while an issuer is away
    #[arg(long, value_name = "FILE")]
    pub(crate) jwks_cache: Option<PathBuf>,

    /// Time from one fetch of keys to the next, at most; an issuer may ask for less
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = duration(REFRESH_INTERVALS))]
    pub(crate) jwks_refresh_interval: Duration,
}

const REFRESH_INTERVALS: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(15 * 60);

/// One or several.
#[derive(Debug, Clone)]
pub(crate) struct JwksUrls(pub(crate) Vec<String>);

fn parse_jwks_url(text: &str) -> Result<JwksUrls, String> {
    let urls = text.split(',').map(|url| {
        let url = url.trim();
        netrox_edge::check_key_url(url).map(|()| url.to_owned()).map_err(str::to_owned)
    });
    urls.collect::<Result<_, _>>().map(JwksUrls)
}

impl JwtKeyArgs {
    /// The flags that say where keys come from.
    pub(crate) fn given(&self) -> Vec<&'static str> {
        let flags = [
            ("jwt-issuers-file", self.jwt_issuers_file.is_some()),
            ("jwks-url", self.jwks_url.is_some()),
            ("jwks-file", self.jwks_file.is_some()),
            ("jwt-public-key-file", self.jwt_public_key_file.is_some()),
            ("jwt-secret-file", self.secret.jwt_secret_file.is_some()),
            ("jwt-secret", self.secret.jwt_secret.is_some()),
        ];
        flags.into_iter().filter_map(|(flag, is_given)| is_given.then_some(flag)).collect()
    }

    /// The flag by which keys are not a shared secret.
    pub(crate) fn other_than_secret(&self, claims: &JwtClaimArgs) -> Option<&'static str> {
        match self.given().first() {
            Some(flag) if flag.starts_with("jwt-secret") => None,
            Some(flag) => Some(flag),
            None => claims
                .jwt_issuer
                .as_ref()
                .is_some_and(|issuer| issuer.starts_with("https://"))
                .then_some("jwt-issuer"),
        }
    }
}

pub(crate) use netrox_edge::config::DEFAULT_USER_CLAIM;

pub(crate) const DEFAULT_TYPE_CLAIM: &str = "token_type";

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Access tokens")]
pub(crate) struct JwtClaimArgs {
    /// Claim that holds the user's id; "sub" is tried after it (with --jwt-user-ids any only after the default)
    #[arg(long, value_name = "CLAIM", default_value = DEFAULT_USER_CLAIM, value_parser = parse_user_claim)]
    pub(crate) jwt_user_claim: String,

    /// Claim that tells the type of a token: if it is there it must be "access"
    ///
    /// If the issuer has given it another name (SimpleJWT: TOKEN_TYPE_CLAIM), its refresh tokens are let in
    /// unless it is named here.
    #[arg(long, value_name = "CLAIM", default_value = DEFAULT_TYPE_CLAIM, value_parser = parse_type_claim)]
    pub(crate) jwt_type_claim: String,

    /// Issuer ("iss") that tokens must have [default: not checked]
    ///
    /// If it is an https URL and no flag says where keys come from, they are those that it publishes (OpenID Connect
    /// Discovery), and a secret of the data directory is not used.
    #[arg(long, value_name = "ISSUER", value_parser = not_empty)]
    pub(crate) jwt_issuer: Option<String>,

    /// Audience ("aud") that tokens must have [default: not checked]
    #[arg(long, value_name = "AUDIENCE", value_parser = not_empty)]
    pub(crate) jwt_audience: Option<String>,

    /// What users' ids in tokens are: UUIDs, or any text and whole numbers, which are mapped to UUIDs
    ///
    /// With any, the id of a user here is the UUIDv5 of the issuer's name, a line feed, and the id in the token: change
    /// neither --jwt-issuer nor this later, since all users would be others.
    #[arg(long, value_name = "KIND", value_enum, default_value = "uuid")]
    pub(crate) jwt_user_ids: UserIdKind,

    /// Namespace of the UUIDs that --jwt-user-ids any makes
    #[arg(long, value_name = "UUID", default_value = DEFAULT_NAMESPACE, value_parser = parse_namespace)]
    pub(crate) jwt_user_id_namespace: Uuid,
}

/// What the users' ids of an issuer are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum UserIdKind {
    Uuid,
    Any,
}

/// Of UUIDs that are made of users' names: drawn at random, and the same for ever.
pub(crate) const DEFAULT_NAMESPACE: &str = "997dee3e-4d19-48d8-b178-269c1f59000d";

pub(super) fn parse_namespace(text: &str) -> Result<Uuid, String> {
    let hyphenated = (text.len() == DEFAULT_NAMESPACE.len()).then(|| Uuid::try_parse(text).ok());
    hyphenated.flatten().ok_or_else(|| "not a UUID of 36 characters, hyphenated".to_owned())
}

/// Claims with a meaning of their own, which can hold neither a user's id nor a type.
const RESERVED_CLAIMS: [&str; 8] = ["aud", "email", "exp", "iat", "iss", "jti", "nbf", "profile"];

pub(crate) fn parse_user_claim(claim: &str) -> Result<String, String> {
    if claim == DEFAULT_TYPE_CLAIM || RESERVED_CLAIMS.contains(&claim) {
        return Err("this claim has another meaning".to_owned());
    }
    not_empty(claim)
}

pub(crate) fn parse_type_claim(claim: &str) -> Result<String, String> {
    if claim == "sub" || RESERVED_CLAIMS.contains(&claim) {
        return Err("this claim has another meaning".to_owned());
    }
    not_empty(claim)
}

impl JwtClaimArgs {
    /// One claim cannot be both.
    pub(crate) fn check(&self, sources: &Sources) -> Result<(), SettingError> {
        check_claims(&self.jwt_user_claim, &self.jwt_type_claim).map_err(|reason| {
            let flags = ["jwt-type-claim", "jwt-user-claim"];
            let given = flags.into_iter().find(|flag| sources.is_given(flag)).unwrap_or(flags[0]);
            sources.refuse(given, reason)
        })
    }
}

/// One claim cannot be both.
pub(crate) fn check_claims(user: &str, kind: &str) -> Result<(), String> {
    if user != kind {
        return Ok(());
    }
    Err(format!("{kind:?} cannot hold both the user and the type"))
}
