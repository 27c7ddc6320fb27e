//! A directory or a bucket that backups lie in, or files: read, written, listed.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path as FilePath, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use object_store::{
    GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt as _, local::LocalFileSystem, path::Path,
};
use tokio::task::spawn_blocking;

use crate::{
    clock,
    config::MediaLocation,
    media::{self, Error, StoreError, Upload, s3},
    metrics::MediaMetrics,
};

/// What is written to a local file at a time.
const LOCAL_PART_BYTES: usize = 1024 * 1024;
/// Of what somebody else may be writing into a bucket at the moment: it cannot be locked.
const LONGEST_BACKUP: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Debug, Clone)]
pub(crate) struct Place {
    store: Arc<dyn ObjectStore>,
    part_bytes: usize,
    /// Where it is local.
    directory: Option<PathBuf>,
}

/// A file as it is read.
pub(crate) struct Opened {
    pub(crate) bytes: u64,
    pub(crate) content: BoxStream<'static, Result<Bytes, Error>>,
}

impl Place {
    /// To be read; a directory has to exist.
    pub(crate) async fn to_read(location: &MediaLocation) -> Result<Self, StoreError> {
        match location {
            MediaLocation::Directory(path) => Self::local(path),
            MediaLocation::S3(url) => Ok(Self::bucket(s3::open_to_read(url).await?)),
        }
    }

    /// To be written as well, which a bucket is tried for; a directory has to exist.
    pub(crate) async fn to_write(location: &MediaLocation) -> Result<Self, StoreError> {
        match location {
            MediaLocation::Directory(path) => Self::local(path),
            MediaLocation::S3(url) => Ok(Self::bucket(s3::open(url).await?)),
        }
    }

    fn local(path: &FilePath) -> Result<Self, StoreError> {
        let directory = path.canonicalize().map_err(|error| StoreError::new(error.to_string()))?;
        let store = LocalFileSystem::new_with_prefix(&directory)?.with_fsync(true);
        let store = Arc::new(store);
        Ok(Self { store, part_bytes: LOCAL_PART_BYTES, directory: Some(directory) })
    }

    fn bucket(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, part_bytes: s3::PART_BYTES, directory: None }
    }

    /// Where it is local.
    pub(crate) fn directory(&self) -> Option<&FilePath> {
        self.directory.as_deref()
    }

    pub(crate) async fn open(&self, path: &str) -> Result<Opened, Error> {
        let file = self.store.get_opts(&Path::from(path), GetOptions::default()).await?;
        let bytes = file.meta.size;
        Ok(Opened { bytes, content: file.into_stream().map_err(Error::from).boxed() })
    }

    /// How many bytes a file has, without reading it.
    pub(crate) async fn length(&self, path: &str) -> Result<u64, Error> {
        Ok(self.store.head(&Path::from(path)).await?.size)
    }

    /// The whole of a small file.
    pub(crate) async fn read(&self, path: &str) -> Result<Bytes, Error> {
        let file = self.store.get_opts(&Path::from(path), GetOptions::default()).await?;
        Ok(file.bytes().await?)
    }

    /// Appears under its path, durable, when it is finished.
    pub(crate) fn create(&self, path: &str) -> Upload {
        // Nobody watches the metrics of a backup.
        let metrics = MediaMetrics::default();
        Upload::new(Arc::clone(&self.store), Path::from(path), self.part_bytes, &metrics)
    }

    /// The whole of a small file; durable when it returns.
    pub(crate) async fn write(&self, path: &str, content: Vec<u8>) -> Result<(), Error> {
        let mut upload = self.create(path);
        upload.write(&content).await?;
        match upload.finish().await {
            Ok(_) => Ok(()),
            Err(error) => {
                let _ = upload.abort().await;
                Err(error)
            }
        }
    }

    /// That it is gone is durable when it returns.
    pub(crate) async fn remove(&self, path: &str) -> Result<(), Error> {
        let Some(directory) = &self.directory else {
            return match self.store.delete(&Path::from(path)).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(error.into()),
            };
        };
        let file = directory.join(path);
        blocking(move || media::remove_local(&file)).await
    }

    /// Removes a directory with what is in it; a bucket has none.
    pub(crate) async fn remove_directory(&self, path: &str) -> Result<(), Error> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let directory = directory.join(path);
        blocking(move || match fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        })
        .await
    }

    /// The names of directories in a directory, or what looks like them in a bucket.
    pub(crate) async fn directories_in(&self, path: &str) -> Result<Vec<String>, Error> {
        let listed = self.store.list_with_delimiter(Some(&Path::from(path))).await?;
        let names = listed.common_prefixes.iter();
        Ok(names.filter_map(|path| path.filename().map(str::to_owned)).collect())
    }

    /// What lies below a directory, by its path below it.
    pub(crate) async fn files_below(&self, path: &str) -> Result<HashMap<String, Found>, Error> {
        let directory = Path::from(path);
        let mut listed = self.store.list(Some(&directory));
        let mut found = HashMap::new();
        let now = clock::now_micros();
        while let Some(file) = listed.try_next().await? {
            let Some(parts) = file.location.prefix_match(&directory) else { continue };
            let name = parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/");
            let is_old = self.directory.is_some() || is_older_than_any_backup(&file, now);
            found.insert(name, Found { bytes: file.size, is_old });
        }
        Ok(found)
    }

    /// Removes what writers that were killed left of files below a directory.
    pub(crate) async fn remove_unfinished(&self, path: &str) -> Result<(), Error> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let directory = directory.join(path);
        blocking(move || remove_staged(&directory)).await
    }
}

/// A file that was listed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) bytes: u64,
    /// Whether no backup that may be under way has made it.
    pub(crate) is_old: bool,
}

fn is_older_than_any_backup(file: &ObjectMeta, now_micros: i64) -> bool {
    let age = now_micros.saturating_sub(file.last_modified.timestamp_micros());
    u128::try_from(age).is_ok_and(|age| age > LONGEST_BACKUP.as_micros())
}

async fn blocking(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> Result<(), Error> {
    let done = spawn_blocking(work).await.map_err(io::Error::other).flatten();
    done.map_err(|error| Error::Unavailable(StoreError::new(error.to_string())))
}

/// The object store writes `NAME#NUMBER` until a file is finished.
fn remove_staged(directory: &FilePath) -> io::Result<()> {
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
            } else if is_staged(&entry.file_name().to_string_lossy()) {
                fs::remove_file(entry.path())?;
            }
        }
    }
    Ok(())
}

fn is_staged(name: &str) -> bool {
    name.rsplit_once('#').is_some_and(|(_, number)| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}
