//! The serving roles, from their first line to their exit. These start a real core and a real edge.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    time::Duration,
};

use netrox_harness::settings::free_address;
use serde_json::Value;

use crate::{
    SECRET,
    process::{Server, bound_to_its_test, eventually, program, run_in},
    token::{USER, claims},
};

#[test]
fn it_serves_where_it_says_and_drains() {
    let dir = tempfile::tempdir().unwrap();
    // A token that was minted before makes it no less the first start.
    assert_eq!(run_in(dir.path(), &["token", "--user-id", USER], &[]).status, Some(0));
    let mut server = Server::start(dir.path(), &["serve"]);
    let http = server.http_addr();
    let grpc = server.grpc_addr();
    TcpStream::connect(&http).unwrap();
    TcpStream::connect(&grpc).unwrap();
    server.signal("TERM");
    let first = server.wait();
    assert_eq!(first.status, Some(0), "{first:?}");
    assert!(first.stderr.contains("for the first time"), "{first:?}");
    assert!(first.stderr.contains(&format!("ws://{http}/ws/chat/room/?token=")), "{first:?}");
    assert_eq!(first.stdout, "");

    // Only a core that has made its database makes the next start a later one.
    let mut server = Server::start(dir.path(), &["serve"]);
    server.signal("INT");
    let second = server.wait();
    assert_eq!(second.status, Some(0), "{second:?}");
    assert!(second.stderr.contains("netrox-chat is ready: http://"), "{second:?}");
    assert!(!second.stderr.contains("websocat"), "{second:?}");
}

#[test]
fn a_second_signal_does_not_wait_for_the_drain() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path(), &["serve", "--drain-timeout", "1h"]);
    let token = run_in(dir.path(), &["token", "--user-id", USER], &[]).stdout;
    let mut upload = TcpStream::connect(server.http_addr()).unwrap();
    let head = format!(
        "POST /chat/chat-attachment/ HTTP/1.1\r\nHost: chat\r\nAuthorization: Bearer {}\r\n\
         Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000\r\n\
         Expect: 100-continue\r\n\r\n",
        token.trim_end()
    );
    upload.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 12];
    upload.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100", "the body is awaited, so that the drain has to wait");

    server.signal("TERM");
    server.wait_for_line("draining");
    // As `timeout` sends two, to the process and to its group.
    server.signal("TERM");
    server.wait_for_line("it came with the first");
    let drained_at = std::time::Instant::now();
    eventually("another second", || drained_at.elapsed() > Duration::from_secs(1));
    server.signal("TERM");
    let outcome = server.wait();
    assert_eq!(outcome.status, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("a second signal: stopped hard"), "{outcome:?}");
}

#[test]
fn the_commands_that_it_shows_work() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("my data");
    let variables = [("NETROX_CHAT_DATA_DIR", "my data"), ("NETROX_CHAT_JWT_ISSUER", "it's me")];
    let mut server = Server::start_with(dir.path(), &[], &variables);
    server.signal("TERM");
    let shown = server.wait().stderr;
    let command =
        shown.split_once("ALICE=$(").and_then(|(_, rest)| rest.split_once(")\n")).unwrap().0;

    let output = Command::new("sh").args(["-c", command]).current_dir(dir.path()).output().unwrap();
    let token = String::from_utf8(output.stdout).unwrap();
    let secret = fs::read_to_string(data_dir.join("jwt-secret")).unwrap();
    let claims = claims(&token, &secret);
    assert_eq!(claims["iss"], "it's me");
    assert_eq!(claims["email"], "alice@example.com");
}

#[test]
fn core_and_edge_run_apart() {
    let dir = tempfile::tempdir().unwrap();
    let mut core = Server::start(dir.path(), &["core"]);
    let token_file = dir.path().join("data/service-token");
    let url = format!("http://{}", core.grpc_addr());
    let mut edge = Server::start_with(
        dir.path(),
        &["edge", "--core", &url, "--service-token-file", token_file.to_str().unwrap()],
        &[("NETROX_CHAT_JWT_SECRET", SECRET)],
    );
    TcpStream::connect(edge.http_addr()).unwrap();
    for server in [&mut edge, &mut core] {
        server.signal("TERM");
        let outcome = server.wait();
        assert_eq!(outcome.status, Some(0), "{outcome:?}");
        assert!(!outcome.stderr.contains("hunter2"), "{outcome:?}");
    }
}

#[test]
fn json_logs_are_json_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path(), &["serve", "--log-format", "json"]);
    server.signal("TERM");
    let outcome = server.wait();
    let lines: Vec<Value> =
        outcome.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let listening = lines.iter().find(|line| line["message"] == "listening").unwrap();
    assert_eq!(listening["version"], env!("CARGO_PKG_VERSION"));
    let named = [
        ("roles", "serve (core, edge)"),
        ("database", "./data/chat.db"),
        ("media", "./data/media"),
        ("bus", "none"),
    ];
    for (field, value) in named {
        assert_eq!(listening[field], value, "{listening}");
    }
    // The welcome is not among them, and a new chat is told all the same.
    let is_new = |line: &&Value| {
        let message = line["message"].as_str().unwrap_or_default();
        line["level"] == "WARN" && message.starts_with("there was no data")
    };
    assert_eq!(lines.iter().filter(is_new).count(), 1, "{lines:?}");
    let secrets = "jwt-secret";
    let has_secrets =
        |line: &Value| line["message"].as_str().is_some_and(|text| text.contains(secrets));
    assert!(lines.iter().any(has_secrets), "{lines:?}");
    for field in ["http.addr", "grpc.addr"] {
        let addr = listening[field].as_str().unwrap();
        assert!(addr.starts_with("127.0.0.1:") && !addr.ends_with(":0"), "{listening}");
    }
}

/// Database, files and secrets are the user's own, also where a directory is open, and outside of it.
#[test]
fn what_is_made_is_closed_to_other_users() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["data", "elsewhere"] {
        fs::create_dir(dir.path().join(name)).unwrap();
        fs::set_permissions(dir.path().join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let variables = [
        ("NETROX_CHAT_DATABASE_URL", "sqlite://elsewhere/chat.db"),
        ("NETROX_CHAT_MEDIA_URL", "file://elsewhere/media"),
    ];
    let mut server = Server::start_with(dir.path(), &["serve"], &variables);
    let mut made = Vec::new();
    let mut directories = vec![dir.path().join("data"), dir.path().join("elsewhere")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{path:?} has mode {mode:o}");
            if path.is_dir() {
                directories.push(path.clone());
            }
            made.push(path);
        }
    }
    for name in ["chat.db", "chat.db-wal", "media", "jwt-secret"] {
        assert!(made.iter().any(|path| path.ends_with(name)), "{name} is not in {made:?}");
    }
    server.signal("TERM");
    assert_eq!(server.wait().status, Some(0));

    // One that an earlier version made.
    let database = dir.path().join("elsewhere/chat.db");
    fs::set_permissions(&database, fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut server = Server::start_with(dir.path(), &["serve"], &variables);
    server.signal("TERM");
    let outcome = server.wait();
    assert!(outcome.stderr.contains("chat.db can be read by other users"), "{outcome:?}");
}

#[test]
fn a_hangup_and_a_closed_stderr_end_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path(), &["serve"]);
    server.signal("HUP");
    server.wait_for_line("SIGHUP: certificates, keys of access tokens");
    server.close_stderr();
    server.signal("HUP");
    TcpStream::connect(server.http_addr()).unwrap();
    server.signal("TERM");
    assert_eq!(server.wait().status, Some(0));
}

#[test]
fn a_reader_of_stderr_that_stalls_blocks_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    // The capacity of a pipe on Linux: the program's first line finds no room.
    writer.write_all(&[b'\n'; 65_536]).unwrap();
    let addr = free_address().to_string();
    let mut command =
        program(dir.path(), &["--http-addr", &addr, "--grpc-addr", "127.0.0.1:0"], &[]);
    let mut server = Server::of(command.stdout(Stdio::null()).stderr(writer).spawn().unwrap());
    drop(command);
    eventually("it accepts connections", || TcpStream::connect(&addr).is_ok());
    server.signal("TERM");
    assert_eq!(server.wait_within(Duration::from_secs(30)), Some(0));
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
    assert!(rest.len() >= 65_536);
}

#[test]
fn an_exposed_secret_is_warned_about_but_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("data");
    fs::create_dir(&data_dir).unwrap();
    fs::set_permissions(&data_dir, fs::Permissions::from_mode(0o755)).unwrap();
    let mut server = Server::start(dir.path(), &["core", "--service-token", "hunter2"]);
    server.signal("TERM");
    let outcome = server.wait();
    assert!(outcome.stderr.contains("--service-token on the command line"), "{outcome:?}");
    assert!(outcome.stderr.contains("data is open to other users"), "{outcome:?}");
    assert!(!outcome.stderr.contains("hunter2"), "{outcome:?}");
}

#[test]
fn too_few_open_files_are_warned_about() {
    let dir = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_netrox-chat");
    let mut command = bound_to_its_test("sh");
    command.args([
        "-c",
        "ulimit -n 200 && exec \"$0\" --http-addr 127.0.0.1:0 --grpc-addr 127.0.0.1:0",
    ]);
    let child =
        command.arg(program).current_dir(dir.path()).stderr(Stdio::piped()).spawn().unwrap();
    let mut server = Server::of(child);
    server.wait_for_line("only 200 files may be open");
    server.wait_for_line("listening");
    server.signal("TERM");
    assert_eq!(server.wait().status, Some(0));
}
