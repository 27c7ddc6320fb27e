//! Scripts, and the command lines of the program in them.

use std::{
    collections::BTreeSet, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Command,
};

use super::{commands, files, help_for, output_of, read, repository};

#[test]
fn every_script_parses_and_can_be_run() {
    let others = ["tests/chaos", "tests/run", ".ci/run", ".ci/release", ".ci/deb", ".ci/deb-check"]
        .map(|path| repository().join(path));
    for script in files("deploy", ".sh").into_iter().chain(others) {
        output_of(Command::new("bash").arg("-n").arg(&script));
        let mode = std::fs::metadata(&script).expect("a script").permissions().mode();
        assert!(mode & 0o111 == 0o111, "{script:?} is not executable");
    }
}

#[tokio::test]
async fn the_program_knows_what_the_local_cluster_tells_it() {
    let mut roles = BTreeSet::new();
    for line in commands(&read(PathBuf::from("deploy/cluster-local.sh"))) {
        let Some((_, rest)) = line.split_once("$program") else { continue };
        let mut words = rest.trim_start_matches('"').split_whitespace();
        let role = words.next().unwrap_or_default();
        if !["core", "edge", "serve", "token", "migrate"].contains(&role) {
            continue;
        }
        let help = help_for(&[role]).await;
        for flag in words.filter(|word| word.starts_with("--")) {
            let is_known = help.split_whitespace().any(|word| word == flag);
            assert!(is_known, "{flag} is not a flag of {role}");
        }
        roles.insert(role.to_owned());
    }
    assert_eq!(roles, ["core", "edge", "token"].map(str::to_owned).into());
}
