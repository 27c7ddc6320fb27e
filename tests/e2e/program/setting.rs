//! A wrong setting ends the program with exit status 2 and one line that names it.

use std::net::TcpListener;

use netrox_harness::process::{self, Ended};

const NO_VARIABLES: [(&str, &str); 0] = [];

fn assert_names(ended: &Ended, name: &str) {
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    assert_eq!(ended.stdout, "", "{ended:?}");
    let lines: Vec<&str> = ended.stderr.lines().filter(|line| !line.trim().is_empty()).collect();
    assert_eq!(lines.len(), 1, "{ended:?}");
    assert!(lines[0].contains(name), "{name} is not in {:?}", lines[0]);
}

#[tokio::test]
async fn a_wrong_value_on_the_command_line_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    for (flag, value) in [
        ("--http-addr", "nonsense"),
        ("--http-addr", "127.0.0.1:99999"),
        ("--grpc-addr", "localhost"),
        ("--send-rate", "many"),
        ("--send-rate", "-1"),
        ("--max-body-bytes", "16KiB?"),
        ("--ping-interval", "1 parsec"),
        ("--drain-timeout", ""),
        ("--media-access", "everybody"),
        ("--cors-allow-origin", "not an origin"),
        ("--database-url", "mysql://localhost/chat"),
        ("--media-url", "ftp://localhost/media"),
        ("--jwt-public-key-file", "/nonexistent/key.pem"),
        ("--jwt-secret-file", "/nonexistent/secret"),
        ("--service-token-file", "/nonexistent/token"),
    ] {
        let ended = process::run(directory.path(), ["serve", flag, value], NO_VARIABLES).await;
        assert_names(&ended, flag);
    }
}

#[tokio::test]
async fn a_wrong_value_in_the_environment_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    for (role, variable, value) in [
        ("serve", "NETROX_CHAT_HTTP_ADDR", "nonsense"),
        ("core", "NETROX_CHAT_GRPC_ADDR", "nonsense"),
        ("edge", "NETROX_CHAT_CORE", "not a uri"),
        ("edge", "NETROX_CHAT_SEND_RATE", "many"),
        ("serve", "NETROX_CHAT_PING_INTERVAL", "soon"),
    ] {
        let ended = process::run(directory.path(), [role], [(variable, value)]).await;
        assert_names(&ended, variable);
    }
}

#[tokio::test]
async fn an_unknown_flag_or_command_is_an_error() {
    let directory = tempfile::tempdir().expect("a directory");
    for (arguments, name) in [
        (&["serve", "--no-such-flag"][..], "--no-such-flag"),
        (&["no-such-command"], "no-such-command"),
    ] {
        let ended = process::run(directory.path(), arguments, NO_VARIABLES).await;
        assert_names(&ended, name);
    }
}

#[tokio::test]
async fn a_flag_of_another_role_is_an_error() {
    let directory = tempfile::tempdir().expect("a directory");
    for arguments in [
        ["core", "--http-addr", "127.0.0.1:0"],
        ["core", "--send-rate", "5"],
        ["core", "--core", "http://127.0.0.1:1"],
        ["edge", "--grpc-addr", "127.0.0.1:0"],
        ["edge", "--database-url", "sqlite://chat.db"],
        ["serve", "--core", "http://127.0.0.1:1"],
    ] {
        let ended = process::run(directory.path(), arguments, NO_VARIABLES).await;
        assert_names(&ended, arguments[1]);
    }
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let arguments = ["serve", "--grpc-addr", "127.0.0.1:0", "--http-addr", &address];
    let ended = process::run(directory.path(), arguments, NO_VARIABLES).await;
    assert_names(&ended, &address);
    let ended =
        process::run(directory.path(), ["core", "--grpc-addr", &address], NO_VARIABLES).await;
    assert_names(&ended, &address);
}

#[tokio::test]
async fn help_and_version_are_printed() {
    let directory = tempfile::tempdir().expect("a directory");
    let help = process::run(directory.path(), ["serve", "--help"], NO_VARIABLES).await;
    assert_eq!(help.status.code(), Some(0), "{help:?}");
    for flag in [
        "--http-addr",
        "--grpc-addr",
        "--data-dir",
        "--database-url",
        "--media-url",
        "--jwt-secret",
        "--jwt-secret-file",
        "--jwt-public-key-file",
        "--jwt-user-claim",
        "--jwt-issuer",
        "--jwt-audience",
        "--service-token",
        "--service-token-file",
        "--media-access",
        "--cors-allow-origin",
        "--close-on-token-expiry",
        "--max-body-bytes",
        "--max-frame-bytes",
        "--max-attachment-bytes",
        "--send-rate",
        "--send-burst",
        "--max-connections-per-user",
        "--max-connections",
        "--max-uploads-per-user",
        "--max-history-reads-per-user",
        "--ping-interval",
        "--handshake-timeout",
        "--body-idle-timeout",
        "--outgoing-queue-frames",
        "--outgoing-queue-bytes",
        "--drain-timeout",
        "NETROX_CHAT_HTTP_ADDR",
    ] {
        assert!(help.stdout.contains(flag), "{flag} is not in the help:\n{}", help.stdout);
    }
    let version = process::run(directory.path(), ["--version"], NO_VARIABLES).await;
    assert_eq!(version.status.code(), Some(0), "{version:?}");
    assert!(version.stdout.starts_with("netrox-chat "), "{version:?}");
}
