//! One backup.

use std::path::Path;

use jiff::Timestamp;

use self::{
    files::{Files, Gone},
    snapshot::Snapshot,
};
use super::{
    BackupError, BackupSettings, Damage, copying,
    keep::{self, Shelf},
    manifest::{self, BackedUpFile, FILES, Manifest},
    place::Place,
    verify::{self, unopened},
};
use crate::{clock, config::MediaLocation, lifecycle, store::snapshot::Reader};

mod files;
mod snapshot;
mod target;

/// How often the database is copied where files of messages that it has go with these meanwhile.
const SNAPSHOTS: usize = 3;

/// What was made.
#[derive(Debug)]
pub struct BackedUp {
    pub name: String,
    /// By which the database is known again.
    pub identity: Option<String>,
    /// Of the database that was copied; none where no server has ever noted it.
    pub epoch: Option<String>,
    pub newest_message: i64,
    pub database_bytes: u64,
    /// All that it names.
    pub files: usize,
    /// Those that were not there yet.
    pub files_copied: usize,
    pub bytes_copied: u64,
    /// Where files are that were not copied.
    pub files_are_in: Option<MediaLocation>,
    /// Files that messages refer to and that were not there, or not whole.
    pub missing: Option<Damage>,
    /// Files of the target that were not what they were, and were copied anew.
    pub mended: Option<Damage>,
    pub is_verified: bool,
    /// Earlier ones beyond those to keep.
    pub removed: Vec<String>,
    pub files_removed: usize,
    /// Why nothing else was removed.
    pub doubt: Option<String>,
    /// What went wrong as others were removed, after this one was whole.
    pub unremoved: Option<BackupError>,
}

/// Makes a backup, beside a server or without one. No other may be written to the same place meanwhile: a directory is locked.
pub async fn back_up(settings: &BackupSettings) -> Result<BackedUp, BackupError> {
    lifecycle::check_existing(&settings.database).map_err(BackupError::Source)?;
    let source = Reader::open(&settings.database).await;
    let mut source =
        source.map_err(|error| BackupError::Source(unopened(&settings.database, error)))?;
    let media =
        match &settings.media {
            MediaLocation::Directory(path) if path.is_dir() => {
                let opened = Place::to_read(&settings.media).await;
                Some(opened.map_err(|error| BackupError::Media {
                    location: settings.media.clone(),
                    error,
                })?)
            }
            // A new chat may have none.
            MediaLocation::Directory(_) | MediaLocation::S3(_) => None,
        };
    let (target, _lock) = target::open(&settings.target).await?;
    let mut shelf = Shelf::look(&target).await?;
    let newest = target::newest(&target, &shelf.whole).await?;
    if let Some(newest) = &newest {
        let ours = source.identity().await.map_err(BackupError::Snapshot)?;
        target::refuse_other(newest, ours, &settings.target)?;
    }
    // What cannot be removed does not stop a backup.
    let unclean = shelf.clean(&target).await.err();
    // Of other files nothing is known by now but their lengths.
    let known = newest.map(Manifest::contents).unwrap_or_default();
    let stored = target.files_below(FILES).await.map_err(BackupError::read)?;
    let made = Timestamp::from_microsecond(clock::now_micros()).unwrap_or(Timestamp::MAX);
    let name = manifest::name(made, shelf.whole.last().map(String::as_str));
    let files = Files { media, known, stored, copied: 0, copied_bytes: 0 };
    let mut run = Run { settings, source, target, name, files };
    match run.make(shelf.whole).await {
        Ok(made) => Ok(BackedUp { unremoved: made.unremoved.or(unclean), ..made }),
        // It is not whole. Once its manifest is written, there is no error.
        Err(error) => {
            // On a full disk others need the room. What stays is removed by the next.
            let _ = keep::remove(&run.target, &run.name).await;
            Err(error)
        }
    }
}

struct Run<'a> {
    settings: &'a BackupSettings,
    source: Reader,
    target: Place,
    name: String,
    files: Files,
}

/// A copy of the database, and what became of its files.
struct Settled {
    snapshot: Snapshot,
    files: Vec<BackedUpFile>,
    missing: Vec<Gone>,
    /// Files that are gone with their messages since the database was copied.
    deleted: Vec<String>,
}

impl Run<'_> {
    async fn make(&mut self, older: Vec<String>) -> Result<BackedUp, BackupError> {
        let files_are_in = match &self.settings.media {
            MediaLocation::Directory(_) => None,
            MediaLocation::S3(_) => Some(self.settings.media.clone()),
        };
        let copies_files = files_are_in.is_none();
        if copies_files {
            self.copy_files_of_source().await?;
        }
        let settled = self.settled_snapshot(copies_files).await?;
        let Settled { mut snapshot, files, missing, deleted } = settled;
        let facts = snapshot.reader.facts().await.map_err(BackupError::Snapshot)?;
        snapshot.reader.close().await.map_err(BackupError::Snapshot)?;
        let database = snapshot.file.store(&self.target, &self.name).await?;
        let manifest = Manifest {
            format: Manifest::FORMAT,
            name: self.name.clone(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            made: snapshot.made.to_string(),
            schema: facts.schema,
            identity: facts.identity.clone(),
            epoch: facts.epoch.clone(),
            newest_message: facts.newest_message,
            database,
            files_are_in: files_are_in.as_ref().map(MediaLocation::to_string),
            files,
            missing: missing.iter().map(|gone| gone.path.clone()).collect(),
            deleted,
        };
        let mended = match self.settings.verify {
            true => self.verify(&snapshot.file.path, &manifest).await?,
            false => Vec::new(),
        };
        manifest.write(&self.target).await?;
        let removed =
            keep::prune(&self.target, &manifest, older, self.settings.keep, &self.files.stored)
                .await;
        let missing = missing.into_iter().map(|gone| format!("{:?} {}", gone.path, gone.why));
        Ok(BackedUp {
            name: self.name.clone(),
            identity: facts.identity,
            epoch: facts.epoch,
            newest_message: facts.newest_message,
            database_bytes: manifest.database.bytes,
            files: manifest.files.len(),
            files_copied: self.files.copied,
            bytes_copied: self.files.copied_bytes,
            files_are_in,
            missing: Damage::of(missing.collect()),
            mended: Damage::of(mended),
            is_verified: self.settings.verify,
            removed: removed.backups,
            files_removed: removed.files,
            doubt: removed.doubt,
            unremoved: removed.error,
        })
    }

    /// So that little is left to be copied when the database is.
    async fn copy_files_of_source(&mut self) -> Result<(), BackupError> {
        let mut last = String::new();
        while let Some(page) =
            self.source.files_after(&mut last).await.map_err(BackupError::Snapshot)?
        {
            self.files.copy(&self.target, page).await?;
        }
        Ok(())
    }

    /// A copy of the database whose files are in the target, but for those that are missing.
    async fn settled_snapshot(&mut self, copies_files: bool) -> Result<Settled, BackupError> {
        let mut attempt = 1;
        loop {
            let mut snapshot = Snapshot::take(&mut self.source, &self.target, &self.name).await?;
            if !copies_files {
                let (files, missing, deleted) = (Vec::new(), Vec::new(), Vec::new());
                return Ok(Settled { snapshot, files, missing, deleted });
            }
            let (mut files, mut missing) = (Vec::new(), Vec::new());
            let mut last = String::new();
            while let Some(page) =
                snapshot.reader.files_after(&mut last).await.map_err(BackupError::Snapshot)?
            {
                let paths: Vec<_> = page.iter().map(|file| file.path.clone()).collect();
                missing.extend(self.files.copy(&self.target, page).await?);
                files.extend(paths.into_iter().filter_map(|path| {
                    let content = self.files.known.get(&path)?.clone();
                    Some(BackedUpFile { path, content })
                }));
            }
            let deleted = self.take_deleted(&mut missing).await?;
            if attempt == SNAPSHOTS || deleted.is_empty() {
                return Ok(Settled { snapshot, files, missing, deleted });
            }
            attempt += 1;
            snapshot.reader.close().await.map_err(BackupError::Snapshot)?;
        }
    }

    /// Takes out those whose messages were deleted after the database was copied: their files went with them.
    async fn take_deleted(&mut self, missing: &mut Vec<Gone>) -> Result<Vec<String>, BackupError> {
        let mut deleted = Vec::new();
        for gone in std::mem::take(missing) {
            if self.source.names(&gone.path).await.map_err(BackupError::Snapshot)? {
                missing.push(gone);
            } else {
                deleted.push(gone.path);
            }
        }
        Ok(deleted)
    }

    /// Reads again all that it has, and tells the files that it copied anew because they were not what they were.
    async fn verify(
        &mut self,
        snapshot: &Path,
        manifest: &Manifest,
    ) -> Result<Vec<String>, BackupError> {
        verify::database(snapshot, manifest).await?;
        let (mut damage, mut mended) = (Vec::new(), Vec::new());
        for rotten in verify::files(&self.target, &manifest.files).await? {
            let is_mended = self.files.mend(&self.target, rotten.file).await?;
            if is_mended { &mut mended } else { &mut damage }.push(rotten.to_string());
        }
        let path = manifest::database_path(&self.name);
        let content = copying::content(&self.target, &path).await.map_err(BackupError::read)?;
        if content != manifest.database {
            damage.push("its database is not what was written".to_owned());
        }
        match Damage::of(damage) {
            None => Ok(mended),
            Some(damage) => Err(BackupError::Damaged { backup: manifest.name.clone(), damage }),
        }
    }
}
