//! TLS of the doors, and of the way from an edge to its cores.

use std::path::PathBuf;

use clap::Args;

/// What goes with `--http-addr`.
#[derive(Debug, Args)]
#[command(next_help_heading = "HTTP")]
pub(crate) struct HttpTlsArgs {
    /// PEM file of the certificate of --http-addr and its chain, for TLS; with --http-tls-key-file [default: plaintext]
    ///
    /// It is read again when it changes, and at SIGHUP: new connections are shown the new one. HTTP/1.1 alone is spoken.
    #[arg(long, value_name = "FILE")]
    pub(crate) http_tls_cert_file: Option<PathBuf>,

    /// PEM file of the private key of --http-tls-cert-file
    #[arg(long, value_name = "FILE")]
    pub(crate) http_tls_key_file: Option<PathBuf>,
}

/// What goes with `--grpc-addr`.
#[derive(Debug, Args)]
#[command(next_help_heading = "gRPC")]
pub(crate) struct GrpcTlsArgs {
    /// PEM file of the certificate of --grpc-addr and its chain, for TLS; with --grpc-tls-key-file [default: plaintext]
    ///
    /// It is read again when it changes, and at SIGHUP.
    #[arg(long, value_name = "FILE")]
    pub(crate) grpc_tls_cert_file: Option<PathBuf>,

    /// PEM file of the private key of --grpc-tls-cert-file
    #[arg(long, value_name = "FILE")]
    pub(crate) grpc_tls_key_file: Option<PathBuf>,

    /// PEM file of the authorities of clients, each of which has to show a certificate then [default: none has to]
    ///
    /// The service token is asked for all the same.
    #[arg(long, value_name = "FILE")]
    pub(crate) grpc_tls_client_ca_file: Option<PathBuf>,
}

/// What goes with `--core https://…`.
#[derive(Debug, Args)]
#[command(next_help_heading = "gRPC")]
pub(crate) struct CoreTlsArgs {
    /// PEM file of the authorities that sign the certificates of cores [default: those of the system]
    #[arg(long, value_name = "FILE")]
    pub(crate) core_ca_file: Option<PathBuf>,

    /// PEM file of the certificate that is shown to cores; with --core-client-key-file
    ///
    /// It is read again when it changes, and at SIGHUP.
    #[arg(long, value_name = "FILE")]
    pub(crate) core_client_cert_file: Option<PathBuf>,

    /// PEM file of the private key of --core-client-cert-file
    #[arg(long, value_name = "FILE")]
    pub(crate) core_client_key_file: Option<PathBuf>,
}
