//! The units of systemd.

use std::{collections::BTreeSet, io::ErrorKind, process::Command};

use netrox_harness::process;

use super::{assert_knows_variables, files, help_for, read};

const PROGRAM: &str = "/usr/local/bin/netrox-chat";

/// Every value of a setting, in order.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

#[tokio::test]
async fn the_program_knows_what_units_tell_it() {
    let mut roles = BTreeSet::new();
    for path in files("deploy/systemd", ".service") {
        let unit = read(&path);
        let commands = values(&unit, "ExecStart");
        assert_eq!(commands.len(), 1, "{path:?}");
        let mut words = commands[0].split_whitespace();
        assert_eq!(words.next(), Some(PROGRAM));
        let arguments: Vec<_> = words.collect();
        let help = help_for(&arguments).await;
        // Those of the files that the head of the unit asks for, too.
        let of_drain = "NETROX_CHAT_DRAIN_TIMEOUT";
        assert!(unit.contains(of_drain), "{path:?} does not bound its drain");
        assert_knows_variables(&help, &unit);
        let given = values(&unit, "LoadCredential").into_iter();
        let given: BTreeSet<_> =
            given.map(|value| value.split(':').next().expect("a name")).collect();
        let read = values(&unit, "Environment").into_iter();
        let read: BTreeSet<_> =
            read.filter_map(|value| Some(value.split_once("=%d/")?.1)).collect();
        assert_eq!(given, read, "{path:?}: credentials that are given, and that are read");
        // Damaged storage ends the program with status 3.
        let keeps_data = !values(&unit, "StateDirectory").is_empty();
        let not_again = values(&unit, "RestartPreventExitStatus");
        assert_eq!(not_again.contains(&"3"), keeps_data, "{path:?}");
        roles.insert(arguments[0].to_owned());
    }
    assert_eq!(roles, ["core", "edge", "serve"].map(str::to_owned).into());
}

/// systemd says what it does not understand, where it is installed.
#[test]
fn systemd_understands_the_units() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no", "--recursive-errors=no"]);
    for path in files("deploy/systemd", ".service") {
        // It has to find the program.
        let program = process::program();
        let unit = read(&path).replace(PROGRAM, program.to_str().expect("a path of text"));
        let copy = directory.path().join(path.file_name().expect("a name"));
        std::fs::write(&copy, unit).expect("write");
        verify.arg(copy);
    }
    match verify.output() {
        Ok(output) => assert!(output.status.success(), "{output:?}"),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
            eprintln!("systemd is not here: what its units say is not checked");
        }
    }
}
