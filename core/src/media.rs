//! Attachment bytes, in a directory or a bucket; their metadata is in the database.
//!
//! A file is noted in the database before it is begun, and durable before the message that refers to it
//! is committed: a crash can only leave a file that is noted, which a later start removes where it may.

use std::{
    fs::{self, File},
    io,
    ops::Range,
    os::unix::fs::FileExt as _,
    path::Path as FilePath,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{
    Stream, StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use object_store::{
    GetOptions, GetRange, GetResult, GetResultPayload, ObjectStore, ObjectStoreExt,
    local::LocalFileSystem, path::Path,
};
use tokio::{sync::Notify, time::timeout};

mod claim;
mod credentials;
mod examine;
mod failure;
mod kind;
pub(crate) mod name;
pub(crate) mod s3;
mod trial;
mod upload;
mod watch;

pub(crate) use self::claim::Claim;
pub use self::failure::StoreError;
pub(crate) use self::{
    examine::{examine_bucket, examine_directory},
    kind::{SNIFF_BYTES, media_type},
    upload::{Finished, Upload},
    watch::watch,
};
use crate::{
    config::S3Url,
    metrics::{Direction, MediaMetrics, MediaOperation},
};

/// What is gathered before it is written to a local file; held for each upload that stalls.
const LOCAL_PART_BYTES: usize = 128 * 1024;
/// From asking for a file to its first byte; less than what callers wait for.
const READ_TIMEOUT: Duration = Duration::from_secs(4);
/// What a download yields at a time, at most. With what gRPC puts around it, it fills a power of two: buffers on
/// its way, which grow by doubling, do not grow beyond it, however long a reader holds it up.
const CHUNK_BYTES: usize = 8 * 1024 - 16;

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
    /// That an upload failed.
    failure: Arc<Notify>,
    metrics: MediaMetrics,
}

impl Media {
    /// Keeps files below a directory, which has to exist.
    pub(crate) fn local(directory: &FilePath) -> Result<Self, StoreError> {
        let store = LocalFileSystem::new_with_prefix(directory)?.with_fsync(true);
        let (store, directory) = (Arc::new(store), Some(directory.into()));
        let (part_bytes, metrics) = (LOCAL_PART_BYTES, MediaMetrics::default());
        Ok(Self { store, part_bytes, directory, failure: Arc::default(), metrics })
    }

    /// Keeps files in a bucket; fails where it cannot be written and read.
    pub(crate) async fn s3(url: &S3Url) -> Result<Self, StoreError> {
        let store = s3::open(url).await?;
        let (part_bytes, directory) = (s3::PART_BYTES, None);
        let metrics = MediaMetrics::default();
        Ok(Self { store, part_bytes, directory, failure: Arc::default(), metrics })
    }

    /// Counted there from then on.
    pub(crate) fn counted(self, metrics: &MediaMetrics) -> Self {
        Self { metrics: metrics.clone(), ..self }
    }

    /// Tries whether a directory takes what an upload writes. One without room does, when there is some; a bucket, which may
    /// be away for a while, is tried when it is opened.
    pub(crate) async fn try_out(&self) -> Result<(), StoreError> {
        let Some(directory) = self.directory.clone() else { return Ok(()) };
        match tokio::task::spawn_blocking(move || trial::run(&directory)).await {
            Ok(tried) => tried.map_err(|error| StoreError::new(error.to_string())),
            Err(error) => Err(StoreError::new(error.to_string())),
        }
    }

    /// To be called where an upload failed.
    pub(crate) fn failed(&self) {
        self.failure.notify_one();
    }

    /// Waits for an upload that fails.
    async fn failure(&self) {
        self.failure.notified().await;
    }

    /// Begins a file. It appears under its path when it is finished; until then it has to be discarded
    /// where it is given up.
    pub(crate) fn create(&self, path: &str) -> Upload {
        Upload::new(Arc::clone(&self.store), Path::from(path), self.part_bytes, &self.metrics)
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
        let answered = async {
            timeout(READ_TIMEOUT, self.get(&path, options)).await.unwrap_or_else(|_| {
                let late = StoreError::new("the media store did not answer in time");
                Err(Error::Unavailable(late))
            })
        };
        let file = self.metrics.measure(MediaOperation::Read, answered).await?;
        if file.range != range {
            return Err(Error::Truncated);
        }
        let metrics = self.metrics.clone();
        let count = move |chunk: &Result<Bytes, Error>| match chunk {
            Ok(chunk) => metrics.moved(Direction::Read, chunk.len()),
            Err(Error::Unavailable(_)) => metrics.failed(MediaOperation::Read),
            Err(Error::NotFound | Error::Truncated) => {}
        };
        if let GetResultPayload::File(file, _) = file.payload {
            return Ok(read_local(file, range).map(not_empty).inspect(count).boxed());
        }
        let chunks = file.into_stream().map_err(Error::from).map(not_empty);
        let chunks = chunks.map_ok(|mut bytes: Bytes| {
            let mut chunks = Vec::new();
            while bytes.len() > CHUNK_BYTES {
                chunks.push(Ok(bytes.split_to(CHUNK_BYTES)));
            }
            chunks.push(Ok(bytes));
            stream::iter(chunks)
        });
        Ok(chunks.try_flatten().inspect(count).boxed())
    }

    async fn get(&self, path: &Path, options: GetOptions) -> Result<GetResult, Error> {
        let range = options.range.clone();
        match self.store.get_opts(path, options).await {
            Ok(file) => Ok(file),
            Err(error @ object_store::Error::NotFound { .. }) => Err(error.into()),
            Err(error) => {
                // Each store has its own words for a range that begins behind the end.
                let Some(GetRange::Bounded(range)) = range else { return Err(error.into()) };
                match self.store.head(path).await {
                    Ok(there) if there.size < range.end => Err(Error::Truncated),
                    _ => Err(error.into()),
                }
            }
        }
    }

    /// Removes a file, and what was written of it before it was finished. That they are gone is durable when it
    /// returns.
    pub(crate) async fn remove(&self, path: &str) -> Result<(), Error> {
        self.metrics.measure(MediaOperation::Remove, self.remove_now(path)).await
    }

    async fn remove_now(&self, path: &str) -> Result<(), Error> {
        let Some(directory) = &self.directory else {
            return match self.store.delete(&Path::from(path)).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(error.into()),
            };
        };
        let file = directory.join(path);
        let removed = tokio::task::spawn_blocking(move || remove_local(&file)).await;
        let unavailable = |error: String| Error::Unavailable(StoreError::new(error));
        removed
            .map_err(|error| unavailable(error.to_string()))?
            .map_err(|error| unavailable(error.to_string()))
    }
}

/// The object store does not sync what it deletes: after a power cut the file would be there again, and its note not.
pub(crate) fn remove_local(file: &FilePath) -> io::Result<()> {
    let remove = |path: &FilePath| match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    };
    remove(file)?;
    // What the object store writes until a file is finished has the first number that is free.
    for number in 1.. {
        let mut staged = file.as_os_str().to_owned();
        staged.push(format!("#{number}"));
        if !remove(FilePath::new(&staged))? {
            break;
        }
    }
    let Some(directory) = file.parent() else { return Ok(()) };
    match File::open(directory) {
        Ok(directory) => directory.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// One chunk after the other, as they are asked for.
fn read_local(
    file: File,
    range: Range<u64>,
) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'static {
    let unavailable = |error: String| Error::Unavailable(StoreError::new(error));
    stream::try_unfold((file, range), move |(file, range)| async move {
        if range.is_empty() {
            return Ok(None);
        }
        let read = tokio::task::spawn_blocking(move || {
            let length = (range.end - range.start).min(CHUNK_BYTES as u64);
            let mut bytes = vec![0; usize::try_from(length).unwrap_or(CHUNK_BYTES)];
            let read = file.read_at(&mut bytes, range.start)?;
            bytes.truncate(read);
            Ok::<_, io::Error>((Bytes::from(bytes), (file, range.start + read as u64..range.end)))
        });
        let read = read.await.map_err(|error| unavailable(error.to_string()))?;
        read.map(Some).map_err(|error| unavailable(error.to_string()))
    })
}

/// A file that shrinks while it is read would yield nothing for ever.
fn not_empty(chunk: Result<Bytes, Error>) -> Result<Bytes, Error> {
    match chunk {
        Ok(bytes) if bytes.is_empty() => Err(Error::Truncated),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_begun_of_a_file_goes_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let media = Media::local(directory.path()).unwrap();
        let names = ["a.txt", "a.txt#1", "a.txt#2", "a.txt0", "b.txt#1"];
        for name in names {
            fs::write(directory.path().join(name), "a").unwrap();
        }
        media.remove("a.txt").await.unwrap();
        let there = names.map(|name| directory.path().join(name).exists());
        assert_eq!(there, [false, false, false, true, true]);
        // Also where nothing is left of it, not even its directory.
        media.remove("a.txt").await.unwrap();
        media.remove("2024/06/17/a.txt").await.unwrap();
    }

    #[tokio::test]
    async fn a_file_is_not_gone_before_its_directory_is_synced() {
        // A file system that cannot sync directories.
        let media = Media::local(FilePath::new("/proc")).unwrap();
        assert!(media.remove("self/no-such-file").await.is_err());
    }

    #[tokio::test]
    async fn a_file_that_is_shorter_than_it_was_is_told_from_a_store_that_fails() {
        let directory = tempfile::tempdir().unwrap();
        let media = Media::local(directory.path()).unwrap();
        fs::write(directory.path().join("a.txt"), "0123456789").unwrap();
        for range in [0..11, 9..11, 10..11, 20..30] {
            let read = media.read("a.txt", range.clone()).await.err();
            assert!(matches!(read, Some(Error::Truncated)), "{range:?}: {read:?}");
        }
        assert!(matches!(media.read("b.txt", 20..30).await.err(), Some(Error::NotFound)));
        let bytes: Vec<Bytes> =
            media.read("a.txt", 2..4).await.unwrap().try_collect().await.unwrap();
        assert_eq!(bytes.concat(), b"23");
    }
}
