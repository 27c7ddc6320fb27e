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
        let serves = values(&unit, "Type") != ["oneshot"];
        // Those of the files that the head of the unit asks for, too.
        let of_drain = "NETROX_CHAT_DRAIN_TIMEOUT";
        assert!(!serves || unit.contains(of_drain), "{path:?} does not bound its drain");
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
        assert_eq!(not_again.contains(&"3"), keeps_data && serves, "{path:?}");
        roles.insert(arguments[0].to_owned());
    }
    assert_eq!(roles, ["backup", "core", "edge", "serve"].map(str::to_owned).into());
}

fn seconds(text: &str) -> u64 {
    text.trim_end_matches('s').parse().expect("seconds")
}

/// Else systemd would kill it in the middle of a drain.
#[test]
fn a_unit_has_more_time_to_stop_than_a_drain_takes() {
    const DRAIN_TIMEOUT: u64 = 10;
    for path in files("deploy/systemd", ".service") {
        let unit = read(&path);
        if values(&unit, "Type") == ["oneshot"] {
            continue;
        }
        let delay = values(&unit, "Environment")
            .into_iter()
            .find_map(|value| value.strip_prefix("NETROX_CHAT_DRAIN_DELAY=").map(seconds));
        let stop = values(&unit, "TimeoutStopSec");
        assert_eq!(stop.len(), 1, "{path:?}");
        assert!(seconds(stop[0]) > delay.unwrap_or(0) + DRAIN_TIMEOUT, "{path:?}");
    }
}

#[test]
fn each_timer_starts_a_unit_that_is_there_and_runs_to_its_end() {
    for path in files("deploy/systemd", ".timer") {
        let (timer, service) = (read(&path), read(path.with_extension("service")));
        assert_eq!(values(&timer, "OnCalendar").len(), 1, "{path:?}");
        assert_eq!(values(&timer, "Persistent"), ["yes"], "{path:?}");
        assert_eq!(values(&timer, "WantedBy"), ["timers.target"], "{path:?}");
        assert_eq!(values(&service, "Type"), ["oneshot"], "{path:?}");
    }
}

/// The backup reads what the server keeps: as the same user, in the same directory.
#[test]
fn the_backup_is_of_the_server_beside_it() {
    let [server, backup] = ["netrox-chat", "netrox-chat-backup"]
        .map(|name| read(format!("deploy/systemd/{name}.service")));
    let data_dir = "NETROX_CHAT_DATA_DIR=%S/netrox-chat";
    for unit in [&server, &backup] {
        assert_eq!(values(unit, "User"), ["netrox-chat"]);
        assert!(values(unit, "Environment").contains(&data_dir));
        assert!(values(unit, "EnvironmentFile").contains(&"-/etc/netrox-chat/serve.env"));
    }
}

/// systemd says what it does not understand, where it is installed.
#[test]
fn systemd_understands_the_units() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no", "--recursive-errors=no"]);
    let timers = files("deploy/systemd", ".timer");
    for path in files("deploy/systemd", ".service").into_iter().chain(timers) {
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
