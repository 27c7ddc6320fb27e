//! Whom an edge believes to be a core, and what it shows of itself.

use std::{io, path::PathBuf, sync::Arc};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        self, ClientConfig, RootCertStore, client::Resumption, crypto::aws_lc_rs,
        pki_types::ServerName,
    },
};

use crate::{
    files::{self, Pair, TlsError},
    kept::{Kept, Read, Watched},
};

/// What the way to the cores is set up from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientFiles {
    /// Who signs the certificates of the cores, instead of the authorities of the system.
    pub authorities: Option<PathBuf>,
    pub own: Option<Pair>,
}

/// TLS to the cores. Cheap to clone, every clone is of the same one.
#[derive(Debug, Clone)]
pub struct ClientTls(Arc<Kept<ClientConfig>>);

impl ClientTls {
    pub fn open(files: ClientFiles) -> Result<Self, TlsError> {
        Self::open_to("the way to the core", files)
    }

    /// The same to others than cores. `way` is what it is called in the log.
    pub fn open_to(way: &'static str, files: ClientFiles) -> Result<Self, TlsError> {
        let own = files.own.iter().flat_map(|own| [&own.certificate, &own.key]);
        let all = files.authorities.iter().chain(own).cloned().collect();
        Kept::open(way, all, move || read(&files)).map(Self)
    }

    /// The handshake with a core of that name or address. It has no bound of time.
    pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        host: &str,
        stream: S,
    ) -> io::Result<TlsStream<S>> {
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        TlsConnector::from(self.0.current()).connect(name, stream).await
    }

    pub fn watched(&self) -> Watched {
        Watched::new(&self.0)
    }

    /// A certificate of our own that has expired, or soon will.
    pub fn warning(&self) -> Option<String> {
        self.0.warning()
    }
}

fn read(files: &ClientFiles) -> Result<Read<ClientConfig>, TlsError> {
    let roots = match &files.authorities {
        Some(path) => files::authorities(path)?,
        None => of_system()?,
    };
    let general = |error: rustls::Error| TlsError::new(None, error.to_string());
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions().map_err(general)?;
    let config = config.with_root_certificates(roots);
    let (mut config, shown) = match &files.own {
        Some(own) => {
            let (chain, key) = own.read()?;
            let config = config.with_client_auth_cert(chain.clone(), key);
            (config.map_err(|error| own.refused(&error))?, chain)
        }
        None => (config.with_no_client_auth(), Vec::new()),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    // A core gives no tickets.
    config.resumption = Resumption::disabled();
    Ok(Read { config, shown })
}

fn of_system() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    // Single ones that cannot be read are none of ours.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(TlsError::new(None, "this system has no authorities that sign certificates"));
    }
    Ok(roots)
}
