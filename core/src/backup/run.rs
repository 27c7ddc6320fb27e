//! One backup.

use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use tokio::task::spawn_blocking;

use super::{
    BackupError, BackupSettings, Damage,
    copying::{self, CopyError, FILES_AT_ONCE},
    keep::{self, Shelf},
    manifest::{self, BackedUpFile, Content, FILES, Manifest},
    place::{Found, Place},
    scratch::Scratch,
    unmade,
    verify::{self, unopened},
    words,
};
use crate::{
    clock,
    config::MediaLocation,
    lifecycle::{self, OpenError},
    lock::{LockError, LockFile},
    media::{self, StoreError},
    store::snapshot::{NamedFile, Reader},
};

/// Beside the directories of a place that is a directory.
const LOCK_FILE: &str = "lock";
/// How often the database is copied where files of messages that it has go with these meanwhile.
const SNAPSHOTS: usize = 3;
const NAME_OF_SNAPSHOT: &str = "chat.db";

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
    let (target, _lock) = open_target(&settings.target).await?;
    let mut shelf = Shelf::look(&target).await?;
    let newest = newest(&target, &shelf.whole).await?;
    if let Some(newest) = &newest {
        let ours = source.identity().await.map_err(BackupError::Snapshot)?;
        refuse_other(newest, ours, &settings.target)?;
    }
    // What cannot be removed does not stop a backup.
    let unclean = shelf.clean(&target).await.err();
    // Of other files nothing is known by now but their lengths.
    let known = newest.map(Manifest::contents).unwrap_or_default();
    let stored = target.files_below(FILES).await.map_err(BackupError::read)?;
    let made = Timestamp::from_microsecond(clock::now_micros()).unwrap_or(Timestamp::MAX);
    let name = manifest::name(made, shelf.whole.last().map(String::as_str));
    let mut run =
        Run { settings, source, media, target, name, known, stored, copied: 0, copied_bytes: 0 };
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

async fn open_target(location: &MediaLocation) -> Result<(Place, Option<LockFile>), BackupError> {
    let mut lock = None;
    if let MediaLocation::Directory(path) = location {
        let unusable = |path: PathBuf, error: io::Error| {
            use io::ErrorKind::{QuotaExceeded, StorageFull};
            if matches!(error.kind(), StorageFull | QuotaExceeded) {
                return BackupError::File { path, error };
            }
            let error = StoreError::new(error.to_string());
            BackupError::Place { location: location.clone(), error }
        };
        lifecycle::create_dir(path).map_err(|error| {
            let OpenError::File { path, error } = error else { return BackupError::Source(error) };
            unusable(path, error)
        })?;
        let file = path.join(LOCK_FILE);
        lock = Some(LockFile::take(file.clone()).map_err(|error| match error {
            LockError::Held => BackupError::Busy(location.clone()),
            LockError::File(error) => unusable(file, error),
        })?);
    }
    let place = Place::to_write(location).await;
    let place = place.map_err(|error| BackupError::Place { location: location.clone(), error })?;
    Ok((place, lock))
}

/// Two chats in a place would remove each other's backups and files.
fn refuse_other(
    newest: &Manifest,
    ours: Option<String>,
    location: &MediaLocation,
) -> Result<(), BackupError> {
    match &newest.identity {
        Some(theirs) if ours.as_ref() != Some(theirs) => Err(BackupError::OtherDatabase {
            location: location.clone(),
            backup: newest.name.clone(),
            theirs: theirs.clone(),
            ours,
        }),
        Some(_) | None => Ok(()),
    }
}

async fn newest(target: &Place, whole: &[String]) -> Result<Option<Manifest>, BackupError> {
    for name in whole.iter().rev() {
        if let manifest::Found::Whole(manifest) = Manifest::find(target, name).await? {
            return Ok(Some(*manifest));
        }
    }
    Ok(None)
}

struct Run<'a> {
    settings: &'a BackupSettings,
    source: Reader,
    /// None where files are not copied, or there are none.
    media: Option<Place>,
    target: Place,
    name: String,
    /// What files of the target hold.
    known: HashMap<String, Content>,
    /// The files of the target.
    stored: HashMap<String, Found>,
    copied: usize,
    copied_bytes: u64,
}

/// A copy of the database.
struct Snapshot {
    path: PathBuf,
    reader: Reader,
    made: Timestamp,
    /// Where it does not lie in the target.
    scratch: Option<Scratch>,
}

/// A copy of the database, and what became of its files.
struct Settled {
    snapshot: Snapshot,
    files: Vec<BackedUpFile>,
    missing: Vec<Gone>,
    /// Files that are gone with their messages since the database was copied.
    deleted: Vec<String>,
}

/// A file that was not there to be copied, and why.
struct Gone {
    path: String,
    why: String,
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
        let database = self.store_database(&snapshot.path, snapshot.scratch.is_some()).await?;
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
            true => self.verify(&snapshot.path, &manifest).await?,
            false => Vec::new(),
        };
        manifest.write(&self.target).await?;
        let removed =
            keep::prune(&self.target, &manifest, older, self.settings.keep, &self.stored).await;
        let missing = missing.into_iter().map(|gone| format!("{:?} {}", gone.path, gone.why));
        Ok(BackedUp {
            name: self.name.clone(),
            identity: facts.identity,
            epoch: facts.epoch,
            newest_message: facts.newest_message,
            database_bytes: manifest.database.bytes,
            files: manifest.files.len(),
            files_copied: self.copied,
            bytes_copied: self.copied_bytes,
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
            self.copy_files(page).await?;
        }
        Ok(())
    }

    /// A copy of the database whose files are in the target, but for those that are missing.
    async fn settled_snapshot(&mut self, copies_files: bool) -> Result<Settled, BackupError> {
        let mut attempt = 1;
        loop {
            let mut snapshot = self.take_snapshot().await?;
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
                missing.extend(self.copy_files(page).await?);
                files.extend(paths.into_iter().filter_map(|path| {
                    let content = self.known.get(&path)?.clone();
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

    /// Into the target where it is a directory.
    async fn take_snapshot(&mut self) -> Result<Snapshot, BackupError> {
        let (path, scratch) = match self.target.directory() {
            Some(directory) => {
                let path = directory.join(manifest::database_path(&self.name));
                let parent = path.parent().unwrap_or(directory);
                lifecycle::create_dir(parent).map_err(unmade)?;
                (path, None)
            }
            None => {
                let scratch = Scratch::new()?;
                (scratch.path().join(NAME_OF_SNAPSHOT), Some(scratch))
            }
        };
        let failed = |error: io::Error| BackupError::File { path: path.clone(), error };
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        let text = path.to_str().ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?;
        self.source.copy_to(text).await.map_err(BackupError::Snapshot)?;
        let made = Timestamp::from_microsecond(clock::now_micros()).unwrap_or(Timestamp::MAX);
        let reader = Reader::open(&path).await;
        let reader = reader.map_err(|error| BackupError::Source(unopened(&path, error)))?;
        Ok(Snapshot { path, reader, made, scratch })
    }

    /// Copies those that are not there yet; gives those that were not there to be copied.
    async fn copy_files(&mut self, files: Vec<NamedFile>) -> Result<Vec<Gone>, BackupError> {
        let wanted = files.into_iter().filter(|file| {
            let is_there =
                self.stored.get(&file.path).is_some_and(|found| found.bytes == file.bytes);
            !is_there || !self.known.contains_key(&file.path)
        });
        let wanted: Vec<_> = wanted.collect();
        let (media, target, stored) = (self.media.as_ref(), &self.target, &self.stored);
        let mut done = stream::iter(wanted)
            .map(|file| async move {
                let stored = stored.get(&file.path).map(|found| found.bytes);
                let got = obtain(media, target, stored, &file).await;
                (file, got)
            })
            .buffer_unordered(FILES_AT_ONCE);
        let (mut gone, mut got) = (Vec::new(), Vec::new());
        while let Some((file, result)) = done.next().await {
            match result {
                Ok((content, is_new)) => got.push((file, content, is_new)),
                Err(CopyError::Gone(why)) => gone.push(Gone { path: file.path, why }),
                Err(CopyError::Source(error)) => return Err(BackupError::ReadFile(words(error))),
                Err(CopyError::Target(error)) => return Err(BackupError::write(error)),
            }
        }
        drop(done);
        for (file, content, is_new) in got {
            if is_new {
                self.copied += 1;
                self.copied_bytes += content.bytes;
                self.stored
                    .insert(file.path.clone(), Found { bytes: content.bytes, is_old: false });
            }
            self.known.insert(file.path, content);
        }
        Ok(gone)
    }

    /// Makes it durable, in the target.
    async fn store_database(
        &self,
        snapshot: &Path,
        is_elsewhere: bool,
    ) -> Result<Content, BackupError> {
        let failed = |error: io::Error| BackupError::File { path: snapshot.to_owned(), error };
        let path = manifest::database_path(&self.name);
        if !is_elsewhere {
            let file = snapshot.to_owned();
            let synced = spawn_blocking(move || {
                File::open(&file)?.sync_all()?;
                file.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
            });
            synced.await.map_err(io::Error::other).flatten().map_err(failed)?;
            return copying::content(&self.target, &path).await.map_err(BackupError::read);
        }
        let bytes = snapshot.metadata().map_err(failed)?.len();
        let directory = snapshot.parent().unwrap_or(snapshot).to_owned();
        let scratch = Place::to_read(&MediaLocation::Directory(directory)).await;
        let scratch = scratch.map_err(BackupError::Read)?;
        let from = (&scratch, NAME_OF_SNAPSHOT);
        copying::copy(from, (&self.target, &path), bytes).await.map_err(|error| match error {
            CopyError::Gone(why) => failed(io::Error::other(why)),
            CopyError::Source(error) => BackupError::read(error),
            CopyError::Target(error) => BackupError::write(error),
        })
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
            let is_mended = self.mend(rotten.file).await?;
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

    /// Copies a file anew, if the server has it as it was. All backups of the target have it then.
    async fn mend(&mut self, file: &BackedUpFile) -> Result<bool, BackupError> {
        let Some(media) = &self.media else { return Ok(false) };
        match copying::content(media, &file.path).await {
            Ok(content) if content == file.content => {}
            Ok(_) | Err(media::Error::NotFound | media::Error::Truncated) => return Ok(false),
            Err(media::Error::Unavailable(error)) => return Err(BackupError::ReadFile(error)),
        }
        let path = manifest::file_path(&file.path);
        let to = (&self.target, path.as_str());
        match copying::copy((media, &file.path), to, file.content.bytes).await {
            Ok(_) => {}
            Err(CopyError::Gone(_)) => return Ok(false),
            Err(CopyError::Source(error)) => return Err(BackupError::ReadFile(words(error))),
            Err(CopyError::Target(error)) => return Err(BackupError::write(error)),
        }
        self.copied += 1;
        self.copied_bytes += file.content.bytes;
        match copying::content(&self.target, &path).await {
            Ok(content) => Ok(content == file.content),
            Err(media::Error::NotFound | media::Error::Truncated) => Ok(false),
            Err(error @ media::Error::Unavailable(_)) => Err(BackupError::read(error)),
        }
    }
}

/// What a file holds that is in the target, or is copied there; and whether it was copied.
async fn obtain(
    media: Option<&Place>,
    target: &Place,
    stored: Option<u64>,
    file: &NamedFile,
) -> Result<(Content, bool), CopyError> {
    if !netrox_proto::attachment_path::is_valid(&file.path) {
        return Err(CopyError::Gone("is no path of a file".to_owned()));
    }
    let path = manifest::file_path(&file.path);
    if stored == Some(file.bytes) {
        // Of a backup that was cut off.
        let content = copying::content(target, &path).await.map_err(CopyError::Target)?;
        if content.bytes == file.bytes {
            return Ok((content, false));
        }
    }
    let Some(media) = media else { return Err(CopyError::Gone("is missing".to_owned())) };
    let content = copying::copy((media, &file.path), (target, &path), file.bytes).await?;
    Ok((content, true))
}
