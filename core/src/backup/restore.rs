//! From a backup to a data directory that a server starts on.
//!
//! The lock of the database says from the beginning that a restore is under way, and the database gets its name last: until
//! then a server does not start there, nor does another restore.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use futures_util::{StreamExt as _, stream};
use tokio::task::spawn_blocking;

use super::{
    BackupError, Damage,
    copying::{self, CopyError, FILES_AT_ONCE},
    manifest::{self, Found, Manifest},
    place::Place,
    scratch::Scratch,
    unmade,
    verify::{self, unopened},
};
use crate::{
    config::MediaLocation,
    lifecycle::{self, RestoreTarget},
    media,
    store::snapshot,
};

/// What the database is called until all is there.
const UNFINISHED: &str = "chat.db.restored";

/// What is to be restored, and where to.
#[derive(Debug)]
pub struct RestoreSettings {
    pub from: MediaLocation,
    /// The newest whole one unless told.
    pub backup: Option<String>,
    /// Created where it is missing; it has no database.
    pub data_dir: PathBuf,
}

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    pub name: String,
    /// By which the database is known again.
    pub identity: Option<String>,
    /// That of the history which begins.
    pub epoch: String,
    pub newest_message: i64,
    pub files: usize,
    /// Where files are that the backup does not have.
    pub files_are_in: Option<String>,
    /// Files that the backup should have and does not, or not as they were.
    pub damage: Option<Damage>,
}

/// What was looked at.
#[derive(Debug)]
pub struct Checked {
    pub name: String,
    /// By which the database is known again.
    pub identity: Option<String>,
    /// Of the database that was copied.
    pub epoch: Option<String>,
    pub newest_message: i64,
    pub files: usize,
    pub files_are_in: Option<String>,
}

/// Restores a backup into a data directory, and begins a history there of which no position from before is a part.
pub async fn restore(settings: &RestoreSettings) -> Result<Restored, BackupError> {
    let place = open(&settings.from).await?;
    let manifest = choose(&place, &settings.from, settings.backup.as_deref()).await?;
    if !snapshot::is_known_schema(manifest.schema) {
        let (backup, schema) = (manifest.name, manifest.schema);
        return Err(BackupError::NewerSchema { backup, schema });
    }
    let target = RestoreTarget::claim(&settings.data_dir)?;
    let data = local(&settings.data_dir).await?;
    let media_dir = settings.data_dir.join("media");
    lifecycle::create_dir(&media_dir).map_err(unmade)?;
    let files = local(&media_dir).await?;
    let mut damage = copy_files(&place, &files, &manifest).await?;
    damage.extend(manifest.missing.iter().map(|path| format!("{path:?} was missing before")));

    let unfinished = settings.data_dir.join(UNFINISHED);
    fetch_database(&place, &manifest, (&data, UNFINISHED)).await?;
    verify::database(&unfinished, &manifest).await?;
    let epoch = snapshot::make_ready(&unfinished).await;
    let epoch = epoch.map_err(|error| BackupError::Source(unopened(&unfinished, error)))?;
    let database = target.database().to_owned();
    let named = spawn_blocking(move || name(&unfinished, &database)).await;
    named
        .map_err(io::Error::other)
        .flatten()
        .map_err(|error| BackupError::File { path: target.database().to_owned(), error })?;
    target.finish()?;
    Ok(Restored {
        name: manifest.name,
        identity: manifest.identity,
        epoch,
        newest_message: manifest.newest_message,
        files: manifest.files.len(),
        files_are_in: manifest.files_are_in,
        damage: Damage::of(damage),
    })
}

/// Reads all of a backup, and changes nothing.
pub async fn check_backup(
    from: &MediaLocation,
    backup: Option<&str>,
) -> Result<Checked, BackupError> {
    let place = open(from).await?;
    let manifest = choose(&place, from, backup).await?;
    check_database(&place, &manifest).await?;
    let rotten = verify::files(&place, &manifest.files).await?;
    let mut damage: Vec<_> = rotten.iter().map(ToString::to_string).collect();
    damage.extend(manifest.missing.iter().map(|path| format!("{path:?} was missing before")));
    if let Some(damage) = Damage::of(damage) {
        return Err(BackupError::Damaged { backup: manifest.name, damage });
    }
    Ok(Checked {
        name: manifest.name,
        identity: manifest.identity,
        epoch: manifest.epoch,
        newest_message: manifest.newest_message,
        files: manifest.files.len(),
        files_are_in: manifest.files_are_in,
    })
}

/// Where it lies, if that is on this machine.
async fn check_database(place: &Place, manifest: &Manifest) -> Result<(), BackupError> {
    let path = manifest::database_path(&manifest.name);
    let Some(directory) = place.directory() else {
        let scratch = Scratch::new()?;
        let copy = local(scratch.path()).await?;
        fetch_database(place, manifest, (&copy, UNFINISHED)).await?;
        return verify::database(&scratch.path().join(UNFINISHED), manifest).await;
    };
    match copying::content(place, &path).await {
        Ok(content) if content == manifest.database => {
            verify::database(&directory.join(path), manifest).await
        }
        Ok(_) => Err(damaged_database(manifest, "is not what it was")),
        Err(media::Error::NotFound) => Err(damaged_database(manifest, "is missing")),
        Err(error @ (media::Error::Truncated | media::Error::Unavailable(_))) => {
            Err(BackupError::read(error))
        }
    }
}

fn damaged_database(manifest: &Manifest, what: &str) -> BackupError {
    let damage = Damage::one(format!("its database {what}"));
    BackupError::Damaged { backup: manifest.name.clone(), damage }
}

async fn open(from: &MediaLocation) -> Result<Place, BackupError> {
    let opened = Place::to_read(from).await;
    opened.map_err(|error| BackupError::Place { location: from.clone(), error })
}

async fn local(directory: &Path) -> Result<Place, BackupError> {
    let location = MediaLocation::Directory(directory.to_owned());
    let opened = Place::to_read(&location).await;
    opened.map_err(|error| BackupError::Place { location, error })
}

async fn choose(
    place: &Place,
    from: &MediaLocation,
    given: Option<&str>,
) -> Result<Manifest, BackupError> {
    let damaged = |backup: &str, why: String| BackupError::Damaged {
        backup: backup.to_owned(),
        damage: Damage::one(format!("its manifest: {why}")),
    };
    let mut names = manifest::names(place).await?;
    if let Some(name) = given {
        if !names.iter().any(|there| there == name) {
            let (location, name) = (from.clone(), name.to_owned());
            return Err(BackupError::UnknownBackup { location, name });
        }
        return match Manifest::find(place, name).await? {
            Found::Whole(manifest) => Ok(*manifest),
            Found::Partial => Err(BackupError::NotWhole(name.to_owned())),
            Found::Damaged(why) => Err(damaged(name, why)),
        };
    }
    while let Some(name) = names.pop() {
        match Manifest::find(place, &name).await? {
            Found::Whole(manifest) => return Ok(*manifest),
            Found::Partial => {}
            // An older one would lose messages without a word.
            Found::Damaged(why) => return Err(damaged(&name, why)),
        }
    }
    Err(BackupError::NoBackup(from.clone()))
}

async fn fetch_database(
    place: &Place,
    manifest: &Manifest,
    to: (&Place, &str),
) -> Result<(), BackupError> {
    let from = manifest::database_path(&manifest.name);
    match copying::copy((place, &from), to, manifest.database.bytes).await {
        Ok(content) if content == manifest.database => Ok(()),
        Ok(_) => Err(damaged_database(manifest, "is not what it was")),
        Err(CopyError::Gone(why)) => Err(damaged_database(manifest, &why)),
        Err(CopyError::Source(error)) => Err(BackupError::read(error)),
        Err(CopyError::Target(error)) => Err(BackupError::write(error)),
    }
}

/// Tells those that are not there or not as they were, and leaves them out.
async fn copy_files(
    place: &Place,
    files: &Place,
    manifest: &Manifest,
) -> Result<Vec<String>, BackupError> {
    let mut done = stream::iter(&manifest.files)
        .map(|file| async move {
            let from = manifest::file_path(&file.path);
            let copied =
                copying::copy((place, &from), (files, &file.path), file.content.bytes).await;
            match copied {
                Ok(content) if content == file.content => Ok(None),
                Ok(_) => {
                    files.remove(&file.path).await.map_err(BackupError::write)?;
                    Ok(Some(format!("{:?} is not what it was", file.path)))
                }
                Err(CopyError::Gone(why)) => Ok(Some(format!("{:?} {why}", file.path))),
                Err(CopyError::Source(error)) => Err(BackupError::read(error)),
                Err(CopyError::Target(error)) => Err(BackupError::write(error)),
            }
        })
        .buffer_unordered(FILES_AT_ONCE);
    let mut damage = Vec::new();
    while let Some(file) = done.next().await {
        damage.extend(file?);
    }
    Ok(damage)
}

/// Its log would not be found under the new name.
fn name(unfinished: &Path, database: &Path) -> io::Result<()> {
    let mut log = unfinished.as_os_str().to_owned();
    log.push("-wal");
    match fs::metadata(&log) {
        Ok(metadata) if metadata.len() > 0 => {
            return Err(io::Error::other("its log was not written back"));
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(_) | Err(_) => {}
    }
    File::open(unfinished)?.sync_all()?;
    fs::rename(unfinished, database)?;
    database.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_whose_log_has_content_gets_no_name() {
        let directory = tempfile::tempdir().unwrap();
        let [unfinished, database, log] =
            [UNFINISHED, "chat.db", "chat.db.restored-wal"].map(|name| directory.path().join(name));
        fs::write(&unfinished, "database").unwrap();
        fs::write(&log, "log").unwrap();
        let refused = name(&unfinished, &database).unwrap_err();
        assert_eq!(refused.to_string(), "its log was not written back");
        assert!(unfinished.exists() && !database.exists());
        fs::write(&log, "").unwrap();
        name(&unfinished, &database).unwrap();
        assert!(database.exists());
    }
}
