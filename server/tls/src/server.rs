//! What a door shows, and whom it lets in.

use std::{path::PathBuf, sync::Arc};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{
    Accept, TlsAcceptor,
    rustls::{
        self, ServerConfig,
        crypto::aws_lc_rs,
        server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier},
    },
};

use crate::{
    files::{self, Pair, TlsError},
    kept::{Kept, Read, Watched},
};

/// How much of what is to be sent is held in encrypted form, where the peer does not take it: two records.
const MAX_UNSENT_BYTES: usize = 32 * 1024;

/// Which door it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Many clients, who come again: what they agreed upon once is taken up again, by tickets that they keep.
    Http,
    /// Few, who stay. Each shows anew who it is.
    Grpc,
}

impl Door {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "the HTTP door",
            Self::Grpc => "the gRPC door",
        }
    }

    /// Its name to TLS (ALPN).
    fn protocol(self) -> &'static [u8] {
        match self {
            Self::Http => b"http/1.1",
            Self::Grpc => b"h2",
        }
    }
}

/// What a door is set up from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFiles {
    pub own: Pair,
    /// Clients have to show a certificate that is signed by one of these.
    pub client_authorities: Option<PathBuf>,
}

/// TLS of a door. Cheap to clone, every clone is of the same one.
#[derive(Debug, Clone)]
pub struct ServerTls(Arc<Kept<ServerConfig>>);

impl ServerTls {
    pub fn open(door: Door, files: ServerFiles) -> Result<Self, TlsError> {
        let all = [&files.own.certificate, &files.own.key].into_iter().cloned();
        let all = all.chain(files.client_authorities.clone()).collect();
        let tickets = Tickets::of(door)?;
        Kept::open(door.name(), all, move || read(door, &files, &tickets)).map(Self)
    }

    /// The handshake with a client. It has no bound of time.
    pub fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> Accept<S> {
        TlsAcceptor::from(self.0.current()).accept_with(stream, |connection| {
            connection.set_buffer_limit(Some(MAX_UNSENT_BYTES));
        })
    }

    pub fn watched(&self) -> Watched {
        Watched::new(&self.0)
    }

    /// A certificate that has expired, or soon will.
    pub fn warning(&self) -> Option<String> {
        self.0.warning()
    }
}

/// What clients keep, to take up again what they agreed upon. They stay good when files are read again.
enum Tickets {
    None,
    Given(Arc<dyn ProducesTickets>),
}

impl Tickets {
    fn of(door: Door) -> Result<Self, TlsError> {
        match door {
            Door::Http => {
                aws_lc_rs::Ticketer::new().map(Self::Given).map_err(|error| general(&error))
            }
            Door::Grpc => Ok(Self::None),
        }
    }
}

fn general(error: &rustls::Error) -> TlsError {
    TlsError::new(None, error.to_string())
}

fn read(
    door: Door,
    files: &ServerFiles,
    tickets: &Tickets,
) -> Result<Read<ServerConfig>, TlsError> {
    let own = &files.own;
    let (chain, key) = own.read()?;
    let shown = chain.clone();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let config = config.with_safe_default_protocol_versions().map_err(|error| general(&error))?;
    let config = match &files.client_authorities {
        Some(path) => {
            let roots = Arc::new(files::authorities(path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
            let verifier =
                verifier.map_err(|error| TlsError::new(Some(path), error.to_string()))?;
            config.with_client_cert_verifier(verifier)
        }
        None => config.with_no_client_auth(),
    };
    let config = config.with_single_cert(chain, key);
    let mut config = config.map_err(|error| own.refused(&error))?;
    config.alpn_protocols = vec![door.protocol().to_vec()];
    // Nothing is kept here of those who were here once.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    match tickets {
        Tickets::Given(ticketer) => {
            config.ticketer = Arc::clone(ticketer);
            config.send_tls13_tickets = 1;
        }
        Tickets::None => config.send_tls13_tickets = 0,
    }
    Ok(Read { config, shown })
}
