//! Wrong settings: exit status 2, and one line that names the setting.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    process::Stdio,
};

use crate::{
    SECRET,
    process::{Outcome, Server, bound_to_its_test, run, run_in},
};

/// A refusal: exit status 2, and one line on stderr that begins with the setting.
#[track_caller]
fn assert_refused(outcome: &Outcome, setting: &str) {
    assert_eq!(outcome.status, Some(2), "{outcome:?}");
    assert_eq!(outcome.stdout, "", "{outcome:?}");
    let line = outcome.stderr.strip_suffix('\n').unwrap_or_default();
    assert!(!line.contains('\n'), "{outcome:?}");
    assert!(line.starts_with(&format!("error: {setting}: ")), "{setting}: {outcome:?}");
    assert!(!outcome.stderr.contains("hunter2"), "{outcome:?}");
}

/// What refuses a start is refused by `check` in the same words, and nothing is made.
#[track_caller]
fn assert_looked_alike(outcome: &Outcome, arguments: &[&str], variables: &[(&str, &str)]) {
    let role = arguments.first().filter(|first| !first.starts_with('-'));
    if role.is_some_and(|role| !["serve", "core", "edge"].contains(role)) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let checked = run_in(dir.path(), &[&["check"][..], arguments].concat(), variables);
    assert_eq!((checked.status, &*checked.stdout), (Some(2), ""), "{checked:?}");
    assert_eq!(checked.stderr, outcome.stderr);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "{arguments:?}");
}

#[test]
fn a_wrong_flag_is_named() {
    for (setting, arguments) in [
        ("--http-addr", "--http-addr localhost"),
        ("--http-addr", "serve --http-addr"),
        ("--http-addr", "serve --http-addr= --grpc-addr 127.0.0.1:1"),
        ("--grpc-addr", "core --grpc-addr 127.0.0.1:99999"),
        ("--grpc-addr", "core --grpc-addr 127.0.0.1:1 --grpc-addr 127.0.0.1:2"),
        ("--admin-addr", "core --admin-addr localhost:24051"),
        ("--admin-addr", "token --admin-addr none"),
        ("--core", "edge --core https://hunter2@core:50051"),
        ("--core", "edge --core core:50051"),
        ("--core", "edge --core http://a:0"),
        ("--database-url", "core --database-url postgres://me:hunter2@db:port/chat"),
        ("--database-url", "core --database-url mysql://me:hunter2@db/chat"),
        ("--database-url", "core --database-url postgres://me@db/chat?ssl_mode=hunter2"),
        ("--database-url", "core --database-url postgres://me@db/chat?sslpassword=hunter2"),
        ("--database-url", "epoch renew --database-url postgres://one,two/chat"),
        ("--to", "migrate --from sqlite://x --to postgres://db/chat?channel_binding=require"),
        (
            "--accept-database-setting",
            "core --database-url postgres://db/chat --accept-database-setting synchronous_commit",
        ),
        ("--accept-database-setting", "serve --accept-database-setting fsync"),
        ("--otlp-endpoint", "core --otlp-endpoint http://hunter2@collector:4317"),
        ("--otlp-ca-file", "core --otlp-ca-file x"),
        ("--otlp-ca-file", "core --otlp-endpoint http://collector --otlp-ca-file x"),
        ("--otlp-ca-file", "core --otlp-endpoint https://collector --otlp-ca-file /nowhere/ca"),
        ("--otlp-headers-file", "core --otlp-endpoint http://a --otlp-headers-file /nowhere/x"),
        ("--trace-ratio", "core --trace-ratio 2"),
        ("--client-traces-per-second", "core --client-traces-per-second 1"),
        ("--bus-tls-first", "core --bus-tls-first"),
        ("--database-url", "core --database-url="),
        ("--database-url", "serve --database-url sqlite://"),
        ("--database-url-file", "core --database-url-file /nowhere/url"),
        ("--database-url-file", "core --database-url sqlite://x --database-url-file x"),
        // A bus alone makes no cluster.
        ("--bus-url", "core --bus-url nats://me:hunter2@bus"),
        ("--bus-url", "core --bus-url hunter2@bus --database-url postgres://db/chat"),
        ("--bus-url", "serve --bus-url http://hunter2@bus --database-url postgres://db/chat"),
        ("--bus-url-file", "core --bus-url-file /nowhere/url"),
        ("--bus-credentials-file", "core --bus-credentials-file x"),
        (
            "--bus-credentials-file",
            "core --bus-url nats://bus --database-url postgres://db/chat --bus-credentials-file \
             /nowhere/creds",
        ),
        (
            "--bus-tls-key-file",
            "core --bus-url tls://bus --database-url postgres://db/chat --bus-tls-key-file \
             /dev/null",
        ),
        ("--http-tls-cert-file", "serve --http-tls-cert-file /dev/null"),
        ("--http-tls-key-file", "serve --http-tls-key-file /dev/null"),
        ("--http-tls-cert-file", "serve --http-tls-cert-file /nowhere/chain --http-tls-key-file x"),
        ("--grpc-tls-cert-file", "core --grpc-tls-cert-file /dev/null"),
        ("--grpc-tls-client-ca-file", "core --grpc-tls-client-ca-file /dev/null"),
        ("--media-url", "core --media-url s3://"),
        ("--media-url", "core --media-url s3://me:hunter2@bucket/prefix"),
        ("--media-url", "core --media-url ftp://bucket/prefix"),
        ("--jwks-url", "edge --jwks-url http://issuer/jwks.json"),
        ("--jwks-url", "edge --jwks-url https://issuer/a,https://me:hunter2@issuer/b"),
        ("--jwks-url", "edge --service-token x --jwks-url https://issuer/a --jwt-secret hunter2"),
        ("--jwks-url", "edge --service-token x --jwks-url https://issuer/a --jwks-file x"),
        ("--jwks-file", "edge --service-token x --jwks-file /nowhere/keys.json"),
        ("--jwks-file", "edge --service-token x --jwks-file /dev/null"),
        ("--jwks-cache", "serve --jwks-cache x"),
        (
            "--jwks-ca-file",
            "edge --service-token x --jwt-issuer https://a --jwks-ca-file /dev/null",
        ),
        ("--jwks-refresh-interval", "serve --jwks-refresh-interval 16m"),
        ("--jwt-issuers-file", "edge --service-token x --jwt-issuers-file /nowhere/issuers.json"),
        ("--jwt-issuers-file", "edge --service-token x --jwt-issuers-file x --jwt-issuer y"),
        ("--jwt-issuer", "edge --service-token x --jwt-issuer https://a#b"),
        ("--jwt-user-claim", "serve --jwt-user-claim exp"),
        ("--jwt-user-ids", "serve --jwt-user-ids all"),
        ("--jwt-user-id-namespace", "serve --jwt-user-ids any --jwt-user-id-namespace x"),
        (
            "--jwt-user-id-namespace",
            "serve --jwt-user-id-namespace 997dee3e-4d19-48d8-b178-269c1f59000d",
        ),
        ("--jwt-user-ids", "edge --service-token x --jwks-url https://issuer/a --jwt-user-ids any"),
        (
            "--jwt-user-id-namespace",
            "token --user-id 3f6e0b52-8c7e-4e7f-9d0a-5d2f6c1b7a90 --jwt-user-id-namespace \
             997dee3e-4d19-48d8-b178-269c1f59000d",
        ),
        ("--jwt-issuer", "serve --jwt-issuer="),
        ("--media-access", "serve --media-access everyone"),
        ("--cors-allow-origin", "serve --cors-allow-origin app.example.com"),
        ("--cors-allow-origin", "serve --cors-allow-origin https://a:99999"),
        ("--allowed-origins", "serve --allowed-origins app.example.com"),
        ("--close-on-token-expiry", "serve --close-on-token-expiry=maybe"),
        ("--max-body-bytes", "core --max-body-bytes 0"),
        ("--max-body-bytes", "serve --max-body-bytes 70000"),
        ("--max-frame-bytes", "serve --max-frame-bytes 1000"),
        ("--max-attachment-bytes", "core --max-attachment-bytes 25MB"),
        ("--edit-window", "core --edit-window never"),
        ("--send-rate", "edge --send-rate=-1"),
        ("--send-burst", "edge --send-burst 0"),
        ("--max-connections", "edge --max-connections 0"),
        ("--ping-interval", "edge --ping-interval soon"),
        ("--drain-timeout", "core --drain-timeout 0"),
        ("--drain-spread", "serve --drain-spread 10s"),
        ("--link-ttl", "core --link-ttl 61m"),
        ("--log-filter", "core --log-filter netrox_core=loud"),
        ("--log-filter", "core --log-filter netrox_cor=debug"),
        ("--log-filter", "core --log-filter nonsense="),
        ("--jwt-secret", "serve --jwt-secret hunter2"),
        ("--log-format", "core --log-format xml"),
        ("--jwt-secret", "serve --jwt-secret="),
        ("--service-token", "core --service-token ,"),
        ("--service-token", "core --service-token hunter2\u{e4}"),
        ("--jwt-secret-file", "edge --service-token x --jwt-secret-file /nowhere/secret"),
        ("--jwt-secret-file", "edge --service-token x --jwt-secret hunter2 --jwt-secret-file x"),
        ("--service-token-file", "core --service-token hunter2 --service-token-file x"),
        ("--jwt-public-key-file", "edge --service-token x --jwt-public-key-file /nowhere/key.pem"),
        (
            "--jwt-public-key-file",
            "edge --service-token x --jwt-public-key-file x --jwt-secret hunter2",
        ),
        ("--user-id", "token"),
        ("--user-id", "token --user-id 3f6e0b528c7e4e7f9d0a5d2f6c1b7a90"),
        ("--ttl", "token --user-id 3f6e0b52-8c7e-4e7f-9d0a-5d2f6c1b7a90 --ttl 0"),
        ("--jwt-secert", "serve --jwt-secert=hunter2"),
        ("--jwt-secert", "serve --jwt-secert hunter2"),
        ("--jwt-secret", "serve --jwt-secret two hunter2"),
        ("--jwt-secret", "--jwt-secret two hunter2"),
        ("command line", "serve -x"),
        ("command line", "core edge"),
        ("sreve", "sreve"),
        ("--http-addr", "core --http-addr 127.0.0.1:1"),
        ("--data-dir", "edge --data-dir x"),
        ("--max-frame-bytes", "core --max-frame-bytes 1000"),
        ("--log-filter", "token --log-filter info"),
    ] {
        let arguments: Vec<_> = arguments.split(' ').collect();
        let outcome = run(&arguments, &[]);
        assert_refused(&outcome, setting);
        assert_looked_alike(&outcome, &arguments, &[]);
    }
}

#[test]
fn a_wrong_variable_is_named() {
    for (flag, arguments, value) in [
        ("http-addr", "serve", "localhost"),
        ("grpc-addr", "core", "localhost"),
        ("core", "edge", "core"),
        ("admin-addr", "edge", "None"),
        ("database-url", "core", "postgres://me:hunter2@db:port/chat"),
        ("database-url-file", "core", "/nowhere/x"),
        ("bus-url", "core", "nats://bus"),
        ("media-url", "core", "s3://"),
        ("jwt-secret", "serve", " "),
        ("jwt-secret-file", "token --user-id 3f6e0b52-8c7e-4e7f-9d0a-5d2f6c1b7a90", "/nowhere/x"),
        ("jwt-public-key-file", "serve --service-token x", "/nowhere/x"),
        ("jwks-url", "serve", "http://issuer"),
        ("jwt-user-claim", "serve", "exp"),
        ("service-token", "core", " "),
        ("service-token-file", "core", "/nowhere/x"),
        ("media-access", "serve", "everyone"),
        ("cors-allow-origin", "serve", "null"),
        ("close-on-token-expiry", "serve", "maybe"),
        ("max-body-bytes", "core", "lots"),
        ("max-frame-bytes", "serve", "1000"),
        ("outgoing-queue-bytes", "serve", "1000"),
        ("ping-interval", "serve", "25 parsecs"),
        ("drain-timeout", "core", "1day"),
        ("log-filter", "core", " "),
        ("log-format", "core", "xml"),
        ("data-dir", "core", "/dev/null/data"),
        ("user-id", "token", "hunter"),
        ("ttl", "token --user-id 3f6e0b52-8c7e-4e7f-9d0a-5d2f6c1b7a90", "0"),
    ] {
        let name = format!("NETROX_CHAT_{}", flag.to_uppercase().replace('-', "_"));
        let arguments: Vec<_> = arguments.split(' ').collect();
        let outcome = run(&arguments, &[(&name, value)]);
        assert_refused(&outcome, &name);
        assert_looked_alike(&outcome, &arguments, &[(&name, value)]);
    }
}

#[test]
fn a_role_that_is_misspelt_is_answered_with_all_there_are() {
    let outcome = run(&["srve"], &[]);
    assert_refused(&outcome, "srve");
    for word in ["did you mean serve?", "core", "edge", "token", "migrate", "epoch"] {
        assert!(outcome.stderr.contains(word), "{word} is not in {outcome:?}");
    }
}

/// Whoever signs with a key that all have is let in.
#[test]
fn a_public_key_as_a_secret_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let pem = include_str!("../../../edge/src/auth/keys/rsa.pub.pem");
    fs::write(dir.path().join("key.pem"), pem).unwrap();
    let arguments = ["serve", "--jwt-secret-file", "key.pem", "--http-addr", "127.0.0.1:0"];
    let outcome = run_in(dir.path(), &arguments, &[("NETROX_CHAT_GRPC_ADDR", "127.0.0.1:0")]);
    assert_refused(&outcome, "--jwt-secret-file");
    assert!(outcome.stderr.contains("--jwt-public-key-file"), "{outcome:?}");
    assert_refused(&run(&["serve"], &[("NETROX_CHAT_JWT_SECRET", pem)]), "NETROX_CHAT_JWT_SECRET");
}

#[test]
fn a_public_key_that_verifies_nothing_is_refused_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let key = |name: &str| {
        let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/../edge/src/auth/keys/");
        fs::read_to_string(format!("{keys}{name}.pub.pem")).unwrap()
    };
    for (pem, named) in [
        (key("rsa-1024"), "1024 bits"),
        (key("secp256k1"), "secp256k1"),
        (key("p256") + &key("p384"), "2 PEM blocks"),
    ] {
        fs::write(dir.path().join("key.pem"), pem).unwrap();
        let arguments = ["serve", "--jwt-public-key-file", "key.pem", "--http-addr=127.0.0.1:0"];
        let outcome = run_in(dir.path(), &arguments, &[("NETROX_CHAT_GRPC_ADDR", "127.0.0.1:0")]);
        assert_refused(&outcome, "--jwt-public-key-file");
        assert!(outcome.stderr.contains(named), "{named} is not in {outcome:?}");
    }
}

/// A directory that takes no file, whoever writes it.
#[test]
fn media_that_cannot_be_written_are_refused() {
    let addr = ("NETROX_CHAT_GRPC_ADDR", "127.0.0.1:0");
    let outcome = run(&["core", "--media-url", "file:///proc"], &[addr]);
    assert_refused(&outcome, "--media-url");
}

/// As one of another user's, or on a file system that was mounted for reading alone.
#[test]
fn a_database_that_cannot_be_written_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = Server::start(dir.path(), &["core"]);
    first.signal("TERM");
    assert_eq!(first.wait().status, Some(0));
    // Whoever is not root becomes it in a user namespace; root itself may write any file that is not read-only.
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let namespace: &[&str] = if is_root { &["--mount"] } else { &["--map-root-user", "--mount"] };
    let script = "mount --bind data/chat.db data/chat.db && \
                  mount -o remount,ro,bind data/chat.db && exec \"$0\" core --grpc-addr 127.0.0.1:0";
    let mut command = bound_to_its_test("unshare");
    let program = env!("CARGO_BIN_EXE_netrox-chat");
    command.args(namespace).args(["sh", "-c", script, program]).current_dir(dir.path());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let outcome = Server::of(child).wait();
    assert_refused(&outcome, "--data-dir");
    assert!(outcome.stderr.contains("it cannot be written"), "{outcome:?}");
}

/// Nobody is to start it again by himself, or to copy what is left as if it were all.
#[test]
fn damage_has_an_exit_status_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = Server::start(dir.path(), &["core"]);
    first.signal("TERM");
    assert_eq!(first.wait().status, Some(0));
    // The head of the page with the schema, behind that of the file.
    let file = fs::File::options().write(true).open(dir.path().join("data/chat.db")).unwrap();
    file.write_all_at(&[0xff; 64], 100).unwrap();
    let core = run_in(dir.path(), &["core"], &[("NETROX_CHAT_GRPC_ADDR", "127.0.0.1:0")]);
    let target = "postgres://127.0.0.1:1/nothing";
    let migrate = ["migrate", "--from", "sqlite://data/chat.db", "--to", target];
    for outcome in [core, run_in(dir.path(), &migrate, &[])] {
        assert_eq!(outcome.status, Some(3), "{outcome:?}");
        assert!(outcome.stderr.contains("the storage is damaged"), "{outcome:?}");
    }
}

/// As by a core.
#[test]
fn a_setting_of_postgres_that_may_be_off_is_named_by_a_copy() {
    let (from, to) = ("sqlite://missing.db", "postgres://127.0.0.1:1/nothing");
    let outcome = run_in(
        tempfile::tempdir().unwrap().path(),
        &["migrate", "--from", from, "--to", to, "--accept-database-setting", "fsync"],
        &[],
    );
    assert_eq!(outcome.status, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains("fsync of PostgreSQL may be off"), "{outcome:?}");
}

/// It would be as if there were none.
#[test]
fn a_misspelt_variable_of_postgres_is_refused() {
    let outcome = run_in(
        tempfile::tempdir().unwrap().path(),
        &["core", "--database-url", "postgres://127.0.0.1:1/nothing"],
        &[("PGSSLMODE", "verify_full")],
    );
    assert_refused(&outcome, "--database-url");
    assert!(outcome.stderr.contains("PGSSLMODE is none of"), "{outcome:?}");
}

/// A volume that is not mounted: its directory is there or not, and empty.
#[test]
fn a_new_chat_is_refused_where_data_are_required() {
    let addr = ("NETROX_CHAT_GRPC_ADDR", "127.0.0.1:0");
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["core", "--require-existing-data"];
    for _ in 0..2 {
        let outcome = run_in(dir.path(), &arguments, &[addr]);
        assert_refused(&outcome, "--data-dir");
        assert!(outcome.stderr.contains("is missing or empty"), "{outcome:?}");
        assert!(outcome.stderr.contains("is its volume mounted?"), "{outcome:?}");
        let made = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
        assert!(
            made.into_iter().all(|path| path.is_dir() && path.read_dir().unwrap().count() == 0)
        );
        fs::create_dir_all(dir.path().join("data")).unwrap();
    }
    let database = ("NETROX_CHAT_DATABASE_URL", "sqlite://data/other.db");
    let outcome = run_in(dir.path(), &arguments, &[addr, database]);
    assert_refused(&outcome, database.0);
    assert_looked_alike(&outcome, &arguments, &[addr, database]);

    let mut first = Server::start(dir.path(), &["core"]);
    first.signal("TERM");
    assert_eq!(first.wait().status, Some(0));
    // A secret that is missing is not made anew either.
    let token = dir.path().join("data/service-token");
    fs::remove_file(&token).unwrap();
    let outcome = run_in(dir.path(), &arguments, &[addr]);
    assert_refused(&outcome, "--data-dir");
    assert!(outcome.stderr.contains("service-token") && !token.exists(), "{outcome:?}");
    fs::write(&token, SECRET).unwrap();
    let mut again = Server::start(dir.path(), &arguments);
    again.signal("TERM");
    let outcome = again.wait();
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    assert!(!outcome.stderr.contains("there was no data"), "{outcome:?}");
}

#[test]
fn an_edge_on_its_own_must_be_given_its_secrets() {
    let outcome = run(&["edge"], &[]);
    assert_refused(&outcome, "--service-token");
    assert_looked_alike(&outcome, &["edge"], &[]);
    assert!(outcome.stderr.contains("--service-token-file"), "{outcome:?}");
    let outcome = run(&["edge"], &[("NETROX_CHAT_SERVICE_TOKEN", SECRET)]);
    assert_refused(&outcome, "--jwt-secret");
    assert!(outcome.stderr.contains("--jwt-public-key-file"), "{outcome:?}");
}

#[test]
fn a_key_that_is_none_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("key.pem"), "-----BEGIN PUBLIC KEY-----\nhunter2\n").unwrap();
    let arguments = [
        "edge",
        "--jwt-public-key-file",
        "key.pem",
        "--service-token",
        "x",
        "--http-addr",
        "127.0.0.1:0",
    ];
    assert_refused(&run_in(dir.path(), &arguments, &[]), "--jwt-public-key-file");
}

#[test]
fn a_port_that_is_taken_is_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let arguments = ["--http-addr", &addr, "--grpc-addr", "127.0.0.1:0"];
    let dir = tempfile::tempdir().unwrap();
    assert_refused(&run_in(dir.path(), &arguments, &[]), "--http-addr");
    assert!(!dir.path().join("data/chat.db").exists());
    assert_refused(&run(&["core"], &[("NETROX_CHAT_GRPC_ADDR", &addr)]), "NETROX_CHAT_GRPC_ADDR");
}

#[test]
fn storage_that_cannot_be_opened_is_named_by_its_setting() {
    let addr = ("NETROX_CHAT_GRPC_ADDR", "127.0.0.1:0");
    for (arguments, setting) in [
        (["core", "--database-url", "sqlite:///nowhere/chat.db"], "--database-url"),
        (["core", "--database-url", "sqlite:///dev/null/chat.db"], "--database-url"),
        (["core", "--media-url", "file:///dev/null/media"], "--media-url"),
    ] {
        let outcome = run(&arguments, &[addr]);
        assert_refused(&outcome, setting);
        assert_looked_alike(&outcome, &arguments, &[addr]);
    }
    let database = ("NETROX_CHAT_DATABASE_URL", "sqlite:///nowhere/chat.db");
    assert_refused(&run(&["core"], &[addr, database]), "NETROX_CHAT_DATABASE_URL");

    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("data/chat.db")).unwrap();
    assert_refused(&run_in(dir.path(), &["core"], &[addr]), "--data-dir");
}

#[test]
fn two_processes_never_share_a_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = Server::start(dir.path(), &["core"]);
    let arguments = ["core", "--grpc-addr", "127.0.0.1:0", "--data-dir", "data"];
    let second = run_in(dir.path(), &arguments, &[]);
    assert_refused(&second, "--data-dir");
    first.signal("TERM");
    assert_eq!(first.wait().status, Some(0));
}

#[test]
fn a_value_that_begins_with_a_dash_gets_a_true_error() {
    let user = "3f6e0b52-8c7e-4e7f-9d0a-5d2f6c1b7a90";
    for (arguments, reason) in [
        (["--ttl", "-5"].as_slice(), "--ttl: \"-5\": not a time"),
        (&["--ttl=-5"], "--ttl: \"-5\": not a time"),
        (&["--ttl", "-soon"], "--ttl: a value that begins with - is written --ttl=VALUE"),
        (&["--email", "-a@b.c"], "--email: a value that begins with - is written --email=VALUE"),
    ] {
        let arguments = [&["token", "--user-id", user], arguments].concat();
        let outcome = run(&arguments, &[]);
        let (setting, _) = reason.split_once(':').unwrap();
        assert_refused(&outcome, setting);
        assert!(outcome.stderr.starts_with(&format!("error: {reason}")), "{outcome:?}");
    }
}
