//! Attachment bytes, in a directory or a bucket; their metadata is in the database.
//!
//! A file is noted in the database before it is begun, and durable before the message that refers to it
//! is committed: a crash can only leave a file that is noted, which the next start removes.

use std::{io, ops::Range, path::Path as FilePath, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    GetOptions, GetRange, ObjectStore, ObjectStoreExt, local::LocalFileSystem, path::Path,
};
use tokio::time::timeout;

mod failure;
pub(crate) mod name;
mod s3;
mod upload;

pub use self::failure::StoreError;
pub(crate) use self::upload::{Finished, Upload};
use crate::config::S3Url;

/// What is gathered before it is written to a local file.
const LOCAL_PART_BYTES: usize = 256 * 1024;
/// From asking for a file to its first byte; less than what callers wait for.
const READ_TIMEOUT: Duration = Duration::from_secs(4);
/// What a download yields at a time, at most.
const CHUNK_BYTES: usize = 64 * 1024;
/// What the object store appends to the name of a file until it is finished.
const STAGED_SUFFIX: &str = "#1";

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("no such file")]
    NotFound,
    #[error("the file is shorter than it was")]
    Truncated,
    #[error("{0}")]
    Unavailable(StoreError),
}

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Self {
        let is_missing = matches!(error, object_store::Error::NotFound { .. });
        let error = StoreError::from(error);
        if is_missing && !error.is_missing_bucket() {
            return Self::NotFound;
        }
        Self::Unavailable(error)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Media {
    store: Arc<dyn ObjectStore>,
    part_bytes: usize,
    /// Where the files are local.
    directory: Option<Arc<FilePath>>,
}

impl Media {
    /// Keeps files below a directory, which has to exist.
    pub(crate) fn local(directory: &FilePath) -> Result<Self, StoreError> {
        let store = LocalFileSystem::new_with_prefix(directory)?.with_fsync(true);
        let directory = Some(directory.into());
        Ok(Self { store: Arc::new(store), part_bytes: LOCAL_PART_BYTES, directory })
    }

    /// Keeps files in a bucket; fails where it cannot be written and read.
    pub(crate) async fn s3(url: &S3Url) -> Result<Self, StoreError> {
        Ok(Self { store: s3::open(url).await?, part_bytes: s3::PART_BYTES, directory: None })
    }

    /// Begins a file. It appears under its path when it is finished; until then it has to be discarded
    /// where it is given up.
    pub(crate) fn create(&self, path: &str) -> Upload {
        Upload::new(Arc::clone(&self.store), Path::from(path), self.part_bytes)
    }

    /// Gives up a file that was begun, whatever became of it.
    pub(crate) async fn discard(&self, path: &str, mut upload: Upload) -> Result<(), Error> {
        let aborted = upload.abort().await;
        self.remove(path).await?;
        // Of a local file nothing else is left.
        if self.directory.is_some() { Ok(()) } else { aborted }
    }

    /// The bytes of a range that lies within the file.
    pub(crate) async fn read(
        &self,
        path: &str,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        let bounded = Some(GetRange::Bounded(range.clone()));
        let options = GetOptions { range: bounded, ..GetOptions::default() };
        let path = Path::from(path);
        let file = timeout(READ_TIMEOUT, self.store.get_opts(&path, options)).await;
        let file = file.map_err(|_| {
            Error::Unavailable(StoreError::new("the media store did not answer in time"))
        })??;
        if file.range != range {
            return Err(Error::Truncated);
        }
        let chunks = file.into_stream().map(not_empty).map_ok(|mut bytes: Bytes| {
            let mut chunks = Vec::new();
            while bytes.len() > CHUNK_BYTES {
                chunks.push(Ok(bytes.split_to(CHUNK_BYTES)));
            }
            chunks.push(Ok(bytes));
            futures_util::stream::iter(chunks)
        });
        Ok(chunks.try_flatten().boxed())
    }

    /// Removes a file, and what was written of it before it was finished.
    pub(crate) async fn remove(&self, path: &str) -> Result<(), Error> {
        if let Some(directory) = &self.directory {
            let staged = directory.join(format!("{path}{STAGED_SUFFIX}"));
            let removed = tokio::task::spawn_blocking(move || std::fs::remove_file(staged)).await;
            if let Ok(Err(error)) = removed
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(Error::Unavailable(StoreError::new(error.to_string())));
            }
        }
        match self.store.delete(&Path::from(path)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// A file that shrinks while it is read would yield nothing for ever.
fn not_empty(chunk: object_store::Result<Bytes>) -> Result<Bytes, Error> {
    match chunk {
        Ok(bytes) if bytes.is_empty() => Err(Error::Truncated),
        other => Ok(other?),
    }
}
