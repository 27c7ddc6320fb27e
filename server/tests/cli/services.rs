//! Services: how their tokens are made, and which files of them are refused.

use std::fs;

use serde_json::Value;

use crate::process::{Server, run, run_in};

#[test]
fn a_token_is_printed_once_with_its_entry() {
    let arguments = ["service-token", "billing", "--scope", "send", "--scope=read,directory"];
    let outcome = run(&arguments, &[]);
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    let (token, entry) = outcome.stdout.trim_end().split_once('\n').unwrap();
    let digits = token.strip_prefix("nxs_").unwrap();
    assert!(digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{token}");
    let entry: Value = serde_json::from_str(entry).unwrap();
    assert_eq!(entry["name"], "billing");
    assert_eq!(entry["scopes"], serde_json::json!(["send", "read", "directory"]));
    assert_eq!(entry["token_sha256"].as_str().unwrap().len(), 64);
    assert_ne!(entry["token_sha256"], token);
    assert!(entry.get("expires_at").is_none());
    assert_ne!(run(&arguments, &[]).stdout, outcome.stdout);

    let expiring = run(&["service-token", "a", "--scope", "edge", "--expires-in", "90days"], &[]);
    assert!(expiring.stdout.contains("\"expires_at\":\"20"), "{expiring:?}");
    for (arguments, named) in [
        (vec!["service-token", "a"], "--scope"),
        (vec!["service-token", "a", "--scope", "all"], "send, read, directory, admin, edge"),
        (vec!["service-token", "A b", "--scope", "read"], "NAME"),
        (vec!["service-token", "service-token", "--scope", "read"], "NAME"),
    ] {
        let outcome = run(&arguments, &[]);
        assert_eq!((outcome.status, outcome.stdout.as_str()), (Some(2), ""), "{outcome:?}");
        assert!(outcome.stderr.contains(named), "{arguments:?}: {outcome:?}");
    }
}

#[test]
fn a_file_with_a_plain_token_is_refused_by_the_name_of_the_field() {
    let dir = tempfile::tempdir().unwrap();
    for (text, named) in [
        (
            r#"[{"name": "a", "token": "hunter2", "scopes": ["read"]}]"#,
            "\"token\" would be a plain token",
        ),
        (
            r#"[{"name": "a", "token_sha256": "hunter2", "scopes": ["read"]}]"#,
            "\"token_sha256\" must be 64",
        ),
        (r#"{"hunter2": 1}"#, "not a list of services"),
    ] {
        fs::write(dir.path().join("services.json"), text).unwrap();
        let outcome = run_in(dir.path(), &["core", "--service-tokens-file", "services.json"], &[]);
        assert_eq!(outcome.status, Some(2), "{outcome:?}");
        assert!(
            outcome.stderr.starts_with("error: --service-tokens-file: services.json: "),
            "{outcome:?}"
        );
        assert!(
            outcome.stderr.contains(named) && !outcome.stderr.contains("hunter2"),
            "{outcome:?}"
        );
    }
    let missing = run_in(dir.path(), &["serve", "--service-tokens-file", "nowhere"], &[]);
    assert!(missing.stderr.starts_with("error: --service-tokens-file: nowhere: "), "{missing:?}");
    let of_edge = run_in(dir.path(), &["edge", "--service-tokens-file", "services.json"], &[]);
    assert_eq!(of_edge.status, Some(2), "{of_edge:?}");
}

#[test]
fn an_audit_log_that_cannot_be_opened_ends_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let outcome = run_in(dir.path(), &["core", "--audit-log", "nowhere/audit.log"], &[]);
    assert_eq!(outcome.status, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains("error: --audit-log: "), "{outcome:?}");
}

#[test]
fn the_audit_log_goes_to_stderr_if_it_is_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path(), &["serve", "--audit-log", "stderr"]);
    server.wait_to_say("\"event\":\"started\"");
    server.signal("TERM");
    let outcome = server.wait();
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    let lines = outcome.stderr.lines().filter(|line| line.starts_with('{'));
    let events: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    let names = events.iter().map(|event| event["event"].as_str().unwrap());
    assert_eq!(names.collect::<Vec<_>>(), ["started", "stopped"]);
}
