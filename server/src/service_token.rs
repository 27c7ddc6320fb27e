//! `netrox-chat service-token`: a token of a service, and what the file of services says of it.

use std::{
    io::{self, Write as _},
    time::SystemTime,
};

use rand::{TryRng as _, rngs::SysRng};
use serde_json::json;

use crate::{cli::ServiceTokenMintArgs, failure::Failure, sources::SettingError};

/// So many that nobody finds one by trying, however fast its hash is.
const TOKEN_BYTES: usize = 32;

/// Prints the token, once and for ever, and the entry on a line of its own.
pub(crate) fn run(args: &ServiceTokenMintArgs) -> Result<(), Failure> {
    let name = netrox_core::check_service_name(&args.name);
    name.map_err(|reason| SettingError::new("NAME", reason))?;
    let failed = |what, error: Box<dyn std::error::Error + Send + Sync>| Failure::System {
        what,
        source: io::Error::other(error),
    };
    let mut bytes = [0; TOKEN_BYTES];
    let drawn = SysRng.try_fill_bytes(&mut bytes);
    drawn.map_err(|error| failed("drawing a token", error.into()))?;
    let token = netrox_core::service_token(&bytes);
    let mut entry = json!({
        "name": args.name,
        "token_sha256": netrox_core::TokenHash::of(&token).to_string(),
        "scopes": args.scope.iter().map(|scope| scope.name()).collect::<Vec<_>>(),
    });
    if let (Some(lasts), Some(entry)) = (args.expires_in, entry.as_object_mut()) {
        let end = humantime::format_rfc3339_seconds(now() + lasts).to_string();
        entry.insert("expires_at".to_owned(), end.into());
    }
    let mut stdout = io::stdout();
    writeln!(stdout, "{token}\n{entry}")
        .map_err(|source| Failure::System { what: "writing to stdout", source })?;
    let _ = writeln!(
        io::stderr(),
        "the first line is the token, which is kept nowhere; the second is its entry in the list of \
         --service-tokens-file"
    );
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "tokens expire by the wall clock")]
fn now() -> SystemTime {
    SystemTime::now()
}
