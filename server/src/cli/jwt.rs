//! How access tokens are verified, and what is in them (PROTOCOL section 1).

use std::{convert::Infallible, path::PathBuf};

use clap::{Args, builder::BoolishValueParser};

use super::value::not_empty;
use crate::{
    secret::Secret,
    sources::{SettingError, Sources},
};

#[derive(Debug, Args)]
#[command(next_help_heading = "Access tokens")]
pub(crate) struct JwtSecretArgs {
    /// Secret that access tokens are signed with (HS256, HS384, HS512); 32 bytes or more
    ///
    /// Where the role has a data directory the default is <data-dir>/jwt-secret, generated (mode 0600)
    /// where it is missing. Better given by environment or file: a command line is seen by other users
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

    /// URL of a JWKS: not supported yet
    #[arg(long, value_name = "URL", value_parser = parse_jwks_url)]
    pub(crate) jwks_url: Option<Infallible>,
}

fn parse_jwks_url(_: &str) -> Result<Infallible, String> {
    Err("a JWKS is not supported yet: use --jwt-public-key-file".to_owned())
}

pub(crate) const DEFAULT_USER_CLAIM: &str = "user_id";
pub(crate) const DEFAULT_TYPE_CLAIM: &str = "token_type";

#[derive(Debug, Args)]
#[command(next_help_heading = "Access tokens")]
pub(crate) struct JwtClaimArgs {
    /// Claim that holds the user's id, a UUID; "sub" is tried after it
    #[arg(long, value_name = "CLAIM", default_value = DEFAULT_USER_CLAIM, value_parser = parse_user_claim)]
    pub(crate) jwt_user_claim: String,

    /// Claim that tells the type of a token: where it is there it must be "access"
    ///
    /// Where the issuer has given it another name (SimpleJWT: TOKEN_TYPE_CLAIM), its refresh tokens are let in
    /// unless it is named here.
    #[arg(long, value_name = "CLAIM", default_value = DEFAULT_TYPE_CLAIM, value_parser = parse_type_claim)]
    pub(crate) jwt_type_claim: String,

    /// Issuer ("iss") that tokens must have [default: not checked]
    #[arg(long, value_name = "ISSUER", value_parser = not_empty)]
    pub(crate) jwt_issuer: Option<String>,

    /// Audience ("aud") that tokens must have [default: not checked]
    #[arg(long, value_name = "AUDIENCE", value_parser = not_empty)]
    pub(crate) jwt_audience: Option<String>,
}

/// Claims with a meaning of their own, which can hold neither a user's id nor a type.
const RESERVED_CLAIMS: [&str; 8] = ["aud", "email", "exp", "iat", "iss", "jti", "nbf", "profile"];

fn parse_user_claim(claim: &str) -> Result<String, String> {
    if claim == DEFAULT_TYPE_CLAIM || RESERVED_CLAIMS.contains(&claim) {
        return Err("this claim has another meaning".to_owned());
    }
    not_empty(claim)
}

fn parse_type_claim(claim: &str) -> Result<String, String> {
    if claim == "sub" || RESERVED_CLAIMS.contains(&claim) {
        return Err("this claim has another meaning".to_owned());
    }
    not_empty(claim)
}

impl JwtClaimArgs {
    /// One claim cannot be both.
    pub(crate) fn check(&self, sources: &Sources) -> Result<(), SettingError> {
        if self.jwt_user_claim != self.jwt_type_claim {
            return Ok(());
        }
        let flags = ["jwt-type-claim", "jwt-user-claim"];
        let given = flags.into_iter().find(|flag| sources.is_given(flag)).unwrap_or(flags[0]);
        let claim = &self.jwt_type_claim;
        Err(sources.refuse(given, format!("{claim:?} cannot hold both the user and the type")))
    }
}
