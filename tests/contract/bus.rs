//! A bus that wants to know who comes: users, tokens, certificates and credentials.
//!
//! Whether a message came by it shows where the receiver's core does not reach its database: by nothing else it could.

use std::{
    ffi::OsString,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use netrox_harness::{
    Arrangement, Builder, Engine, Role, TestChat,
    certificate::{Authority, Certificate},
    engine::{NatsServer, PostgresServer},
    eventually,
    proxy::{Network, Proxy},
    run_test,
    settings::variable_name,
};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    running::{Connection, authorized, connect_to},
    subscribe::Subscription,
};

mod credentials;
mod limits;

use self::credentials::Credentials;

const SENDING: Role = Role::Core(0);
const RECEIVING: Role = Role::Core(1);

fn builder(nats: &NatsServer) -> Builder {
    TestChat::builder(Arrangement::Cluster).edges(0).engine(Engine::Nats, nats.server())
}

async fn connect(chat: &TestChat, core: Role) -> Connection {
    authorized(connect_to(chat.grpc_address_of(core)).await)
}

/// The connection of the core that listens for a user, as the server sees it.
async fn listener(nats: &NatsServer, user: &str) -> Value {
    let user = user.parse::<Uuid>().expect("a UUID").simple().to_string();
    eventually("a listener at the bus", async || {
        nats.connections().await.into_iter().find(|connection| {
            let subjects = connection["subscriptions_list"].as_array().into_iter().flatten();
            let mut subjects = subjects.filter_map(Value::as_str);
            subjects.any(|subject| subject.ends_with(&user))
        })
    })
    .await
}

/// Fails where a message does not come by the bus. Gives how the server sees the connections of both cores.
async fn carry(nats: &NatsServer, settings: &[(&str, &Path)]) -> [Value; 2] {
    let postgres = PostgresServer::start().await;
    let way = Proxy::start(postgres.address());
    let builder = builder(nats).engine(Engine::Postgres, postgres.server());
    let builder = builder.route(RECEIVING, Engine::Postgres, way.address());
    let builder = settings.iter().fold(builder, |all, (flag, value)| all.set(flag, *value));
    let chat = builder.start().await;
    let (sending, receiving) = (connect(&chat, SENDING).await, connect(&chat, RECEIVING).await);
    let [ada, bob] = sending.users().await;
    let _ada = Subscription::open(&sending, &ada).await;
    let mut subscription = Subscription::open(&receiving, &bob).await;
    let connections = [listener(nats, &ada).await, listener(nats, &bob).await];

    way.set(Network::BlackHole);
    for body in ["one", "two"] {
        let id = sending.send(&ada, &bob, body).await.expect("stored").message_id;
        assert_eq!(subscription.message().await.id, id);
    }
    connections
}

/// Fails where a core comes to the bus that gives another URL or leaves a setting out. It serves all the same, and
/// learns from the database.
async fn keep_out(nats: &NatsServer, settings: &[(&str, &Path)], url: &str) {
    let builder = builder(nats).variable(RECEIVING, variable_name("bus-url"), url);
    let builder = settings
        .iter()
        .fold(builder, |all, (flag, value)| all.variable(SENDING, variable_name(flag), *value));
    let chat = builder.start().await;
    let (sending, receiving) = (connect(&chat, SENDING).await, connect(&chat, RECEIVING).await);
    let [ada, bob] = sending.users().await;
    let mut subscription = Subscription::open(&receiving, &bob).await;
    let _ada = Subscription::open(&sending, &ada).await;
    listener(nats, &ada).await;
    let id = sending.send(&ada, &bob, "hello").await.expect("stored").message_id;
    assert_eq!(subscription.message().await.id, id);
    let mut log = chat.log(RECEIVING);
    let is_refusal = |event: &Value| {
        let is_error = event["event"].as_str()?.starts_with("client error");
        (event["message"] == "the bus" && is_error).then_some(())
    };
    log.event("a refusal by the bus", is_refusal).await;
    assert!(!log.contains("the bus is connected"), "a core was let in");
    assert!(!log.contains("s3cret"), "a password in the log");
}

fn arguments<const N: usize>(words: [&str; N]) -> Vec<OsString> {
    words.map(OsString::from).into()
}

#[tokio::test]
async fn a_user_and_password_in_the_url_open_the_bus() {
    run_test(async {
        // What a URL cannot hold as it stands comes percent-encoded.
        let nats = NatsServer::start_with(|address| {
            let url = format!("nats://chat:s3cret%2F%40%3A@{address}");
            (url, arguments(["--user", "chat", "--pass", "s3cret/@:"]))
        })
        .await;
        for connection in carry(&nats, &[]).await {
            assert_eq!(connection["authorized_user"], "chat", "{connection}");
        }
        keep_out(&nats, &[], &format!("nats://chat:s3cret@{}", nats.address())).await;
    })
    .await;
}

#[tokio::test]
async fn a_token_in_the_url_opens_the_bus() {
    run_test(async {
        let nats = NatsServer::start_with(|address| {
            (format!("nats://s3cret-token@{address}"), arguments(["--auth", "s3cret-token"]))
        })
        .await;
        carry(&nats, &[]).await;
        keep_out(&nats, &[], &format!("nats://{}", nats.address())).await;
    })
    .await;
}

/// A server with a certificate of its own.
async fn tls_server(authority: &Authority, others: impl Fn() -> Vec<OsString>) -> NatsServer {
    NatsServer::start_with(|address: SocketAddr| {
        let own = authority.issue("nats", address.ip());
        let flag = |flag: &str, path: PathBuf| [flag.into(), path.into_os_string()];
        let certificate = [flag("--tlscert", own.certificate), flag("--tlskey", own.key)];
        let arguments = arguments(["--tls"]).into_iter().chain(certificate.into_iter().flatten());
        (format!("tls://{address}"), arguments.chain(others()).collect())
    })
    .await
}

#[tokio::test]
async fn a_bus_with_tls_is_trusted_by_its_authority() {
    run_test(async {
        let authority = Authority::new();
        let nats = tls_server(&authority, Vec::new).await;
        let trusted = authority.certificate();
        let settings = [("bus-tls-ca-file", &*trusted)];
        for connection in carry(&nats, &settings).await {
            assert_eq!(connection["tls_version"], "1.3", "{connection}");
        }
        // Without it, the authorities of the system are asked, which know nothing of it.
        keep_out(&nats, &settings, &nats.server().to_string()).await;
    })
    .await;
}

#[tokio::test]
async fn a_client_certificate_opens_the_bus() {
    run_test(async {
        let authority = Authority::new();
        let trusted = authority.certificate();
        let nats = tls_server(&authority, || {
            let mut verify = arguments(["--tlsverify", "--tlscacert"]);
            verify.push(trusted.clone().into_os_string());
            verify
        })
        .await;
        let Certificate { certificate, key } = authority.issue("core", nats.address().ip());
        let settings = [
            ("bus-tls-ca-file", &*trusted),
            ("bus-tls-cert-file", &*certificate),
            ("bus-tls-key-file", &*key),
        ];
        for connection in carry(&nats, &settings).await {
            let shown = connection["tls_peer_certs"][0]["subject"].as_str();
            assert_eq!(shown, Some("CN=core"), "{connection}");
        }
        keep_out(&nats, &settings, &nats.server().to_string()).await;
    })
    .await;
}

#[tokio::test]
async fn a_credentials_file_opens_the_bus() {
    run_test(async {
        let directory = tempfile::tempdir().expect("a directory");
        let credentials = Credentials::make(directory.path());
        let nats = NatsServer::start_with(|address| {
            let configuration = credentials.server_configuration.clone().into_os_string();
            (format!("nats://{address}"), vec!["--config".into(), configuration])
        })
        .await;
        let settings = [("bus-credentials-file", &*credentials.file)];
        for connection in carry(&nats, &settings).await {
            assert_eq!(connection["authorized_user"], *credentials.user, "{connection}");
        }
        keep_out(&nats, &settings, &nats.server().to_string()).await;
    })
    .await;
}
