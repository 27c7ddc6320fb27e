//! The URL of a PostgreSQL database. Its parameters are those of libpq, of which each is obeyed, refused by its name, or
//! named as one without effect: one that were dropped might have been what keeps the connection safe. So are libpq's
//! variables, for what the URL leaves open.
//!
//! * [`parameters`]: what is done with each.

use std::{env, fmt, str::FromStr};

use percent_encoding::percent_decode_str;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::UrlError;

mod parameters;

use self::parameters::{
    Treatment::{self, Ignored, KeptOnlyAs, Obeyed},
    VARIABLES, meant_by, names_of, treatment,
};

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
/// The driver checks nothing then; libpq checks the certificate wherever it has such a file.
const ROOTS_WITHOUT_CHECK: UrlError = UrlError::new(
    "has an sslrootcert (or the variable PGSSLROOTCERT) that nothing is checked against: use sslmode=verify-full with it",
);
/// The driver adds the file to Mozilla's list, and each of those authorities signs for anybody.
const VERIFY_CA: UrlError = UrlError::new(
    "sslmode=verify-ca is not supported, since the certificate of any public authority would do: use sslmode=verify-full",
);
const HOST_AND_ADDRESS: UrlError =
    UrlError::new("has a hostaddr beside a host, of which only one would be used: leave one out");

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
        // A URL of libpq has no fragment; to the driver all behind a # is one, and may be what keeps the connection safe.
        if text.contains('#') {
            return Err(UrlError::new("has a #, which has to be written as %23"));
        }
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let given = query.split('&').filter(|given| !given.is_empty());
        let parameters: Vec<_> = given
            .map(|given| {
                let (name, value) = given.split_once('=').unwrap_or((given, ""));
                Parameter { given, name: decoded(name), value: decoded(value) }
            })
            .collect();
        let has = |name| parameters.iter().any(|parameter| parameter.name == name);
        let (base, names_host) = with_host(base, has("host") || has("hostaddr"))?;
        if has("hostaddr") && (names_host || has("host")) {
            return Err(HOST_AND_ADDRESS);
        }
        Ok(Self { base, parameters })
    }

    fn has(&self, names: &[&str]) -> bool {
        self.parameters.iter().any(|parameter| names.contains(&parameter.name.as_str()))
    }

    /// The URL with what the driver knows.
    fn for_driver(&self, is_obeyed: impl Fn(&Parameter<'_>) -> bool) -> String {
        let obeyed = self.parameters.iter().filter(|parameter| is_obeyed(parameter));
        // To it a + is a space, to libpq a +.
        let query: Vec<_> = obeyed.map(|parameter| parameter.given.replace('+', "%2B")).collect();
        format!("{}?{}", self.base, query.join("&"))
    }
}

/// libpq takes a URL without a host where a parameter names one; the driver wants something to stand there.
/// Gives whether one stood there as well.
fn with_host(base: &str, has_host: bool) -> Result<(String, bool), UrlError> {
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
    Ok((format!("{scheme}://{user}{host}{placeholder}{path}"), !host.is_empty()))
}

/// What follows a password that is not encoded may be a part of it.
fn unknown(name: &str, may_be_of_password: bool) -> UrlError {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if may_be_of_password || name.is_empty() || !name.chars().all(is_name) {
        return UrlError::new(
            "has a parameter that is none: what is special in a user or password (? & @ / #) has to be \
             percent-encoded",
        );
    }
    let hint = meant_by(name).map(|meant| format!(" (is {meant} meant?)")).unwrap_or_default();
    UrlError(format!("has an unknown parameter: {name}{hint}").into())
}

/// Whether a parameter does nothing; fails where it promises what is not kept.
fn has_no_effect(name: &str, value: &str, treatment: Treatment) -> Result<bool, UrlError> {
    match treatment {
        Obeyed if matches!(name, "host" | "hostaddr" | "port") && value.contains(',') => {
            Err(SEVERAL_HOSTS)
        }
        Obeyed if names_of(&"sslrootcert").contains(&name) && value == "system" => {
            Err(SYSTEM_ROOTS)
        }
        Obeyed => Ok(false),
        Ignored => Ok(true),
        KeptOnlyAs(kept, _) if kept.contains(&value) => Ok(false),
        KeptOnlyAs(_, instead) => {
            Err(UrlError(format!("{name} is not supported: {instead}").into()))
        }
    }
}

/// What the driver makes nothing of where it finds it in a variable.
fn check_variable(name: &str, value: &str) -> Result<(), UrlError> {
    match name {
        "sslmode" if value.parse::<PgSslMode>().is_err() => Err(UrlError::new(
            "PGSSLMODE is none of disable, allow, prefer, require and verify-full",
        )),
        "port" if !value.parse().is_ok_and(|port: u16| port > 0) => {
            Err(UrlError::new("PGPORT is no port"))
        }
        _ => Ok(()),
    }
}

impl PostgresUrl {
    fn parse(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Self, UrlError> {
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(UrlError::new("must be postgres://[USER[:PASSWORD]@]HOST[:PORT]/DATABASE"));
        }
        let parts = Parts::of(text)?;
        let mut may_be_of_password =
            parts.parameters.iter().any(|parameter| parameter.given.contains('@'));
        let mut ignored = Vec::new();
        for Parameter { name, value, .. } in &parts.parameters {
            let known = treatment(name).ok_or_else(|| unknown(name, may_be_of_password))?;
            may_be_of_password |= known.0 == "password";
            if has_no_effect(known.0, value, known.1)? && !ignored.contains(&known.0) {
                ignored.push(known.0);
            }
        }
        let mut has_roots = parts.has(names_of(&"sslrootcert"));
        for (variable_name, name) in VARIABLES.iter().copied() {
            let value = variable(variable_name).filter(|value| !value.is_empty());
            let Some(value) = value.filter(|_| !parts.has(names_of(&name))) else { continue };
            check_variable(name, &value)?;
            let Some((_, treatment)) = treatment(name) else { continue };
            let in_variable =
                |error| UrlError(format!("{variable_name}, a variable: {error}").into());
            if has_no_effect(name, &value, treatment).map_err(in_variable)? {
                ignored.push(variable_name);
            }
            has_roots |= name == "sslrootcert";
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
        match options.get_ssl_mode() {
            PgSslMode::VerifyFull => {}
            PgSslMode::VerifyCa => return Err(VERIFY_CA),
            PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer | PgSslMode::Require => {
                if has_roots {
                    return Err(ROOTS_WITHOUT_CHECK);
                }
            }
        }
        Ok(Self(Box::new(Parsed { options, ignored })))
    }
}

impl FromStr for PostgresUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        Self::parse(text, |name| env::var(name).ok())
    }
}

impl PostgresUrl {
    /// The names of its parameters, and of libpq's variables, that have no effect.
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
