//! Where traces go, and what is traced.

use std::{net::IpAddr, path::Path};

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use netrox_tls::ClientTls;
use netrox_traces::Sampling;

use super::tls::TlsFiles;
use crate::{
    cli::TraceArgs,
    secret::{self, Warnings},
    sources::{SettingError, Sources},
};

/// What HTTP/2 and gRPC say of a call themselves.
const OF_GRPC: [&str; 4] = ["te", "content-type", "content-length", "host"];

pub(crate) struct TraceSettings {
    pub(crate) endpoint: Uri,
    pub(crate) tls: Option<ClientTls>,
    /// Sensitive.
    pub(crate) headers: HeaderMap,
    pub(crate) sampling: Sampling,
}

/// Nothing where nobody collects them.
pub(crate) fn traces(
    args: &TraceArgs,
    asked_per_second: u32,
    sources: &Sources,
    tls: &mut TlsFiles<'_>,
) -> Result<Option<TraceSettings>, SettingError> {
    let Some(endpoint) = args.otlp_endpoint.clone() else {
        let without = [
            ("otlp-headers-file", args.otlp_headers_file.is_some()),
            ("otlp-ca-file", args.otlp_ca_file.is_some()),
        ];
        return match without.into_iter().find(|(_, is_given)| *is_given) {
            Some((flag, _)) => Err(sources.refuse(flag, "needs --otlp-endpoint")),
            None => Ok(None),
        };
    };
    let of_collector = tls.of_collector(args.otlp_ca_file.as_ref(), &endpoint)?;
    let headers = match &args.otlp_headers_file {
        Some(path) => read_headers(path, sources, tls.warnings())?,
        None => HeaderMap::new(),
    };
    if !headers.is_empty() && endpoint.scheme_str() == Some("http") && !is_near(&endpoint) {
        tls.warnings().add(format!(
            "--otlp-headers-file goes to {endpoint} in plaintext: give an https:// URL"
        ));
    }
    let sampling = Sampling { ratio: args.trace_ratio, asked_per_second };
    Ok(Some(TraceSettings { endpoint, tls: of_collector, headers, sampling }))
}

/// Whether nobody else hears what is sent there.
fn is_near(endpoint: &Uri) -> bool {
    let host = endpoint.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn read_headers(
    path: &Path,
    sources: &Sources,
    warnings: &mut Warnings,
) -> Result<HeaderMap, SettingError> {
    let refuse = |error: &dyn std::fmt::Display| sources.refuse("otlp-headers-file", error);
    let text = secret::read_secret(path, warnings).map_err(|error| refuse(&error))?;
    parse_headers(text.reveal()).map_err(|(line, problem)| {
        // Not what stands there: it may be a credential.
        refuse(&format_args!("{}: line {line}: {problem}", path.display()))
    })
}

fn parse_headers(text: &str) -> Result<HeaderMap, (usize, &'static str)> {
    let mut headers = HeaderMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |problem| (index + 1, problem);
        let (name, value) = line.split_once(':').ok_or(wrong("write name: value"))?;
        let name: HeaderName = name.trim().parse().map_err(|_| wrong("its name is none"))?;
        if OF_GRPC.contains(&name.as_str())
            || name.as_str().starts_with("grpc-")
            || name.as_str().ends_with("-bin")
        {
            return Err(wrong("gRPC has that header for itself"));
        }
        let mut value: HeaderValue =
            value.trim().parse().map_err(|_| wrong("its value is none"))?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_a_line() {
        let headers = parse_headers("# of us\nAuthorization: Bearer a:b\n\n X-Tenant :chat \r\n");
        let headers = headers.expect("headers");
        assert_eq!(headers.len(), 2);
        assert_eq!(headers["authorization"], "Bearer a:b");
        assert_eq!(headers["x-tenant"], "chat");
        assert!(headers["authorization"].is_sensitive());
        for wrong in ["x", "a b: c", ": c", "te: x", "grpc-timeout: 1s", "x-bin: 1", "x: \u{1}"] {
            assert_eq!(parse_headers(&format!("a: b\n{wrong}")).map_err(|(line, _)| line), Err(2));
        }
    }
}
