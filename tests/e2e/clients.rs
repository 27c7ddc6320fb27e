//! The clients in `clients/`: their own tests, with the program of this build. Each has as long as a program may take.

use std::{env, ffi::OsString, path::Path, process::Command};

use netrox_harness::process::{bound_to_its_test, program, run_command};

/// A scripted server: each close, each refusal, each byte. And the stores.
#[tokio::test]
async fn typescript_keeps_to_the_protocol() {
    let files = ["connection", "outbox", "sync", "stores", "bytes"];
    typescript(&files.map(|name| format!("test/{name}.test.js"))).await;
}

/// Strictly checked, equal to docs/asyncapi.yaml, and small.
#[tokio::test]
async fn typescript_has_its_types() {
    typescript(&["test/types.test.js".to_owned()]).await;
}

/// A network that is cut at random bytes, and the program killed: every message once, in order.
#[tokio::test]
async fn typescript_talks_to_the_program() {
    typescript(&["test/program.test.js".to_owned()]).await;
}

async fn typescript(files: &[String]) {
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients/typescript");
    let [launcher, options @ ..] = bound_to_its_test("KILL");
    let mut command = Command::new(launcher);
    command.args(options).arg(variable("NETROX_CHAT_TEST_NODE"));
    command.args(["--test", "--test-reporter=spec"]).args(files).current_dir(client);
    command.env("NODE_PATH", variable("NETROX_CHAT_TEST_TYPESCRIPT"));
    command.env("NETROX_CHAT_TEST_PROGRAM", program());
    let ended = run_command(command).await;
    assert!(ended.status.success(), "{}\n{}", ended.stdout, ended.stderr);
}

fn variable(name: &str) -> OsString {
    env::var_os(name).unwrap_or_else(|| panic!("{name} is not set: run the tests with tests/run"))
}
