//! The whole table: every scenario and its yardsticks in one run.

pub(crate) mod against;
mod loads;
mod second;
mod targets;

use std::time::Duration;

use crate::{
    Result,
    ledger::Checked as _,
    load::{
        closed::{self, Outcome},
        idle::{self, Idle},
        open, storm,
    },
    progress::note,
    report::Report,
    rest::{threads, upload},
    server::{
        Target,
        deployment::{Arrangement, Deployment, Launcher},
        postgres::TemporaryDatabase,
        seed,
    },
    startup,
    yardstick::{relay, store},
};

/// What `--only` knows.
pub(crate) const NUMBERS: [&str; 17] = [
    "S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8", "S9", "S10", "T8", "T9", "T10", "V1", "V2",
    "V3", "uploads",
];

/// What of the table is wanted, and how.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) launcher: Launcher,
    pub(crate) postgres_url: Option<String>,
    /// Rows of the large database.
    pub(crate) rows: u64,
    pub(crate) duration: Duration,
    /// All where it is empty.
    pub(crate) only: Vec<String>,
}

impl Plan {
    /// Whether one of these is to be measured.
    fn wants(&self, numbers: &[&str]) -> bool {
        let only = &self.only;
        only.is_empty() || only.iter().any(|wanted| numbers.contains(&wanted.as_str()))
    }
}

pub(crate) async fn run(plan: Plan) -> Result<Report> {
    let mut run = Run { plan, report: Report::new(), store: None, serve: None, split: None };
    run.sqlite().await?;
    run.serve().await?;
    run.split().await?;
    run.postgres().await?;
    run.large().await?;
    run.report.lines.sort_by_key(|line| {
        let (kind, number) = line.number.split_at(1);
        (kind, number.parse::<u8>().unwrap_or(u8::MAX))
    });
    Ok(run.report)
}

struct Run {
    plan: Plan,
    report: Report,
    /// The yardstick of SQLite.
    store: Option<store::Store>,
    /// S1 and S2, which others are held against.
    serve: Option<Outcome>,
    split: Option<Outcome>,
}

impl Run {
    fn wants(&self, numbers: &[&str]) -> bool {
        self.plan.wants(numbers)
    }

    async fn start(&self, arrangement: Arrangement) -> Result<Deployment> {
        self.plan.launcher.start(arrangement).await
    }

    /// Keeps an outcome, and what went wrong in it.
    fn keep(&mut self, name: &str, outcome: &Outcome) -> Result<()> {
        let verdict = outcome.verdict;
        note(format_args!(
            "  {:.0} messages a second, {}; {verdict:?}",
            outcome.messages_per_second, outcome.latency_ms
        ));
        self.report.wrong += verdict.wrong();
        self.report.detail(name, outcome)
    }

    async fn sqlite(&mut self) -> Result<()> {
        if !self.wants(&["S1", "S2", "S4", "S10", "V1"]) {
            return Ok(());
        }
        let before = store::sqlite(&self.plan.launcher.directory).await?;
        if self.wants(&["S1", "S2", "S10", "V1"]) {
            note("S1: 50 pairs, 8 messages in flight each, serve");
            let deployment = self.start(Arrangement::Serve).await?;
            let outcome = closed::run(&deployment.target, loads::pairs(self.plan.duration)).await?;
            self.keep("s1", &outcome)?;
            self.serve = Some(outcome);
            drop(deployment);
        }
        // The disk is noisy: before and after.
        let after = store::sqlite(&self.plan.launcher.directory).await?;
        let rows_per_second = f64::midpoint(before.rows_per_second, after.rows_per_second);
        let store = store::Store { rows_per_second, commit_ms: after.commit_ms };
        self.report.detail("raw store, SQLite", &store)?;
        self.report.detail("raw store, SQLite, before and after", &[before, after])?;
        if let Some(outcome) = &self.serve {
            self.report.lines.extend(targets::s1(outcome, &store));
        }
        self.store = Some(store);
        Ok(())
    }

    async fn serve(&mut self) -> Result<()> {
        if let Some(store) = self.store.filter(|_| self.wants(&["S4"])) {
            note("S4: 1,000 messages a second, serve");
            let deployment = self.start(Arrangement::Serve).await?;
            let load = loads::steady(self.plan.duration);
            let outcome = open::run(&deployment.target, load).await?;
            self.keep("s4", &outcome)?;
            self.report.lines.extend(targets::s4(&outcome, &store));
        }
        if self.wants(&["S5", "S7"]) {
            note("S5, S7: one pipelined sender, and the history it leaves, serve");
            let deployment = self.start(Arrangement::Serve).await?;
            self.pipeline(&deployment.target, "serve").await?;
        }
        if self.wants(&["S6"]) {
            note("S6: idle connections, serve");
            let deployment = self.start(Arrangement::Serve).await?;
            self.idle(&deployment.target, "serve").await?;
            drop(deployment);
            let relay = relay::measure().await?;
            self.report.detail("bare relay", &relay)?;
        }
        if self.wants(&["S8"]) {
            note("S8: everybody cut off and back, serve");
            let deployment = self.start(Arrangement::Serve).await?;
            let storm = storm::run(&deployment.target, loads::STORM_CLIENTS).await?;
            self.report.wrong += storm.verdict.wrong();
            self.report.detail("s8", &storm)?;
            self.report.lines.extend(targets::s8(&storm));
        }
        if self.wants(&["S10"]) {
            note("S10: 500 senders to one receiver, 8 messages in flight each, serve");
            let deployment = self.start(Arrangement::Serve).await?;
            let (target, duration) = (&deployment.target, self.plan.duration);
            let hot = closed::run(target, loads::hot(duration)).await?;
            self.keep("s10, hot receiver", &hot)?;
            note("the same, 1 message in flight each");
            let single = closed::run(target, loads::single(duration)).await?;
            self.keep("s10, hot receiver, 1 in flight", &single)?;
            note("500 pairs, 1 message in flight each");
            let spread = closed::run(target, loads::spread(duration)).await?;
            self.keep("s10, 500 pairs, 1 in flight", &spread)?;
            self.report.lines.push(targets::s10_single(&single, &spread));
            note("S10: a user with many threads, serve");
            let threads = threads::run(target, loads::THREADS).await?;
            self.report.detail("s10, threads", &threads)?;
            self.report.lines.extend(targets::s10(&hot, self.serve.as_ref(), &threads));
        }
        if self.wants(&["uploads"]) {
            note("uploads, serve");
            let deployment = self.start(Arrangement::Serve).await?;
            let uploads = upload::run(&deployment.target, loads::UPLOAD_BYTES).await?;
            self.report.detail("uploads", &uploads)?;
        }
        let launcher = self.plan.launcher.clone();
        let one = self.serve;
        self.second(&launcher, Arrangement::Serve, one.as_ref()).await
    }

    async fn split(&mut self) -> Result<()> {
        if self.wants(&["S2", "S3"]) {
            note("S2: as S1, core and edge apart");
            let deployment = self.start(Arrangement::Split).await?;
            let outcome = closed::run(&deployment.target, loads::pairs(self.plan.duration)).await?;
            self.keep("s2", &outcome)?;
            if let Some(serve) = &self.serve {
                self.report.lines.extend(targets::s2(&outcome, serve));
            }
            self.split = Some(outcome);
        }
        if self.wants(&["S5"]) {
            note("S5: one pipelined sender, core and edge apart");
            let deployment = self.start(Arrangement::Split).await?;
            self.pipeline(&deployment.target, "split").await?;
        }
        if self.wants(&["S6"]) {
            note("S6: idle connections, core and edge apart");
            let deployment = self.start(Arrangement::Split).await?;
            self.idle(&deployment.target, "split").await?;
        }
        Ok(())
    }

    /// S5, and S7 on what it stored.
    async fn pipeline(&mut self, target: &Target, arrangement: &'static str) -> Result<()> {
        let (outcome, conversation) = loads::pipeline(target).await?;
        self.keep(&format!("s5, {arrangement}"), &outcome)?;
        if self.wants(&["S5"]) {
            self.report.lines.extend(targets::s5(&outcome, arrangement));
        }
        if self.wants(&["S7"]) {
            let history = loads::history(target, &conversation).await?;
            self.report.wrong += history.wrong;
            self.report.detail(&format!("s7, {arrangement}"), &history)?;
            if arrangement == "serve" {
                self.report.lines.extend(targets::s7(&history));
            }
        }
        Ok(())
    }

    async fn idle(&mut self, target: &Target, arrangement: &'static str) -> Result<()> {
        let idle: Idle = idle::run(target, loads::IDLE_CONNECTIONS).await?;
        self.report.wrong += idle.verdict.wrong();
        self.report.detail(&format!("s6, {arrangement}"), &idle)?;
        self.report.lines.extend(targets::s6(&idle, arrangement));
        Ok(())
    }

    async fn postgres(&mut self) -> Result<()> {
        let Some(url) = self.plan.postgres_url.clone() else { return Ok(()) };
        if self.wants(&["S3", "V1", "V2", "V3"]) {
            let database = TemporaryDatabase::create(&url).await?;
            let measured = self.on_postgres(&database.url).await;
            database.remove().await?;
            measured?;
        }
        if self.wants(&["T8", "T9", "T10"]) {
            let database = TemporaryDatabase::create(&url).await?;
            let measured = self.in_a_cluster(&database.url).await;
            database.remove().await?;
            measured?;
        }
        Ok(())
    }

    async fn in_a_cluster(&mut self, url: &str) -> Result<()> {
        let launcher =
            Launcher { database_url: Some(url.to_owned()), ..self.plan.launcher.clone() };
        if self.wants(&["T8"]) {
            note("T8: idle connections, core, edge and NATS");
            let deployment = launcher.start(Arrangement::Cluster).await?;
            let idle = idle::run(&deployment.target, loads::IDLE_CONNECTIONS).await?;
            self.report.wrong += idle.verdict.wrong();
            self.report.detail("t8", &idle)?;
            self.report.lines.extend(targets::t8(&idle));
        }
        if self.wants(&["T9"]) {
            note("T9: everybody cut off and back, core, edge and NATS");
            let deployment = launcher.start(Arrangement::Cluster).await?;
            let storm = storm::run(&deployment.target, loads::STORM_CLIENTS).await?;
            self.report.wrong += storm.verdict.wrong();
            self.report.detail("t9", &storm)?;
            self.report.lines.extend(targets::t9(&storm));
        }
        if self.wants(&["T10"]) {
            note("T10: 1,000 pairs, 8 messages in flight each, core, edge and NATS");
            let deployment = launcher.start(Arrangement::Cluster).await?;
            // A refusal ends it.
            let outcome = closed::run(&deployment.target, loads::crowd(self.plan.duration)).await?;
            self.keep("t10", &outcome)?;
            self.report.lines.push(targets::t10(&outcome));
        }
        Ok(())
    }

    async fn on_postgres(&mut self, url: &str) -> Result<()> {
        let store = store::postgres(url).await?;
        self.report.detail("raw store, PostgreSQL", &store)?;
        let mut one = None;
        if self.wants(&["S3", "V1"]) {
            note("S3: as S1, one core on PostgreSQL, edge apart");
            let (outcome, each) =
                loads::postgres(&self.plan.launcher, url, self.plan.duration).await?;
            self.keep("s3", &outcome)?;
            self.report.detail("s3, CPU of PostgreSQL, us per message", &each)?;
            self.report.lines.extend(targets::s3(&outcome, self.split.as_ref()));
            one = Some(outcome);
        }
        let launcher =
            Launcher { database_url: Some(url.to_owned()), ..self.plan.launcher.clone() };
        self.second(&launcher, Arrangement::Postgres, one.as_ref()).await
    }

    /// S9, and S7 in a large table.
    async fn large(&mut self) -> Result<()> {
        if !self.wants(&["S7", "S9"]) {
            return Ok(());
        }
        note("S7, S9: a large database, serve");
        let rows = self.plan.rows.max(seed::MIN_ROWS);
        let directory = startup::seed(&self.plan.launcher, rows).await?;
        let (startup, deployment) = startup::run(&self.plan.launcher, directory, rows).await?;
        self.report.detail("s9", &startup)?;
        self.report.lines.extend(targets::s9(&startup));
        let history = loads::large_history(&deployment.target).await?;
        self.report.wrong += history.wrong;
        self.report.detail(&format!("s7, in a table of {rows} messages"), &history)?;
        self.report.lines.extend(targets::s7_large(&history, rows));
        Ok(())
    }
}
