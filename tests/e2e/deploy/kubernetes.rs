//! `deploy/kubernetes`: the schemas of Kubernetes take it, what refers to something refers to what is there, and the program
//! takes the settings that its pods are given.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
    sync::LazyLock,
    time::Duration,
};

use netrox_harness::process;
use serde_json::Value;

use super::{assert_knows_variables, help_for, output_of, repository};

const DIRECTORY: &str = "deploy/kubernetes";
/// Every file, with what is in it.
const TO_JSON: &str = "import json, pathlib, yaml; print(json.dumps({path.name: \
    list(yaml.safe_load_all(path.read_text())) for path in pathlib.Path('.').glob('*.yaml')}))";
const FOR_KUSTOMIZE: &str = "kustomization.yaml";
/// The oldest that has all that is used, and the newest that the schemas are there of.
const VERSIONS: [&str; 2] = ["1.27.0", "1.37.0"];
const SECRETS: &str = "/run/secrets/netrox-chat";
/// What the test makes of the secrets that an operator makes.
const MADE: [(&str, &str); 4] = [
    ("bus-url", "tls://token@nats.example:4222"),
    ("database-url", "postgres://netrox:secret@postgres.example/netrox?sslmode=verify-full"),
    ("jwt-secret", "a5f0c3d2e1b4968778695a4b3c2d1e0fa5f0c3d2e1b4968778695a4b3c2d1e0f"),
    ("service-token", "0f1e2d3c4b5a69788796b4c1d2e3f0a50f1e2d3c4b5a69788796b4c1d2e3f0a5"),
];

fn python() -> Command {
    let python = std::env::var_os("NETROX_CHAT_TEST_PYTHON");
    Command::new(python.expect("NETROX_CHAT_TEST_PYTHON is not set: run the tests with tests/run"))
}

static FILES: LazyLock<BTreeMap<String, Vec<Value>>> = LazyLock::new(|| {
    let json = output_of(python().args(["-c", TO_JSON]).current_dir(repository().join(DIRECTORY)));
    serde_json::from_str(&json).expect("JSON")
});

/// All but what kustomize alone reads.
fn names() -> impl Iterator<Item = &'static str> {
    FILES.keys().map(String::as_str).filter(|name| *name != FOR_KUSTOMIZE)
}

fn objects() -> impl Iterator<Item = &'static Value> {
    names().flat_map(|name| &FILES[name])
}

fn of_kind(kind: &str) -> Vec<&'static Value> {
    let found: Vec<_> = objects().filter(|object| object["kind"] == kind).collect();
    assert!(!found.is_empty(), "no {kind}");
    found
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The one container of a deployment.
fn container(deployment: &Value) -> &Value {
    let containers = list(&deployment["spec"]["template"]["spec"]["containers"]);
    assert_eq!(containers.len(), 1);
    &containers[0]
}

/// The variables that a container is given, those of the shared settings among them.
fn variables(container: &Value) -> Vec<(String, String)> {
    let settings = of_kind("ConfigMap")[0];
    let shared = settings["data"].as_object().expect("settings").iter();
    let shared = shared.map(|(name, value)| (name.clone(), text(value).to_owned()));
    let is_taken = |source: &Value| source["configMapRef"]["name"] == settings["metadata"]["name"];
    assert!(list(&container["envFrom"]).iter().any(is_taken));
    let own = list(&container["env"]).iter();
    shared.chain(own.map(|it| (text(&it["name"]).into(), text(&it["value"]).into()))).collect()
}

fn variable<'a>(variables: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let name = format!("NETROX_CHAT_{name}");
    variables.iter().find(|(it, _)| *it == name).map(|(_, value)| value.as_str())
}

/// Of a text such as `10s`.
fn seconds(text: &str) -> Duration {
    Duration::from_secs(text.trim_end_matches('s').parse().expect("seconds"))
}

#[test]
fn the_schemas_of_kubernetes_take_every_object() {
    let schemas = std::env::var_os("NETROX_CHAT_TEST_KUBERNETES");
    let schemas =
        schemas.expect("NETROX_CHAT_TEST_KUBERNETES: tests/run has it for deploy::kubernetes");
    let mut validate = python();
    validate.env("PYTHONPATH", schemas);
    validate.args(["-m", "kubernetes_validate", "--strict"]);
    for version in VERSIONS {
        validate.args(["--kubernetes-version", version]);
    }
    let told = output_of(validate.args(names()).current_dir(repository().join(DIRECTORY)));
    // Of what it has no schema of it only warns.
    let passed = told.lines().filter(|line| line.contains(" passed for resource ")).count();
    assert_eq!(passed, objects().count() * VERSIONS.len(), "{told}");
}

#[test]
fn kustomize_is_given_every_file_and_the_image() {
    let kustomization = &FILES[FOR_KUSTOMIZE][0];
    let given = list(&kustomization["resources"]).iter().map(text);
    assert_eq!(given.collect::<BTreeSet<_>>(), names().collect());
    let namespace = &of_kind("Namespace")[0]["metadata"]["name"];
    assert_eq!(&kustomization["namespace"], namespace);
    for deployment in of_kind("Deployment") {
        assert_eq!(container(deployment)["image"], kustomization["images"][0]["name"]);
    }
}

#[tokio::test]
async fn the_program_takes_the_settings_of_its_pods() {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, secret) in MADE {
        fs::write(directory.path().join(name), secret).expect("write");
    }
    let place = directory.path().to_str().expect("a path of text");
    let mut roles = BTreeSet::new();
    for deployment in of_kind("Deployment") {
        let container = container(deployment);
        let role = text(&container["args"][0]);
        let mut given = variables(container);
        let told: Vec<_> = given.iter().map(|(name, _)| name.as_str()).collect();
        assert_knows_variables(&help_for(&[role]).await, &told.join(" "));
        for (_, value) in &mut given {
            *value = value.replace(SECRETS, place);
            if let Some(below) = value.strip_prefix("/data/") {
                *value = format!("{place}/{below}");
            }
        }
        // What the secret of the bucket has.
        let of_bucket = ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
        given.extend(of_bucket.map(|name| (name.to_owned(), "eu-central-1".to_owned())));
        let checked = process::run(directory.path(), ["check", role], given).await;
        assert_eq!(checked.status.code(), Some(0), "{role}: {checked:?}");
        assert!(!checked.stderr.contains("is no setting"), "{checked:?}");
        roles.insert(role.to_owned());
    }
    assert_eq!(roles, ["core", "edge"].map(str::to_owned).into());
}

#[test]
fn a_pod_has_the_time_that_its_drain_takes() {
    for deployment in of_kind("Deployment") {
        let variables = variables(container(deployment));
        let delay = variable(&variables, "DRAIN_DELAY").map_or(Duration::ZERO, seconds);
        let timeout = seconds(variable(&variables, "DRAIN_TIMEOUT").expect("a bound"));
        let grace = &deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"];
        let grace = Duration::from_secs(grace.as_u64().expect("seconds"));
        assert!(grace > delay + timeout, "{grace:?} for {delay:?} and {timeout:?}");
    }
}

#[test]
fn probes_scrapes_and_services_lead_to_ports_that_are_listened_on() {
    let services = of_kind("Service");
    for deployment in of_kind("Deployment") {
        let container = container(deployment);
        let variables = variables(container);
        let port = |value: &Value| value.as_u64().expect("a port").to_string();
        let mut ports = BTreeSet::new();
        for it in list(&container["ports"]) {
            let name = text(&it["name"]);
            let address = variable(&variables, &format!("{}_ADDR", name.to_uppercase()));
            let address = address.unwrap_or_else(|| panic!("nothing listens on {name}"));
            assert_eq!(address, format!("0.0.0.0:{}", port(&it["containerPort"])));
            ports.insert(name);
        }
        for (probe, path) in [("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")] {
            let asked = &container[probe]["httpGet"];
            assert_eq!((text(&asked["path"]), text(&asked["port"])), (path, "admin"));
        }
        assert!(ports.contains("admin"));
        let scraped = &deployment["spec"]["template"]["metadata"]["annotations"];
        let address = variable(&variables, "ADMIN_ADDR").expect("an address");
        assert!(address.ends_with(&format!(":{}", text(&scraped["prometheus.io/port"]))));
        let labels = &deployment["spec"]["template"]["metadata"]["labels"];
        let its = services.iter().filter(|service| service["spec"]["selector"] == *labels);
        let its: Vec<_> = its.flat_map(|service| list(&service["spec"]["ports"])).collect();
        assert_eq!(its.len(), 1);
        assert!(ports.contains(text(&its[0]["targetPort"])) && its[0]["targetPort"] != "admin");
        // And a policy lets somebody in on each.
        let of_its_pods = |policy: &Value| {
            let chosen = policy["spec"]["podSelector"]["matchLabels"].as_object().expect("labels");
            chosen.iter().all(|(name, value)| labels[name] == *value)
        };
        let policies = of_kind("NetworkPolicy").into_iter().filter(|policy| of_its_pods(policy));
        let rules = policies.flat_map(|policy| list(&policy["spec"]["ingress"]));
        let let_in = rules.flat_map(|rule| list(&rule["ports"])).map(|it| text(&it["port"]));
        assert_eq!(let_in.collect::<BTreeSet<_>>(), ports);
    }
}

#[test]
fn edges_name_the_service_of_the_cores_which_has_an_address_for_each() {
    let services = of_kind("Service");
    let headless = services.iter().find(|service| service["spec"]["clusterIP"] == "None");
    let headless = headless.expect("a headless service");
    let edges = of_kind("Deployment");
    let edge = edges.iter().find(|it| container(it)["args"][0] == "edge").expect("edges");
    let (name, port) = (&headless["metadata"]["name"], &headless["spec"]["ports"][0]["port"]);
    let expected = format!("http://{}:{port}", text(name));
    assert_eq!(variable(&variables(container(edge)), "CORE"), Some(expected.as_str()));
    assert_eq!(headless["spec"]["publishNotReadyAddresses"], true);
}

#[test]
fn what_chooses_pods_chooses_those_of_one_deployment() {
    for deployment in of_kind("Deployment") {
        let labels = &deployment["spec"]["template"]["metadata"]["labels"];
        assert_eq!(deployment["spec"]["selector"]["matchLabels"], *labels);
        let budgets = of_kind("PodDisruptionBudget");
        let of_it = budgets.iter().filter(|it| it["spec"]["selector"]["matchLabels"] == *labels);
        let bounds: Vec<_> = of_it.map(|budget| budget["spec"]["maxUnavailable"].clone()).collect();
        assert_eq!(bounds, [1]);
        assert!(deployment["spec"]["replicas"].as_u64() > Some(1));
    }
}

#[test]
fn a_pod_may_no_more_than_it_needs_and_has_each_secret_that_it_reads() {
    for deployment in of_kind("Deployment") {
        let (pod, container) = (&deployment["spec"]["template"]["spec"], container(deployment));
        let of_pod = &pod["securityContext"];
        assert_eq!(of_pod["runAsNonRoot"], true);
        assert_eq!(of_pod["runAsUser"], 65532, "the user of the image");
        assert_eq!(of_pod["seccompProfile"]["type"], "RuntimeDefault");
        assert_eq!(pod["automountServiceAccountToken"], false);
        let own = &container["securityContext"];
        assert_eq!(own["allowPrivilegeEscalation"], false);
        assert_eq!(own["readOnlyRootFilesystem"], true);
        assert_eq!(own["capabilities"]["drop"][0], "ALL");
        assert!(container["resources"]["limits"]["memory"].is_string());
        let variables = variables(container);
        let read: BTreeSet<_> =
            variables.iter().filter_map(|(_, value)| value.strip_prefix(SECRETS)).collect();
        let volumes = list(&pod["volumes"]).iter();
        let sources = volumes.flat_map(|volume| list(&volume["projected"]["sources"]));
        let items = sources.flat_map(|source| list(&source["secret"]["items"]));
        let given: Vec<_> = items.map(|item| format!("/{}", text(&item["path"]))).collect();
        assert_eq!(read, given.iter().map(String::as_str).collect());
        let mounted: Vec<_> = list(&container["volumeMounts"])
            .iter()
            .map(|mount| text(&mount["mountPath"]))
            .collect();
        assert!(mounted.contains(&SECRETS));
        if let Some(data_dir) = variable(&variables, "DATA_DIR") {
            assert!(mounted.contains(&"/data") && data_dir.starts_with("/data/"));
        }
    }
}
