//! What is measured of a build, piece by piece, so that each can be measured again by itself.

use std::time::Duration;

use serde::Serialize;

use super::{build::Build, figure::Figure, figures};
use crate::{
    Result,
    all::{Plan, loads},
    load::{
        closed::{self, Closed},
        idle, open, storm,
    },
    rest::{threads, upload},
    second::{feed, lists},
    server::{
        Target,
        deployment::{
            Arrangement::{self, Serve, Split},
            Launcher,
        },
        postgres::TemporaryDatabase,
    },
};

#[derive(Debug, Serialize)]
pub(super) struct Scenario {
    pub(super) number: &'static str,
    pub(super) what: &'static str,
    #[serde(skip)]
    place: Place,
    /// Roughly what one measurement takes, without the time that a load is measured for.
    #[serde(skip)]
    seconds: u64,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Fresh(Arrangement, Load),
    /// In a fresh database, of the load of S1.
    Postgres,
    /// In a fresh database, with a bus.
    Cluster(Load),
    LargeStart,
    LargeHistory,
}

#[derive(Debug, Clone, Copy)]
enum Load {
    Closed(fn(Duration) -> Closed),
    Steady,
    Pipeline,
    History,
    Idle,
    Storm,
    Threads,
    Upload,
    Feed,
    Lists,
}

pub(super) static ALL: [Scenario; 25] = {
    use Load::{Closed, Feed, History, Idle, Lists, Pipeline, Steady, Storm, Threads, Upload};
    use Place::{Cluster, Fresh, LargeHistory, LargeStart, Postgres};
    [
        scenario("S1", "50 pairs, serve", Fresh(Serve, Closed(loads::pairs)), 3),
        scenario("S2", "50 pairs, split", Fresh(Split, Closed(loads::pairs)), 3),
        scenario("S3", "50 pairs, PostgreSQL", Postgres, 4),
        scenario("S4", "1,000/s, serve", Fresh(Serve, Steady), 2),
        scenario("S5", "pipelined, serve", Fresh(Serve, Pipeline), 3),
        scenario("S5", "pipelined, split", Fresh(Split, Pipeline), 3),
        scenario("S6", "idle connection, serve", Fresh(Serve, Idle), 7),
        scenario("S6", "idle connection, split", Fresh(Split, Idle), 8),
        scenario("S7", "history, serve", Fresh(Serve, History), 5),
        scenario("S7", "history, split", Fresh(Split, History), 5),
        scenario("S7", "history, large database", LargeHistory, 2),
        scenario("S8", "5,000 cut off", Fresh(Serve, Storm), 5),
        scenario("S9", "start on a large database", LargeStart, 3),
        scenario("S10", "500 to one, 8 each", Fresh(Serve, Closed(loads::hot)), 3),
        scenario("S10", "500 to one, 1 each", Fresh(Serve, Closed(loads::single)), 3),
        scenario("S10", "500 pairs, 1 each", Fresh(Serve, Closed(loads::spread)), 3),
        scenario("S10", "10,000 threads", Fresh(Serve, Threads), 6),
        scenario("uploads", "25 MiB", Fresh(Serve, Upload), 3),
        scenario("T8", "idle connection, cluster", Cluster(Idle), 10),
        scenario("T9", "5,000 cut off, split", Fresh(Split, Storm), 6),
        scenario("T9", "5,000 cut off, cluster", Cluster(Storm), 8),
        scenario("T10", "1,000 pairs, 8 each, cluster", Cluster(Closed(loads::crowd)), 8),
        scenario("V1", "50 pairs, each message marked", Fresh(Serve, Closed(loads::marked)), 3),
        scenario("V2", "a feed of a million", Fresh(Serve, Feed), 50),
        scenario("V3", "10,000 threads by page", Fresh(Serve, Lists), 12),
    ]
};

const fn scenario(
    number: &'static str,
    what: &'static str,
    place: Place,
    seconds: u64,
) -> Scenario {
    Scenario { number, what, place, seconds }
}

impl Scenario {
    /// What keeps it from being measured on any build.
    pub(super) fn lacks(&self, plan: &Plan) -> Option<&'static str> {
        let missing = matches!(self.place, Place::Postgres | Place::Cluster(_))
            && plan.postgres_url.is_none();
        missing.then_some("--postgres-url is missing")
    }

    /// Roughly what one measurement takes.
    pub(super) fn takes(&self, plan: &Plan) -> Duration {
        let timed = match self.place {
            Place::Fresh(_, Load::Closed(_) | Load::Steady)
            | Place::Cluster(Load::Closed(_) | Load::Steady)
            | Place::Postgres => plan.duration,
            Place::Fresh(..) | Place::Cluster(_) | Place::LargeStart | Place::LargeHistory => {
                Duration::ZERO
            }
        };
        timed + Duration::from_secs(self.seconds)
    }

    /// Measures it once: the same figures in the same order, whichever the build.
    pub(super) async fn measure(&self, plan: &Plan, build: &mut Build) -> Result<Vec<Figure>> {
        match self.place {
            Place::Fresh(arrangement, load) => {
                let deployment = build.launcher.start(arrangement).await?;
                load.measure(&deployment.target, plan.duration).await
            }
            Place::Postgres => postgres(plan, &build.launcher).await,
            Place::Cluster(load) => cluster(plan, &build.launcher, load).await,
            Place::LargeStart => figures::startup(&build.start_large(plan.rows).await?),
            Place::LargeHistory => figures::history(&build.read_large(plan.rows).await?),
        }
    }
}

impl Load {
    async fn measure(self, target: &Target, duration: Duration) -> Result<Vec<Figure>> {
        match self {
            Self::Closed(load) => figures::closed(&closed::run(target, load(duration)).await?),
            Self::Steady => figures::steady(&open::run(target, loads::steady(duration)).await?),
            Self::Pipeline => figures::closed(&loads::pipeline(target).await?.0),
            Self::History => {
                let (sent, conversation) = loads::pipeline(target).await?;
                figures::sound(&sent)?;
                figures::history(&loads::history(target, &conversation).await?)
            }
            Self::Idle => figures::idle(&idle::run(target, loads::IDLE_CONNECTIONS).await?),
            Self::Storm => figures::storm(&storm::run(target, loads::STORM_CLIENTS).await?),
            Self::Threads => figures::threads(&threads::run(target, loads::THREADS).await?),
            Self::Feed => figures::feed(&feed::run(target, loads::FEED_MESSAGES).await?),
            Self::Lists => figures::lists(&lists::run(target, loads::THREADS).await?),
            Self::Upload => figures::upload(&upload::run(target, loads::UPLOAD_BYTES).await?),
        }
    }
}

async fn postgres(plan: &Plan, launcher: &Launcher) -> Result<Vec<Figure>> {
    let url = plan.postgres_url.as_ref().ok_or("--postgres-url is missing")?;
    let database = TemporaryDatabase::create(url).await?;
    let measured = loads::postgres(launcher, &database.url, plan.duration).await;
    database.remove().await?;
    figures::postgres(measured?)
}

async fn cluster(plan: &Plan, launcher: &Launcher, load: Load) -> Result<Vec<Figure>> {
    let url = plan.postgres_url.as_ref().ok_or("--postgres-url is missing")?;
    let database = TemporaryDatabase::create(url).await?;
    let launcher = Launcher { database_url: Some(database.url.clone()), ..launcher.clone() };
    let measured = async {
        let deployment = launcher.start(Arrangement::Cluster).await?;
        load.measure(&deployment.target, plan.duration).await
    };
    let measured = measured.await;
    database.remove().await?;
    measured
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::all::NUMBERS;

    #[test]
    fn every_number_of_the_table_is_compared() {
        for number in NUMBERS {
            assert!(ALL.iter().any(|scenario| scenario.number == number), "{number}");
        }
        assert!(ALL.iter().all(|scenario| NUMBERS.contains(&scenario.number)));
    }
}
