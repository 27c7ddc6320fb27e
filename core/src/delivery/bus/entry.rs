//! How the servers of the bus are entered.

use std::{fmt, io, path::Path, time::Duration};

use async_nats::{
    ConnectOptions,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};
use nkeys::{KeyPair, KeyPairType};
use percent_encoding::percent_decode_str;

use super::OpenError;
use crate::config::BusConfig;

/// Commands on their way to the connection.
const CLIENT_CAPACITY: usize = 256;
/// Hints of one subject that wait to be taken in: as many as the largest commit may have participants.
const SUBSCRIPTION_CAPACITY: usize = 2_048;
/// A server that is gone without a word is noticed after three of them.
const PING_INTERVAL: Duration = Duration::from_secs(1);
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(2);
const MAX_RECONNECT_DELAY: Duration = Duration::from_secs(1);

/// Of a core, which comes back again and again.
pub(super) async fn options(config: &BusConfig) -> Result<ConnectOptions, OpenError> {
    // The hub of this core is told directly.
    Ok(once(config).await?.no_echo().retry_on_initial_connect())
}

/// For a connection that is there or not. Refuses files that cannot be what they are given as: the bus would be tried with
/// them for ever.
pub(super) async fn once(config: &BusConfig) -> Result<ConnectOptions, OpenError> {
    let mut options = ConnectOptions::new()
        .name("netrox-chat")
        .ping_interval(PING_INTERVAL)
        .connection_timeout(CONNECTION_TIMEOUT)
        .client_capacity(CLIENT_CAPACITY)
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        .reconnect_delay_callback(|attempts| {
            MAX_RECONNECT_DELAY.min(Duration::from_millis(50) * attempts.min(100) as u32)
        });
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    if let Some(server) = config.url.0.iter().find(|server| server.has_user_pass()) {
        let user = server.username().map(decoded).unwrap_or_default();
        options = match server.password() {
            Some(password) => options.user_and_password(user, decoded(password)),
            None => options.token(user),
        };
    }
    if let Some(path) = &config.credentials_file {
        options = options
            .credentials_file(path)
            .await
            .map_err(|error| OpenError::File { path: path.clone(), error })?;
    }
    if let Some(path) = &config.nkey_file {
        options = options.nkey(seed(path)?);
    }
    if config.tls_first {
        options = options.tls_first();
    }
    if let Some(path) = &config.tls_ca_file {
        let roots = certificates(path)?;
        for root in roots {
            RootCertStore::empty().add(root).map_err(|error| unusable(path, error))?;
        }
        options = options.add_root_certificates(path.clone());
    }
    if let Some((certificate, key)) = &config.tls_client {
        check_client(certificate, key)?;
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    Ok(options)
}

fn unusable(path: &Path, reason: impl fmt::Display) -> OpenError {
    let error = io::Error::new(io::ErrorKind::InvalidData, reason.to_string());
    OpenError::File { path: path.to_owned(), error }
}

/// The seed of a user, alone in its file or marked as in one of credentials.
fn seed(path: &Path) -> Result<String, OpenError> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| OpenError::File { path: path.to_owned(), error })?;
    let is_other = |line: &&str| !line.is_empty() && !line.starts_with(['#', '-']);
    let mut lines = text.lines().map(str::trim).filter(is_other);
    let (Some(seed), None) = (lines.next(), lines.next()) else {
        return Err(unusable(path, "not one seed of a NATS user (nkey)"));
    };
    match KeyPair::from_seed(seed).map(|pair| pair.key_pair_type()) {
        Ok(KeyPairType::User) => Ok(seed.to_owned()),
        Ok(_) | Err(_) => {
            Err(unusable(path, "not the seed of a NATS user (nkey), which begins with SU"))
        }
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, OpenError> {
    let found = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let found: Vec<_> = found.map_err(|error| unusable(path, error))?;
    if found.is_empty() { Err(unusable(path, "no certificate in it")) } else { Ok(found) }
}

/// Whether they are those of a client, and fit each other.
fn check_client(certificate: &Path, key: &Path) -> Result<(), OpenError> {
    let shown = certificates(certificate)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, error))?;
    let client = ClientConfig::builder().with_root_certificates(RootCertStore::empty());
    let fits = client.with_client_auth_cert(shown, key);
    fits.map(drop).map_err(|error| unusable(certificate, error))
}
