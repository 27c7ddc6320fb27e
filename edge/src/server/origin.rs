//! Where a connection and a request come from, as far as that is known: limits before authentication count by it.

mod forwarded;
mod proxy_header;

use std::{io, net::IpAddr};

use http::HeaderMap;
use tokio::io::AsyncRead;

use crate::{client_address::ClientAddress, config::Proxies};

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Client(IpAddr),
    /// A proxy that is believed whose requests it passes on.
    Proxy,
    /// What looks like a proxy, and was not named.
    Unnamed(IpAddr),
}

impl Origin {
    /// Reads the PROXY header first, where connections of `peer` begin with one.
    pub(super) async fn of(
        stream: &mut (impl AsyncRead + Unpin),
        peer: IpAddr,
        proxies: &Proxies,
    ) -> io::Result<Self> {
        let peer = peer.to_canonical();
        let is_trusted = proxies.trusted.contains(peer);
        let speaks =
            proxies.protocol && (is_trusted || proxies.trusted.is_empty() && is_private(peer));
        if speaks {
            return Ok(match proxy_header::read(stream).await?.map(|ip| ip.to_canonical()) {
                Some(source) => Self::Client(source),
                // It speaks for itself, to see whether this edge lives.
                None => Self::Proxy,
            });
        }
        Ok(if is_trusted {
            Self::Proxy
        } else if is_private(peer) {
            Self::Unnamed(peer)
        } else {
            Self::Client(peer)
        })
    }

    /// Of the connection, before its first request.
    pub(super) fn address(self) -> Option<ClientAddress> {
        match self {
            Self::Client(address) => Some(ClientAddress::new(address)),
            Self::Proxy | Self::Unnamed(_) => None,
        }
    }

    /// Of a request.
    pub(super) fn client(self, headers: &HeaderMap, proxies: &Proxies) -> Option<ClientAddress> {
        match self {
            Self::Proxy => forwarded::client(headers, &proxies.trusted).map(ClientAddress::new),
            Self::Client(_) | Self::Unnamed(_) => self.address(),
        }
    }
}

/// Loopback or a private network, where clients of the public are not.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            // RFC 6598: between a provider and its customers, and within clouds.
            let is_shared = address.octets()[0] == 100 && address.octets()[1] & 0xc0 == 64;
            address.is_loopback() || address.is_private() || address.is_link_local() || is_shared
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn proxies(trusted: &str, protocol: bool) -> Proxies {
        let trusted = if trusted.is_empty() { Ok(Default::default()) } else { trusted.parse() };
        Proxies { trusted: trusted.expect("networks"), protocol }
    }

    #[test]
    fn an_address_is_a_network_of_64_bits_where_it_is_ipv6() {
        let address = |text| ClientAddress::new(ip(text));
        assert_eq!(address("2001:db8:1:2:3::4"), address("2001:db8:1:2:ffff::"));
        assert_ne!(address("2001:db8:1:2::"), address("2001:db8:1:3::"));
        assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
        assert_ne!(address("192.0.2.1"), address("192.0.2.2"));
    }

    #[tokio::test]
    async fn a_peer_is_a_client_unless_it_is_named_or_private() {
        let named = proxies("192.0.2.0/24,10.0.0.1", false);
        for (peer, expected) in [
            ("192.0.2.7", Origin::Proxy),
            ("::ffff:192.0.2.7", Origin::Proxy),
            ("198.51.100.1", Origin::Client(ip("198.51.100.1"))),
            ("2001:db8::1", Origin::Client(ip("2001:db8::1"))),
            ("10.0.0.1", Origin::Proxy),
            ("10.0.0.2", Origin::Unnamed(ip("10.0.0.2"))),
            ("127.0.0.1", Origin::Unnamed(ip("127.0.0.1"))),
            ("100.64.0.1", Origin::Unnamed(ip("100.64.0.1"))),
            ("::1", Origin::Unnamed(ip("::1"))),
            ("fd00::1", Origin::Unnamed(ip("fd00::1"))),
        ] {
            let origin = Origin::of(&mut &b""[..], ip(peer), &named).await;
            assert_eq!(origin.expect("nothing to read"), expected, "{peer}");
        }
    }

    #[tokio::test]
    async fn a_proxy_header_counts_from_where_it_is_trusted() {
        const HEADER: &[u8] = b"PROXY TCP4 203.0.113.9 127.0.0.1 5 6\r\nGET";
        let client = Origin::Client(ip("203.0.113.9"));
        for (peer, proxies, expected, rest) in [
            ("192.0.2.7", proxies("192.0.2.0/24", true), client, &b"GET"[..]),
            ("192.0.2.7", proxies("192.0.2.0/24", false), Origin::Proxy, HEADER),
            (
                "198.51.100.1",
                proxies("192.0.2.0/24", true),
                Origin::Client(ip("198.51.100.1")),
                HEADER,
            ),
            ("127.0.0.1", proxies("192.0.2.0/24", true), Origin::Unnamed(ip("127.0.0.1")), HEADER),
            // Nobody is named: who else than the proxy connects from there?
            ("127.0.0.1", proxies("", true), client, &b"GET"[..]),
            ("198.51.100.1", proxies("", true), Origin::Client(ip("198.51.100.1")), HEADER),
        ] {
            let mut stream = HEADER;
            let origin = Origin::of(&mut stream, ip(peer), &proxies).await.expect("a header");
            assert_eq!((origin, stream), (expected, rest), "{peer} {proxies:?}");
        }
        let mut stream = &b"GET / HTTP/1.1\r\n\r\n"[..];
        let missing = Origin::of(&mut stream, ip("127.0.0.1"), &proxies("", true)).await;
        assert!(missing.is_err());
    }

    #[test]
    fn only_a_trusted_proxy_is_asked_for_the_client() {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", "203.0.113.9".parse().expect("a value"));
        let proxies = proxies("192.0.2.0/24", false);
        let told = Some(ClientAddress::new(ip("203.0.113.9")));
        let own = Some(ClientAddress::new(ip("198.51.100.1")));
        assert_eq!(Origin::Proxy.client(&headers, &proxies), told);
        assert_eq!(Origin::Client(ip("198.51.100.1")).client(&headers, &proxies), own);
        assert_eq!(Origin::Unnamed(ip("127.0.0.1")).client(&headers, &proxies), None);
        assert_eq!(Origin::Proxy.client(&HeaderMap::new(), &proxies), None);
    }
}
