//! `netrox-chat token`: access tokens for trying the service out, as its issuer would make them.

use std::io::{self, Write};

use jsonwebtoken::{EncodingKey, Header, get_current_timestamp};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    cli::{JwtClaimArgs, MintArgs, TokenArgs},
    failure::Failure,
    secret::{DataDir, Warnings},
    settings::Keys,
    sources::Sources,
};

/// Prints one line, the token, to stdout; what the user should know goes to stderr.
pub(crate) fn run(args: &TokenArgs, sources: &Sources) -> Result<(), Failure> {
    let mut warnings = Warnings::of_environment();
    let mut data_dir = DataDir::new(&args.data_dir.data_dir);
    let mut keys = Keys::new(sources, Some(&mut data_dir), &mut warnings);
    let secret = keys.jwt_secret(&args.jwt_secret, "or --jwt-secret-file")?;
    if !data_dir.generated().is_empty() {
        warnings.add(format!(
            "generated a new secret into {}: only a server on this data directory accepts the token",
            data_dir.path().display()
        ));
    }
    let claims = claims(&args.mint, &args.jwt_claims, get_current_timestamp());
    let key = EncodingKey::from_secret(secret.reveal().as_bytes());
    let token = jsonwebtoken::encode(&Header::default(), &claims, &key).map_err(|error| {
        Failure::System { what: "signing the token", source: io::Error::other(error) }
    })?;
    for warning in warnings {
        let _ = writeln!(io::stderr(), "warning: {warning}");
    }
    writeln!(io::stdout(), "{token}")
        .map_err(|source| Failure::System { what: "writing to stdout", source })
}

/// `now` is in seconds since 1970.
fn claims(mint: &MintArgs, names: &JwtClaimArgs, now: u64) -> Map<String, Value> {
    let mut claims = Map::new();
    let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    put("token_type", "access".into());
    put("iat", now.into());
    put("exp", now.saturating_add(mint.ttl.as_secs()).into());
    put("jti", Uuid::new_v4().simple().to_string().into());
    put(&names.jwt_user_claim, mint.user_id.to_string().into());
    for (name, value) in
        [("email", &mint.email), ("iss", &names.jwt_issuer), ("aud", &names.jwt_audience)]
    {
        if let Some(value) = value {
            put(name, value.as_str().into());
        }
    }
    claims
}
