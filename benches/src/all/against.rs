//! Two builds by turns in one run: what one does of the other, which a noisy machine changes less than what
//! either does.

mod build;
mod compared;
mod comparison;
mod figure;
mod figures;
mod scenario;
mod turns;

use std::time::Duration;

use self::{
    build::Build,
    comparison::{Comparison, Measured, Unmeasured},
    figure::Figure,
    scenario::Scenario,
    turns::{MORE, Which},
};
use super::Plan;
use crate::{Result, progress::note, server::deployment::Launcher};

/// Measures what is wanted in so many turns, and then what seems beyond in [`MORE`].
pub(crate) async fn run(plan: &Plan, other: Launcher, turns: u32) -> Result<Comparison> {
    let mut comparison = Comparison::new(&plan.launcher.program, &other.program);
    let mut scenarios = Vec::new();
    for scenario in scenario::ALL.iter().filter(|scenario| plan.wants(&[scenario.number])) {
        match scenario.lacks(plan) {
            Some(why) => comparison.unmeasured.push(Unmeasured::lacking(scenario, why)),
            None => scenarios.push(scenario),
        }
    }
    announce(plan, &scenarios, turns);
    let mut builds =
        Builds { plan, this: Build::new(plan.launcher.clone()), other: Build::new(other) };
    for scenario in scenarios {
        let measure = async |turn, which| builds.measure(scenario, turn, turns, which).await;
        match turns::take(turns, measure).await {
            Ok(figures) => comparison.measured.push(Measured { scenario, figures }),
            Err(failed) => comparison.unmeasured.push(Unmeasured::failed(scenario, failed)),
        }
    }
    if comparison.is_beyond() {
        println!("After the first turns:\n\n{comparison}");
        note(format_args!("what seems beyond is measured in {MORE} more turns, which count"));
        let Comparison { measured, unmeasured, .. } = &mut comparison;
        for Measured { scenario, figures } in measured {
            let measure = async |turn, which| builds.measure(scenario, turn, MORE, which).await;
            if let Err(failed) = turns::take_more(figures, measure).await {
                unmeasured.push(Unmeasured::failed(scenario, failed));
            }
        }
    }
    Ok(comparison)
}

/// Says how long it will take.
fn announce(plan: &Plan, scenarios: &[&Scenario], turns: u32) {
    let minutes = |time: Duration| time.as_secs().div_ceil(60);
    let both = |scenario: &&Scenario| 2 * scenario.takes(plan);
    let turn: Duration = scenarios.iter().map(both).sum();
    let longest = scenarios.iter().map(both).max().unwrap_or_default();
    note(format_args!(
        "{} loads in {turns} turns of both builds: about {} min; \
         each that seems beyond takes up to {} min more",
        scenarios.len(),
        minutes(turns * turn),
        minutes(MORE * longest)
    ));
}

struct Builds<'a> {
    plan: &'a Plan,
    this: Build,
    other: Build,
}

impl Builds<'_> {
    async fn measure(
        &mut self,
        scenario: &Scenario,
        turn: u32,
        turns: u32,
        which: Which,
    ) -> Result<Vec<Figure>> {
        let Scenario { number, what, .. } = scenario;
        note(format_args!("{number}, {what}: turn {turn} of {turns}, {which}"));
        let build = match which {
            Which::This => &mut self.this,
            Which::Other => &mut self.other,
        };
        scenario.measure(self.plan, build).await
    }
}
