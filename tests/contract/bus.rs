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
    database::Database,
    engine::{NatsServer, PostgresServer},
    eventually, process,
    proxy::{Network, Proxy},
    run_test,
    settings::variable_name,
    tls::TlsServer,
};
use nkeys::KeyPair;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    running::{Connection, authorized, connect_to},
    subscribe::Subscription,
};

mod apart;
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

/// The share of a user among the subjects of the bus, which cores of all versions agree on.
fn share_of(user: &str) -> u64 {
    let (upper, lower) = user.parse::<Uuid>().expect("a UUID").as_u64_pair();
    (upper.rotate_left(32) ^ lower).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56
}

/// Two users whom one connection can be told by that listens for each.
async fn users_apart(core: &Connection) -> [String; 2] {
    loop {
        let users: [String; 2] = core.users().await;
        if share_of(&users[0]) != share_of(&users[1]) {
            return users;
        }
    }
}

/// The connection of the core that listens for a user, as the server sees it.
async fn listener(nats: &NatsServer, user: &str) -> Value {
    let share = format!(".share.{}", share_of(user));
    eventually("a listener at the bus", async || {
        nats.connections().await.into_iter().find(|connection| {
            let subjects = connection["subscriptions_list"].as_array().into_iter().flatten();
            let mut subjects = subjects.filter_map(Value::as_str);
            subjects.any(|subject| subject.ends_with(&share))
        })
    })
    .await
}

/// Fails where a message does not come by the bus. Gives how the server sees the connections of both cores.
async fn carry(nats: &NatsServer, settings: &[(&str, &Path)]) -> [Value; 2] {
    carry_with(nats, builder(nats), settings).await
}

async fn carry_with(nats: &NatsServer, builder: Builder, settings: &[(&str, &Path)]) -> [Value; 2] {
    let postgres = PostgresServer::start().await;
    let way = Proxy::start(postgres.address());
    let builder = builder.engine(Engine::Postgres, postgres.server());
    let builder = builder.route(RECEIVING, Engine::Postgres, way.address());
    let builder = settings.iter().fold(builder, |all, (flag, value)| all.set(flag, *value));
    let chat = builder.start().await;
    let (sending, receiving) = (connect(&chat, SENDING).await, connect(&chat, RECEIVING).await);
    let [ada, bob] = users_apart(&sending).await;
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
async fn keep_out(nats: &NatsServer, settings: &[(&str, &Path)], url: &str, why: &str) {
    let builder = builder(nats).variable(RECEIVING, variable_name("bus-url"), url);
    let builder = settings
        .iter()
        .fold(builder, |all, (flag, value)| all.variable(SENDING, variable_name(flag), *value));
    let chat = builder.start().await;
    let (sending, receiving) = (connect(&chat, SENDING).await, connect(&chat, RECEIVING).await);
    let [ada, bob] = users_apart(&sending).await;
    let mut subscription = Subscription::open(&receiving, &bob).await;
    let _ada = Subscription::open(&sending, &ada).await;
    listener(nats, &ada).await;
    let id = sending.send(&ada, &bob, "hello").await.expect("stored").message_id;
    assert_eq!(subscription.message().await.id, id);
    let mut log = chat.log(RECEIVING);
    // On a machine that is busy an attempt may take too long, which is told as well.
    let is_cause = |event: &Value| {
        let is_told = event["message"] == "the bus does not connect";
        (is_told && event["error"].as_str()?.contains(why)).then_some(())
    };
    log.event(&format!("a bus that does not connect: {why}"), is_cause).await;
    // And not with each attempt.
    let lines = log.lines();
    let told = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    assert_eq!(told.filter(|event| is_cause(event).is_some()).count(), 1);
    assert!(!log.contains("the bus is connected"), "a core was let in");
    assert!(!log.contains("s3cret"), "a password in the log");
}

/// A core that ends at once, with the setting that is wrong.
async fn is_refused(nats: &NatsServer, settings: &[(&str, &Path)], variable: &str) {
    let database = Database::create_on_shared().await;
    let directory = tempfile::tempdir().expect("a directory");
    let given = [
        ("database-url", OsString::from(database.url())),
        ("bus-url", nats.server().to_string().into()),
        ("grpc-addr", "127.0.0.1:0".into()),
    ];
    let files = settings.iter().map(|(flag, path)| (*flag, path.as_os_str().to_owned()));
    let given: Vec<_> =
        given.into_iter().chain(files).map(|(flag, value)| (variable_name(flag), value)).collect();
    let variables = given.iter().map(|(name, value)| (name.as_str(), value));
    let ended = process::run(directory.path(), ["core"], variables).await;
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert!(ended.stderr.contains(&format!("NETROX_CHAT_{variable}: ")), "{ended:?}");
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
        let url = format!("nats://chat:s3cret@{}", nats.address());
        keep_out(&nats, &[], &url, "authorization violation").await;
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
        let url = format!("nats://{}", nats.address());
        keep_out(&nats, &[], &url, "authorization violation").await;
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
        keep_out(&nats, &settings, &nats.server().to_string(), "UnknownIssuer").await;
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
        keep_out(&nats, &settings, &nats.server().to_string(), "UnknownIssuer").await;
        // What does not fit is found at the start.
        let other = authority.issue("other", nats.address().ip());
        let unfit = [settings[0], settings[1], ("bus-tls-key-file", &*other.key)];
        is_refused(&nats, &unfit, "BUS_TLS_CERT_FILE").await;
        let no_authority = [("bus-tls-ca-file", &*key)];
        is_refused(&nats, &no_authority, "BUS_TLS_CA_FILE").await;
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
        keep_out(&nats, &settings, &nats.server().to_string(), "authorization violation").await;
    })
    .await;
}

#[tokio::test]
async fn an_nkey_opens_the_bus() {
    run_test(async {
        let directory = tempfile::tempdir().expect("a directory");
        let user = KeyPair::new_user();
        let configuration = directory.path().join("nats.conf");
        let users = format!("authorization {{ users: [ {{ nkey: {} }} ] }}\n", user.public_key());
        std::fs::write(&configuration, users).expect("write");
        let nats = NatsServer::start_with(|address| {
            let configuration = configuration.clone().into_os_string();
            (format!("nats://{address}"), vec!["--config".into(), configuration])
        })
        .await;
        let seed = |name: &str, pair: &KeyPair| {
            let path = directory.path().join(name);
            std::fs::write(&path, pair.seed().expect("a seed") + "\n").expect("write");
            path
        };
        let file = seed("user.nk", &user);
        let settings = [("bus-nkey-file", &*file)];
        for connection in carry(&nats, &settings).await {
            assert_eq!(connection["authorized_user"], *user.public_key(), "{connection}");
        }
        keep_out(&nats, &settings, &nats.server().to_string(), "authorization violation").await;
        let account = seed("account.nk", &KeyPair::new_account());
        is_refused(&nats, &[("bus-nkey-file", &account)], "BUS_NKEY_FILE").await;
    })
    .await;
}

/// As with `handshake_first` of the server, which says nothing before TLS.
#[tokio::test]
async fn a_bus_that_begins_with_tls_is_entered_so() {
    run_test(async {
        let authority = Authority::new();
        let nats = NatsServer::start().await;
        let own = authority.issue("nats", nats.address().ip());
        let first = TlsServer::start(&own, nats.address()).await;
        let trusted = authority.certificate();
        let settings = [("bus-tls-ca-file", &*trusted), ("bus-tls-first", Path::new("true"))];
        let cores = [SENDING, RECEIVING].into_iter();
        let route = |all: Builder, core| all.route(core, Engine::Nats, first.address());
        let builder = cores.fold(builder(&nats), route);
        carry_with(&nats, builder, &settings).await;
        keep_out(&nats, &[], &format!("tls://{}", first.address()), "timed out").await;
    })
    .await;
}
