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
    listen(addr).map_err(|error| not_listening(flag, addr, &error, sources))
}

pub(crate) fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    bound(addr)?.listen(BACKLOG)
}

/// Whether one could listen there, as far as is found out without it: nobody can connect meanwhile, and a server that starts
/// just then is not in the way.
pub(crate) fn probe(addr: SocketAddr) -> io::Result<()> {
    bound(addr).map(drop)
}

/// Refuses an address that is none of this machine or not this user's to take. One that another server listens on is as good
/// as any: it may be the one that runs, and that is to be started again with these settings.
pub(crate) fn check(flag: &str, addr: SocketAddr, sources: &Sources) -> Result<(), SettingError> {
    match probe(addr) {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            Err(not_listening(flag, addr, &error, sources))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn bound(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // What is left of the connections of a server that just ended doesn't hold the port.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(socket)
}

fn not_listening(
    flag: &str,
    addr: SocketAddr,
    error: &io::Error,
    sources: &Sources,
) -> SettingError {
    sources.refuse(flag, format!("failed to listen on {addr}: {error}"))
}

/// Where this process is bound.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    pub(crate) http: Option<SocketAddr>,
    pub(crate) grpc: Option<SocketAddr>,
    pub(crate) admin: Option<SocketAddr>,
}
