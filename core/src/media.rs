//! Attachment bytes, in an object store; their metadata is in the database.
//!
//! A file is durable before the message that refers to it is committed, so a crash can only leave a
//! file without a message, which [`sweep`] removes.

use std::{path::Path as FilePath, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use jiff::Timestamp;
use object_store::{
    GetOptions, GetRange, MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload,
    local::LocalFileSystem, path::Path,
};

pub(crate) mod name;
pub(crate) mod sweep;

/// What is gathered before it is written.
const PART_BYTES: usize = 256 * 1024;
/// How much of the beginning is looked at to tell the media type.
const SNIFF_BYTES: usize = 8 * 1024;
const UNKNOWN_TYPE: &str = "application/octet-stream";
/// What a download yields at a time, at most.
const CHUNK_BYTES: usize = 64 * 1024;
/// Separates the name of a file from the number of the upload that writes it.
const STAGED_MARK: u8 = b'#';

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("no such file")]
    NotFound,
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
        range: std::ops::Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
        let file = self.store.get_opts(&Path::from(path), options).await?;
        let chunks = file.into_stream().map_err(Error::from).map_ok(|mut bytes: Bytes| {
            let mut chunks = Vec::new();
            while bytes.len() > CHUNK_BYTES {
                chunks.push(Ok(bytes.split_to(CHUNK_BYTES)));
            }
            chunks.push(Ok(bytes));
            futures_util::stream::iter(chunks)
        });
        Ok(chunks.try_flatten().boxed())
    }

    /// Removes the parts of uploads that were cut off before `started`, which the object store does not list.
    async fn remove_staged(&self, started: Timestamp) -> usize {
        let attachments = self.directory.join(name::PREFIX);
        let removed = tokio::task::spawn_blocking(move || {
            walkdir::WalkDir::new(attachments)
                .into_iter()
                .filter_map(Result::ok)
                .filter(|entry| entry.file_type().is_file())
                .filter(|entry| entry.file_name().as_encoded_bytes().contains(&STAGED_MARK))
                .filter(|entry| modified(entry).is_some_and(|modified| modified < started))
                .filter(|entry| std::fs::remove_file(entry.path()).is_ok())
                .count()
        });
        removed.await.unwrap_or(0)
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<(), Error> {
        Ok(self.store.delete(&Path::from(path)).await?)
    }
}

fn modified(entry: &walkdir::DirEntry) -> Option<Timestamp> {
    Timestamp::try_from(entry.metadata().ok()?.modified().ok()?).ok()
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
