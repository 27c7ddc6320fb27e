//! What the Debian package is made of: `deploy/debian`, and the units of systemd. `.ci/deb` makes it, and `.ci/deb-check`
//! installs it, with a release.

use std::{collections::BTreeSet, path::Path, process::Command};

use super::{assert_knows_variables, files, help_for, output_of, read, repository};

const DIRECTORY: &str = "deploy/debian";
/// What `.ci/deb` makes.
const MADE: &str = "../deploy/debian/made/";

/// Every value of a setting of a unit.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('=')).collect()
}

fn units(ending: &str) -> impl Iterator<Item = (String, String)> {
    let paths = files("deploy/systemd", ending).into_iter();
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    paths.map(move |path| (name(&path), read(path)))
}

/// The first words of the lines of assets in `server/Cargo.toml`: where a file comes from.
fn sources() -> Vec<String> {
    let manifest = read("server/Cargo.toml");
    let (_, package) = manifest.split_once("\n[package.metadata.deb]\n").expect("the package");
    let lines = package.lines().filter_map(|line| line.trim().strip_prefix("[\""));
    lines.map(|line| line.split('"').next().expect("a path").to_owned()).collect()
}

#[test]
fn what_goes_into_the_package_is_there() {
    let sources = sources();
    assert!(sources.len() > 10, "{sources:?}");
    for source in sources.iter().filter(|source| !source.starts_with(MADE)) {
        let Some(source) = source.strip_prefix("../") else {
            assert_eq!(source, "target/release/netrox-chat");
            continue;
        };
        match source.split_once('*') {
            Some((directory, ending)) => drop(files(directory, ending)),
            None => assert!(repository().join(source).is_file(), "{source}"),
        }
    }
    let script = read(".ci/deb");
    for made in sources.iter().filter_map(|source| source.strip_prefix(MADE)) {
        let directory = made.split('/').next().expect("a directory");
        assert!(script.contains(&format!("$made/{directory}")), "nothing makes {made}");
    }
}

#[test]
fn each_unit_has_a_user_that_the_package_makes() {
    let users = read(Path::new(DIRECTORY).join("netrox-chat.sysusers"));
    let made = users.lines().filter_map(|line| line.strip_prefix("u ")?.split(' ').next());
    let made: BTreeSet<_> = made.map(str::to_owned).collect();
    let wanted = units(".service").map(|(_, unit)| values(&unit, "User")[0].to_owned());
    assert_eq!(wanted.collect::<BTreeSet<_>>(), made);
}

#[tokio::test]
async fn each_file_of_variables_is_read_by_a_unit_whose_role_knows_them() {
    let mut read_by_units = BTreeSet::new();
    for (name, unit) in units(".service") {
        let role = values(&unit, "ExecStart")[0].split(' ').nth(1).expect("a role");
        for file in values(&unit, "EnvironmentFile") {
            let file = file.strip_prefix("-/etc/netrox-chat/").expect("a file that may be missing");
            read_by_units.insert(file.to_owned());
            // That of the server is read beside it.
            if file == format!("{role}.env") {
                let variables = read(Path::new(DIRECTORY).join(file));
                assert_knows_variables(&help_for(&[role]).await, &variables);
                assert!(variables.contains(&name), "{file} does not name {name}");
            }
        }
    }
    let shipped = files(DIRECTORY, ".env").into_iter();
    let shipped = shipped.map(|path| path.file_name().expect("a name").to_owned());
    assert_eq!(read_by_units, shipped.map(|name| name.to_string_lossy().into_owned()).collect());
}

#[test]
fn scripts_know_every_unit_that_can_be_enabled() {
    let all = units(".service").chain(units(".timer"));
    let can_be = all.filter(|(_, unit)| unit.contains("\n[Install]\n"));
    let can_be: BTreeSet<_> = can_be.map(|(name, _)| name).collect();
    for script in ["postinst", "postrm"] {
        let text = read(Path::new(DIRECTORY).join(script));
        let line = text.lines().find_map(|line| line.strip_prefix("units=\"")).expect("units");
        let known = line.trim_end_matches('"').split(' ').map(str::to_owned);
        assert_eq!(known.collect::<BTreeSet<_>>(), can_be, "{script}");
    }
    for script in ["postinst", "postrm", "prerm"] {
        let path = repository().join(DIRECTORY).join(script);
        output_of(Command::new("sh").arg("-n").arg(path));
    }
}

/// Whoever looks before a start has what the unit has.
#[test]
fn the_page_looks_before_a_start_as_the_unit_would() {
    const SAID: [&str; 7] = [
        "User",
        "StateDirectory",
        "StateDirectoryMode",
        "UMask",
        "LimitNOFILE",
        "EnvironmentFile",
        "LoadCredential",
    ];
    let page = read("docs/PACKAGES.md");
    let mut roles = BTreeSet::new();
    for command in page.split("    systemd-run ").skip(1) {
        let command = command.split("\n\n").next().expect("a command");
        let role = command.rsplit(' ').next().expect("a role").trim_end_matches('\'');
        let starts_it = |unit: &str| values(unit, "ExecStart")[0].ends_with(&format!(" {role}"));
        let (_, unit) = units(".service").find(|(_, unit)| starts_it(unit)).expect("a unit");
        for key in SAID {
            let start = format!("--property={key}=");
            let given = command.split(&start).skip(1);
            let given = given.map(|rest| rest.split_whitespace().next().expect("a value"));
            assert_eq!(given.collect::<Vec<_>>(), values(&unit, key), "{role}: {key}");
        }
        for variable in values(&unit, "Environment") {
            let (name, value) = variable.split_once('=').expect("a value");
            let said = match value.split_once('/') {
                Some(("%d", file)) => format!("export {name}=\"$CREDENTIALS_DIRECTORY/{file}\""),
                Some(("%S", directory)) => format!("--setenv={name}=/var/lib/{directory} "),
                // What it does at its end.
                _ => continue,
            };
            assert!(command.contains(&said), "{role}: {said}");
        }
        roles.insert(role.to_owned());
    }
    assert_eq!(roles, ["core", "serve"].map(str::to_owned).into());
}
