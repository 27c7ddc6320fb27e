//! The web client at `/demo/` in Chromium, and the examples: their own tests, with the program under test.

use std::{env, ffi::OsString, path::Path, process::Command};

use netrox_harness::{
    process::{bound_to_its_test, program, run_to_end},
    run_test,
};

/// Strictly checked, and the same in each language.
#[tokio::test]
async fn the_page_has_its_types_and_strings() {
    run_test(run_file("source", "")).await;
}

/// From the printed address on: ticks, presence, typing.
#[tokio::test]
async fn two_windows_chat() {
    run_test(run_file("chat", "is a click|^ticks|^who is there")).await;
}

/// And edits, deletions.
#[tokio::test]
async fn pictures_and_search_work() {
    run_test(run_file("chat", "^a message is edited|^pictures|^search")).await;
}

/// Whatever is refused, and wherever the reader is.
#[tokio::test]
async fn what_is_written_is_not_lost() {
    run_test(run_file("writing", "")).await;
}

/// Which messages of a history are in memory.
#[tokio::test]
async fn the_window_of_a_history_goes_where_its_reader_goes() {
    run_test(run_file("timeline", "")).await;
}

/// The network cut, the server killed.
#[tokio::test]
async fn the_page_goes_on_after_a_cut() {
    run_test(run_file("offline", "")).await;
}

#[tokio::test]
async fn the_page_needs_the_key_of_the_start() {
    run_test(run_file("key", "")).await;
}

#[tokio::test]
async fn a_history_scrolls_for_ever() {
    run_test(run_file("history", "a history of")).await;
}

#[tokio::test]
async fn what_is_read_stays_where_it_is() {
    run_test(run_file("history", "what is read")).await;
}

/// In each size and scheme.
#[tokio::test]
async fn the_page_can_be_seen_and_heard_in_english() {
    run_test(run_file("looks", "in en")).await;
}

#[tokio::test]
async fn the_page_can_be_seen_and_heard_in_german() {
    run_test(run_file("looks", "in de")).await;
}

#[tokio::test]
async fn the_page_can_be_seen_and_heard_in_arabic() {
    run_test(run_file("looks", "in ar")).await;
}

#[tokio::test]
async fn the_page_can_be_used_by_keyboard_in_another_language() {
    run_test(run_file("looks", "keyboard|changed")).await;
}

/// By Lighthouse.
#[tokio::test]
async fn the_page_is_quick_and_sound_on_a_phone() {
    run_test(run_file("lighthouse", "phone")).await;
}

#[tokio::test]
async fn the_page_is_quick_and_sound_on_a_desk() {
    run_test(run_file("lighthouse", "desk")).await;
}

/// `examples/`, as they stand there.
#[tokio::test]
async fn each_example_does_what_it_says() {
    run_test(run_file("examples", "")).await;
}

/// Runs the tests of a file of `clients/web/test` that have the pattern in their names.
async fn run_file(name: &str, pattern: &str) {
    let [launcher, options @ ..] = bound_to_its_test("KILL");
    let mut command = Command::new(launcher);
    command.args(options).arg(variable("NETROX_CHAT_TEST_NODE")).arg("--test");
    if !pattern.is_empty() {
        command.arg(format!("--test-name-pattern={pattern}"));
    }
    command.arg(format!("test/{name}.test.js"));
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients/web"));
    command.env("NODE_PATH", variable("NETROX_CHAT_TEST_WEB"));
    command.env("NETROX_CHAT_TEST_PROGRAM", program());
    let ended = run_to_end(command).await;
    assert!(ended.status.success(), "{}\n{}", ended.stdout, ended.stderr);
    // A pattern that fits nothing is no success.
    assert!(!ended.stdout.contains("pass 0\n"), "{}", ended.stdout);
}

fn variable(name: &str) -> OsString {
    env::var_os(name).unwrap_or_else(|| panic!("{name} is not set: run the tests with tests/run"))
}
