//! Debian's Prometheus, which scrapes a whole cluster.

use std::{
    fmt::Write as _,
    fs,
    process::{Child, Command, Stdio},
};

use netrox_harness::{
    Arrangement, Edge, Role, TestChat,
    alarms::{Before, prometheus, promtool, repository, rules},
    eventually,
    process::bound_to_its_test,
    run_test,
    settings::free_address,
};
use serde_json::Value;

/// Ends with the test.
struct Prometheus {
    child: Child,
    api: Edge,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    /// One that scrapes each process of a deployment.
    fn start(chat: &TestChat) -> Self {
        let rules = rules();
        let mut config = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\n\
             rule_files: [{:?}]\n\
             scrape_configs:\n  - job_name: netrox-chat\n    static_configs:\n",
            rules.display()
        );
        for role in chat.roles() {
            let address = chat.admin(role).address;
            writeln!(config, "      - targets: [\"{address}\"]").expect("a string takes it");
        }
        let directory = chat.directory().join("prometheus");
        fs::create_dir(&directory).expect("a directory");
        let config_file = directory.join("prometheus.yml");
        fs::write(&config_file, config).expect("a configuration");
        let address = free_address();
        let log = fs::File::create(directory.join("stderr.log")).expect("a log");
        let [setpriv, words @ ..] = bound_to_its_test("KILL");
        let child = Command::new(setpriv)
            .args(words)
            .arg(prometheus())
            .arg("--enable-feature=exemplar-storage")
            .arg(format!("--config.file={}", config_file.display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        Self { child: child.expect("Prometheus"), api: Edge { address } }
    }

    async fn ask(&self, path: &str) -> Option<Value> {
        let answer = self.api.get(path).try_send().await.ok()?;
        (answer.status == 200).then(|| answer.json()["data"].clone())
    }

    /// The values of all series of a query.
    async fn values(&self, query: &str) -> Option<Vec<f64>> {
        let data = self.ask(&format!("/api/v1/query?query={}", encoded(query))).await?;
        let value = |series: &Value| series["value"][1].as_str()?.parse().ok();
        data["result"].as_array()?.iter().map(value).collect()
    }
}

/// As it stands in a URL.
fn encoded(query: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    query.bytes().map(encode).collect()
}

/// All that a board asks, with what Grafana puts in.
fn expressions(board: &Value) -> Vec<String> {
    let mut found = Vec::new();
    match board {
        Value::Object(fields) => {
            let expr = fields.get("expr").and_then(Value::as_str);
            found.extend(
                expr.map(|expr| expr.replace("$instance", ".*").replace("$__rate_interval", "30s")),
            );
            found.extend(fields.values().flat_map(expressions));
        }
        Value::Array(items) => found.extend(items.iter().flat_map(expressions)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    found
}

#[tokio::test]
async fn prometheus_scrapes_all_processes_of_a_cluster() {
    run_test(async {
        let chat = TestChat::start(Arrangement::Cluster).await;
        let (bob, mut bob_socket) = chat.join("bob").await;
        let (_, mut ada_socket) = chat.join("ada").await;
        chat.join("carol").await.1.close().await;
        ada_socket.say(&bob, "hello").await;
        bob_socket.expect_body("hello").await;
        let prometheus = Prometheus::start(&chat);
        eventually("four targets that are up", || async {
            let targets = prometheus.ask("/api/v1/targets?state=active").await?;
            let targets = targets["activeTargets"].as_array()?.clone();
            let is_up = |target: &&Value| target["health"] == "up" && target["lastError"] == "";
            (targets.iter().filter(is_up).count() == 4).then_some(())
        })
        .await;
        for (query, expected) in [
            ("count(netrox_chat_build_info)", 4.0),
            ("sum(netrox_chat_messages_stored_total)", 1.0),
            ("sum(netrox_chat_sockets_open)", 2.0),
            ("count(netrox_chat_bus_connected == 1)", 2.0),
            ("count(netrox_chat_serving)", 4.0),
            ("count(netrox_chat_commit_duration_seconds_count)", 2.0),
        ] {
            eventually(query, || async {
                (prometheus.values(query).await? == [expected]).then_some(())
            })
            .await;
        }
        let board = fs::read_to_string(repository().join("deploy/grafana/netrox-chat.json"));
        let board = serde_json::from_str(&board.expect("a board")).expect("JSON");
        let expressions = expressions(&board);
        assert!(expressions.len() > 50, "{expressions:?}");
        // Nothing has started again, and no keys come from a URL.
        let has_none = |query: &&String| {
            query.starts_with("changes(") || query.contains("netrox_chat_key_fetches_total")
        };
        for query in expressions.iter().filter(|query| !has_none(query)) {
            eventually(query, || async {
                let values = prometheus.values(query).await?;
                (!values.is_empty()).then_some(())
            })
            .await;
        }
        eventually("all rules that were evaluated", || async {
            let rules = prometheus.ask("/api/v1/rules").await?;
            let rules = rules["groups"][0]["rules"].as_array()?.clone();
            let is_well = |rule: &Value| rule["health"] == "ok" && rule["lastError"].is_null();
            (rules.len() > 20 && rules.iter().all(is_well)).then_some(())
        })
        .await;
        eventually("an exemplar", || async {
            let query = encoded("netrox_chat_send_duration_seconds_bucket");
            let query = format!("/api/v1/query_exemplars?query={query}&start=1&end=9999999999");
            let exemplars = prometheus.ask(&query).await?;
            let labels = &exemplars[0]["exemplars"][0]["labels"];
            labels["request_id"].is_string().then_some(())
        })
        .await;
        let types = prometheus.ask("/api/v1/metadata?metric=netrox_chat_commit_duration_seconds");
        let types = types.await.expect("what it is");
        let family = &types["netrox_chat_commit_duration_seconds"][0];
        assert_eq!((&family["type"], &family["unit"]), (&"histogram".into(), &"seconds".into()));
        let upgrade = Before::of(&chat).await.with_version(Role::Core(0), "0.0.1");
        upgrade.alarms(&chat, &[], &["VersionsDiffer"]).await;
    })
    .await;
}

#[tokio::test]
async fn each_alarm_fires_on_what_it_is_for_and_on_nothing_else() {
    let checked = promtool(&["check", "rules"], &rules()).await;
    assert_eq!(checked, Ok(()));
    let tests = repository().join("deploy/prometheus/netrox-chat.tests.yml");
    assert_eq!(promtool(&["test", "rules"], &tests).await, Ok(()));
    let (rules, tests) = (fs::read_to_string(rules()), fs::read_to_string(&tests));
    let (rules, tests) = (rules.expect("rules"), tests.expect("tests"));
    let alarms: Vec<_> =
        rules.lines().filter_map(|line| line.strip_prefix("      - alert: ")).collect();
    assert!(alarms.len() > 20, "{alarms:?}");
    for alarm in alarms {
        let fires = format!("exp_samples: [{{ labels: '{{alertname=\"{alarm}\"}}', value: 1 }}]");
        assert!(tests.contains(&fires), "nothing shows that {alarm} fires");
    }
}
