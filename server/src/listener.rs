//! Listening sockets.

use std::{io, net::SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

use crate::sources::{SettingError, Sources};

/// Clients that come back all at once wait here for their accept, as far as the system allows.
const BACKLOG: u32 = 4096;

pub(crate) fn bind(
    flag: &str,
    addr: SocketAddr,
    sources: &Sources,
) -> Result<TcpListener, SettingError> {
    listen(addr)
        .map_err(|error| sources.refuse(flag, format!("failed to listen on {addr}: {error}")))
}

pub(crate) fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // What is left of the connections of a server that just ended doesn't hold the port.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// Where this process is bound.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) http: Option<SocketAddr>,
    pub(crate) grpc: Option<SocketAddr>,
    pub(crate) admin: Option<SocketAddr>,
}
