//! What a start finds of a SQLite database. One is made only where there is nothing of another: a file that is
//! missing or empty beside its log, its lock or its attachments was there, and must be put back.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use netrox_proto::attachment_path;

use super::{
    OpenError,
    data_dir::{LOCK_FILE, real_path, with_suffix},
};
use crate::{
    config::{Config, Database, MediaLocation},
    lock::{self, FileId},
    store::{Expected, open_files},
};

/// What the lock of a database says, once there was one.
pub(super) const DATABASE_WAS_MADE: &str = "the database beside this file was made";

/// Why no database is made, although there is none.
#[derive(Debug)]
pub struct Vanished {
    path: PathBuf,
    is_empty: bool,
    /// Never empty.
    traces: Vec<Trace>,
}

/// What is left of a database, and what to remove for a start without it.
#[derive(Debug)]
struct Trace {
    what: &'static str,
    path: PathBuf,
    is_log: bool,
}

impl fmt::Display for Vanished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.is_empty { "is empty" } else { "is missing" };
        write!(f, "{} {state}, but there is", self.path.display())?;
        for (index, Trace { what, path, .. }) in self.traces.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma} {what} {}", path.display())?;
        }
        let has_log = self.traces.iter().any(|trace| trace.is_log);
        let way = if has_log {
            "put the file back beside its log, or a backup of it without that log"
        } else {
            "put the file or a backup of it back"
        };
        write!(f, ": nothing was changed; {way}, or to begin anew remove")?;
        for (index, Trace { path, .. }) in self.traces.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma} {}", path.display())?;
        }
        Ok(())
    }
}

/// Looks without touching anything.
pub(crate) fn look(config: &Config) -> Result<Expected, OpenError> {
    let Database::Sqlite(given) = &config.database else { return Ok(Expected::Nothing) };
    let unusable = |path: &Path| {
        let path = path.to_owned();
        move |error| OpenError::File { path, error }
    };
    // Not even the directory: there is nothing beside the file either.
    let path = match real_path(given) {
        Ok(path) => path,
        Err(OpenError::File { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
            given.clone()
        }
        Err(error) => return Err(error),
    };
    let length = length(&path).map_err(unusable(given))?;
    let is_there = length.is_some_and(|length| length > 0);
    let mut traces = Vec::new();
    let mut found = |what, path: PathBuf, is_log| traces.push(Trace { what, path, is_log });

    let log = with_suffix(&path, "-wal");
    let has_log = self::length(&log).map_err(unusable(&log))?.is_some_and(|length| length > 0);
    let database_lock = with_suffix(&path, ".lock");
    let mark = lock::text_at(&database_lock).map_err(unusable(&database_lock))?;
    if is_there && has_log {
        let id = FileId::of(&path).map_err(unusable(given))?;
        if id.is_some_and(|id| mark == open_files::log_of_another(id)) {
            return Err(OpenError::LogOfAnother { database: given.clone(), log });
        }
    }
    if !mark.is_empty() {
        found("the mark of its first start", database_lock, false);
    }
    // Also where the file system of the database is not mounted.
    let lock = config.data_dir.join(LOCK_FILE);
    if lock::text_at(&lock).map_err(unusable(&lock))? == path.to_string_lossy() {
        found("its name in", lock, false);
    }
    if is_there {
        // Without a mark it may be of a first start that was killed, or of an earlier version.
        return Ok(if traces.is_empty() { Expected::File } else { Expected::Database });
    }
    if has_log {
        found("its log", log, true);
    }
    if let MediaLocation::Directory(media) = &config.media {
        let attachments = media.join(attachment_path::PREFIX);
        if has_file(&attachments).map_err(unusable(&attachments))? {
            found("what was attached to its messages in", attachments, false);
        }
    }
    if traces.is_empty() {
        return Ok(Expected::Nothing);
    }
    let (path, is_empty) = (given.clone(), length.is_some());
    Err(OpenError::Vanished(Vanished { path, is_empty, traces }))
}

/// For a command that opens a database beside a server or without one: it must be there, and its log must be its own, since
/// opening it applies the log.
pub(crate) fn check_existing(given: &Path) -> Result<(), OpenError> {
    let unusable = |path: &Path| {
        let path = path.to_owned();
        move |error| OpenError::File { path, error }
    };
    let path = real_path(given)?;
    if length(&path).map_err(unusable(given))?.is_none_or(|length| length == 0) {
        return Err(unusable(given)(io::ErrorKind::NotFound.into()));
    }
    let log = with_suffix(&path, "-wal");
    let database_lock = with_suffix(&path, ".lock");
    let mark = lock::text_at(&database_lock).map_err(unusable(&database_lock))?;
    let has_log = length(&log).map_err(unusable(&log))?.is_some_and(|length| length > 0);
    let id = FileId::of(&path).map_err(unusable(given))?;
    if has_log && id.is_some_and(|id| mark == open_files::log_of_another(id)) {
        return Err(OpenError::LogOfAnother { database: given.to_owned(), log });
    }
    Ok(())
}

/// In bytes; `None` where there is nothing. What is no file has no length that counts.
fn length(path: &Path) -> io::Result<Option<u64>> {
    match path.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(Some(metadata.len())),
        Ok(_) => Ok(Some(u64::MAX)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether there is anything but directories below a directory.
pub(super) fn has_file(directory: &Path) -> io::Result<bool> {
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                directories.push(entry.path());
            } else {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
