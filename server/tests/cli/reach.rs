//! What an edge says of cores that it cannot use, and of itself before it ends.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use netrox_harness::settings::free_address;

use crate::{
    SECRET,
    process::{Server, eventually},
};

const TOKEN: &str = "a-service-token-of-many-more-bytes";

fn start_edge(dir: &std::path::Path, core: &str, token: &str) -> Server {
    let core = format!("http://{core}");
    let variables = [("NETROX_CHAT_SERVICE_TOKEN", token), ("NETROX_CHAT_JWT_SECRET", SECRET)];
    Server::start_with(dir, &["edge", "--core", &core], &variables)
}

fn start_core(dir: &std::path::Path, address: &str) -> Server {
    let variables = [("NETROX_CHAT_SERVICE_TOKEN", TOKEN)];
    Server::start_with(dir, &["core", "--grpc-addr", address], &variables)
}

fn get(server: &Server, path: &str) -> String {
    let mut stream = TcpStream::connect(server.http_addr()).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: chat\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn assert_not_ready(server: &Server, word: &str) {
    let answer = get(server, "/readyz");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains(&format!(r#""message":"{word}""#)), "{answer}");
    assert!(!answer.contains("127."), "{answer}");
}

#[test]
fn an_edge_without_its_core_says_so_and_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let address = free_address().to_string();
    let mut edge = start_edge(dir.path(), &address, TOKEN);
    edge.wait_to_say(&format!("the core at {address} cannot be reached"));
    assert_not_ready(&edge, "unreachable");
    let mut core = start_core(dir.path(), &address);
    edge.wait_to_say(&format!("the core at {address} can be used again"));
    eventually("ready", || get(&edge, "/readyz").starts_with("HTTP/1.1 200 "));
    edge.signal("TERM");
    let said = edge.wait().stderr;
    // Once a minute, however often it was tried.
    assert_eq!(said.matches("cannot be reached").count(), 1, "{said}");
    core.signal("TERM");
    assert_eq!(core.wait().status, Some(0));
}

#[test]
fn a_wrong_service_token_is_told_on_both_sides() {
    let dir = tempfile::tempdir().unwrap();
    let address = free_address().to_string();
    let mut core = start_core(dir.path(), &address);
    let wrong = "another-service-token-of-some-bytes";
    let mut edge = start_edge(dir.path(), &address, wrong);
    edge.wait_to_say("does not know this edge's service token");
    core.wait_to_say("a call from 127.0.0.1 is refused");
    assert_not_ready(&edge, "unauthorized");
    for server in [&mut edge, &mut core] {
        server.signal("TERM");
        let said = server.wait().stderr;
        assert!(!said.contains(wrong) && !said.contains(TOKEN), "{said}");
        let told =
            ["does not know this edge's service token", "is refused, which needs a service token"];
        let lines = said.lines().filter(|line| told.iter().any(|told| line.contains(told)));
        assert_eq!(lines.count(), 1, "{said}");
    }
}

#[test]
fn an_edge_that_ends_soon_says_so_and_serves_still() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path(), &["serve", "--drain-delay", "5s"]);
    assert!(get(&server, "/readyz").starts_with("HTTP/1.1 200 "));
    server.signal("TERM");
    server.wait_to_say("draining");
    // On connections of their own: none of them is refused yet.
    eventually("not ready", || get(&server, "/readyz").starts_with("HTTP/1.1 503 "));
    assert_not_ready(&server, "draining");
    assert!(get(&server, "/healthz").starts_with("HTTP/1.1 200 "));
    let outcome = server.wait();
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
}
