//! The gRPC side: the core's listener, the way to it, and the credential of its callers.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use http::Uri;

use super::value::{port, socket_addr};
use crate::secret::{Secret, Warnings};

#[derive(Debug, Args)]
#[command(next_help_heading = "gRPC")]
pub(crate) struct GrpcArgs {
    /// Address of the gRPC service; port 0 is any free one, and is logged
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:50051", value_parser = socket_addr)]
    pub(crate) grpc_addr: SocketAddr,
}

impl GrpcArgs {
    pub(crate) fn warn(&self, has_tls: bool, warnings: &mut Warnings) {
        if !has_tls && !self.grpc_addr.ip().is_loopback() {
            warnings.add(format!(
                "gRPC on {} is plaintext: keep it inside a private network, or give --grpc-tls-cert-file",
                self.grpc_addr
            ));
        }
    }
}

#[derive(Debug, Args)]
#[command(next_help_heading = "gRPC")]
pub(crate) struct ServiceTokenArgs {
    /// Bearer credential of gRPC callers, edges included; several, comma separated
    ///
    /// A core accepts each of them, an edge sends the first: to rotate, add the new one to the cores,
    /// put it first at the edges, then take the old one away. Where the role has a data directory the
    /// default is <data-dir>/service-token, generated (mode 0600) where it is missing. Better given by
    /// environment or file: a command line is seen by other users of the machine.
    #[arg(long, value_name = "TOKEN,…", allow_hyphen_values = true)]
    pub(crate) service_token: Option<Secret>,

    /// File that holds the service token; several, one a line or comma separated
    #[arg(long, value_name = "FILE")]
    pub(crate) service_token_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "gRPC")]
pub(crate) struct CoreEndpointsArgs {
    /// Endpoints of the core: http://HOST:PORT, or https://HOST:PORT for TLS; several, comma separated
    #[arg(long, value_name = "URL,…", default_value = "http://127.0.0.1:50051")]
    #[arg(value_parser = parse_endpoints)]
    pub(crate) core: CoreEndpoints,
}

#[derive(Debug, Clone)]
pub(crate) struct CoreEndpoints(pub(crate) Vec<Uri>);

fn parse_endpoints(urls: &str) -> Result<CoreEndpoints, String> {
    urls.split(',')
        .map(|url| parse_endpoint(url.trim()))
        .collect::<Result<_, _>>()
        .map(CoreEndpoints)
}

pub(super) fn parse_endpoint(url: &str) -> Result<Uri, String> {
    let wrong = || "must be http://HOST:PORT or https://HOST:PORT".to_owned();
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let wanted_port = port(&uri)?;
    let named = uri.authority().is_some_and(|authority| {
        let port = wanted_port.map(|port| format!(":{port}")).unwrap_or_default();
        let host = authority.host();
        !host.is_empty() && authority.as_str() == format!("{host}{port}")
    });
    let bare = uri.path() == "/" && uri.query().is_none();
    if !matches!(uri.scheme_str(), Some("http" | "https")) || !named || !bare {
        return Err(wrong());
    }
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_others_reach_is_warned_about() {
        for (addr, expected) in
            [("127.0.0.1:1", 0), ("[::1]:1", 0), ("0.0.0.0:1", 1), ("[::]:1", 1), ("10.0.0.5:1", 1)]
        {
            let mut warnings = Warnings::default();
            let args = GrpcArgs { grpc_addr: addr.parse().unwrap() };
            args.warn(true, &mut warnings);
            args.warn(false, &mut warnings);
            assert_eq!(warnings.into_iter().count(), expected, "{addr}");
        }
    }

    #[test]
    fn endpoints_are_comma_separated() {
        let endpoints = parse_endpoints("http://10.0.0.5:50051, https://core-2:50051/").unwrap().0;
        let uris: Vec<_> = endpoints.iter().map(|endpoint| endpoint.to_string()).collect();
        assert_eq!(uris, ["http://10.0.0.5:50051/", "https://core-2:50051/"]);
    }

    #[test]
    fn an_endpoint_is_a_bare_http_url() {
        for wrong in [
            "",
            "core",
            "core:50051",
            "/",
            "http://",
            "https://",
            "https://core/x",
            "grpc://core",
            "http://a:1/x",
            "http://a:1?x",
            "http://user:password@a:1",
            "http://a:1,",
            "http://a:99999",
            "http://a:0",
            "http://a:",
            "http://b:1,http://a:0",
        ] {
            assert!(parse_endpoints(wrong).is_err(), "{wrong:?}");
        }
    }
}
