//! The public side: the edge's listener, and who may call it from where.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use clap::{Args, ValueEnum, builder::BoolishValueParser};
use http::{HeaderValue, Uri};
use netrox_edge::config::{CorsAllowOrigin, TrustedProxies};

use super::value::{duration, port, socket_addr};
use crate::secret::Warnings;

const LONGEST_DRAIN_DELAY: Duration = Duration::from_secs(3600);

#[derive(Debug, Args)]
#[command(next_help_heading = "HTTP")]
pub(crate) struct HttpArgs {
    /// Address of REST and WebSocket; port 0 is any free one, and is logged
    ///
    /// Before the public can reach it, give --http-tls-cert-file, or put a proxy that ends TLS in front of it.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8080", value_parser = socket_addr)]
    pub(crate) http_addr: SocketAddr,

    /// Who may load an attachment
    #[arg(long, value_name = "WHO", value_enum, default_value_t = MediaAccess::Capability)]
    pub(crate) media_access: MediaAccess,

    /// Origins of browser clients, comma separated, or * for any [default: none]
    ///
    /// For example https://app.example.com,https://staging.example.com:8443
    #[arg(long, value_name = "ORIGIN,…", value_parser = parse_origins)]
    pub(crate) cors_allow_origin: Option<CorsAllowOrigin>,

    /// Origins of pages that may open WebSockets, comma separated, or * for any [default: any]
    ///
    /// Others get 403. Who sends no Origin is no browser, and let in. null and file:// are pages from files, as of apps that
    /// bring theirs along; null is any sandboxed page as well.
    #[arg(long, value_name = "ORIGIN,…", value_parser = parse_page_origins)]
    pub(crate) allowed_origins: Option<CorsAllowOrigin>,

    /// Close a WebSocket with 1008 when its token expires [default: it stays open]
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    #[arg(default_value = "false", default_missing_value = "true", hide_default_value = true)]
    #[arg(num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    pub(crate) close_on_token_expiry: bool,

    /// Time from SIGTERM on in which all is still served, and /readyz is 503 already; --drain-timeout comes after it
    ///
    /// As long as balancers take to notice, which would else choose this edge when it takes no connections any more.
    #[arg(long, value_name = "TIME", default_value = "0s")]
    #[arg(value_parser = duration(Duration::ZERO..=LONGEST_DRAIN_DELAY))]
    pub(crate) drain_delay: Duration,

    /// Networks of the proxies in front, comma separated, which tell the clients' addresses [default: none]
    ///
    /// For example 10.0.0.0/8,192.0.2.7. Limits per address count what they write into X-Forwarded-For or, where that is
    /// missing, Forwarded. A peer on loopback or a private network that is not named gets no limit per address.
    #[arg(long, value_name = "NETWORK,…")]
    pub(crate) trusted_proxies: Option<TrustedProxies>,

    /// Connections of trusted proxies begin with a PROXY header, version 1 or 2
    ///
    /// Those of all loopback and private addresses where --trusted-proxies names none.
    #[arg(long, value_name = "BOOL", value_parser = BoolishValueParser::new())]
    #[arg(default_value = "false", default_missing_value = "true", hide_default_value = true)]
    #[arg(num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set)]
    pub(crate) proxy_protocol: bool,
}

impl HttpArgs {
    /// A proxy that is named ends TLS in front of it.
    pub(crate) fn warn(&self, has_tls: bool, warnings: &mut Warnings) {
        let has_proxy = self.proxy_protocol || self.trusted_proxies.is_some();
        if !has_tls && !has_proxy && may_be_public(self.http_addr.ip()) {
            warnings.add(format!(
                "HTTP on {} is plaintext: give --http-tls-cert-file, or put a proxy that ends TLS in front and name it in \
                 --trusted-proxies",
                self.http_addr
            ));
        }
    }
}

/// Neither loopback nor of a private network alone.
fn may_be_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            !(address.is_loopback() || address.is_private() || address.is_link_local())
        }
        IpAddr::V6(address) => {
            !(address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local())
        }
    }
}

/// PROTOCOL section 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MediaAccess {
    /// Whoever holds its path, which has 122 random bits
    Capability,
    /// The two participants, by token
    Participants,
}

impl From<MediaAccess> for netrox_edge::config::MediaAccess {
    fn from(access: MediaAccess) -> Self {
        match access {
            MediaAccess::Capability => Self::Capability,
            MediaAccess::Participants => Self::Participants,
        }
    }
}

fn parse_origins(text: &str) -> Result<CorsAllowOrigin, String> {
    origins_by(text, parse_origin)
}

fn parse_page_origins(text: &str) -> Result<CorsAllowOrigin, String> {
    origins_by(text, |origin| {
        let of_files = ORIGINS_OF_FILES.into_iter().find(|own| own.eq_ignore_ascii_case(origin));
        of_files.map_or_else(|| parse_origin(origin), |own| Ok(HeaderValue::from_static(own)))
    })
}

fn origins_by(
    text: &str,
    parse: impl Fn(&str) -> Result<HeaderValue, String>,
) -> Result<CorsAllowOrigin, String> {
    if text == "*" {
        return Ok(CorsAllowOrigin::Any);
    }
    let origins = text.split(',').map(|origin| parse(origin.trim()));
    origins.collect::<Result<_, _>>().map(CorsAllowOrigin::List)
}

/// As a browser sends it: lower case, without a path and without a slash at the end.
fn parse_origin(origin: &str) -> Result<HeaderValue, String> {
    let wrong = || "must be origins like https://app.example.com, or * alone".to_owned();
    let (scheme, authority) = origin.split_once("://").ok_or_else(wrong)?;
    let uri: Uri = origin.parse().map_err(|_| wrong())?;
    let bare = uri.authority().is_some_and(|parsed| parsed.as_str() == authority);
    if scheme.is_empty() || !bare || authority.contains(['@', '*']) {
        return Err(wrong());
    }
    let origin = origin.to_ascii_lowercase();
    let origin = match port(&uri).map_err(str::to_owned)? {
        // A browser leaves out the usual one.
        Some(port) if USUAL_PORTS.contains(&(&*scheme.to_ascii_lowercase(), port)) => {
            origin.trim_end_matches(&format!(":{port}")).to_owned()
        }
        _ => origin,
    };
    HeaderValue::try_from(origin).map_err(|_| wrong())
}

/// What browsers send for pages that come from no server.
const ORIGINS_OF_FILES: [&str; 2] = ["null", "file://"];
const USUAL_PORTS: [(&str, u16); 2] = [("http", 80), ("https", 443)];

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn plaintext_that_the_public_may_reach_is_warned_about() {
        let warnings = |addr: &str, has_tls, rest: &[&str]| {
            let own = ["netrox-chat", "--http-addr", addr];
            let arguments = own.iter().chain(rest);
            let args = Only::try_parse_from(arguments).unwrap().http;
            let mut warnings = Warnings::default();
            args.warn(has_tls, &mut warnings);
            warnings.into_iter().count()
        };
        for (addr, expected) in [
            ("127.0.0.1:1", 0),
            ("[::1]:1", 0),
            ("10.0.0.5:1", 0),
            ("[fd00::1]:1", 0),
            ("0.0.0.0:1", 1),
            ("[::]:1", 1),
            ("192.0.2.1:1", 1),
            ("[2001:db8::1]:1", 1),
        ] {
            assert_eq!(warnings(addr, false, &[]), expected, "{addr}");
            assert_eq!(warnings(addr, true, &[]), 0, "{addr}");
            assert_eq!(warnings(addr, false, &["--trusted-proxies=10.0.0.1"]), 0, "{addr}");
        }
    }

    #[derive(clap::Parser)]
    struct Only {
        #[command(flatten)]
        http: HttpArgs,
    }

    #[test]
    fn origins_are_kept_as_a_browser_sends_them() {
        assert_eq!(parse_origins("*"), Ok(CorsAllowOrigin::Any));
        let expected =
            ["https://app.example.com", "http://localhost:3000", "capacitor://localhost"];
        assert_eq!(
            parse_origins("https://App.example.com, http://localhost:3000,capacitor://localhost"),
            Ok(CorsAllowOrigin::List(expected.map(HeaderValue::from_static).to_vec()))
        );
    }

    #[test]
    fn the_usual_port_is_left_out_as_by_a_browser() {
        for (given, kept) in [
            ("https://a:443", "https://a"),
            ("HTTP://a:80", "http://a"),
            ("http://[::1]:80", "http://[::1]"),
            ("https://a:80", "https://a:80"),
            ("http://a:8080", "http://a:8080"),
        ] {
            assert_eq!(parse_origin(given), Ok(HeaderValue::from_static(kept)), "{given}");
        }
    }

    #[test]
    fn pages_of_files_may_be_let_in_and_call_from_nowhere() {
        let list = |origins: &[&'static str]| {
            let origins = origins.iter().map(|origin| HeaderValue::from_static(origin));
            Ok(CorsAllowOrigin::List(origins.collect()))
        };
        assert_eq!(parse_page_origins("null, FILE://"), list(&["null", "file://"]));
        assert_eq!(parse_page_origins("https://a,null"), list(&["https://a", "null"]));
        for wrong in ["file:///a", "file", ""] {
            assert!(parse_page_origins(wrong).is_err(), "{wrong:?}");
        }
        assert!(parse_origins("file://").is_err());
    }

    #[test]
    fn an_origin_has_no_path() {
        for wrong in [
            "",
            "app.example.com",
            "https://",
            "https://a/",
            "https://a/b",
            "https://a?x",
            "null",
            "https://a,*",
            "https://*.a",
            "https://u@a",
            "https://a b",
            "https://a:99999",
            "https://a:x",
            "https://a:0",
            "https://a:",
            "https://[::1]:x",
            "https://a,",
        ] {
            assert!(parse_origins(wrong).is_err(), "{wrong:?}");
        }
    }
}
