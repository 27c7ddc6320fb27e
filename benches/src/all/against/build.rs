//! A build under comparison.

use std::fs::File;

use tempfile::TempDir;

use crate::{
    Result,
    all::loads,
    rest::history::History,
    server::deployment::{Arrangement, Launcher, database},
    startup::{self, Startup},
};

#[derive(Debug)]
pub(super) struct Build {
    pub(super) launcher: Launcher,
    /// Its large database, from turn to turn. Each build has its own: the schema may be another.
    large: Option<TempDir>,
}

impl Build {
    pub(super) fn new(launcher: Launcher) -> Self {
        Self { launcher, large: None }
    }

    /// S9.
    pub(super) async fn start_large(&mut self, rows: u64) -> Result<Startup> {
        let directory = self.take_large(rows).await?;
        let (startup, deployment) = startup::run(&self.launcher, directory, rows).await?;
        self.large = Some(deployment.stop());
        Ok(startup)
    }

    /// S7, in a large database.
    pub(super) async fn read_large(&mut self, rows: u64) -> Result<History> {
        let directory = self.take_large(rows).await?;
        let deployment = self.launcher.start_in(Arrangement::Serve, directory).await?;
        let read = loads::large_history(&deployment.target).await;
        self.large = Some(deployment.stop());
        read
    }

    async fn take_large(&mut self, rows: u64) -> Result<TempDir> {
        match self.large.take() {
            Some(directory) => Ok(directory),
            None => {
                let directory = startup::seed(&self.launcher, rows).await?;
                // Otherwise it is written to the disk while the first turn is measured.
                File::open(database(directory.path()))?.sync_all()?;
                Ok(directory)
            }
        }
    }
}
