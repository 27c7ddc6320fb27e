//! Where a client is, as limits before authentication count it.

use std::net::{IpAddr, Ipv6Addr};

/// A client's address, as limits count it: of IPv6 the network of 64 bits that one line is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ClientAddress(IpAddr);

impl ClientAddress {
    /// Of IPv6 the first of its network.
    pub(crate) fn ip(self) -> IpAddr {
        self.0
    }

    pub(crate) fn new(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
        })
    }
}
