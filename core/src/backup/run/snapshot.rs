//! The copy of the database.

use std::{
    fs::{self, File},
    io,
    path::PathBuf,
};

use jiff::Timestamp;
use tokio::task::spawn_blocking;

use super::super::{
    BackupError,
    copying::{self, CopyError},
    manifest::{self, Content},
    place::Place,
    scratch::Scratch,
    unmade,
    verify::unopened,
};
use crate::{
    clock,
    config::MediaLocation,
    lifecycle,
    store::snapshot::{self, Reader},
};

const NAME: &str = "chat.db";

/// A copy of the database.
pub(super) struct Snapshot {
    pub(super) reader: Reader,
    pub(super) made: Timestamp,
    pub(super) file: SnapshotFile,
}

pub(super) struct SnapshotFile {
    pub(super) path: PathBuf,
    /// Where it does not lie in the target.
    scratch: Option<Scratch>,
}

impl Snapshot {
    /// Into the target where it is a directory.
    pub(super) async fn take(
        source: &mut Reader,
        target: &Place,
        name: &str,
    ) -> Result<Self, BackupError> {
        let (path, scratch) = match target.directory() {
            Some(directory) => {
                let path = directory.join(manifest::database_path(name));
                let parent = path.parent().unwrap_or(directory);
                lifecycle::create_dir(parent).map_err(unmade)?;
                (path, None)
            }
            None => {
                let scratch = Scratch::new()?;
                (scratch.path().join(NAME), Some(scratch))
            }
        };
        let failed = |error: io::Error| BackupError::File { path: path.clone(), error };
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        let text = path.to_str().ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?;
        source.copy_to(text).await.map_err(BackupError::Snapshot)?;
        snapshot::leave_out_tickets(&path).await.map_err(BackupError::Snapshot)?;
        let made = Timestamp::from_microsecond(clock::now_micros()).unwrap_or(Timestamp::MAX);
        let reader = Reader::open(&path).await;
        let reader = reader.map_err(|error| BackupError::Source(unopened(&path, error)))?;
        Ok(Self { reader, made, file: SnapshotFile { path, scratch } })
    }
}

impl SnapshotFile {
    /// Makes it durable, in the target. Nobody may have it open.
    pub(super) async fn store(&self, target: &Place, name: &str) -> Result<Content, BackupError> {
        let failed = |error: io::Error| BackupError::File { path: self.path.clone(), error };
        let path = manifest::database_path(name);
        if self.scratch.is_none() {
            let file = self.path.clone();
            let synced = spawn_blocking(move || {
                File::open(&file)?.sync_all()?;
                file.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
            });
            synced.await.map_err(io::Error::other).flatten().map_err(failed)?;
            return copying::content(target, &path).await.map_err(BackupError::read);
        }
        let bytes = self.path.metadata().map_err(failed)?.len();
        let directory = self.path.parent().unwrap_or(&self.path).to_owned();
        let scratch = Place::to_read(&MediaLocation::Directory(directory)).await;
        let scratch = scratch.map_err(BackupError::Read)?;
        copying::copy((&scratch, NAME), (target, &path), bytes).await.map_err(|error| match error {
            CopyError::Gone(why) => failed(io::Error::other(why)),
            CopyError::Source(error) => BackupError::read(error),
            CopyError::Target(error) => BackupError::write(error),
        })
    }
}
