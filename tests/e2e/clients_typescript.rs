//! The client for browsers and Node: its own tests, with the program under test.

use std::{env, ffi::OsString, path::Path, process::Command};

use netrox_harness::{
    process::{bound_to_its_test, program, run_to_end},
    run_test,
};

/// Of a network, where nobody asks for more.
const CUTS: &str = "15";

/// A scripted server: each close, each refusal. And the stores.
#[tokio::test]
async fn the_client_does_what_the_protocol_says() {
    run_test(run_files(&["connection", "outbox", "sync", "stores"])).await;
}

/// A scripted server that cuts each answer and frame somewhere.
#[tokio::test]
async fn the_client_survives_a_cut_at_any_byte() {
    run_test(run_files(&["bytes"])).await;
}

/// Strictly checked, those of docs/asyncapi.yaml, and small.
#[tokio::test]
async fn the_client_has_its_types() {
    run_test(run_files(&["types"])).await;
}

/// A network that is cut at random bytes, the program killed, tabs closed: every message once, in order.
#[tokio::test]
async fn the_client_loses_nothing_where_connections_are_cut() {
    run_test(run_files(&["program"])).await;
}

/// Two tabs of Chromium, one of which is closed, and a reload without a server.
#[tokio::test]
async fn the_client_goes_on_in_another_tab() {
    run_test(run_files(&["browser"])).await;
}

/// Runs files of `clients/typescript/test`.
async fn run_files(names: &[&str]) {
    let [launcher, options @ ..] = bound_to_its_test("KILL");
    let mut command = Command::new(launcher);
    command.args(options).arg(variable("NETROX_CHAT_TEST_NODE")).arg("--test");
    command.args(names.iter().map(|name| format!("test/{name}.test.js")));
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients/typescript"));
    command.env("NODE_PATH", variable("NETROX_CHAT_TEST_TYPESCRIPT"));
    command.env("NETROX_CHAT_TEST_PROGRAM", program());
    if env::var_os("NETROX_CHAT_TEST_CUTS").is_none() {
        command.env("NETROX_CHAT_TEST_CUTS", CUTS);
    }
    let ended = run_to_end(command).await;
    assert!(ended.status.success(), "{}\n{}", ended.stdout, ended.stderr);
}

fn variable(name: &str) -> OsString {
    env::var_os(name).unwrap_or_else(|| panic!("{name} is not set: run the tests with tests/run"))
}
