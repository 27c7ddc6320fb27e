//! The Python client, as an installed wheel, and the kit that any client has to pass: `clients/python/tests/run.py`.

use std::{env, process::Command};

use netrox_harness::{
    process::{bound_to_its_test, program, run_to_end},
    run_test,
};

/// Runs one part of it, on the program under test.
async fn run_suite(suite: &str) {
    let interpreter = env::var_os("NETROX_CHAT_TEST_PYTHON");
    let interpreter = interpreter.expect("an interpreter: run the tests with tests/run");
    let [launcher, arguments @ ..] = bound_to_its_test("KILL");
    let mut command = Command::new(launcher);
    command.args(arguments).arg(interpreter);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../clients/python/tests/run.py"));
    command.arg(suite).env("NETROX_CHAT_TEST_PROGRAM", program());
    let ended = run_to_end(command).await;
    assert!(ended.status.success(), "{}\n{}", ended.stdout, ended.stderr);
}

macro_rules! suites {
    ($($name:ident: $suite:literal),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $name() {
                run_test(run_suite($suite)).await;
            }
        )+
    };
}

suites! {
    types_of_the_client_are_strict: "types",
    the_client_does_what_a_script_asks: "unit",
    the_client_loses_nothing_where_connections_are_cut: "program",
    the_client_passes_the_first_third_of_the_kit: "kit:1/3",
    the_client_passes_the_second_third_of_the_kit: "kit:2/3",
    the_client_passes_the_last_third_of_the_kit: "kit:3/3",
    the_first_third_of_the_kit_sees_its_faults: "broken:1/3",
    the_second_third_of_the_kit_sees_its_faults: "broken:2/3",
    the_last_third_of_the_kit_sees_its_faults: "broken:3/3",
    the_client_for_browsers_passes_the_first_third_of_the_kit: "typescript:1/3",
    the_client_for_browsers_passes_the_second_third_of_the_kit: "typescript:2/3",
    the_client_for_browsers_passes_the_last_third_of_the_kit: "typescript:3/3",
}
