//! What a process shows of itself, read as Prometheus reads it.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Edge, Role, TestChat};

/// What a metric is, by its name without what the kind adds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Family {
    pub name: String,
    pub kind: String,
}

/// Series by their name with labels, as they are shown.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    pub series: BTreeMap<String, f64>,
    pub families: BTreeSet<Family>,
    pub exemplars: BTreeMap<String, String>,
}

impl Metrics {
    /// Fails where it is no OpenMetrics text.
    pub async fn of(admin: Edge) -> Self {
        let answer = admin.get("/metrics").send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert_eq!(answer.header("content-type"), Some(content_type));
        let text = answer.text().strip_suffix("# EOF\n").expect("an end").to_owned();
        let mut metrics = Self::default();
        let mut family = String::new();
        for line in text.lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                let words: Vec<_> = comment.split(' ').collect();
                assert!(["HELP", "TYPE", "UNIT"].contains(&words[0]), "{line}");
                assert!(["netrox_chat_", "process_"].iter().any(|p| words[1].starts_with(p)));
                words[1].clone_into(&mut family);
                if words[0] == "TYPE" {
                    let (name, kind) = (family.clone(), words[2].to_owned());
                    assert!(metrics.families.insert(Family { name, kind }), "twice: {line}");
                }
                continue;
            }
            let (line, exemplar) = match line.split_once(" # ") {
                Some((line, exemplar)) => (line, Some(exemplar)),
                None => (line, None),
            };
            let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line:?}"));
            let value = value.parse().unwrap_or_else(|_| panic!("{line:?}"));
            assert!(name.starts_with(&family), "{line} under {family}");
            if let Some(exemplar) = exemplar {
                metrics.exemplars.insert(name.to_owned(), exemplar.to_owned());
            }
            assert!(metrics.series.insert(name.to_owned(), value).is_none(), "twice: {line}");
        }
        metrics
    }

    pub async fn of_all(chat: &TestChat, roles: &[Role]) -> Vec<Self> {
        let mut all = Vec::new();
        for role in roles {
            all.push(Self::of(chat.admin(*role)).await);
        }
        all
    }

    pub fn get(&self, series: &str) -> f64 {
        self.series.get(series).copied().unwrap_or(0.0)
    }
}

pub fn sum(all: &[Metrics], series: &str) -> f64 {
    all.iter().map(|metrics| metrics.get(&format!("netrox_chat_{series}"))).sum()
}
