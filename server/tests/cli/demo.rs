//! `--demo`: where the web client is, whose key it has, and where there is none.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Stdio,
};

use serde_json::Value;

use crate::{
    SECRET,
    process::{Server, bound_to_its_test, eventually, run_in},
};

/// The status of an answer, and its body.
fn ask(addr: &str, head: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(addr).unwrap();
    let request = format!("{head}\r\nHost: chat\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

/// Asks for a token of Bob.
fn token(addr: &str, key: &str) -> (u16, String) {
    ask(addr, &format!("POST /demo/token/bob HTTP/1.1\r\nDemo-Key: {key}"))
}

/// The key in what was printed.
fn key(said: &str) -> String {
    let rest = said.split_once("/demo/#key=").unwrap_or_else(|| panic!("{said}")).1;
    rest.chars().take_while(char::is_ascii_hexdigit).collect()
}

#[test]
fn each_start_prints_an_address_with_a_key_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let mut keys = Vec::new();
    for text in ["To try it in a browser, open", "To try it in a browser, open http://"] {
        let mut server = Server::start(dir.path(), &["serve", "--demo", "on"]);
        server.wait_to_say("/demo/#key=");
        let http = server.http_addr();
        server.signal("TERM");
        let said = server.wait().stderr;
        assert!(
            said.contains(text) && said.contains(&format!("http://{http}/demo/#key=")),
            "{said}"
        );
        keys.push(key(&said));
    }
    assert!(keys.iter().all(|key| key.len() == 32) && keys[0] != keys[1], "{keys:?}");

    // Those of other starts are no good.
    let mut server = Server::start(dir.path(), &["serve", "--demo=on"]);
    server.wait_to_say("/demo/#key=");
    let http = server.http_addr();
    for key in &keys {
        assert_eq!(token(&http, key).0, 403);
    }
    server.signal("TERM");
    let said = server.wait().stderr;
    assert!(said.contains("a token of the demo is refused"), "{said}");
    assert!(!keys.iter().any(|key| said.contains(key)), "{said}");
}

#[test]
fn its_tokens_are_as_the_settings_say() {
    for (arguments, id) in [
        (&[][..], "b0b00000-0000-4000-8000-000000000002"),
        (&["--jwt-user-claim", "uid", "--jwt-issuer", "me", "--jwt-audience", "you"], "b0b00000"),
        (&["--jwt-secret", SECRET, "--jwt-user-ids", "any"], ""),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let serve = ["serve", "--demo=on", "--log-format=json"];
        let mut command = crate::process::program(dir.path(), &[&serve, arguments].concat(), &[]);
        for flag in ["HTTP_ADDR", "GRPC_ADDR"] {
            command.env(format!("NETROX_CHAT_{flag}"), "127.0.0.1:0");
        }
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut server = Server::of(child);
        server.wait_for_line("demo.url");
        let line: Value = serde_json::from_str(server.last_line()).unwrap();
        let url = line["demo.url"].as_str().unwrap();
        let addr = url.strip_prefix("http://").unwrap().split('/').next().unwrap();
        let (status, body) = token(addr, &key(url));
        assert_eq!(status, 200, "{body}");
        let given: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(given["user"]["name"], "Bob");
        assert!(given["user"]["id"].as_str().unwrap().starts_with(id), "{given}");
        let me = "GET /v2/me HTTP/1.1\r\nAuthorization: Bearer";
        let (status, me) = ask(addr, &format!("{me} {}", given["token"].as_str().unwrap()));
        let me: Value = serde_json::from_str(&me).unwrap();
        assert_eq!((status, &me["user"]["id"]), (200, &given["user"]["id"]));
    }
}

#[test]
fn it_is_there_without_a_word_only_at_a_terminal() {
    let dir = tempfile::tempdir().unwrap();
    // Not for a supervisor.
    let mut server = Server::start(dir.path(), &["serve"]);
    assert_eq!(ask(&server.http_addr(), "GET /demo/ HTTP/1.1").0, 404);
    server.signal("TERM");
    assert!(!server.wait().stderr.contains("/demo/"));

    for (arguments, is_there) in [
        ("", true),
        ("--demo=off", false),
        ("--http-addr 0.0.0.0:0", false),
        ("--jwt-secret a-secret-that-somebody-has-given-1234567890", false),
        ("--service-token a-token-that-somebody-has-given", false),
    ] {
        let program = env!("CARGO_BIN_EXE_netrox-chat");
        let mut command = bound_to_its_test("script");
        let line = format!(
            "exec setpriv --pdeathsig KILL {program} serve --http-addr 127.0.0.1:0 --grpc-addr 127.0.0.1:0 --admin-addr none {arguments}"
        );
        let line = match arguments.starts_with("--http-addr") {
            true => line.replace("--http-addr 127.0.0.1:0 ", ""),
            false => line,
        };
        // A terminal for it; what it prints comes to the stderr of the test.
        command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
        command.current_dir(dir.path()).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut output = child.stdout.take().unwrap();
        let mut said = String::new();
        let mut buffer = [0; 4096];
        eventually("that it is ready", || {
            let read = output.read(&mut buffer).unwrap();
            said.push_str(&String::from_utf8_lossy(&buffer[..read]));
            assert!(read > 0, "{said}");
            said.contains("data in ") && said.ends_with('\n')
        });
        child.kill().unwrap();
        child.wait().unwrap();
        let rest = std::io::read_to_string(output).unwrap_or_default();
        said.push_str(&rest);
        assert_eq!(said.contains("/demo/#key="), is_there, "{arguments}: {said}");
    }
}

#[test]
fn it_needs_a_secret() {
    let dir = tempfile::tempdir().unwrap();
    for arguments in [
        &["serve", "--demo=on", "--jwks-url", "https://issuer.example.com/keys"][..],
        &["serve", "--demo=on", "--jwt-issuer", "https://issuer.example.com"],
        &["check", "serve", "--demo=on", "--jwt-issuer", "https://issuer.example.com"],
    ] {
        let outcome = run_in(dir.path(), arguments, &[]);
        assert_eq!(outcome.status, Some(2), "{outcome:?}");
        assert!(outcome.stderr.starts_with("error: --demo: needs tokens"), "{outcome:?}");
    }
}
