//! Spectral, which reads both descriptions, finds nothing in them. What it looks for is in `tests/node/spectral.yaml`.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by a panic")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Refers to nothing outside of these files: `resolver.js` takes that for a fault.
fn lint(directory: &Path) -> Output {
    let variable = |name: &str| {
        env::var_os(name)
            .unwrap_or_else(|| panic!("{name} is not set: run the tests with tests/run"))
    };
    let packages = PathBuf::from(variable("NODE_PATH"));
    let settings = root().join("tests/node");
    let output = Command::new("setpriv")
        .args(["--pdeathsig", "KILL"])
        .arg(variable("NETROX_CHAT_TEST_NODE"))
        .arg(packages.join("@stoplight/spectral-cli/dist/index.js"))
        .args(["lint", "--fail-severity", "warn", "--fail-on-unmatched-globs", "--format", "text"])
        .arg("--ruleset")
        .arg(settings.join("spectral.yaml"))
        .arg("--resolver")
        .arg(settings.join("resolver.js"))
        .args(["openapi.yaml", "asyncapi.yaml"].map(|file| directory.join(file)))
        .output();
    output.expect("run Spectral")
}

fn printed(output: &Output) -> String {
    let text = [&*output.stdout, &*output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn nothing_is_wrong_with_the_descriptions() {
    let output = lint(&root().join("docs"));
    assert!(output.status.success(), "{}", printed(&output));
}

#[test]
fn what_is_wrong_with_a_description_is_found() {
    let directory = tempfile::tempdir().expect("a directory");
    let faults: [(_, &[_]); 2] = [
        (
            "openapi.yaml",
            &[
                ("in: query", "in: qwery", "oas3-schema"),
                ("operationId: listThreads", "operationId: sync", "operation-operationId-unique"),
                ("      summary: The thread with one peer.\n", "", "operation-summary"),
                ("default: newest", "default: 7", "oas3-valid-schema-example"),
                ("#/components/schemas/Changes", "#/components/schemas/Chances", "Chances'"),
                ("#/components/schemas/Cursor", "https://127.0.0.1:1/x", "scheme 'https'"),
            ],
        ),
        (
            "asyncapi.yaml",
            &[
                ("action: receive", "action: recieve", "asyncapi-3-document-resolved"),
                ("#/components/messages/live", "#/components/messages/life", "messages/life'"),
                ("#/components/schemas/Cursor", "openapi.yaml#/x", "scheme 'file'"),
            ],
        ),
    ];
    for (file, faults) in faults {
        let mut text = fs::read_to_string(root().join("docs").join(file)).expect("a description");
        for (right, wrong, _) in faults {
            assert!(text.contains(right), "{file} has no {right}");
            text = text.replacen(right, wrong, 1);
        }
        fs::write(directory.path().join(file), text).expect("a copy");
    }
    let output = lint(directory.path());
    let printed = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    for (file, faults) in faults {
        for (_, wrong, found) in faults {
            let is_found = |line: &str| line.contains(file) && line.contains(found);
            assert!(printed.lines().any(is_found), "{file}: {wrong:?} is not found: {printed}");
        }
    }
}
