//! TLS of both doors, and of the way from an edge to its cores. It knows nothing of chat, HTTP or gRPC.
//!
//! * [`server`]: what a door shows, and whom it lets in; [`client`]: whom an edge believes, and what it shows.
//! * `kept`: what was read of files, and is read again when they change or when somebody asks for it.
//! * `files`: PEM; `expiry`: until when certificates are good; `chain`: whether they lead from one to the next.
//! * `metrics`: what is shown of them. `names`: who a peer is.
//! * [`failure`]: why a handshake came to nothing.

mod chain;
mod client;
mod expiry;
mod failure;
mod files;
mod kept;
mod metrics;
mod names;
mod server;

pub use tokio_rustls::{
    Accept, FallibleAccept, client::TlsStream as ClientStream, server::TlsStream as ServerStream,
};

pub use self::{
    client::{ClientFiles, ClientTls},
    failure::{HandshakeFailure, trust_broken},
    files::{Pair, TlsError},
    kept::{Fault, Reading, Watched, keep_current},
    metrics::register,
    names::names,
    server::{Door, ServerFiles, ServerTls},
};
