//! What is said when everything runs in one process: where it is, and at the first start how to try
//! it out.

use std::{
    env,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use netrox_edge::config::UserIds;

use crate::{
    cli::{
        DEFAULT_DATA_DIR, DEFAULT_TYPE_CLAIM, DEFAULT_USER_CLAIM, JwtClaimArgs, JwtKeyArgs,
        UserIdKind,
    },
    listener::Addresses,
    secret::DataDir,
};

/// Two users to try it with.
pub(crate) const ALICE: &str = "a11ce000-0000-4000-8000-000000000001";
pub(crate) const BOB: &str = "b0b00000-0000-4000-8000-000000000002";

/// Which doors speak TLS.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Schemes {
    pub(crate) http: bool,
    pub(crate) grpc: bool,
}

#[derive(Debug)]
pub(crate) struct Welcome {
    is_first_start: bool,
    data_dir: PathBuf,
    secrets: Vec<&'static str>,
    schemes: Schemes,
    /// Mints tokens for this server; `None` where only the holder of a private key can.
    token_command: Option<String>,
    /// What Bob's id is here.
    bob: String,
    /// The key of the web client, where there is one.
    demo_key: Option<String>,
}

impl Welcome {
    pub(crate) fn new(
        is_first_start: bool,
        data_dir: &DataDir,
        schemes: Schemes,
        key: &JwtKeyArgs,
        claims: &JwtClaimArgs,
        user_ids: Option<&UserIds>,
    ) -> Self {
        let bob = user_ids.and_then(|ids| ids.id_of(BOB).ok());
        Self {
            bob: bob.map_or_else(|| BOB.to_owned(), |id| id.to_string()),
            is_first_start,
            data_dir: data_dir.path().to_owned(),
            secrets: data_dir.kept().to_vec(),
            schemes,
            token_command: token_command(data_dir, key, claims),
            demo_key: None,
        }
    }

    /// The same with a web client, which has this key.
    pub(crate) fn with_demo(self, demo_key: Option<String>) -> Self {
        Self { demo_key, ..self }
    }

    /// Where the web client is. The key is in the fragment, which browsers send to nobody.
    pub(crate) fn demo_url(&self, addresses: &Addresses) -> Option<String> {
        let key = self.demo_key.as_ref()?;
        let http = addresses.http.map(reachable)?;
        let s = if self.schemes.http { "s" } else { "" };
        Some(format!("http{s}://{http}/demo/#key={key}"))
    }

    pub(crate) fn text(&self, addresses: &Addresses) -> String {
        let http = addresses.http.map(reachable).unwrap_or_default();
        let grpc = addresses.grpc.map(reachable).unwrap_or_default();
        let grpc = if self.schemes.grpc { format!("{grpc} (TLS)") } else { grpc };
        let s = if self.schemes.http { "s" } else { "" };
        let data_dir = self.data_dir.display();
        let admin = addresses.admin.map(reachable);
        let demo = self.demo_url(addresses);
        if !self.is_first_start {
            let admin = admin.map(|admin| format!(", metrics http://{admin}/metrics"));
            let demo = demo.map(|url| format!("To try it in a browser, open {url}\n"));
            return format!(
                "netrox-chat is ready: http{s}://{http}, gRPC {grpc}{}, data in {data_dir}\n{}",
                admin.unwrap_or_default(),
                demo.unwrap_or_default()
            );
        }
        let admin = admin.map(|admin| format!("\n  metrics, health      http://{admin}/metrics"));
        let admin = admin.unwrap_or_default();
        let secrets = match self.secrets.join(", ") {
            names if names.is_empty() => String::new(),
            names => format!("\n  generated secrets    {names}, in {data_dir}: keep them private"),
        };
        let next = match &self.token_command {
            Some(command) => {
                let demo = demo.map(|url| format!("To try it in a browser, open\n\n  {url}\n\n"));
                let steps = first_steps(s, &http, command, &self.bob);
                format!("{}{steps}", demo.unwrap_or_default())
            }
            None => "Clients bring access tokens of the issuer whose keys were given.".to_owned(),
        };
        format!(
            "
netrox-chat is ready, for the first time on this data directory.

  REST and WebSocket   http{s}://{http}
  gRPC                 {grpc}{admin}
  database, uploads    {data_dir}{secrets}

{next}

Ctrl-C stops it. All settings: netrox-chat serve --help

"
        )
    }
}

/// `s` is that of `https` and `wss`.
fn first_steps(s: &str, http: &str, token_command: &str, bob: &str) -> String {
    format!(
        r#"To try it by hand, mint the tokens of two users in another terminal, in this directory:

  ALICE=$({token_command} --user-id {ALICE} --email alice@example.com)
  BOB=$({token_command} --user-id {BOB} --email bob@example.com)

Open Bob's WebSocket, with websocat or any other client, and leave it open:

  websocat "ws{s}://{http}/ws/chat/room/?token=$BOB"

Open Alice's in the same way in a third terminal, send this line, and Bob gets it:

  {{"action":"chat_message","message_body":"hello","receiver_id":"{bob}"}}

The conversation, as Alice:

  curl -H "Authorization: Bearer $ALICE" http{s}://{http}/chat/messages/{bob}/"#
    )
}

/// An address that a client on this machine can use.
fn reachable(mut addr: SocketAddr) -> String {
    if addr.ip().is_unspecified() {
        addr.set_ip(match addr {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    addr.to_string()
}

fn token_command(data_dir: &DataDir, key: &JwtKeyArgs, claims: &JwtClaimArgs) -> Option<String> {
    if key.other_than_secret(claims).is_some() {
        return None;
    }
    let program = env::args().next().unwrap_or_else(|| "netrox-chat".to_owned());
    let mut flags: Vec<(&str, &str)> = Vec::new();
    let file = key.secret.jwt_secret_file.as_ref().map(|path| path.to_string_lossy());
    let data_dir = data_dir.path().to_string_lossy();
    match &file {
        Some(file) => flags.push(("jwt-secret-file", file)),
        None if key.secret.jwt_secret.is_some() => {}
        None if data_dir == DEFAULT_DATA_DIR => {}
        None => flags.push(("data-dir", &data_dir)),
    }
    if claims.jwt_user_claim != DEFAULT_USER_CLAIM {
        flags.push(("jwt-user-claim", &claims.jwt_user_claim));
    }
    if claims.jwt_type_claim != DEFAULT_TYPE_CLAIM {
        flags.push(("jwt-type-claim", &claims.jwt_type_claim));
    }
    if claims.jwt_user_ids == UserIdKind::Any {
        flags.push(("jwt-user-ids", "any"));
    }
    flags.extend(claims.jwt_issuer.iter().map(|issuer| ("jwt-issuer", issuer.as_str())));
    flags.extend(claims.jwt_audience.iter().map(|audience| ("jwt-audience", audience.as_str())));

    // A secret that was given as a value isn't shown; it has to be given again.
    let secret = if key.secret.jwt_secret.is_some() { "NETROX_CHAT_JWT_SECRET=… " } else { "" };
    let flags = flags.iter().map(|(flag, value)| format!(" --{flag} {}", quoted(value)));
    Some(format!("{secret}{} token{}", quoted(&program), flags.collect::<String>()))
}

/// As one word for a shell.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_split_or_expand_them() {
        assert_eq!(quoted("/srv/chat-data_1"), "/srv/chat-data_1");
        assert_eq!(quoted("my data"), "'my data'");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn an_unspecified_address_is_reached_on_loopback() {
        assert_eq!(reachable(([0, 0, 0, 0], 80).into()), "127.0.0.1:80");
        assert_eq!(reachable("[::]:80".parse().unwrap()), "[::1]:80");
        assert_eq!(reachable(([10, 0, 0, 5], 80).into()), "10.0.0.5:80");
    }
}
