//! Backups of a SQLite database and of the files that its messages refer to, made while a server runs or not.
//!
//! A place has a directory `files`, which all of its backups share, since a file never changes; and one directory for each
//! backup below `backups`, with a copy of the database and a manifest.
//!
//! Files first, then the database, then the files that came meanwhile: what the copy of the database names is there. The
//! manifest comes last, so that a backup which has one is whole.
//!
//! * [`manifest`]: what a backup says of itself; [`place`]: the directory or bucket.
//! * [`run`]: one backup; [`copying`]: its files; [`scratch`]: where a copy of the database lies for a while.
//! * [`keep`]: what is removed again.
//! * [`verify`]: whether a backup is sound; [`mod@restore`]: the way back.

use std::{io, num::NonZeroUsize, path::PathBuf};

pub(crate) mod copying;
mod keep;
mod manifest;
pub(crate) mod place;
mod restore;
mod run;
pub(crate) mod scratch;
mod verify;

use crate::{
    config::MediaLocation,
    lifecycle::OpenError,
    media::{self, StoreError},
    store::snapshot::SnapshotError,
};

pub use self::{
    restore::{Checked, RestoreSettings, Restored, check_backup, restore},
    run::{BackedUp, back_up},
};

/// What is to be backed up, and where.
#[derive(Debug)]
pub struct BackupSettings {
    pub database: PathBuf,
    /// Files in a bucket are not copied.
    pub media: MediaLocation,
    /// Created where it is missing.
    pub target: MediaLocation,
    /// How many whole backups stay; all unless told.
    pub keep: Option<NonZeroUsize>,
    /// Whether all that the backup has is read again.
    pub verify: bool,
}

/// Why a backup was not made, or not restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    Source(OpenError),
    #[error("media {location}: {error}")]
    Media { location: MediaLocation, error: StoreError },
    /// Where backups are, or are to be.
    #[error("{location}: {error}")]
    Place { location: MediaLocation, error: StoreError },
    #[error("{0}: another backup is being written to it")]
    Busy(MediaLocation),
    /// It would remove what it does not know, if it were to keep few.
    #[error(
        "{location}: its newest backup {backup} is of another database ({theirs:?}), and this one is {}: give \
         each chat a place of its own", .ours.as_deref().unwrap_or("older than its first")
    )]
    OtherDatabase { location: MediaLocation, backup: String, theirs: String, ours: Option<String> },
    #[error("copying the database: {0}")]
    Snapshot(SnapshotError),
    #[error("reading a file of a message: {0}")]
    ReadFile(StoreError),
    #[error("reading backups: {0}")]
    Read(StoreError),
    #[error("writing: {0}")]
    Write(StoreError),
    #[error("{}: {error}", .path.display())]
    File { path: PathBuf, error: io::Error },
    #[error("backup {backup}: {damage}")]
    Damaged { backup: String, damage: Damage },
    #[error("{0}: no whole backup is there")]
    NoBackup(MediaLocation),
    #[error("{location}: no backup {name:?} is there")]
    UnknownBackup { location: MediaLocation, name: String },
    #[error("{0} is not whole: it was cut off")]
    NotWhole(String),
    #[error("backup {backup}: its schema (migration {schema}) is newer than this program")]
    NewerSchema { backup: String, schema: i64 },
    #[error("it has {}: nothing was changed; give a directory without a database", .0.display())]
    Occupied(PathBuf),
    #[error(
        "a restore into it was interrupted, and what it left is not whole: remove {} and {}, and begin anew",
        .0.join("chat.db*").display(), .0.join("media").display()
    )]
    Interrupted(PathBuf),
}

impl BackupError {
    /// Whether no setting is wrong, but the database or the backup not sound.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Source(error) => error.is_damage(),
            Self::Snapshot(error) => error.is_damage(),
            Self::Damaged { .. } => true,
            Self::Media { .. }
            | Self::Place { .. }
            | Self::Busy(_)
            | Self::OtherDatabase { .. }
            | Self::ReadFile(_)
            | Self::Read(_)
            | Self::Write(_)
            | Self::File { .. }
            | Self::NoBackup(_)
            | Self::UnknownBackup { .. }
            | Self::NotWhole(_)
            | Self::NewerSchema { .. }
            | Self::Occupied(_)
            | Self::Interrupted(_) => false,
        }
    }

    fn read(error: media::Error) -> Self {
        Self::Read(words(error))
    }

    fn write(error: media::Error) -> Self {
        Self::Write(words(error))
    }
}

/// Of a directory that could not be made.
fn unmade(error: OpenError) -> BackupError {
    let OpenError::File { path, error } = error else { return BackupError::Source(error) };
    BackupError::File { path, error }
}

fn words(error: media::Error) -> StoreError {
    match error {
        media::Error::Unavailable(error) => error,
        media::Error::NotFound | media::Error::Truncated => StoreError::new(error.to_string()),
    }
}

/// What is not sound of a backup, or not there: never nothing.
#[derive(Debug, Clone)]
pub struct Damage {
    found: Vec<String>,
}

impl Damage {
    /// How many are told.
    const TOLD: usize = 10;

    /// `None` where nothing was found.
    fn of(mut found: Vec<String>) -> Option<Self> {
        found.sort_unstable();
        (!found.is_empty()).then_some(Self { found })
    }

    fn one(what: impl Into<String>) -> Self {
        Self { found: vec![what.into()] }
    }
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (told, rest) = self.found.split_at(self.found.len().min(Self::TOLD));
        f.write_str(&told.join(", "))?;
        if rest.is_empty() { Ok(()) } else { write!(f, ", and {} more", rest.len()) }
    }
}
