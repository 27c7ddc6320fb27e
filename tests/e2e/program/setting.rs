//! A wrong setting ends the program with exit status 2 and one line that names it.

use std::net::TcpListener;

use netrox_harness::process::{self, Ended};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

pub(super) const NO_VARIABLES: [(&str, &str); 0] = [];

pub(super) fn assert_names(ended: &Ended, name: &str) {
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
        ("--trusted-proxies", "10.0.0.0/33"),
        ("--trusted-proxies", "proxy.example.com"),
        ("--max-downloads", "0"),
        ("--upload-bytes-per-day", "0"),
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
        "--allow-weak-secret",
        "--require-existing-data",
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
        "--upload-bytes-per-day",
        "--upload-bytes-rate",
        "--max-downloads-per-user",
        "--max-downloads-per-address",
        "--max-downloads",
        "--trusted-proxies",
        "--proxy-protocol",
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

#[tokio::test]
async fn a_database_that_hangs_once_it_is_connected_is_named() {
    const TLS_REQUEST: i32 = 80_877_103;
    const WELCOME: &[u8] = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("listen");
    let url = format!("postgres://nobody@{}/chat", listener.local_addr().expect("an address"));
    let database = async {
        let (mut client, _) = listener.accept().await.expect("a client");
        loop {
            let length = client.read_i32().await.expect("a length");
            let kind = client.read_i32().await.expect("a kind");
            let mut rest = vec![0; usize::try_from(length - 8).expect("a length")];
            client.read_exact(&mut rest).await.expect("the rest");
            if kind != TLS_REQUEST {
                break;
            }
            client.write_all(b"N").await.expect("no TLS");
        }
        client.write_all(WELCOME).await.expect("welcome");
        // Whatever is asked now is not answered.
        let _ = client.read_to_end(&mut Vec::new()).await;
    };
    let directory = tempfile::tempdir().expect("a directory");
    let started =
        process::run(directory.path(), ["core"], [("NETROX_CHAT_DATABASE_URL", url.as_str())]);
    let (mut ended, ()) = tokio::join!(started, database);
    // While it waited it told what it found on its way.
    let mut lines: Vec<_> = ended.stderr.lines().map(str::to_owned).collect();
    lines.retain(|line| !line.contains("WARN"));
    ended.stderr = lines.join("\n");
    assert_names(&ended, "NETROX_CHAT_DATABASE_URL");
    assert!(ended.stderr.contains("did not answer in time"), "{ended:?}");
}
