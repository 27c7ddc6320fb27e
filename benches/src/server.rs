//! What is measured: a server that speaks the documented protocol.

use std::{net::SocketAddr, path::PathBuf};

pub(crate) mod child;
pub(crate) mod deployment;
pub(crate) mod keys;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod program;
pub(crate) mod seed;

use self::process::Processes;
use crate::{
    Result,
    client::{Door, User, user::Signer},
};

/// A server, wherever it runs.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Connections are spread over them.
    pub(crate) doors: Vec<Door>,
    pub(crate) signer: Signer,
    /// Known where the bench started them.
    pub(crate) processes: Option<Processes>,
    /// Where the processes show their metrics, as far as that is known.
    pub(crate) admin: Vec<SocketAddr>,
    /// The embedded database, where there is one at hand.
    pub(crate) database: Option<PathBuf>,
}

impl Target {
    pub(crate) fn user(&self) -> Result<User> {
        User::new(&self.signer)
    }

    pub(crate) fn users(&self, count: usize) -> Result<Vec<User>> {
        (0..count).map(|_| self.user()).collect()
    }

    /// Where the connection of this number goes.
    pub(crate) fn door(&self, number: usize) -> &Door {
        &self.doors[number % self.doors.len()]
    }

    pub(crate) fn cpu_seconds(&self) -> Result<Option<f64>> {
        self.processes.as_ref().map(Processes::cpu_seconds).transpose()
    }

    pub(crate) fn resident_bytes(&self) -> Result<Option<u64>> {
        self.processes.as_ref().map(Processes::resident_bytes).transpose()
    }
}
