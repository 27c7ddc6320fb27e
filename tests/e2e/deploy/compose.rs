//! `deploy/compose.yaml`, and the secrets that are made for it.

use std::{collections::BTreeSet, path::Path, process::Command};

use serde_json::Value;

use super::{assert_knows_variables, help_for, output_of, repository, variables};

const TO_JSON: &str = "import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin)))";

fn compose() -> Value {
    let python = std::env::var_os("NETROX_CHAT_TEST_PYTHON");
    let python = python.expect("NETROX_CHAT_TEST_PYTHON is not set: run the tests with tests/run");
    let file = std::fs::File::open(repository().join("deploy/compose.yaml")).expect("the file");
    let json = output_of(Command::new(python).args(["-c", TO_JSON]).stdin(file));
    serde_json::from_str(&json).expect("JSON")
}

/// The names in a list or the keys of a map; none where there is neither.
fn names(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Array(list) => list.iter().map(|name| text(name).to_owned()).collect(),
        Value::Object(map) => map.keys().cloned().collect(),
        _ => BTreeSet::new(),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// Every text in a value.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(list) => list.iter().flat_map(texts).collect(),
        Value::Object(map) => map.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn services_name_nothing_that_is_not_there() {
    let compose = compose();
    for (name, service) in compose["services"].as_object().expect("services") {
        let secrets = names(&service["secrets"]);
        let mounted =
            texts(service).into_iter().filter_map(|text| text.strip_prefix("/run/secrets/"));
        let mounted: BTreeSet<_> = mounted.map(str::to_owned).collect();
        assert_eq!(mounted, secrets, "secrets that {name} reads, and that it is given");
        let volumes = names(&service["volumes"]).into_iter();
        let volumes = volumes.filter(|volume| !volume.starts_with('/'));
        let volumes = volumes.map(|volume| volume.split(':').next().expect("a name").to_owned());
        for (kind, wanted) in [
            ("secrets", secrets),
            ("networks", names(&service["networks"])),
            ("services", names(&service["depends_on"])),
            ("volumes", volumes.collect()),
        ] {
            let missing: Vec<_> = wanted.difference(&names(&compose[kind])).cloned().collect();
            assert!(missing.is_empty(), "{kind} of {name} that are not there: {missing:?}");
        }
    }
}

#[tokio::test]
async fn the_program_knows_what_its_services_tell_it() {
    let compose = compose();
    let services = compose["services"].as_object().expect("services");
    let ours = services.iter().filter(|(_, service)| service["image"] == "netrox-chat");
    let mut roles = BTreeSet::new();
    for (name, service) in ours {
        let command: Vec<_> = texts(&service["command"]);
        let help = help_for(&command).await;
        let environment: Vec<_> = names(&service["environment"]).into_iter().collect();
        assert!(!variables(&environment.join(" ")).is_empty(), "{name} is told nothing");
        assert_knows_variables(&help, &environment.join(" "));
        let dockerfile = Path::new("deploy").join(text(&service["build"]["context"]));
        let dockerfile = dockerfile.join(text(&service["build"]["dockerfile"]));
        assert!(repository().join(&dockerfile).is_file(), "{dockerfile:?}");
        roles.insert(command[0].to_owned());
    }
    assert_eq!(roles, BTreeSet::from(["core".to_owned(), "edge".to_owned()]));
}

#[test]
fn every_secret_is_made() {
    let directory = tempfile::tempdir().expect("a directory");
    let script = directory.path().join("compose-secrets.sh");
    std::fs::copy(repository().join("deploy/compose-secrets.sh"), &script).expect("copy");
    output_of(Command::new("bash").arg(&script));
    let secrets = &compose()["secrets"];
    let read = |secret: &Value| {
        let path = directory.path().join(text(&secret["file"]));
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
    };
    let of_each = |name: &String| (name.clone(), read(&secrets[name]));
    let made: Vec<_> = names(secrets).iter().map(of_each).collect();
    assert!(made.iter().all(|(_, secret)| !secret.trim().is_empty()), "an empty secret");
    // Once: what is there stays.
    output_of(Command::new("bash").arg(&script));
    assert_eq!(made, names(secrets).iter().map(of_each).collect::<Vec<_>>());

    let nats = std::env::var_os("NETROX_CHAT_TEST_NATS_SERVER");
    let nats = nats.expect("NETROX_CHAT_TEST_NATS_SERVER is not set: run the tests with tests/run");
    let configuration = directory.path().join(text(&secrets["nats.conf"]["file"]));
    output_of(Command::new(nats).arg("-t").arg("--config").arg(configuration));
}
