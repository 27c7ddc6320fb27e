//! A collector that is away, or takes connections and never answers: messages flow, memory is bounded, and the end comes in time.

use netrox_harness::{
    Arrangement, TestChat,
    alarms::Before,
    eventually,
    scrape::{Metrics, sum},
    settings::free_address,
};
use serde_json::Value;
use tokio::net::TcpListener;

const BODY: &str = "canary-body-of-a-trace";

async fn start(arrangement: Arrangement, collector: std::net::SocketAddr) -> TestChat {
    TestChat::builder(arrangement)
        .set("otlp-endpoint", format!("http://{collector}"))
        .set("trace-ratio", "1")
        .set("send-rate", "0")
        .start()
        .await
}

async fn dropped(chat: &TestChat, reason: &str) {
    let roles = chat.roles();
    for role in roles {
        let series = format!("trace_spans_dropped_total{{reason=\"{reason}\"}}");
        eventually(&format!("{series} of {role:?}"), async || {
            let shown = [Metrics::of(chat.admin(role)).await];
            assert_eq!(sum(&shown, "trace_spans_exported_total"), 0.0);
            (sum(&shown, &series) > 0.0).then_some(())
        })
        .await;
    }
}

/// With the way out of the process as short as without traces.
async fn end(chat: &mut TestChat) {
    let roles: Vec<_> = chat.roles().into_iter().rev().collect();
    for role in roles {
        assert_eq!(chat.terminate(role).await.code(), Some(0), "{role:?}");
        assert!(!chat.log(role).contains("the drain timeout is over"), "{role:?}");
    }
}

pub(super) async fn a_collector_that_is_away_costs_spans_alone(arrangement: Arrangement) {
    let mut chat = start(arrangement, free_address()).await;
    let before = Before::of(&chat).await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    let (_, mut ada_socket) = chat.join("ada").await;
    for number in 0..20 {
        let body = format!("{BODY}-{number}");
        ada_socket.say(&bob, &body).await;
        bob_socket.expect_body(&body).await;
    }
    dropped(&chat, "collector").await;
    for role in chat.roles() {
        let told = "the collector of traces takes no spans";
        eventually("a line", async || chat.log(role).contains(told).then_some(())).await;
        // Once a minute at most.
        assert_eq!(chat.log(role).count_of(told), 1, "{role:?}");
    }
    before.alarms_if_it_goes_on(&chat, &[], &["TracesAreLost"]).await;
    // The doctor sees it before anybody asks for a trace.
    let looked = chat.run_before(&["doctor", "--json"], chat.edge_role()).await;
    let told: Value = serde_json::from_str(&looked.stdout).expect("a line of JSON");
    let findings = told["findings"].as_array().expect("findings");
    assert!(findings.iter().any(|found| found["subject"] == "traces"), "{told}");
    end(&mut chat).await;
}

pub(super) async fn a_collector_that_never_answers_costs_spans_alone(arrangement: Arrangement) {
    // Whoever connects is taken, and nothing is read.
    let silent = TcpListener::bind(free_address()).await.expect("a port");
    let mut chat = start(arrangement, silent.local_addr().expect("an address")).await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    let (_, mut ada_socket) = chat.join("ada").await;
    let edge = chat.edge_role();
    // Several spans of each, until more wait than may.
    for round in 0.. {
        for number in 0..100 {
            ada_socket.say(&bob, &format!("{BODY}-{round}-{number}")).await;
        }
        for number in 0..100 {
            bob_socket.expect_body(&format!("{BODY}-{round}-{number}")).await;
        }
        let shown = [Metrics::of(chat.admin(edge)).await];
        if sum(&shown, "trace_spans_dropped_total{reason=\"queue\"}") > 0.0 {
            break;
        }
    }
    // A queue of at most so many, whatever comes.
    let shown = [Metrics::of(chat.admin(edge)).await];
    let (length, limit) =
        ("queue_length{queue=\"trace_spans\"}", "queue_limit{queue=\"trace_spans\"}");
    assert!(sum(&shown, length) <= sum(&shown, limit), "{shown:?}");
    end(&mut chat).await;
}
