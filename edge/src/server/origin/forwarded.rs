//! `X-Forwarded-For` and `Forwarded` (RFC 7239), as trusted proxies write them.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, header};

use crate::config::TrustedProxies;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client of a request that came from a trusted proxy: whom the last trusted proxy got it from. Where both headers
/// are there `X-Forwarded-For` counts: nearly all proxies write that one, and pass on what clients wrote into the other.
pub(super) fn client(headers: &HeaderMap, trusted: &TrustedProxies) -> Option<IpAddr> {
    if headers.contains_key(X_FORWARDED_FOR) {
        return last_of(&entries(headers, &X_FORWARDED_FOR), trusted, node);
    }
    last_of(&entries(headers, &header::FORWARDED), trusted, forwarded_for)
}

fn entries<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    let values = headers.get_all(name).iter();
    // What is not text is nobody's.
    let values = values.map(|value| value.to_str().unwrap_or_default());
    values.flat_map(|value| value.split(',')).collect()
}

/// The last entry that is no trusted proxy's, or the first of all. Those before it may be invented.
fn last_of(
    entries: &[&str],
    trusted: &TrustedProxies,
    parse: fn(&str) -> Option<IpAddr>,
) -> Option<IpAddr> {
    let mut client = None;
    for entry in entries.iter().rev() {
        let address = parse(entry)?;
        client = Some(address);
        if !trusted.contains(address) {
            break;
        }
    }
    client
}

/// The `for` of an element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, node_of) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    let node_of = node_of.trim();
    node(node_of.strip_prefix('"').and_then(|node| node.strip_suffix('"')).unwrap_or(node_of))
}

/// An address, with a port or without, in brackets or not.
fn node(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let in_brackets = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let address = in_brackets.unwrap_or(text).parse().ok();
    let address = address.or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()));
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(headers: &[(&'static str, &'static str)]) -> Option<String> {
        let trusted = "10.0.0.0/8,2001:db8:1::/48".parse().expect("networks");
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().expect("a value"));
        }
        client(&map, &trusted).map(|address| address.to_string())
    }

    #[test]
    fn the_last_that_is_no_proxy_is_the_client() {
        for (value, expected) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("192.0.2.1, 10.0.0.1", Some("192.0.2.1")),
            // What the client itself says comes first.
            ("198.51.100.1, 192.0.2.1,10.0.0.1", Some("192.0.2.1")),
            ("nonsense, 192.0.2.1", Some("192.0.2.1")),
            ("192.0.2.1, nonsense", None),
            ("10.0.0.2, 10.0.0.1", Some("10.0.0.2")),
            ("192.0.2.1:5000", Some("192.0.2.1")),
            ("[2001:db8::1]:5000", Some("2001:db8::1")),
            ("2001:db8::1, 2001:db8:1::5", Some("2001:db8::1")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
            ("unknown", None),
            ("", None),
        ] {
            assert_eq!(found(&[("x-forwarded-for", value)]).as_deref(), expected, "{value:?}");
        }
        let twice = [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-for", "192.0.2.2, 10.0.0.1")];
        assert_eq!(found(&twice).as_deref(), Some("192.0.2.2"));
        assert_eq!(found(&[]), None);
    }

    #[test]
    fn forwarded_is_understood_and_counts_where_it_is_alone() {
        for (value, expected) in [
            ("for=192.0.2.1", Some("192.0.2.1")),
            ("For=192.0.2.1;proto=https;by=10.0.0.1", Some("192.0.2.1")),
            ("for=198.51.100.1, proto=http;for=192.0.2.1, for=10.0.0.9", Some("192.0.2.1")),
            (r#"for="[2001:db8::1]:4711""#, Some("2001:db8::1")),
            (r#"for="192.0.2.1:80""#, Some("192.0.2.1")),
            ("for=_hidden", None),
            ("for=192.0.2.1, for=unknown", None),
            ("proto=https", None),
        ] {
            assert_eq!(found(&[("forwarded", value)]).as_deref(), expected, "{value:?}");
        }
        let both = [("forwarded", "for=198.51.100.1"), ("x-forwarded-for", "192.0.2.1")];
        assert_eq!(found(&both).as_deref(), Some("192.0.2.1"));
    }
}
