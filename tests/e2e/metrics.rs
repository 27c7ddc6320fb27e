//! Metrics and health, as those see them who watch the processes.

mod prometheus;

use std::collections::BTreeMap;

use netrox_harness::{
    Arrangement, Edge, Engine, Role, TestChat, each, engine::PostgresServer, eventually,
};

each![
    what_happens_is_seen_in_the_metrics;
    cluster: a_core_whose_database_is_away_lives_and_is_not_ready
];

/// Series by their name with labels, as they are shown.
#[derive(Debug)]
struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Fails where it is no OpenMetrics text.
    async fn of(admin: Edge) -> Self {
        let answer = admin.get("/metrics").send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert_eq!(answer.header("content-type"), Some(content_type));
        let text = answer.text().strip_suffix("# EOF\n").expect("an end").to_owned();
        let (mut series, mut families) = (BTreeMap::new(), Vec::new());
        for line in text.lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                let mut words = comment.split(' ');
                let (kind, name) = (words.next().expect("a kind"), words.next().expect("a name"));
                assert!(["HELP", "TYPE", "UNIT"].contains(&kind), "{line}");
                assert!(name.starts_with("netrox_chat_"), "{line}");
                families.push(name.to_owned());
                continue;
            }
            let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line:?}"));
            let value = value.parse().unwrap_or_else(|_| panic!("{line:?}"));
            let family = families.last().expect("what it is");
            assert!(name.starts_with(family), "{line} under {family}");
            assert!(series.insert(name.to_owned(), value).is_none(), "twice: {line}");
        }
        Self(series)
    }

    async fn of_all(chat: &TestChat, roles: &[Role]) -> Vec<Self> {
        let mut all = Vec::new();
        for role in roles {
            all.push(Self::of(chat.admin(*role)).await);
        }
        all
    }

    fn get(&self, series: &str) -> f64 {
        self.0.get(series).copied().unwrap_or(0.0)
    }
}

fn sum(all: &[Metrics], series: &str) -> f64 {
    all.iter().map(|metrics| metrics.get(&format!("netrox_chat_{series}"))).sum()
}

/// Counted a moment after it was seen.
async fn comes_to(chat: &TestChat, roles: &[Role], series: &str, expected: f64) {
    eventually(&format!("{series} of {expected}"), || async {
        (sum(&Metrics::of_all(chat, roles).await, series) == expected).then_some(())
    })
    .await;
}

async fn what_happens_is_seen_in_the_metrics(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (cores, edges) = (chat.core_roles(), chat.edge_roles());
    let version = env!("CARGO_PKG_VERSION");
    for role in chat.roles() {
        let word = match role {
            Role::Serve => "serve",
            Role::Core(_) => "core",
            Role::Edge(_) => "edge",
        };
        let metrics = [Metrics::of(chat.admin(role)).await];
        let build = format!("build_info{{version=\"{version}\",role=\"{word}\"}}");
        assert_eq!(sum(&metrics, &build), 1.0, "{metrics:?}");
        for path in ["/healthz", "/readyz"] {
            eventually(&format!("{path} of {role:?}"), || async {
                (chat.admin(role).get(path).send().await.status == 200).then_some(())
            })
            .await;
        }
    }
    let before = Metrics::of_all(&chat, &cores).await;
    assert_eq!(sum(&before, "messages_stored_total"), 0.0);
    for part in ["database", "files"] {
        comes_to(&chat, &cores, &format!("serving{{part=\"{part}\"}}"), cores.len() as f64).await;
    }

    let (ada, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    for body in ["one", "two", "three"] {
        ada_socket.say(&bob, body).await;
        bob_socket.expect_body(body).await;
    }
    comes_to(&chat, &cores, "messages_stored_total", 3.0).await;
    comes_to(&chat, &cores, "writes_waiting", 0.0).await;
    comes_to(&chat, &edges, "sockets_open", 2.0).await;
    let after = Metrics::of_all(&chat, &cores).await;
    let commits = sum(&after, "commit_duration_seconds_count");
    assert!(commits > sum(&before, "commit_duration_seconds_count"), "{after:?}");
    assert!(sum(&after, "commit_duration_seconds_sum") > 0.0, "{after:?}");
    assert_eq!(sum(&after, "commit_duration_seconds_bucket{le=\"+Inf\"}"), commits);
    assert_eq!(sum(&after, "commit_writes_count"), commits);
    assert!(sum(&after, "commit_writes_sum") >= commits + 0.0, "{after:?}");

    ada_socket.send_text("no JSON").await;
    ada_socket.expect_error("invalid_json").await;
    let unknown = chat.stranger("carol");
    assert_eq!(chat.get("/chat/get-user-threads/").send().await.status, 401);
    ada_socket.say(&unknown, "hello").await;
    ada_socket.expect_error("invalid_receiver").await;
    for (over, reason) in
        [("websocket", "invalid_json"), ("websocket", "invalid_receiver"), ("http", "unauthorized")]
    {
        let series = format!("refusals_total{{over=\"{over}\",reason=\"{reason}\"}}");
        comes_to(&chat, &edges, &series, 1.0).await;
    }
    ada_socket.close().await;
    // A close frame without a code.
    let closed = "socket_closes_total{by=\"client\",code=\"1005\",reason=\"\"}";
    comes_to(&chat, &edges, closed, 1.0).await;
    comes_to(&chat, &edges, "sockets_open", 1.0).await;
    drop(bob_socket);
    let broken = "socket_closes_total{by=\"nobody\",code=\"1006\",reason=\"\"}";
    comes_to(&chat, &edges, broken, 1.0).await;
    drop(ada);
}

async fn a_core_whose_database_is_away_lives_and_is_not_ready(arrangement: Arrangement) {
    let mut postgres = PostgresServer::start().await;
    let chat = TestChat::builder(arrangement).engine(Engine::Postgres, postgres.server());
    let chat = chat.start().await;
    let is = async |role: Role, status: u16, word: &str| {
        eventually(&format!("{status} {word} of {role:?}"), || async {
            let answer = chat.admin(role).get("/readyz").send().await;
            (answer.status == status && answer.text() == format!("{word}\n")).then_some(())
        })
        .await;
        assert_eq!(chat.admin(role).get("/healthz").send().await.status, 200);
    };
    postgres.stop_immediately().await;
    for role in chat.core_roles() {
        is(role, 503, "database").await;
        comes_to(&chat, &[role], "serving{part=\"database\"}", 0.0).await;
    }
    for role in chat.edge_roles() {
        is(role, 503, "not_serving").await;
    }
    postgres.start_again().await;
    for role in chat.roles() {
        is(role, 200, "ready").await;
    }
}
