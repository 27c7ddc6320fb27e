//! The listener for operators and their tools.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::Stdio,
};

use netrox_harness::settings::free_address;

use crate::{
    SECRET,
    process::{Server, eventually, program, run},
};

fn ask(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The connection ends with the answer: `read_to_string` waits for that.
fn get(address: &str, path: &str) -> String {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: chat\r\n\r\n"))
}

/// A role whose admin listener has its default, or what the arguments say.
fn start(dir: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Server {
    let mut command = program(dir, arguments, variables);
    command.env_remove("NETROX_CHAT_ADMIN_ADDR");
    command.env("NETROX_CHAT_JWT_SECRET", SECRET);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut server = Server::of(child);
    server.wait_for_line(" listening ");
    server
}

#[test]
fn it_shows_metrics_and_health_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path(), &["serve"]);
    let admin = server.admin_addr();
    assert!(admin.parse::<SocketAddr>().unwrap().ip().is_loopback(), "{admin}");
    server.wait_to_say(&format!("http://{admin}/metrics"));
    for (path, body) in [("/healthz", "alive\n"), ("/readyz", "ready\n")] {
        let answer = get(&admin, path);
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(body), "{answer}");
    }
    let metrics = get(&admin, "/metrics");
    let (head, body) = metrics.split_once("\r\n\r\n").unwrap();
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(head.contains(&format!("content-type: {content_type}\r\n")), "{head}");
    assert!(head.to_ascii_lowercase().contains("connection: close"), "{head}");
    assert!(body.ends_with("# EOF\n"), "{body}");
    let version = env!("CARGO_PKG_VERSION");
    let build = format!("netrox_chat_build_info{{version=\"{version}\",role=\"serve\"}} 1\n");
    for line in [
        &*build,
        "netrox_chat_sockets_open{generation=\"v1\"} 0\n",
        "netrox_chat_writes_waiting 0\n",
    ] {
        assert!(body.contains(line), "{line}: {body}");
    }

    let head = ask(&admin, "HEAD /metrics HTTP/1.1\r\nHost: chat\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    let post = ask(&admin, "POST /metrics HTTP/1.1\r\nHost: chat\r\nContent-Length: 0\r\n\r\n");
    assert!(post.starts_with("HTTP/1.1 405 ") && post.contains("allow: GET, HEAD"), "{post}");
    for path in ["/", "/chat/get-user-threads/", "/metrics/x"] {
        assert!(get(&admin, path).starts_with("HTTP/1.1 404 "), "{path}");
    }
}

#[test]
fn it_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &["core"]);
    let admin = server.admin_addr();
    let long = format!("GET /metrics HTTP/1.1\r\nHost: chat\r\nX: {}\r\n", "x".repeat(64 * 1024));
    let mut stream = TcpStream::connect(&admin).unwrap();
    // It may be cut off before all is written.
    let _ = stream.write_all(long.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");

    // They have their places for a while, and then give them to who waits.
    let silent: Vec<_> = (0..20).map(|_| TcpStream::connect(&admin).unwrap()).collect();
    assert!(get(&admin, "/healthz").starts_with("HTTP/1.1 200 "));
    drop(silent);
}

#[test]
fn it_outlasts_the_drain_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path(), &["serve", "--drain-delay", "1h"]);
    let admin = server.admin_addr();
    assert!(get(&admin, "/readyz").starts_with("HTTP/1.1 200 "));
    server.signal("TERM");
    server.wait_for_line("draining");
    let answer = get(&admin, "/readyz");
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("\r\n\r\ndraining\n"),
        "{answer}"
    );
    assert!(get(&admin, "/healthz").starts_with("HTTP/1.1 200 "));
    assert!(get(&admin, "/metrics").ends_with("# EOF\n"));
}

#[test]
fn a_default_that_is_taken_is_a_warning() {
    for (role, port) in [("core", 24_051), ("serve", 24_080), ("edge", 24_080)] {
        // Where somebody else has it, it is taken as well.
        let taken = TcpListener::bind(("127.0.0.1", port));
        let dir = tempfile::tempdir().unwrap();
        let variables = [
            ("NETROX_CHAT_HTTP_ADDR", "127.0.0.1:0"),
            ("NETROX_CHAT_GRPC_ADDR", "127.0.0.1:0"),
            ("NETROX_CHAT_SERVICE_TOKEN", SECRET),
        ];
        let mut server = start(dir.path(), &[role], &variables);
        server.signal("TERM");
        let outcome = server.wait();
        drop(taken);
        assert_eq!(outcome.status, Some(0), "{outcome:?}");
        let warning =
            format!("no metrics and no health over HTTP: failed to listen on 127.0.0.1:{port}: ");
        let warned = outcome.stderr.lines().find(|line| line.contains(&warning));
        assert!(warned.is_some_and(|line| line.contains(" WARN ")), "{role}: {outcome:?}");
        assert!(!outcome.stderr.contains("admin.addr="), "{outcome:?}");
    }
}

#[test]
fn one_that_is_given_and_taken_ends_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for role in ["serve", "core", "edge"] {
        let arguments = [role, "--admin-addr", &address];
        let variables = [
            ("NETROX_CHAT_HTTP_ADDR", "127.0.0.1:0"),
            ("NETROX_CHAT_GRPC_ADDR", "127.0.0.1:0"),
            ("NETROX_CHAT_SERVICE_TOKEN", SECRET),
            ("NETROX_CHAT_JWT_SECRET", SECRET),
        ];
        let outcome = run(&arguments, &variables);
        assert_eq!(outcome.status, Some(2), "{outcome:?}");
        let expected = format!("error: --admin-addr: failed to listen on {address}: ");
        assert!(outcome.stderr.starts_with(&expected), "{outcome:?}");
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
    }
}

#[test]
fn it_can_be_turned_off() {
    let dir = tempfile::tempdir().unwrap();
    let variables =
        [("NETROX_CHAT_HTTP_ADDR", "127.0.0.1:0"), ("NETROX_CHAT_GRPC_ADDR", "127.0.0.1:0")];
    let mut server = start(dir.path(), &["serve", "--admin-addr", "none"], &variables);
    server.signal("TERM");
    let outcome = server.wait();
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    assert!(!outcome.stderr.contains("metrics"), "{outcome:?}");
}

#[test]
fn a_start_that_waits_for_its_database_is_not_ready() {
    let dir = tempfile::tempdir().unwrap();
    // Takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let database = format!("postgres://me@{}/chat", silent.local_addr().unwrap());
    let admin = free_address().to_string();
    let variables = [("NETROX_CHAT_GRPC_ADDR", "127.0.0.1:0")];
    let arguments = ["core", "--database-url", &database, "--admin-addr", &admin];
    let mut command = program(dir.path(), &arguments, &variables);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let server = Server::of(child);
    let mut answer = String::new();
    eventually("an answer", || match TcpStream::connect(&admin) {
        Ok(_) => {
            answer = get(&admin, "/readyz");
            true
        }
        Err(_) => false,
    });
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("\r\n\r\nstarting\n"),
        "{answer}"
    );
    assert!(get(&admin, "/healthz").starts_with("HTTP/1.1 200 "));
    drop(server);
}
