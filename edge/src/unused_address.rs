use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::atomic::{AtomicU8, Ordering},
};

/// An address at which nobody listens until the test does. It has an IP address of its own where loopback has
/// more than one (Linux): on a shared one, another test's connection may take the port in the meantime.
pub(crate) fn unused_address() -> SocketAddr {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    let own = if cfg!(target_os = "linux") {
        let [high, low] = (std::process::id() as u16).to_be_bytes();
        Ipv4Addr::new(127, high.max(1), low, NEXT.fetch_add(1, Ordering::Relaxed).clamp(1, 254))
    } else {
        Ipv4Addr::LOCALHOST
    };
    let listener = TcpListener::bind((own, 0)).expect("a loopback address");
    listener.local_addr().expect("an address")
}
