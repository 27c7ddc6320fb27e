//! One fault at a time.

use std::{net::TcpListener, path::Path};

use netrox_harness::{
    Arrangement, Role, TestChat,
    certificate::Authority,
    database::Database,
    engine::NatsServer,
    issuer::{Conduct, Issuer},
    process::{self, Ended},
    run_test,
    s3::S3Server,
    settings::own_address,
};
use serde_json::{Value, json};

use super::paths;

const NONE: [(&str, &str); 0] = [];
/// Nobody listens there.
const CLOSED: &str = "127.0.0.1:1";

/// What is found, which has to be one thing: what is wrong, in these words, and what to do.
#[track_caller]
fn assert_finds(ended: &Ended, subject: &str, cause: &str, remedy: &str) {
    let code = if subject == "settings" { 2 } else { 1 };
    assert_eq!(ended.status.code(), Some(code), "{ended:?}");
    let lines: Vec<_> = ended.stdout.lines().collect();
    let [line] = lines[..] else { panic!("{} findings: {ended:?}", lines.len()) };
    let (found, to_do) = line.split_once(". To do: ").expect("a remedy");
    let found = found.strip_prefix(&format!("{subject}: ")).unwrap_or_else(|| panic!("{line}"));
    assert!(found.contains(cause), "{cause:?}: {line}");
    assert!(to_do.contains(remedy), "{remedy:?}: {line}");
}

/// A directory in which nobody ran, and what is looked at there.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    async fn doctor(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
        let before = paths(self.path());
        let arguments = [&["doctor"][..], arguments].concat();
        let ended = process::run(self.path(), arguments, variables.iter().copied()).await;
        assert_eq!(paths(self.path()), before);
        ended
    }

    /// Of a core whose ports nobody has.
    async fn core(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Ended {
        let listeners = ["core", "--grpc-addr", "127.0.0.1:0", "--admin-addr", "none"];
        self.doctor(&[&listeners[..], arguments].concat(), variables).await
    }
}

#[tokio::test]
async fn a_setting_that_a_start_would_refuse_is_the_one_finding() {
    run_test(async {
        let place = Place::new();
        for (arguments, cause) in [
            (&["--jwt-secret", "guessed"][..], "can be guessed from a token"),
            (&["core", "--databse-url", "x"], "did you mean --database-url?"),
            (&["core", "--bus-url", "nats://127.0.0.1:1"], "a bus connects cores that share"),
            (&["edge", "--service-token-file", "nowhere"], "nowhere: No such file"),
            (&["core", "--audit-log", "nowhere/audit.log"], "--audit-log: No such file"),
            (
                &["--http-addr", "127.0.0.1:9", "--grpc-addr", "127.0.0.1:9"],
                "--grpc-addr: failed to listen on 127.0.0.1:9: Address already in use",
            ),
        ] {
            assert_finds(&place.doctor(arguments, &[]).await, "settings", cause, "mend it");
        }
        let ended = place.doctor(&["--json", "core", "--grpc-addr", "nonsense"], &[]).await;
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
        let report: Value = serde_json::from_str(&ended.stdout).expect("a line of JSON");
        assert_eq!(report["findings"].as_array().map(Vec::len), Some(1), "{report}");
        assert_eq!(report["findings"][0]["subject"], "settings", "{report}");
    })
    .await;
}

#[tokio::test]
async fn certificates_that_clients_would_not_take_are_found() {
    run_test(async {
        let (place, authority, other) = (Place::new(), Authority::new(), Authority::new());
        let address = own_address().into();
        let [door, another] = ["door", "another"].map(|name| authority.issue(name, address));
        let of = |certificate: &Path, key: &Path| {
            let [certificate, key] = [certificate, key].map(|path| path.display().to_string());
            ["--grpc-tls-cert-file".to_owned(), certificate, "--grpc-tls-key-file".to_owned(), key]
        };
        let core =
            async |files: [String; 4]| place.core(&files.each_ref().map(String::as_str), &[]).await;
        let ended = core(of(&door.certificate, &another.key)).await;
        assert_finds(&ended, "settings", "is not the key of", "mend it");
        let short = authority.issue_for_days("short", &format!("IP:{}", own_address()), "2");
        // It has all its time before it.
        super::assert_well(&core(of(&short.certificate, &short.key)).await);
        // With an authority that has not signed it.
        let chain = authority.certificate().with_file_name("chain");
        let read = |path: &Path| std::fs::read_to_string(path).expect("a certificate");
        std::fs::write(&chain, read(&door.certificate) + &read(&other.certificate()))
            .expect("written");
        let ended = core(of(&chain, &door.key)).await;
        assert_finds(&ended, "certificates", "is not signed by those that follow", "fullchain.pem");
        std::fs::write(&chain, read(&door.certificate) + &read(&authority.certificate()))
            .expect("written");
        super::assert_well(&core(of(&chain, &door.key)).await);
    })
    .await;
}

#[tokio::test]
async fn a_port_of_another_program_is_found_with_its_name() {
    run_test(async {
        let place = Place::new();
        let taken = TcpListener::bind((own_address(), 0)).expect("a port");
        let address = taken.local_addr().expect("an address").to_string();
        let arguments = ["core", "--admin-addr", "none", "--grpc-addr", &address];
        let ended = place.doctor(&arguments, &[]).await;
        assert_finds(&ended, "ports", &format!("listens on {address}"), "another address");
        let pid = format!("(process {})", std::process::id());
        assert!(ended.stdout.contains(&pid), "{ended:?}");
        // To `check` it may be that of the server which is to be started again.
        let checked = process::run(place.path(), [&["check"][..], &arguments].concat(), NONE).await;
        assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    })
    .await;
}

#[tokio::test]
async fn a_database_that_cannot_be_used_is_found() {
    run_test(async {
        let place = Place::new();
        let url = format!("postgres://nobody@{CLOSED}/chat");
        let ended = place.core(&["--database-url", &url], &[]).await;
        assert_finds(&ended, "database", "refused", "start the database");

        let database = Database::create_on_shared().await;
        super::assert_well(&place.core(&["--database-url", &database.url()], &[]).await);
        let ended =
            place.core(&["--database-url", &database.url(), "--require-existing-data"], &[]).await;
        // The secret is what a start would miss first.
        assert_finds(&ended, "settings", "--require-existing-data makes no new one", "mend it");
        let token = ("NETROX_CHAT_SERVICE_TOKEN", "a-token-of-a-test");
        let url = database.url();
        let arguments = ["--database-url", &url, "--require-existing-data"];
        let ended = place.core(&arguments, &[token]).await;
        assert_finds(
            &ended,
            "database",
            "it has no data of netrox-chat",
            "--require-existing-data",
        );

        let lossy = format!("alter database {} set synchronous_commit = off", database.name());
        database.execute(&lossy).await;
        let ended = place.core(&["--database-url", &database.url()], &[]).await;
        assert_finds(&ended, "database", "synchronous_commit is \"off\"", "set it to on");

        let ended = place.core(&["--database-url", "sqlite://."], &[]).await;
        assert_finds(&ended, "database", "Is a directory", "look at the path");
        std::fs::write(place.path().join("chat.db"), vec![b'x'; 8_192]).expect("written");
        let ended = place.core(&["--database-url", "sqlite://chat.db"], &[]).await;
        assert_finds(&ended, "database", "file is not a database", "another file is in its place");
    })
    .await;
}

#[tokio::test]
async fn what_a_role_may_not_do_is_found() {
    run_test(async {
        let chat = TestChat::builder(Arrangement::Cluster).cores(1).edges(1).start().await;
        let (place, database) = (Place::new(), chat.database());
        let core = async |url: &str, more: &[&str]| {
            place.core(&[&["--database-url", url][..], more].concat(), &[]).await
        };
        super::assert_well(&core(&database.url(), &[]).await);
        let ended = core(&database.url(), &["--database-schema", "chta"]).await;
        assert_finds(&ended, "database", "it has no schema \"chta\"", "--database-schema");

        let role = format!("{}_role", database.name());
        let url = format!("postgres://{role}@{}/{}", database.address(), database.name());
        let grant = format!(
            "create role {role} login; create schema beside; grant usage on schema public, beside to {role};
            grant select, insert, update, delete on all tables in schema public to {role};
            grant usage, select on all sequences in schema public to {role}"
        );
        database.execute(&grant).await;
        super::assert_well(&core(&url, &[]).await);
        let ended = core(&url, &["--database-schema", "beside"]).await;
        assert_finds(&ended, "database", "the role may make none in schema beside", "grant create");
        database.execute(&format!("revoke delete on uploads, external_ids from {role}")).await;
        let ended = core(&url, &[]).await;
        assert_finds(&ended, "database", "external_ids (delete), uploads (delete)", "grant select");
        // Without it nobody knows under which name the bus is used; that is no fault of the bus.
        database.execute(&format!("grant delete on all tables in schema public to {role}")).await;
        database.execute(&format!("revoke select on cluster from {role}")).await;
        let nats = NatsServer::start().await;
        let bus = nats.server().to_string();
        let ended = core(&url, &["--bus-url", &bus]).await;
        assert_finds(&ended, "database", "cluster (select)", "grant select");
        assert!(ended.stderr.contains("lets this core in"), "{ended:?}");
        // The next start would change tables of another.
        database.execute(&format!("grant select on cluster to {role}")).await;
        let last = "(select max(version) from _sqlx_migrations)";
        database.execute(&format!("delete from _sqlx_migrations where version = {last}")).await;
        let ended = core(&url, &[]).await;
        assert_finds(&ended, "database", "the role does not own", "as the owner");
        database.execute(&format!("drop owned by {role}; drop role {role}")).await;
    })
    .await;
}

#[tokio::test]
async fn no_password_is_told() {
    run_test(async {
        const PASSWORD: &str = "canary-of-a-password";
        let place = Place::new();
        let database = format!("postgres://nobody:{PASSWORD}@{CLOSED}/chat");
        let bus = format!("nats://nobody:{PASSWORD}@{CLOSED}");
        for json in ["--json=false", "--json"] {
            let arguments = [json, "--database-url", &database, "--bus-url", &bus];
            let ended = place.core(&arguments, &[]).await;
            assert_eq!(ended.status.code(), Some(1), "{ended:?}");
            assert!(ended.stdout.contains(CLOSED), "{ended:?}");
            let told = format!("{}{}", ended.stdout, ended.stderr);
            assert!(!told.contains(PASSWORD), "{told}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_bus_that_carries_nothing_is_found() {
    run_test(async {
        let (place, database) = (Place::new(), Database::create_on_shared().await);
        let core = async |bus: &str| {
            place.core(&["--database-url", &database.url(), "--bus-url", bus], &[]).await
        };
        let ended = core(&format!("nats://{CLOSED}")).await;
        assert_finds(&ended, "bus", "refused", "start NATS");

        let file = place.path().join("nats.conf");
        std::fs::write(
            &file,
            "max_payload: 1024
            authorization { users: [
                { user: mute, password: mute, permissions: { publish: { deny: \">\" } } },
                { user: deaf, password: deaf, permissions: { subscribe: { deny: \">\" } } },
                { user: chat, password: chat }
            ] }\n",
        )
        .expect("written");
        let path = file.to_str().expect("UTF-8").to_owned();
        let nats = NatsServer::start_with(|address| {
            (format!("nats://chat:chat@{address}"), vec!["--config".into(), path.into()])
        })
        .await;
        let ended = core(&nats.server().to_string()).await;
        assert_finds(&ended, "bus", "max_payload of NATS is 1024 bytes", "to 65536 or more");
        let ended = core(&format!("nats://chat:wrong@{}", nats.address())).await;
        assert_finds(&ended, "bus", "authorization violation", "a user that the server knows");
        for (user, kind) in [("mute", "publish"), ("deaf", "subscription")] {
            let ended = core(&format!("nats://{user}:{user}@{}", nats.address())).await;
            let refused = ended.stdout.lines().find(|line| line.contains("the server says"));
            let refused = refused.unwrap_or_else(|| panic!("{ended:?}"));
            let cause = format!("permissions violation for {kind}");
            assert!(refused.to_lowercase().contains(&cause), "{refused}");
            assert!(refused.ends_with("netrox-chat.>"), "{refused}");
            // The other one is that of its messages.
            assert_eq!(ended.stdout.lines().count(), 2, "{ended:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn files_that_cannot_be_kept_are_found() {
    run_test(async {
        let place = Place::new();
        let ended = place.core(&["--media-url", "file:///proc"], &[]).await;
        assert_finds(&ended, "media", "/proc takes no files", "the owner and the mode");

        let s3 = S3Server::start();
        let variables = s3.variables();
        let mut variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
        let ended = place.core(&["--media-url", "s3://no-such-bucket"], &variables).await;
        assert_finds(&ended, "media", "NoSuchBucket", "make the bucket");
        for (name, value) in &mut variables {
            if *name == "AWS_ENDPOINT_URL" {
                *value = "http://127.0.0.1:1";
            }
        }
        let ended = place.core(&["--media-url", "s3://no-such-bucket"], &variables).await;
        assert_finds(&ended, "media", "refused", "AWS_ENDPOINT_URL");
    })
    .await;
}

#[tokio::test]
async fn what_keeps_an_edge_from_its_users_is_found() {
    run_test(async {
        let chat = TestChat::builder(Arrangement::Split);
        let chat = chat.set("max-connections", "100").start().await;
        let edge = async |arguments: &[&str]| {
            let words = ["edge", "--http-addr", "127.0.0.1:0", "--admin-addr", "none"];
            let words = [&words[..], arguments].concat();
            let place = Place::new();
            place.doctor(&words, &[("NETROX_CHAT_MAX_CONNECTIONS", "100")]).await
        };
        let core = format!("http://{}", chat.grpc_address_of(Role::Core(0)));
        let issuer = Issuer::start(json!({"keys": []})).await;
        issuer.behave(Conduct::Status(503));
        let no_core = format!("http://{}", issuer.address());
        let token = ["--service-token", netrox_harness::settings::SERVICE_TOKEN];
        let secret = ["--jwt-secret", netrox_harness::settings::JWT_SECRET];
        for (arguments, subject, cause, remedy) in [
            (
                [&["--core", &core, "--service-token", "another"][..], &secret].concat(),
                "cores",
                "does not know this edge's service token",
                "--service-token-file",
            ),
            (
                [&["--core", "http://127.0.0.1:1"][..], &token, &secret].concat(),
                "cores",
                "cannot be reached",
                "start the core",
            ),
            (
                [&["--core", &core][..], &token, &["--jwks-url", &issuer.url()]].concat(),
                "keys",
                "it is answered with 503",
                "see whether the issuer is up",
            ),
            // A server of HTTP/1.1 alone.
            (
                [&["--core", &no_core][..], &token, &secret].concat(),
                "cores",
                "cannot be reached",
                "mend --core",
            ),
        ] {
            assert_finds(&edge(&arguments).await, subject, cause, remedy);
        }
        super::assert_well(&edge(&[&["--core", &core][..], &token, &secret].concat()).await);
    })
    .await;
}
