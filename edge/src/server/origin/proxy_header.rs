//! The PROXY protocol, versions 1 and 2: what a balancer of TCP puts before the bytes of a connection.

use std::{io, net::IpAddr};

use ppp::{v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt};

/// What both versions have at least, and after which they can be told apart: the signature of version 2.
const FIRST_BYTES: usize = 12;
/// With which the length of version 2 is known.
const V2_HEAD_BYTES: usize = 16;
/// Of version 1, its line end included.
const V1_MAX_BYTES: usize = 107;
/// Of version 2, with what a balancer adds about TLS.
const V2_MAX_BYTES: usize = 4096;

/// Reads a header and nothing after it; gives the client that it tells of, if any.
pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<IpAddr>> {
    let mut header = vec![0; FIRST_BYTES];
    stream.read_exact(&mut header).await?;
    if header == v2::PROTOCOL_PREFIX {
        read_v2(stream, header).await
    } else if header.starts_with(b"PROXY ") {
        read_v1(stream, header).await
    } else {
        Err(wrong("a connection begins without a PROXY header"))
    }
}

async fn read_v2(
    stream: &mut (impl AsyncRead + Unpin),
    mut header: Vec<u8>,
) -> io::Result<Option<IpAddr>> {
    header.resize(V2_HEAD_BYTES, 0);
    stream.read_exact(&mut header[FIRST_BYTES..]).await?;
    let length = usize::from(u16::from_be_bytes([header[14], header[15]]));
    if V2_HEAD_BYTES + length > V2_MAX_BYTES {
        return Err(wrong("a PROXY header is too long"));
    }
    header.resize(V2_HEAD_BYTES + length, 0);
    stream.read_exact(&mut header[V2_HEAD_BYTES..]).await?;
    let parsed = v2::Header::try_from(header.as_slice());
    let parsed = parsed.map_err(|_| wrong("a PROXY header is malformed"))?;
    if parsed.command == v2::Command::Local {
        return Ok(None);
    }
    Ok(match parsed.addresses {
        v2::Addresses::IPv4(addresses) => Some(addresses.source_address.into()),
        v2::Addresses::IPv6(addresses) => Some(addresses.source_address.into()),
        v2::Addresses::Unix(_) | v2::Addresses::Unspecified => None,
    })
}

async fn read_v1(
    stream: &mut (impl AsyncRead + Unpin),
    mut header: Vec<u8>,
) -> io::Result<Option<IpAddr>> {
    // Byte by byte: what follows the line is not ours.
    while !header.ends_with(b"\r\n") {
        if header.len() == V1_MAX_BYTES {
            return Err(wrong("a PROXY header is too long"));
        }
        header.push(stream.read_u8().await?);
    }
    let malformed = || wrong("a PROXY header is malformed");
    let line = str::from_utf8(&header).map_err(|_| malformed())?;
    let parsed = v1::Header::try_from(line).map_err(|_| malformed())?;
    Ok(match parsed.addresses {
        v1::Addresses::Tcp4(addresses) => Some(addresses.source_address.into()),
        v1::Addresses::Tcp6(addresses) => Some(addresses.source_address.into()),
        v1::Addresses::Unknown => None,
    })
}

fn wrong(problem: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn found(bytes: &[u8]) -> (io::Result<Option<IpAddr>>, Vec<u8>) {
        let mut rest = bytes;
        let found = read(&mut rest).await;
        (found, rest.to_vec())
    }

    fn v2(version_command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let length = (payload.len() as u16).to_be_bytes();
        [v2::PROTOCOL_PREFIX, &[version_command, family], &length, payload].concat()
    }

    #[tokio::test]
    async fn a_header_is_read_and_nothing_after_it() {
        let v4 = [[203, 0, 113, 9], [127, 0, 0, 1]].concat();
        let v4 = [v4, vec![0, 5, 0, 6]].concat();
        let with_tlv = [v4.clone(), vec![0x04, 0, 3, 1, 2, 3]].concat();
        let v6_source: [u8; 16] = "2001:db8::1".parse::<std::net::Ipv6Addr>().expect("v6").octets();
        let v6 = [&v6_source[..], &[0; 16], &[0, 5, 0, 6]].concat();
        for (header, expected) in [
            (b"PROXY TCP4 203.0.113.9 127.0.0.1 5 6\r\n".to_vec(), Some("203.0.113.9")),
            (b"PROXY TCP6 2001:db8::1 ::1 5 6\r\n".to_vec(), Some("2001:db8::1")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), None),
            (v2(0x21, 0x11, &v4), Some("203.0.113.9")),
            (v2(0x21, 0x11, &with_tlv), Some("203.0.113.9")),
            (v2(0x21, 0x21, &v6), Some("2001:db8::1")),
            (v2(0x20, 0x00, &[]), None),
            (v2(0x21, 0x00, &[]), None),
        ] {
            let (found, rest) = found(&[&header[..], b"GET / HTTP"].concat()).await;
            let expected = expected.map(|address| address.parse().expect("an address"));
            assert_eq!(found.expect("a header"), expected, "{header:?}");
            assert_eq!(rest, b"GET / HTTP");
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        for wrong in [
            b"GET /healthz HTTP/1.1\r\n\r\n".to_vec(),
            b"PROXY".to_vec(),
            b"PROXY TCP4 203.0.113.9 127.0.0.1 5\r\n".to_vec(),
            b"PROXY TCP4 somewhere 127.0.0.1 5 6\r\n".to_vec(),
            [b"PROXY UNKNOWN ", &[b'x'; 200][..]].concat(),
            v2(0x31, 0x11, &[0; 12]),
            v2(0x21, 0x11, &[0; 4]),
            v2(0x21, 0x11, &[0; 5_000]),
            v2(0x21, 0x11, &[0; 12])[..20].to_vec(),
        ] {
            assert!(found(&wrong).await.0.is_err(), "{wrong:?}");
        }
    }
}
