//! The list of metrics in `docs/METRICS.md` is what the processes show.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use netrox_harness::{Arrangement, TestChat, alarms::repository, scrape::Metrics};

/// Those that have no series before something happens which does not happen here.
const LATER: [&str; 6] = [
    "netrox_chat_certificate_end_timestamp_seconds",
    "netrox_chat_certificate_ends_soon",
    "netrox_chat_certificate_files_refused",
    "netrox_chat_key_fetches",
    "netrox_chat_keys_fetched_timestamp_seconds",
    "netrox_chat_subscriptions_broken",
];

/// As it is listed: `name{labels}`, and `(gauge)` or `(histogram)` behind it.
#[derive(Debug, PartialEq, Eq)]
struct Listed {
    labels: BTreeSet<String>,
    kind: String,
}

/// By the name without what its kind adds.
fn listed() -> BTreeMap<String, Listed> {
    let page = fs::read_to_string(repository().join("docs/METRICS.md")).expect("a page");
    let section = page.split("\n## Metrics\n").nth(1).and_then(|rest| rest.split("\n## ").next());
    let lines = section.expect("a section").split("\n* `").skip(1);
    let mut all = BTreeMap::new();
    for (whole, rest) in lines.filter_map(|line| line.split_once('`')) {
        let (name, labels) = whole.split_once('{').unwrap_or((whole, ""));
        let labels = labels.trim_end_matches('}').split(", ").filter(|label| !label.is_empty());
        let labels = labels.map(str::to_owned).collect();
        let is = |word| rest.starts_with(&format!(" ({word})"));
        let (name, kind) = if let Some(name) = name.strip_suffix("_total") {
            (name, "counter")
        } else if let Some(name) = name.strip_suffix("_info") {
            (name, "info")
        } else if is("histogram") {
            (name, "histogram")
        } else {
            assert!(is("gauge"), "{whole}: it is not said what it is");
            (name, "gauge")
        };
        let prefix = if name.starts_with("process_") { "" } else { "netrox_chat_" };
        let listed = Listed { labels, kind: kind.to_owned() };
        assert!(all.insert(format!("{prefix}{name}"), listed).is_none(), "twice: {whole}");
    }
    all
}

fn labels_of(series: &str) -> BTreeSet<String> {
    let (_, labels) = series.split_once('{').unwrap_or((series, ""));
    let names = labels.split("\",").filter_map(|label| label.split_once("=\""));
    names.map(|(name, _)| name.to_owned()).filter(|name| name != "le").collect()
}

pub(super) async fn each_metric_is_described_and_nothing_else_is(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("audit-log", "stderr").start().await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    let (_, mut ada_socket) = chat.join("ada").await;
    ada_socket.say(&bob, "hello").await;
    bob_socket.expect_body("hello").await;
    let shown = Metrics::of_all(&chat, &chat.roles()).await;
    let listed = listed();
    let mut kinds: BTreeMap<_, _> = BTreeMap::new();
    for family in shown.iter().flat_map(|metrics| &metrics.families) {
        kinds.insert(family.name.clone(), family.kind.clone());
    }
    let is_there = |name: &&String| !LATER.contains(&&***name) || kinds.contains_key(*name);
    let of_list = listed.keys().filter(is_there);
    let of_list = of_list.map(|name| (name.clone(), listed[name].kind.clone()));
    assert_eq!(of_list.collect::<BTreeMap<_, _>>(), kinds, "listed, and shown");
    for series in shown.iter().flat_map(|metrics| metrics.series.keys()) {
        let name = series.split('{').next().unwrap_or(series);
        // The longest: one may begin as another does.
        let family = listed.iter().filter(|(family, _)| name.starts_with(&***family));
        let (_, listed) = family.max_by_key(|(family, _)| family.len()).expect("a family");
        assert_eq!(labels_of(series), listed.labels, "{series}");
    }
}
