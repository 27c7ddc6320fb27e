//! The alarms of `deploy/prometheus`, as Debian's promtool and Prometheus take them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::process::Command;

use crate::{Role, TestChat, eventually, scrape::Metrics};

/// As long as the slowest alarm may take to fire, but for the one that waits for an upgrade.
const MINUTES: usize = 20;
/// What takes longer.
const SLOW: [(&str, usize); 1] = [("VersionsDiffer", 130)];
const MINUTE: Duration = Duration::from_secs(60);

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
    /// Each counter grows by as much as it has grown, each time that this has passed.
    GoesOn(Duration),
    /// Each counter goes on growing as fast as it has grown.
    AtItsPace,
}

/// What all the processes showed at a time.
type Scrape = BTreeMap<Role, Metrics>;

/// All that the processes showed before a fault. Of several scrapes, each counts as a minute.
#[derive(Debug)]
pub struct Before {
    scrapes: Vec<Scrape>,
    /// When the last of them was over.
    at: Instant,
    /// Those that are said to be of another version than they are.
    versions: BTreeMap<Role, &'static str>,
}

impl Before {
    pub async fn of(chat: &TestChat) -> Self {
        let scrapes = vec![shown(chat, &chat.roles()).await];
        Self { scrapes, at: Instant::now(), versions: BTreeMap::new() }
    }

    /// Scrapes them once more.
    pub async fn scrape(&mut self, chat: &TestChat) {
        self.scrapes.push(shown(chat, &chat.roles()).await);
        self.at = Instant::now();
    }

    /// There is one program alone. So what another would show is what a process of it does, but for its version.
    pub fn with_version(mut self, role: Role, version: &'static str) -> Self {
        self.versions.insert(role, version);
        self
    }

    /// Waits until what has happened is enough for these alarms: nothing more happens. What the processes in `gone` would
    /// show is not there.
    pub async fn alarms(&self, chat: &TestChat, gone: &[Role], alarms: &[&str]) {
        self.wait_for(chat, gone, alarms, Course::Once).await;
    }

    /// Waits until these alarms would fire if it went on each minute as between then and now.
    pub async fn alarms_if_it_goes_on(&self, chat: &TestChat, gone: &[Role], alarms: &[&str]) {
        self.wait_for(chat, gone, alarms, Course::GoesOn(MINUTE)).await;
    }

    /// The same where it happens more often.
    pub async fn alarms_if_it_goes_on_each(
        &self,
        chat: &TestChat,
        interval: Duration,
        alarms: &[&str],
    ) {
        self.wait_for(chat, &[], alarms, Course::GoesOn(interval)).await;
    }

    /// Waits until these alarms would fire if it went on as fast as between two looks, one after the other: what was slower in
    /// the beginning does not count.
    pub async fn alarms_at_its_pace(mut self, chat: &TestChat, alarms: &[&str]) {
        let tried = format!("{alarms:?}");
        eventually(&tried, async || {
            let (after, at) = (shown(chat, &chat.roles()).await, Instant::now());
            let fired = self.fires(chat, &after, alarms, Course::AtItsPace).await;
            if fired.is_none() {
                self = Self { scrapes: vec![after], at, versions: BTreeMap::new() };
            }
            fired
        })
        .await;
    }

    async fn wait_for(&self, chat: &TestChat, gone: &[Role], alarms: &[&str], course: Course) {
        let here: Vec<_> = chat.roles().into_iter().filter(|role| !gone.contains(role)).collect();
        eventually(&format!("{alarms:?}"), || async {
            self.fires(chat, &shown(chat, &here).await, alarms, course).await
        })
        .await;
    }

    /// Whether these alarms fire now, and did not before.
    async fn fires(
        &self,
        chat: &TestChat,
        after: &Scrape,
        alarms: &[&str],
        course: Course,
    ) -> Option<()> {
        let per_minute = match course {
            Course::Once => None,
            Course::GoesOn(interval) => Some(interval),
            Course::AtItsPace => Some(self.at.elapsed()),
        };
        let per_minute = per_minute.map(|it| MINUTE.div_duration_f64(it));
        let slow = SLOW.iter().filter(|(alarm, _)| alarms.contains(alarm));
        let minutes = slow.map(|(_, minutes)| *minutes).max().unwrap_or(MINUTES);
        let all_well = test("all is well", &self.series_before(minutes), alarms, minutes, false);
        let series = self.series_until(after, per_minute, minutes);
        let fault = test("a fault", &series, alarms, minutes, true);
        let tests = json!({
            "rule_files": [rules()],
            "evaluation_interval": "1m",
            "tests": [all_well, fault],
        });
        let file = chat.directory().join("alarms.json");
        fs::write(&file, tests.to_string()).expect("a file");
        let fired = promtool(&["test", "rules"], &file).await;
        fired.inspect_err(|error| eprintln!("not yet: {error}")).ok()
    }

    /// If nothing had happened.
    fn series_before(&self, minutes: usize) -> Vec<Value> {
        let mut all = Vec::new();
        for (role, metrics) in &self.scrapes[0] {
            all.push(series("up", *role, &format!("1x{minutes}")));
            for (shown, value) in &metrics.series {
                all.push(series(shown, *role, &format!("{value}x{minutes}")));
            }
        }
        all
    }

    /// How fast counters grow from now on, by what they have grown. One that was not there before is there from now on, and
    /// has not grown for Prometheus.
    fn series_until(&self, after: &Scrape, per_minute: Option<f64>, minutes: usize) -> Vec<Value> {
        let mut all = Vec::new();
        let roles: BTreeSet<_> = self.scrapes.iter().flat_map(BTreeMap::keys).collect();
        for role in roles {
            let is_up = |scrape: &Scrape| u8::from(scrape.contains_key(role)).to_string();
            let before: Vec<_> = self.scrapes.iter().map(is_up).collect();
            let up = format!("{} {}x{minutes}", before.join(" "), is_up(after));
            all.push(series("up", *role, &up));
            let Some(after) = after.get(role) else { continue };
            for (name, now) in &after.series {
                let then = |scrape: &Scrape| scrape.get(role)?.series.get(name).copied();
                let then: Vec<_> = self.scrapes.iter().map(then).collect();
                let after = match (then.last().copied().flatten(), per_minute) {
                    (Some(last), Some(times)) if is_counter(name) => {
                        format!("{now}+{}x{minutes}", (now - last).max(0.0) * times)
                    }
                    _ => format!("{now}x{minutes}"),
                };
                let then = then.iter().map(|then| then.map_or("_".to_owned(), |it| it.to_string()));
                let values = format!("{} {after}", then.collect::<Vec<_>>().join(" "));
                all.push(series(&self.renamed(*role, name), *role, &values));
            }
        }
        all
    }

    fn renamed(&self, role: Role, series: &str) -> String {
        match self.versions.get(&role) {
            Some(version) if series.starts_with("netrox_chat_build_info{") => {
                let own = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
                assert!(series.contains(&own), "{series}");
                series.replace(&own, &format!("version=\"{version}\""))
            }
            Some(_) | None => series.to_owned(),
        }
    }
}

fn is_counter(series: &str) -> bool {
    let name = series.split('{').next().unwrap_or(series);
    ["_total", "_count", "_sum", "_bucket"].iter().any(|end| name.ends_with(end))
}

/// As Prometheus has it, which says whose it is.
fn series(shown: &str, role: Role, values: &str) -> Value {
    let (name, labels) = shown.split_once('{').unwrap_or((shown, "}"));
    let comma = if labels == "}" { "" } else { "," };
    let series = format!("{name}{{job=\"netrox-chat\",instance=\"{role:?}\"{comma}{labels}");
    json!({ "series": series, "values": values })
}

async fn shown(chat: &TestChat, roles: &[Role]) -> Scrape {
    let mut shown = BTreeMap::new();
    for role in roles {
        shown.insert(*role, Metrics::of(chat.admin(*role)).await);
    }
    shown
}

/// One of promtool's, in which each of these alarms fires, or none. JSON is YAML.
fn test(name: &str, series: &[Value], alarms: &[&str], minutes: usize, fire: bool) -> Value {
    let samples = if fire { json!([{ "labels": "{}", "value": 1 }]) } else { json!([]) };
    let expected = alarms.iter().map(|alarm| {
        let firing = format!("ALERTS{{alertname=\"{alarm}\",alertstate=\"firing\"}}");
        json!({
            "expr": format!("count(count_over_time({firing}[{minutes}m])) > bool 0"),
            "eval_time": format!("{minutes}m"),
            "exp_samples": samples,
        })
    });
    json!({
        "name": name,
        "interval": "1m",
        "input_series": series,
        "promql_expr_test": expected.collect::<Vec<_>>(),
    })
}
