//! How the program ends where it does not end well.

use std::{io, process::ExitCode};

use crate::sources::SettingError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Exit status 2, and its one line on stderr is all that is said.
    #[error(transparent)]
    Setting(#[from] SettingError),
    #[error("{what} failed: {source}")]
    System { what: &'static str, source: io::Error },
    /// Of a comparison, whose status 1 says that there are differences. Exit status 3.
    #[error("{what} failed: {source}")]
    Unfinished { what: &'static str, source: io::Error },
    /// Exit status 3, after which nobody is to start it again by himself.
    #[error("the storage is damaged: stopped, so that nothing is acknowledged that is not kept")]
    Damaged,
    /// The same, found at the start.
    #[error("the storage is damaged: {0}")]
    Unsound(String),
    #[error("the {part} ended by itself: {reason}")]
    Ended { part: &'static str, reason: String },
    #[error("a second signal: stopped hard")]
    SecondSignal,
}

impl Failure {
    pub(crate) fn line(&self) -> String {
        format!("error: {self}")
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Setting(_) => ExitCode::from(2),
            Self::Damaged | Self::Unsound(_) | Self::Unfinished { .. } => ExitCode::from(3),
            Self::System { .. } | Self::Ended { .. } | Self::SecondSignal => ExitCode::FAILURE,
        }
    }
}
