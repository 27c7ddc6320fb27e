//! The web client at `/demo/`: whether there is one, its key, and tokens of its two users.

use std::{
    io::{self, IsTerminal as _},
    net::SocketAddr,
    sync::Arc,
};

use netrox_edge::config::{Demo, DemoUser, Issuer, JwtKey, KeyFile, KeySource};
use rand::{TryRng as _, rngs::SysRng};
use serde_json::json;

use super::JWT_SECRET;
use crate::{
    cli::{JwtClaimArgs, JwtKeyArgs},
    secret::{DataDir, Warnings},
    sources::{SettingError, Sources},
    token::{self, Subject},
    welcome::{ALICE, BOB},
};

const FLAG: &str = "demo";
/// Nobody guesses it in the time of a process.
const KEY_BYTES: usize = 16;

/// What decides on it.
pub(super) struct Circumstances<'a> {
    pub(super) http_addr: SocketAddr,
    pub(super) data_dir: &'a DataDir,
    pub(super) key: &'a JwtKeyArgs,
    pub(super) claims: &'a JwtClaimArgs,
    pub(super) issuers: &'a [Issuer],
}

/// `wanted` as it was given.
pub(super) fn demo(
    wanted: Option<bool>,
    circumstances: &Circumstances<'_>,
    sources: &Sources,
    warnings: &mut Warnings,
) -> Result<Option<Demo>, SettingError> {
    let Circumstances { http_addr, data_dir, key, claims, issuers } = circumstances;
    let is_tried_out = || {
        let is_kept = |name| data_dir.kept().contains(&name);
        let is_terminal = io::stderr().is_terminal();
        may_be_tried_out(*http_addr, is_kept(JWT_SECRET) && is_kept("service-token"), is_terminal)
    };
    if !wanted.unwrap_or_else(is_tried_out) {
        return Ok(None);
    }
    if key.other_than_secret(claims).is_some() {
        let reason = "needs tokens that are signed with a secret: only who holds the private key can make others";
        return Err(sources.refuse(FLAG, reason));
    }
    // There is one, of the one secret.
    let issuer = issuers.first().ok_or_else(|| sources.refuse(FLAG, "needs a secret"))?;
    let source = issuer.keys.first().ok_or_else(|| sources.refuse(FLAG, "needs a secret"))?;
    if !http_addr.ip().is_loopback() {
        warnings.add(format!(
            "--demo on {http_addr}: whoever gets hold of the address that is printed writes as the two example users"
        ));
    }
    let user = |word, name, user_id| {
        let id = issuer.user_ids.id_of(user_id);
        let id = id.map_err(|_| sources.refuse(FLAG, format!("{name} is no user of these tokens")));
        id.map(|id| DemoUser { word, name, user_id, id: id.to_string() })
    };
    let users = [user("alice", "Alice", ALICE)?, user("bob", "Bob", BOB)?];
    let mut random = [0; KEY_BYTES];
    SysRng.try_fill_bytes(&mut random).map_err(|error| sources.refuse(FLAG, error))?;
    let key = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let (source, claims) = (source.clone(), (*claims).clone());
    let mint = Arc::new(move |user: &DemoUser| mint(user, &source, &claims));
    Ok(Some(Demo { key, users, mint }))
}

/// Whether somebody sits before it who may want to see it, and nobody else reaches it.
fn may_be_tried_out(http_addr: SocketAddr, has_own_secrets: bool, is_terminal: bool) -> bool {
    http_addr.ip().is_loopback() && has_own_secrets && is_terminal
}

fn mint(user: &DemoUser, source: &KeySource, claims: &JwtClaimArgs) -> Result<String, String> {
    let key = match source {
        KeySource::Fixed(key) => key.clone(),
        // It may be another by now.
        KeySource::File(KeyFile { read, .. }) => read()?,
        KeySource::Url(_) | KeySource::Discovery(_) => return Err("no secret".to_owned()),
    };
    let secret = match key {
        JwtKey::Secret(secret) => secret,
        JwtKey::PublicKeyPem(_) | JwtKey::KeySet(_) => return Err("no secret".to_owned()),
    };
    let email = format!("{}@example.com", user.word);
    let subject = Subject {
        user_id: user.user_id,
        email: Some(&email),
        profile: Some(json!({"name": user.name})),
        ttl: token::DEFAULT_TTL,
    };
    token::mint(subject, claims, &secret).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_by_default_where_all_three_hold() {
        for (addr, has_own_secrets, is_terminal, expected) in [
            ("127.0.0.1:8080", true, true, true),
            ("[::1]:8080", true, true, true),
            ("0.0.0.0:8080", true, true, false),
            ("[::]:8080", true, true, false),
            ("10.0.0.5:8080", true, true, false),
            ("127.0.0.1:8080", false, true, false),
            ("127.0.0.1:8080", true, false, false),
        ] {
            let addr = addr.parse().unwrap();
            assert_eq!(may_be_tried_out(addr, has_own_secrets, is_terminal), expected, "{addr}");
        }
    }
}
