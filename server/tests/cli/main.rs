//! The program as a script sees it (PROTOCOL section 6).

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by a panic")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test fails at all else")]

mod admin;
mod check;
mod demo;
mod pages;
mod process;
mod reach;
mod refusal;
mod serve;
mod services;
mod token;

use crate::process::run;

const SECRET: &str = "hunter2-hunter2-hunter2-hunter2-hunter2";

#[test]
fn help_and_version_go_to_stdout_without_secrets() {
    let variables = [("NETROX_CHAT_JWT_SECRET", SECRET), ("NETROX_CHAT_SERVICE_TOKEN", SECRET)];
    for (arguments, expected) in [
        (vec!["--help"], "Exit status:"),
        (vec!["-h"], "Examples:"),
        (vec!["help"], "Roles:"),
        (vec!["serve", "--help"], "--grpc-addr <IP:PORT>"),
        (vec!["core", "--help"], "NETROX_CHAT_DATABASE_URL"),
        (vec!["edge", "--help"], "[default: http://127.0.0.1:50051]"),
        (vec!["token", "--help"], "--ttl <SECONDS>"),
        (vec!["doctor", "--help"], "netrox-chat doctor [ROLE] [OPTIONS]"),
        (vec!["doctor", "core", "--help"], "--json"),
        (vec!["check", "edge", "--help"], "--core <"),
        (vec!["--version"], env!("CARGO_PKG_VERSION")),
        (vec!["core", "--version"], env!("CARGO_PKG_VERSION")),
    ] {
        let outcome = run(&arguments, &variables);
        assert_eq!(outcome.status, Some(0), "{outcome:?}");
        assert_eq!(outcome.stderr, "");
        assert!(outcome.stdout.contains(expected), "{arguments:?}: {}", outcome.stdout);
        assert!(!outcome.stdout.contains("hunter2"), "{arguments:?}");
    }
}
