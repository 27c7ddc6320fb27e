//! `netrox-chat token`: access tokens for trying the service out, as its issuer would make them, and what is to be
//! said of one.

use std::{
    io::{self, Read, Write},
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Map, Value};
use tokio::runtime;
use uuid::Uuid;

use crate::{
    cli::{JwtClaimArgs, TokenArgs, UserIdKind},
    failure::Failure,
    secret::{DataDir, Purpose, Warnings},
    settings::{JWT_SECRET, JwtSettings, Keys},
    sources::Sources,
};

/// What is longer is no token.
const MAX_INPUT_BYTES: u64 = 64 * 1024;

/// How long a token is good where nobody says otherwise.
pub(crate) const DEFAULT_TTL: Duration = Duration::from_secs(3600);

/// Whose a token is.
pub(crate) struct Subject<'a> {
    pub(crate) user_id: &'a str,
    pub(crate) email: Option<&'a str>,
    pub(crate) profile: Option<Value>,
    pub(crate) ttl: Duration,
}

/// Prints a token, or what is to be said of one, to stdout; what else the user should know goes to stderr.
pub(crate) fn run(args: &TokenArgs, sources: &Sources) -> Result<ExitCode, Failure> {
    if args.mint.check {
        return check(args, sources);
    }
    // One of the two is given.
    let user_id = args.mint.user_id.as_deref();
    let user_id = user_id.ok_or_else(|| sources.refuse("user-id", "must be given"))?;
    args.jwt_claims.check(sources)?;
    if let Some(flag) = args.jwt_key.other_than_secret(&args.jwt_claims) {
        let reason = "only who holds the private key can make tokens for it";
        return Err(sources.refuse(flag, reason).into());
    }
    let mut warnings = Warnings::of_environment();
    let mut data_dir = DataDir::new(&args.data_dir.data_dir, Purpose::Start);
    let mut keys = Keys::new(sources, Some(&mut data_dir), &mut warnings);
    // Only the form that the service accepts (PROTOCOL section 1).
    let user_ids = keys.user_ids(&args.jwt_claims)?;
    keys.check_namespace_of(&user_ids)?;
    let id = user_ids.id_of(user_id);
    let user_id = match (args.jwt_claims.jwt_user_ids, id) {
        (UserIdKind::Uuid, Ok(id)) => id.to_string(),
        (UserIdKind::Any, Ok(_)) => user_id.to_owned(),
        (kind, Err(_)) => {
            let reason = match kind {
                UserIdKind::Uuid => "not a UUID of 36 characters, hyphenated",
                UserIdKind::Any => "not 1 to 255 bytes of text without control characters",
            };
            return Err(sources.refuse("user-id", reason).into());
        }
    };
    let secret = keys.jwt_secret(&args.jwt_key.secret, "or --jwt-secret-file")?;
    if !data_dir.generated().is_empty() {
        warnings.add(format!(
            "generated a new secret into {}: only a server on this data directory accepts the token",
            data_dir.path().display()
        ));
    }
    let email = args.mint.email.as_deref();
    let subject = Subject { user_id: &user_id, email, profile: None, ttl: args.mint.ttl };
    let token = mint(subject, &args.jwt_claims, secret.reveal().as_bytes())?;
    print(warnings, &format!("{token}\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Signs a token that begins now with a secret.
#[expect(clippy::disallowed_methods, reason = "tokens expire by the wall clock")]
pub(crate) fn mint(
    subject: Subject<'_>,
    names: &JwtClaimArgs,
    secret: &[u8],
) -> Result<String, Failure> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = since.map_err(|_| Failure::System {
        what: "dating the token",
        source: io::Error::other("the clock is before 1970"),
    })?;
    let claims = claims(subject, names, now.as_secs());
    let key = EncodingKey::from_secret(secret);
    jsonwebtoken::encode(&Header::default(), &claims, &key).map_err(|error| Failure::System {
        what: "signing the token",
        source: io::Error::other(error),
    })
}

/// Explains the token on stdin, which may come as it is copied: after `Bearer`, with white space around it.
fn check(args: &TokenArgs, sources: &Sources) -> Result<ExitCode, Failure> {
    if sources.is_flag("user-id") {
        return Err(sources.conflict("check", "user-id").into());
    }
    let mut warnings = Warnings::default();
    let mut data_dir = DataDir::new(&args.data_dir.data_dir, Purpose::Start);
    let key = &args.jwt_key;
    let is_given = !key.given().is_empty() || key.other_than_secret(&args.jwt_claims).is_some();
    // A secret that is made now is that of no token.
    if !is_given && !data_dir.path().join(JWT_SECRET).exists() {
        let reason =
            format!("{} has no {JWT_SECRET}: no server ran there", data_dir.path().display());
        return Err(sources.refuse("data-dir", reason).into());
    }
    let mut keys = Keys::new(sources, Some(&mut data_dir), &mut warnings);
    let JwtSettings { jwt, flag } = keys.jwt(key, &args.jwt_claims)?;

    let mut input = String::new();
    let read = io::stdin().lock().take(MAX_INPUT_BYTES).read_to_string(&mut input);
    read.map_err(|source| Failure::System { what: "reading a token from stdin", source })?;
    let input = input.trim();
    let token = match input.split_once(char::is_whitespace) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim_start(),
        _ => input,
    };
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|source| Failure::System { what: "starting the runtime", source })?;
    let explanation = runtime.block_on(netrox_edge::explain(&jwt, token));
    let explanation = explanation.map_err(|error| sources.refuse(flag, error))?;
    print(warnings, &explanation.to_string())?;
    Ok(if explanation.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(warnings: Warnings, text: &str) -> Result<(), Failure> {
    for warning in warnings {
        let _ = writeln!(io::stderr(), "warning: {warning}");
    }
    write!(io::stdout(), "{text}")
        .map_err(|source| Failure::System { what: "writing to stdout", source })
}

/// `now` is in seconds since 1970.
fn claims(subject: Subject<'_>, names: &JwtClaimArgs, now: u64) -> Map<String, Value> {
    let Subject { user_id, email, profile, ttl } = subject;
    let mut claims = Map::new();
    let mut put = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    put(&names.jwt_type_claim, "access".into());
    put("iat", now.into());
    put("exp", now.saturating_add(ttl.as_secs()).into());
    put("jti", Uuid::new_v4().simple().to_string().into());
    put(&names.jwt_user_claim, user_id.into());
    let (issuer, audience) = (names.jwt_issuer.as_deref(), names.jwt_audience.as_deref());
    for (name, value) in [("email", email), ("iss", issuer), ("aud", audience)] {
        if let Some(value) = value {
            put(name, value.into());
        }
    }
    if let Some(profile) = profile {
        put("profile", profile);
    }
    claims
}
