//! Settings that a start would take, looked at without one.

use std::{fs, path::Path};

use crate::process::{Outcome, Server, run_in};

#[track_caller]
fn assert_good(outcome: &Outcome, role: &str) {
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    assert_eq!(outcome.stdout, format!("the settings of {role} are good\n"), "{outcome:?}");
}

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).unwrap().next().is_none()
}

#[test]
fn good_settings_are_good_before_the_first_start_and_nothing_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let outcome = run_in(dir.path(), &["check"], &[]);
    assert_good(&outcome, "serve");
    let secrets = "new secrets would be made by a start in ./data: service-token, jwt-secret";
    assert!(outcome.stderr.contains(secrets), "{outcome:?}");
    // No engine is asked.
    let url = ("NETROX_CHAT_DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing");
    let bus = ["check", "core", "--bus-url", "nats://127.0.0.1:1", "--audit-log", "audit.log"];
    assert_good(&run_in(dir.path(), &bus, &[url]), "core");
    let given =
        [("NETROX_CHAT_SERVICE_TOKEN", crate::SECRET), ("NETROX_CHAT_JWT_SECRET", crate::SECRET)];
    let edge = ["check", "edge", "--core", "http://core.invalid:50051"];
    assert_good(&run_in(dir.path(), &edge, &given), "edge");
    assert!(is_empty(dir.path()));
}

/// The settings of the next start, for which the one that runs makes room.
#[test]
fn a_server_that_runs_on_the_same_is_no_reason_to_refuse() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path(), &["serve"]);
    let addresses = [
        ("NETROX_CHAT_HTTP_ADDR", &*server.http_addr()),
        ("NETROX_CHAT_GRPC_ADDR", &*server.grpc_addr()),
        ("NETROX_CHAT_ADMIN_ADDR", &*server.admin_addr()),
    ]
    .map(|(name, address)| (name, address.to_owned()));
    let addresses = addresses.each_ref().map(|(name, address)| (*name, &**address));
    let outcome = run_in(dir.path(), &["check", "serve", "--require-existing-data"], &addresses);
    assert_good(&outcome, "serve");
    server.signal("TERM");
    assert_eq!(server.wait().status, Some(0));
}

#[test]
fn a_key_that_verifies_nothing_is_refused_as_by_a_start() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("key.pem"), "-----BEGIN PUBLIC KEY-----\nhunter2\n").unwrap();
    let arguments = ["edge", "--jwt-public-key-file", "key.pem", "--service-token", "x"];
    let started = run_in(dir.path(), &arguments, &[("NETROX_CHAT_HTTP_ADDR", "127.0.0.1:0")]);
    let checked = run_in(dir.path(), &[&["check"][..], &arguments].concat(), &[]);
    assert_eq!(started.status, Some(2), "{started:?}");
    assert_eq!((checked.status, checked.stderr), (started.status, started.stderr));
}

#[test]
fn a_database_in_the_data_directory_is_good_before_that_is_made() {
    let dir = tempfile::tempdir().unwrap();
    for url in ["sqlite://data/chat.db", "sqlite://./data/chat.db", "sqlite://data/../data/chat.db"]
    {
        let url = ("NETROX_CHAT_DATABASE_URL", url);
        assert_good(&run_in(dir.path(), &["check"], &[url]), "serve");
    }
    let url = ("NETROX_CHAT_DATABASE_URL", "sqlite://elsewhere/chat.db");
    let refused = run_in(dir.path(), &["check"], &[url]);
    assert_eq!(refused.status, Some(2), "{refused:?}");
    assert!(is_empty(dir.path()));
}

/// As a start refuses it.
#[test]
fn what_would_be_in_the_way_of_a_start_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (http, any) = (port.to_string(), "127.0.0.1:0");
    let data = dir.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::create_dir(data.join("lock")).unwrap();
    for (variables, word) in [
        ([("NETROX_CHAT_HTTP_ADDR", &*http), ("NETROX_CHAT_GRPC_ADDR", &*http)], "GRPC_ADDR"),
        ([("NETROX_CHAT_HTTP_ADDR", any), ("NETROX_CHAT_GRPC_ADDR", any)], "lock: Is a directory"),
    ] {
        let given = [
            ("NETROX_CHAT_SERVICE_TOKEN", crate::SECRET),
            ("NETROX_CHAT_JWT_SECRET", crate::SECRET),
            ("NETROX_CHAT_ADMIN_ADDR", "none"),
        ];
        let variables = [&given[..], &variables].concat();
        let [checked, started] =
            [&["check"][..], &["serve"]].map(|arguments| run_in(dir.path(), arguments, &variables));
        assert_eq!(started.status, Some(2), "{started:?}");
        assert_eq!((checked.status, &checked.stderr), (started.status, &started.stderr));
        assert!(checked.stderr.contains(word), "{checked:?}");
    }
}
