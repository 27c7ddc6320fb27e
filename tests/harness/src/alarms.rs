//! The alarms of `deploy/prometheus`, as Debian's promtool and Prometheus take them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tokio::process::Command;

use crate::{Role, TestChat, eventually, scrape::Metrics};

/// As long as the slowest alarm may take to fire, but for the one that waits for an upgrade.
const MINUTES: usize = 20;

pub fn rules() -> PathBuf {
    repository().join("deploy/prometheus/netrox-chat.rules.yml")
}

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

/// Where `tests/run` has unpacked them.
pub fn prometheus() -> PathBuf {
    let program = std::env::var_os("NETROX_CHAT_TEST_PROMETHEUS");
    program.expect("NETROX_CHAT_TEST_PROMETHEUS: tests/run has it").into()
}

/// Fails with what promtool says.
pub async fn promtool(arguments: &[&str], file: &Path) -> Result<(), String> {
    let output = Command::new(prometheus().with_file_name("promtool"))
        .args(arguments)
        .arg(file)
        .output()
        .await
        .expect("promtool");
    let said =
        [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    if output.status.success() { Ok(()) } else { Err(said.concat()) }
}

/// What becomes of a fault.
#[derive(Debug, Clone, Copy)]
enum Course {
    /// Counters stay as they are.
    Once,
    /// Each counter grows each minute by as much as it has grown.
    GoesOn,
}

/// All that the processes showed before a fault.
#[derive(Debug)]
pub struct Before(BTreeMap<Role, Metrics>);

impl Before {
    pub async fn of(chat: &TestChat) -> Self {
        Self(shown(chat, &chat.roles()).await)
    }

    /// Waits until what has happened is enough for these alarms: nothing more happens. What the processes in `gone` would
    /// show is not there.
    pub async fn alarms(&self, chat: &TestChat, gone: &[Role], alarms: &[&str]) {
        self.wait_for(chat, gone, alarms, Course::Once).await;
    }

    /// Waits until these alarms would fire if it went on each minute as between then and now.
    pub async fn alarms_if_it_goes_on(&self, chat: &TestChat, gone: &[Role], alarms: &[&str]) {
        self.wait_for(chat, gone, alarms, Course::GoesOn).await;
    }

    async fn wait_for(&self, chat: &TestChat, gone: &[Role], alarms: &[&str], course: Course) {
        let here: Vec<_> = chat.roles().into_iter().filter(|role| !gone.contains(role)).collect();
        let file = chat.directory().join("alarms.json");
        eventually(&format!("{alarms:?}"), || async {
            let after = shown(chat, &here).await;
            let test = test(&self.series_until(&after, course), alarms);
            fs::write(&file, test.to_string()).expect("a file");
            let fired = promtool(&["test", "rules"], &file).await;
            fired.inspect_err(|error| eprintln!("not yet: {error}")).ok()
        })
        .await;
    }

    /// A counter that was not there before is there from now on, and has not grown for Prometheus.
    fn series_until(&self, after: &BTreeMap<Role, Metrics>, course: Course) -> Vec<Value> {
        let mut all = Vec::new();
        for (role, before) in &self.0 {
            let instance = format!("job=\"netrox-chat\",instance=\"{role:?}\"");
            let is_up = u8::from(after.contains_key(role));
            let up = format!("1 {is_up}x{MINUTES}");
            all.push(json!({ "series": format!("up{{{instance}}}"), "values": up }));
            let Some(after) = after.get(role) else { continue };
            for (series, now) in &after.series {
                let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
                let comma = if labels == "}" { "" } else { "," };
                let is_counter =
                    ["_total", "_count", "_sum", "_bucket"].iter().any(|end| name.ends_with(end));
                let values = match (before.series.get(series), course) {
                    (None, _) => format!("_ {now}x{MINUTES}"),
                    (Some(then), Course::GoesOn) if is_counter => {
                        format!("{then}+{}x{MINUTES}", (now - then).max(0.0))
                    }
                    (Some(then), _) => format!("{then} {now}x{MINUTES}"),
                };
                let series = format!("{name}{{{instance}{comma}{labels}");
                all.push(json!({ "series": series, "values": values }));
            }
        }
        all
    }
}

async fn shown(chat: &TestChat, roles: &[Role]) -> BTreeMap<Role, Metrics> {
    let mut shown = BTreeMap::new();
    for role in roles {
        shown.insert(*role, Metrics::of(chat.admin(*role)).await);
    }
    shown
}

/// One of promtool's. JSON is YAML.
fn test(series: &[Value], alarms: &[&str]) -> Value {
    let expected = alarms.iter().map(|alarm| {
        json!({
            "expr": format!(
                "count(count_over_time(ALERTS{{alertname=\"{alarm}\",alertstate=\"firing\"}}[{MINUTES}m])) > bool 0"
            ),
            "eval_time": format!("{MINUTES}m"),
            "exp_samples": [{ "labels": "{}", "value": 1 }],
        })
    });
    json!({
        "rule_files": [rules()],
        "evaluation_interval": "1m",
        "tests": [{
            "interval": "1m",
            "input_series": series,
            "promql_expr_test": expected.collect::<Vec<_>>(),
        }],
    })
}
