//! Attachment bytes, in an object store; their metadata is in the database.
//!
//! A file is noted in the database before it is begun, and durable before the message that refers to it
//! is committed: a crash can only leave a file that is noted, which the next start removes.

use std::{io, ops::Range, path::Path as FilePath, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    GetOptions, GetRange, MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload,
    local::LocalFileSystem, path::Path,
};

pub(crate) mod name;

/// What is gathered before it is written.
const PART_BYTES: usize = 256 * 1024;
/// How much of the beginning is looked at to tell the media type.
const SNIFF_BYTES: usize = 8 * 1024;
const UNKNOWN_TYPE: &str = "application/octet-stream";
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
    Unavailable(object_store::Error),
}

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::NotFound,
            other => Self::Unavailable(other),
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Media {
    store: Arc<dyn ObjectStore>,
    directory: Arc<FilePath>,
}

impl Media {
    /// Keeps files below a directory, which has to exist.
    pub(crate) fn local(directory: &FilePath) -> Result<Self, object_store::Error> {
        let store = LocalFileSystem::new_with_prefix(directory)?.with_fsync(true);
        Ok(Self { store: Arc::new(store), directory: directory.into() })
    }

    /// Begins a file. It appears under its path when it is finished; dropped before, it leaves nothing.
    pub(crate) async fn create(&self, path: &str) -> Result<Upload, Error> {
        let upload = self.store.put_multipart(&Path::from(path)).await?;
        Ok(Upload { upload, buffer: Vec::new(), head: Vec::new(), size: 0 })
    }

    /// The bytes of a range that lies within the file.
    pub(crate) async fn read(
        &self,
        path: &str,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        let bounded = Some(GetRange::Bounded(range.clone()));
        let options = GetOptions { range: bounded, ..GetOptions::default() };
        let file = self.store.get_opts(&Path::from(path), options).await?;
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
        let staged = self.directory.join(format!("{path}{STAGED_SUFFIX}"));
        let removed = tokio::task::spawn_blocking(move || std::fs::remove_file(staged)).await;
        if let Ok(Err(error)) = removed
            && error.kind() != io::ErrorKind::NotFound
        {
            let source = error.into();
            return Err(object_store::Error::Generic { store: "media", source }.into());
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

/// A file that is being written.
pub(crate) struct Upload {
    upload: Box<dyn MultipartUpload>,
    buffer: Vec<u8>,
    head: Vec<u8>,
    size: u64,
}

/// What is known of a file that was written.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) size: u64,
    pub(crate) content_type: &'static str,
}

impl Upload {
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) async fn write(&mut self, chunk: &[u8]) -> Result<(), Error> {
        let missing = SNIFF_BYTES.saturating_sub(self.head.len());
        self.head.extend_from_slice(&chunk[..missing.min(chunk.len())]);
        self.size += chunk.len() as u64;
        self.buffer.extend_from_slice(chunk);
        if self.buffer.len() >= PART_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Error> {
        let part = std::mem::take(&mut self.buffer);
        Ok(self.upload.put_part(PutPayload::from(part)).await?)
    }

    /// Durable when it returns.
    pub(crate) async fn finish(mut self) -> Result<Finished, Error> {
        if !self.buffer.is_empty() {
            self.flush().await?;
        }
        self.upload.complete().await?;
        let content_type = infer::get(&self.head).map_or(UNKNOWN_TYPE, |kind| kind.mime_type());
        Ok(Finished { size: self.size, content_type })
    }
}
