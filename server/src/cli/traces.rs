//! Traces, and where they go.

use std::path::PathBuf;

use clap::Args;
use http::Uri;

use super::{grpc::parse_endpoint, value::number};

/// Of every role that serves.
#[derive(Debug, Args)]
#[command(next_help_heading = "Traces")]
pub(crate) struct TraceArgs {
    /// Collector that spans are sent to by OTLP over gRPC: http://HOST:PORT, or https://HOST:PORT for TLS [default: no traces]
    ///
    /// Port 4317 unless another is given. One that is away costs spans, which are counted, and no message.
    #[arg(long, value_name = "URL", value_parser = parse_endpoint)]
    pub(crate) otlp_endpoint: Option<Uri>,

    /// File of headers for the collector, such as its credential: `name: value`, one a line
    #[arg(long, value_name = "FILE")]
    pub(crate) otlp_headers_file: Option<PathBuf>,

    /// PEM file of the authorities that sign the collector's certificate [default: those of the system]
    #[arg(long, value_name = "FILE")]
    pub(crate) otlp_ca_file: Option<PathBuf>,

    /// Share of requests and messages that are traced, 0 to 1, where no caller has decided it
    ///
    /// What an edge or a service traces is traced, and what they do not is not (`traceparent`).
    #[arg(long, value_name = "SHARE", default_value = "0.01", value_parser = share)]
    pub(crate) trace_ratio: f64,
}

/// Of those that public clients reach.
#[derive(Debug, Args)]
#[command(next_help_heading = "Traces")]
pub(crate) struct ClientTraceArgs {
    /// Traces a second that public clients may ask for by `traceparent`, all together, beside --trace-ratio; 0: none
    #[arg(long, value_name = "N", default_value = "10", value_parser = number::<u32>(0..=1_000_000))]
    pub(crate) client_traces_per_second: u32,
}

fn share(text: &str) -> Result<f64, &'static str> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or("must be a number from 0 to 1, such as 0.01")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_between_none_and_all() {
        for (given, parsed) in [("0", 0.0), ("1", 1.0), ("0.25", 0.25), ("1e-3", 0.001)] {
            assert_eq!(share(given), Ok(parsed));
        }
        for wrong in ["", "-0.1", "1.1", "NaN", "inf", "1%", "a tenth"] {
            assert!(share(wrong).is_err(), "{wrong:?}");
        }
    }
}
