//! The URL of a PostgreSQL database. Its parameters are those of libpq, of which each is obeyed, refused by its name, or
//! named as one without effect: one that were dropped might have been what keeps the connection safe.

use std::{fmt, str::FromStr};

use percent_encoding::percent_decode_str;
use sqlx::postgres::PgConnectOptions;

use super::UrlError;

/// `postgres://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE[?PARAMETERS]`, as libpq reads it.
#[derive(Clone)]
pub struct PostgresUrl(Box<Parsed>);

#[derive(Clone)]
struct Parsed {
    options: PgConnectOptions,
    ignored: Vec<&'static str>,
}

const INVALID: UrlError =
    UrlError::new("is no valid URL: must be postgres://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE");
const SEVERAL_HOSTS: UrlError = UrlError::new(
    "names several hosts, of which none would be tried but one: put one address in front of them (a proxy, or a \
     name that follows the primary)",
);
const SYSTEM_ROOTS: UrlError = UrlError::new(
    "sslrootcert=system is not supported: name a file, as /etc/ssl/certs/ca-certificates.crt, or leave it out for \
     Mozilla's list of authorities",
);

/// What is done with a parameter.
#[derive(Debug, Clone, Copy)]
enum Treatment {
    /// The driver does what it says.
    Obeyed,
    /// It tunes, and has no effect.
    Ignored,
    /// It promises what is not kept, but for these values. What to do instead.
    KeptOnlyAs(&'static [&'static str], &'static str),
}

use Treatment::{Ignored, KeptOnlyAs, Obeyed};

/// <https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-PARAMKEYWORDS>, and what the driver adds.
const PARAMETERS: &[(&str, Treatment)] = &[
    ("application_name", Obeyed),
    ("dbname", Obeyed),
    ("host", Obeyed),
    ("hostaddr", Obeyed),
    ("options", Obeyed),
    ("password", Obeyed),
    ("port", Obeyed),
    ("ssl-ca", Obeyed),
    ("ssl-cert", Obeyed),
    ("ssl-key", Obeyed),
    ("ssl-mode", Obeyed),
    ("ssl-root-cert", Obeyed),
    ("sslcert", Obeyed),
    ("sslkey", Obeyed),
    ("sslmode", Obeyed),
    ("sslrootcert", Obeyed),
    ("statement-cache-capacity", Obeyed),
    ("user", Obeyed),
    ("connect_timeout", Ignored),
    ("fallback_application_name", Ignored),
    ("gsslib", Ignored),
    ("keepalives", Ignored),
    ("keepalives_count", Ignored),
    ("keepalives_idle", Ignored),
    ("keepalives_interval", Ignored),
    ("krbsrvname", Ignored),
    ("max_protocol_version", Ignored),
    ("sslcompression", Ignored),
    ("sslsni", Ignored),
    ("tcp_user_timeout", Ignored),
    ("channel_binding", KeptOnlyAs(&["disable", "prefer"], VERIFY)),
    ("client_encoding", KeptOnlyAs(&["UTF8", "utf8", "auto"], "it is always UTF8")),
    ("gssdelegation", KeptOnlyAs(&["0"], NO_GSS)),
    ("gssencmode", KeptOnlyAs(&["disable", "prefer"], NO_GSS)),
    ("load_balance_hosts", KeptOnlyAs(&["disable"], ONE_ADDRESS)),
    ("min_protocol_version", KeptOnlyAs(&["3.0"], "it is 3.0")),
    ("oauth_client_id", KeptOnlyAs(&[], NO_OAUTH)),
    ("oauth_client_secret", KeptOnlyAs(&[], NO_OAUTH)),
    ("oauth_issuer", KeptOnlyAs(&[], NO_OAUTH)),
    ("oauth_scope", KeptOnlyAs(&[], NO_OAUTH)),
    ("passfile", KeptOnlyAs(&[], "name the file in the variable PGPASSFILE")),
    ("replication", KeptOnlyAs(&["false", "off", "no", "0"], "it is no replication")),
    ("require_auth", KeptOnlyAs(&[], VERIFY)),
    ("requiressl", KeptOnlyAs(&["0"], "use sslmode")),
    ("requirepeer", KeptOnlyAs(&[], "nobody looks whose the socket is")),
    ("scram_client_key", KeptOnlyAs(&[], "give the password")),
    ("scram_server_key", KeptOnlyAs(&[], "give the password")),
    ("service", KeptOnlyAs(&[], "write out what the service stands for")),
    ("servicefile", KeptOnlyAs(&[], "write out what the service stands for")),
    ("ssl_max_protocol_version", KeptOnlyAs(&["TLSv1.3"], "TLS 1.2 and 1.3 are spoken")),
    (
        "ssl_min_protocol_version",
        KeptOnlyAs(
            &["TLSv1", "TLSv1.1", "TLSv1.2"],
            "TLS 1.2 and 1.3 are spoken: ask for more at the server",
        ),
    ),
    ("sslcertmode", KeptOnlyAs(&["allow"], "give sslcert and sslkey, or neither")),
    ("sslcrl", KeptOnlyAs(&[], "lists of revoked certificates are not read")),
    ("sslcrldir", KeptOnlyAs(&[], "lists of revoked certificates are not read")),
    ("sslkeylogfile", KeptOnlyAs(&[], "keys of sessions are not written down")),
    (
        "sslnegotiation",
        KeptOnlyAs(&["postgres"], "leave it out: the server has to take the usual one"),
    ),
    ("sslpassword", KeptOnlyAs(&[], "give a key that is not encrypted, in a file with mode 0600")),
    ("target_session_attrs", KeptOnlyAs(&["any"], ONE_PRIMARY)),
];
const VERIFY: &str = "use sslmode=verify-full, and scram-sha-256 at the server";
const NO_GSS: &str = "GSSAPI is not spoken: use TLS";
const NO_OAUTH: &str = "OAuth is not spoken: use a password or a certificate";
const ONE_ADDRESS: &str = "put one address in front of the servers";
const ONE_PRIMARY: &str = "a core refuses a standby in any case; where there are several servers, put one address in front \
    of them (a proxy, or a name that follows the primary)";

/// What a URL is made of.
struct Parts<'a> {
    /// Up to the parameters.
    base: String,
    parameters: Vec<Parameter<'a>>,
}

struct Parameter<'a> {
    /// As it stands in the URL.
    given: &'a str,
    name: String,
    value: String,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Result<Self, UrlError> {
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        if query.contains('#') {
            return Err(UrlError::new("a # among the parameters has to be written as %23"));
        }
        let decoded = |text: &str| {
            percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
        };
        let given = query.split('&').filter(|given| !given.is_empty());
        let parameters: Vec<_> = given
            .map(|given| {
                let (name, value) = given.split_once('=').unwrap_or((given, ""));
                Parameter { given, name: decoded(name), value: decoded(value) }
            })
            .collect();
        let has_host = parameters.iter().any(|parameter| parameter.name.starts_with("host"));
        Ok(Self { base: with_host(base, has_host)?, parameters })
    }

    /// The URL with what the driver knows.
    fn for_driver(&self, is_obeyed: impl Fn(&Parameter<'_>) -> bool) -> String {
        let obeyed = self.parameters.iter().filter(|parameter| is_obeyed(parameter));
        let query: Vec<_> = obeyed.map(|parameter| parameter.given).collect();
        format!("{}?{}", self.base, query.join("&"))
    }
}

/// libpq takes a URL without a host where a parameter names one; the driver wants something to stand there.
fn with_host(base: &str, has_host: bool) -> Result<String, UrlError> {
    let (scheme, rest) = base.split_once("://").ok_or(INVALID)?;
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (format!("{user}@"), host),
        None => (String::new(), authority),
    };
    if host.contains(',') {
        return Err(SEVERAL_HOSTS);
    }
    let placeholder = if host.is_empty() && has_host { "localhost" } else { "" };
    Ok(format!("{scheme}://{user}{host}{placeholder}{path}"))
}

/// Gives the name as it is known, and what is done with it.
fn treatment(name: &str) -> Option<(&'static str, Treatment)> {
    if name.starts_with("options[") && name.ends_with(']') {
        return Some(("options", Obeyed));
    }
    PARAMETERS.iter().find(|(known, _)| *known == name).copied()
}

/// The parameter that is meant by a name with another case, or dashes and lines in other places.
fn meant_by(name: &str) -> Option<&'static str> {
    let plain = |name: &str| name.replace(['-', '_', ' '], "").to_ascii_lowercase();
    let meant = PARAMETERS.iter().filter(|(known, _)| plain(known) == plain(name));
    meant.map(|(known, _)| *known).find(|known| !known.contains("ssl-"))
}

fn unknown(name: &str, has_at: bool) -> UrlError {
    // A `?` or `&` of a password that is not encoded begins such a name, which ends before the @.
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if has_at || name.is_empty() || !name.chars().all(is_name) {
        return UrlError::new(
            "has a parameter that is none: what is special in a user or password (? & @ / #) has to be \
             percent-encoded",
        );
    }
    let hint = meant_by(name).map(|meant| format!(" (is {meant} meant?)")).unwrap_or_default();
    UrlError(format!("has an unknown parameter: {name}{hint}").into())
}

impl FromStr for PostgresUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(UrlError::new("must be postgres://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE"));
        }
        let parts = Parts::of(text)?;
        let has_at = parts.parameters.iter().any(|parameter| parameter.given.contains('@'));
        let mut ignored = Vec::new();
        for Parameter { name, value, .. } in &parts.parameters {
            let (name, treatment) = treatment(name).ok_or_else(|| unknown(name, has_at))?;
            match treatment {
                Obeyed if name.starts_with("host") || name == "port" => {
                    if value.contains(',') {
                        return Err(SEVERAL_HOSTS);
                    }
                }
                Obeyed if name == "sslrootcert" && value == "system" => return Err(SYSTEM_ROOTS),
                Obeyed => {}
                Ignored if ignored.contains(&name) => {}
                Ignored => ignored.push(name),
                KeptOnlyAs(kept, _) if kept.contains(&value.as_str()) => {}
                KeptOnlyAs(_, instead) => {
                    return Err(UrlError(format!("{name} is not supported: {instead}").into()));
                }
            }
        }
        let is_obeyed = |parameter: &Parameter<'_>| {
            treatment(&parameter.name).is_some_and(|(_, treatment)| matches!(treatment, Obeyed))
        };
        let options: Result<PgConnectOptions, _> = parts.for_driver(is_obeyed).parse();
        // Its error may repeat a value.
        let options = options.map_err(|_| INVALID)?;
        if options.get_port() == 0 {
            return Err(UrlError::new("port 0 is none"));
        }
        Ok(Self(Box::new(Parsed { options, ignored })))
    }
}

impl PostgresUrl {
    /// The names of its parameters that have no effect.
    pub fn ignored_parameters(&self) -> &[&'static str] {
        &self.0.ignored
    }

    pub(crate) fn options(&self) -> &PgConnectOptions {
        &self.0.options
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = self.options();
        let database = options.get_database().unwrap_or_else(|| options.get_username());
        write!(f, "postgres://{}:{}/{database}", options.get_host(), options.get_port())
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
