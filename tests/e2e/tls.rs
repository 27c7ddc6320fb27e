//! TLS at the doors, and between edge and core, with an authority of each test's own.
//!
//! * `door`: what the public door takes, and what not.
//! * `reload`: certificates that change.
//! * `between`: edge and core that do not trust each other.
//! * `services`: who is known by a certificate.
//! * `scan`: what a scanner finds.

mod between;
mod door;
mod reload;
mod scan;
mod services;

use std::path::Path;

use netrox_harness::{
    Arrangement, Builder, Edge, Role, TestChat, User,
    certificate::{Authority, Certificate},
    settings::own_address,
    tls::TlsClient,
};

/// A deployment at an address for which all its certificates are.
struct Secured {
    authority: Authority,
    builder: Builder,
    /// Of the public door.
    door: Certificate,
    core: Certificate,
}

impl Secured {
    fn new(arrangement: Arrangement) -> Self {
        let (authority, address) = (Authority::new(), own_address());
        let [door, core, edge] =
            ["door", "core", "edge"].map(|name| authority.issue(name, address.into()));
        let builder = TestChat::builder(arrangement)
            .at(address)
            .set("http-tls-cert-file", &door.certificate)
            .set("http-tls-key-file", &door.key)
            .set("grpc-tls-cert-file", &core.certificate)
            .set("grpc-tls-key-file", &core.key)
            .set("grpc-tls-client-ca-file", authority.certificate())
            .set("core-ca-file", authority.certificate())
            .set("core-client-cert-file", &edge.certificate)
            .set("core-client-key-file", &edge.key);
        Self { authority, builder, door, core }
    }
}

/// A client of the public door, for which it is as if there was no TLS.
async fn client(chat: &TestChat, authority: &Authority) -> TlsClient {
    let server = chat.edge().address;
    let std::net::IpAddr::V4(source) = server.ip() else { panic!("{server}") };
    TlsClient::start(source, server, &authority.certificate()).await
}

/// A user in the directory.
async fn user(chat: &TestChat, edge: Edge, name: &str) -> User {
    let user = chat.stranger(name);
    let answer = edge.get("/chat/get-user-threads/").bearer(&user.token).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    user
}

/// As a program does that renews certificates: whole files, one after the other.
fn put(new: &Path, place: &Path) {
    let beside = place.with_extension("new");
    std::fs::copy(new, &beside).expect("copied");
    std::fs::rename(&beside, place).expect("renamed");
}

/// What a process counts of handshakes that failed for a reason.
async fn failed_handshakes(chat: &TestChat, role: Role, door: &str, reason: &str) -> f64 {
    let answer = chat.admin(role).get("/metrics").send().await;
    let series = format!("netrox_chat_{door}_tls_handshakes_failed_total{{reason=\"{reason}\"}} ");
    let line = answer.text().lines().find_map(|line| line.strip_prefix(&series));
    line.map_or(0.0, |value| value.parse().expect("a number"))
}
