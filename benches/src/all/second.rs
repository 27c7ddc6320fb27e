//! The figures of the second generation, on one engine.

use super::{Run, loads, targets};
use crate::{
    Result,
    ledger::Checked as _,
    load::closed::{self, Outcome},
    progress::note,
    second::{feed, lists},
    server::deployment::{Arrangement, Launcher},
};

impl Run {
    /// `unmarked` is what V1 is held against.
    pub(super) async fn second(
        &mut self,
        launcher: &Launcher,
        arrangement: Arrangement,
        unmarked: Option<&Outcome>,
    ) -> Result<()> {
        let place = if arrangement.is_on_postgres() { "PostgreSQL" } else { "serve" };
        if let Some(unmarked) = unmarked.filter(|_| self.wants(&["V1"])) {
            note(format_args!("V1: 50 pairs, 8 messages in flight each, marked as seen, {place}"));
            let deployment = launcher.start(arrangement).await?;
            let load = loads::marked(self.plan.duration);
            let outcome = closed::run(&deployment.target, load).await?;
            self.keep(&format!("v1, {place}"), &outcome)?;
            self.report.lines.push(targets::v1(&outcome, unmarked, place));
        }
        if self.wants(&["V2"]) {
            note(format_args!("V2: a long feed, {place}"));
            let deployment = launcher.start(arrangement).await?;
            let feed = feed::run(&deployment.target, loads::FEED_MESSAGES).await?;
            self.report.wrong += feed.verdict.wrong();
            self.report.detail(&format!("v2, {place}"), &feed)?;
            self.report.lines.extend(targets::feed(&feed, place));
        }
        if self.wants(&["V3"]) {
            note(format_args!("V3: users with many threads, {place}"));
            let deployment = launcher.start(arrangement).await?;
            let lists = lists::run(&deployment.target, loads::THREADS).await?;
            self.report.detail(&format!("v3, {place}"), &lists)?;
            self.report.lines.extend(targets::lists(&lists, place));
        }
        Ok(())
    }
}
