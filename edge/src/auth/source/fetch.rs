//! Fetches sets of keys over HTTP, within limits of time, size and redirects.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use headers::HeaderMapExt as _;
use http::header::{AGE, CACHE_CONTROL};
use netrox_diagnosis::causes;
use reqwest::{Certificate, Client, Response, Url, redirect::Policy};
use serde::Deserialize;

use super::super::{jwks::MAX_SET_BYTES, key::ConfigError};

/// Of a fetch as a whole, and of each request in it.
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_REDIRECTS: usize = 3;

#[derive(Debug, Clone)]
pub(in crate::auth) struct Fetcher(Client);

/// Why there is no set.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("{}", causes(.0, .0.is_timeout()))]
    Http(#[from] reqwest::Error),
    #[error("it took too long")]
    TooLong,
    #[error("it is answered with {0}")]
    Status(http::StatusCode),
    #[error("it is larger than 512 KiB")]
    TooLarge,
    #[error("the OpenID configuration is not understood: {0}")]
    Configuration(String),
}

/// What was fetched.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) text: Vec<u8>,
    /// How long it is good for, if its sender says so.
    pub(super) max_age: Option<Duration>,
    /// What its sender's clock said when it came, if that is told.
    pub(super) clock: Option<SystemTime>,
}

/// An https URL, or an http one of a loopback address: nobody in between can put in keys.
pub(in crate::auth) fn key_url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "it is no URL")?;
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        "http" => return Err("it must be https; http is taken for a loopback address alone"),
        _ => return Err("it must be an https URL"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it must not hold a user or a password");
    }
    if url.fragment().is_some() {
        return Err("it must not have a fragment");
    }
    Ok(url)
}

/// Whether keys may come from this URL, or those of an issuer of this name.
pub fn check_key_url(text: &str) -> Result<(), &'static str> {
    key_url(text).map(drop)
}

/// Whether these are certificates in PEM form.
pub fn check_authorities(pem: &[u8]) -> Result<(), &'static str> {
    match Certificate::from_pem_bundle(pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(()),
        Ok(_) | Err(_) => Err("it holds no certificates in PEM form"),
    }
}

fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

impl Fetcher {
    /// `needs_tls` if a URL is https: then the machine has to have certificates of authorities. If none is, an http one may
    /// still lead to one that is.
    pub(in crate::auth) fn new(
        ca_pem: Option<&[u8]>,
        needs_tls: bool,
    ) -> Result<Self, ConfigError> {
        let unusable = |error: reqwest::Error| ConfigError::new(causes(&error, error.is_timeout()));
        let authorities = match ca_pem {
            Some(pem) => Certificate::from_pem_bundle(pem).map_err(unusable)?,
            None => Vec::new(),
        };
        let client = || {
            Client::builder()
                .user_agent(concat!("netrox-chat/", env!("CARGO_PKG_VERSION")))
                // What the environment says of proxies is meant for others.
                .no_proxy()
                .referer(false)
                .redirect(Policy::custom(|attempt| {
                    match check_redirect(attempt.previous(), attempt.url()) {
                        Ok(()) => attempt.follow(),
                        Err(reason) => attempt.error(reason),
                    }
                }))
                .timeout(TIMEOUT)
                .connect_timeout(CONNECT_TIMEOUT)
                // The next fetch is minutes away.
                .pool_max_idle_per_host(0)
        };
        let built = match client().tls_certs_merge(authorities.clone()).build() {
            Err(_) if !needs_tls => client().tls_certs_only(authorities).build(),
            built => built,
        };
        built.map(Self).map_err(unusable)
    }

    pub(super) async fn get(&self, url: &Url) -> Result<Fetched, FetchError> {
        let mut response = self.0.get(url.clone()).send().await?;
        if !response.status().is_success() {
            return Err(FetchError::Status(response.status()));
        }
        let (max_age, clock) = (max_age(&response), clock(&response));
        let mut text = Vec::new();
        while let Some(part) = response.chunk().await? {
            if text.len() + part.len() > MAX_SET_BYTES {
                return Err(FetchError::TooLarge);
            }
            text.extend_from_slice(&part);
        }
        Ok(Fetched { text, max_age, clock })
    }

    /// Where the keys of an issuer are (OpenID Connect Discovery 1.0 section 4).
    pub(super) async fn discover(&self, issuer: &str) -> Result<Url, FetchError> {
        let configuration = |reason: &str| FetchError::Configuration(reason.to_owned());
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let url = key_url(&url).map_err(configuration)?;
        let fetched = self.get(&url).await?;
        let found: Configuration = serde_json::from_slice(&fetched.text)
            .map_err(|_| configuration("it has no \"issuer\" and \"jwks_uri\""))?;
        if found.issuer != issuer {
            return Err(configuration("it is that of another issuer"));
        }
        keys_of(&url, &found.jwks_uri)
            .map_err(|reason| configuration(&format!("jwks_uri: {reason}")))
    }
}

/// The URL of the keys that a configuration names. It is no weaker than that of the configuration.
fn keys_of(configuration: &Url, named: &str) -> Result<Url, &'static str> {
    let url = key_url(named)?;
    if configuration.scheme() == "https" && url.scheme() != "https" {
        return Err("it must be https, as its issuer is");
    }
    Ok(url)
}

/// Whether to go on to `next`, after all URLs before it.
fn check_redirect(previous: &[Url], next: &Url) -> Result<(), &'static str> {
    let is_weaker = next.scheme() != "https" && previous.iter().any(|url| url.scheme() == "https");
    if previous.len() > MAX_REDIRECTS {
        return Err("it is redirected more than three times");
    }
    if is_weaker || key_url(next.as_str()).is_err() {
        return Err("it is redirected to a URL that keys are not taken from");
    }
    Ok(())
}

#[derive(Deserialize)]
struct Configuration {
    issuer: String,
    jwks_uri: String,
}

fn max_age(response: &Response) -> Option<Duration> {
    let values = response.headers().get_all(CACHE_CONTROL).iter();
    let texts: Vec<_> = values.filter_map(|value| value.to_str().ok()).collect();
    max_age_of(&texts.join(","))
}

/// A cache on the way says how long ago its answer was dated (RFC 9111 section 5.1).
fn clock(response: &Response) -> Option<SystemTime> {
    let dated = response.headers().typed_get::<headers::Date>()?;
    let age = response.headers().get(AGE).and_then(|age| age.to_str().ok()?.parse().ok());
    SystemTime::from(dated).checked_add(Duration::from_secs(age.unwrap_or(0)))
}

/// Of the header `Cache-Control`. What must not be kept is good for no time.
fn max_age_of(cache_control: &str) -> Option<Duration> {
    let directives =
        cache_control.split(',').map(|directive| directive.trim().to_ascii_lowercase());
    let mut shortest = None;
    for directive in directives {
        let seconds = match directive.strip_prefix("max-age=") {
            Some(seconds) => seconds.trim_matches('"').parse().ok(),
            None if matches!(directive.as_str(), "no-cache" | "no-store") => Some(0),
            None => None,
        };
        if let Some(seconds) = seconds {
            let age = Duration::from_secs(seconds);
            shortest = Some(shortest.map_or(age, |shortest: Duration| shortest.min(age)));
        }
    }
    shortest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_over_tls_or_from_this_machine() {
        for (url, is_taken) in [
            ("https://issuer.example/keys?p=1", true),
            ("http://127.0.0.1:8000/keys", true),
            ("http://[::1]/keys", true),
            ("http://localhost/keys", true),
            ("http://issuer.example/keys", false),
            ("http://localhost.example/keys", false),
            ("http://127.0.0.1.example/keys", false),
            ("https://me:secret@issuer.example/keys", false),
            ("https://issuer.example/keys#1", false),
            ("ftp://issuer.example/keys", false),
            ("file:///keys", false),
            ("issuer.example", false),
            ("", false),
        ] {
            assert_eq!(key_url(url).is_ok(), is_taken, "{url}");
        }
    }

    #[test]
    fn a_redirect_never_leads_to_what_others_can_change() {
        let url = |text: &str| Url::parse(text).expect("a URL");
        let (https, local) = ("https://issuer.example/keys", "http://127.0.0.1:8000/keys");
        for (previous, next, is_followed) in [
            (vec![https], "https://other.example/keys", true),
            (vec![https], "http://issuer.example/keys", false),
            (vec![https], local, false),
            (vec![local, https], "http://localhost/keys", false),
            (vec![local], "http://[::1]/keys", true),
            (vec![local], https, true),
            (vec![local], "http://issuer.example/keys", false),
            (vec![local], "http://192.0.2.1/keys", false),
            (vec![https], "https://me@issuer.example/keys", false),
            (vec![https], "ftp://issuer.example/keys", false),
            (vec![https; 3], https, true),
            (vec![https; 4], https, false),
        ] {
            let before: Vec<_> = previous.iter().map(|text| url(text)).collect();
            let checked = check_redirect(&before, &url(next));
            assert_eq!(checked.is_ok(), is_followed, "{previous:?} {next}");
        }
    }

    #[test]
    fn the_keys_of_an_issuer_are_no_weaker_than_its_configuration() {
        let (https, local) = ("https://issuer.example/", "http://127.0.0.1:8000/");
        for (configuration, keys, is_taken) in [
            (https, "https://keys.example/", true),
            (https, local, false),
            (https, "http://keys.example/", false),
            (local, local, true),
            (local, https, true),
            (local, "http://keys.example/", false),
        ] {
            let configuration = Url::parse(configuration).expect("a URL");
            let found = keys_of(&configuration, keys);
            assert_eq!(found.is_ok(), is_taken, "{configuration} {keys}");
        }
    }

    #[test]
    fn the_shortest_age_counts() {
        for (header, seconds) in [
            ("", None),
            ("public", None),
            ("public, max-age=300", Some(300)),
            ("max-age=\"60\", Max-Age=30", Some(30)),
            ("no-cache, max-age=300", Some(0)),
            ("no-store", Some(0)),
            ("max-age=soon", None),
            ("s-maxage=5", None),
        ] {
            assert_eq!(max_age_of(header), seconds.map(Duration::from_secs), "{header}");
        }
    }
}
