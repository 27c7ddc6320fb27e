//! Debian's Prometheus, which scrapes a whole cluster.

use std::{
    fmt::Write as _,
    fs,
    process::{Child, Command, Stdio},
};

use netrox_harness::{
    Arrangement, Edge, TestChat, eventually, process::bound_to_its_test, run_test,
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
        let program = std::env::var_os("NETROX_CHAT_TEST_PROMETHEUS");
        let program = program.expect("NETROX_CHAT_TEST_PROMETHEUS: tests/run has it");
        let mut config = "global: { scrape_interval: 2s, scrape_timeout: 2s }\n\
                          scrape_configs:\n  - job_name: netrox-chat\n    static_configs:\n"
            .to_owned();
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
            .arg(program)
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
        let data = self.ask(&format!("/api/v1/query?query={query}")).await?;
        let value = |series: &Value| series["value"][1].as_str()?.parse().ok();
        data["result"].as_array()?.iter().map(value).collect()
    }
}

#[tokio::test]
async fn prometheus_scrapes_all_processes_of_a_cluster() {
    run_test(async {
        let chat = TestChat::start(Arrangement::Cluster).await;
        let (bob, mut bob_socket) = chat.join("bob").await;
        let (_, mut ada_socket) = chat.join("ada").await;
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
            ("count(netrox_chat_serving)", 4.0),
            ("count(netrox_chat_commit_duration_seconds_count)", 2.0),
        ] {
            eventually(query, || async {
                (prometheus.values(query).await? == [expected]).then_some(())
            })
            .await;
        }
        let types = prometheus.ask("/api/v1/metadata?metric=netrox_chat_commit_duration_seconds");
        let types = types.await.expect("what it is");
        let family = &types["netrox_chat_commit_duration_seconds"][0];
        assert_eq!((&family["type"], &family["unit"]), (&"histogram".into(), &"seconds".into()));
    })
    .await;
}
