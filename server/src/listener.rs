//! Listening sockets.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

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

/// Refuses an address as one is refused that somebody listens on.
pub(crate) fn is_taken(flag: &str, addr: SocketAddr, sources: &Sources) -> SettingError {
    not_listening(flag, addr, &rustix::io::Errno::ADDRINUSE.into(), sources)
}

/// Whether two sockets cannot both listen. One of all addresses of IPv6 is one of those of IPv4 too.
pub(crate) fn meet(one: SocketAddr, other: SocketAddr) -> bool {
    let (one_ip, other_ip) = (one.ip().to_canonical(), other.ip().to_canonical());
    let has = |any: IpAddr, ip: IpAddr| any.is_unspecified() && (any.is_ipv6() || ip.is_ipv4());
    one.port() == other.port()
        && (one_ip == other_ip || has(one_ip, other_ip) || has(other_ip, one_ip))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sockets_meet_where_they_cannot_both_listen() {
        for (one, other, expected) in [
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "127.0.0.1:2", false),
            ("127.0.0.1:1", "127.0.0.2:1", false),
            ("0.0.0.0:1", "127.0.0.1:1", true),
            ("[::]:1", "127.0.0.1:1", true),
            ("[::]:1", "[::1]:1", true),
            ("[::]:1", "0.0.0.0:1", true),
            ("0.0.0.0:1", "[::1]:1", false),
            ("[::ffff:127.0.0.1]:1", "127.0.0.1:1", true),
        ] {
            let [one, other] = [one, other].map(|address| address.parse().unwrap());
            assert_eq!((meet(one, other), meet(other, one)), (expected, expected), "{one} {other}");
        }
    }
}
