//! A file on its way into the store: in one piece where it is small, else part by part.

use std::sync::Arc;

use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayloadMut, path::Path};

use super::{
    Error, StoreError,
    kind::{self, SNIFF_BYTES},
};
use crate::metrics::{Direction, MediaMetrics, MediaOperation};

/// Allocated at a time of a part.
const BLOCK_BYTES: usize = 64 * 1024;

/// A file that is being written. It holds one part in memory.
pub(crate) struct Upload {
    store: Arc<dyn ObjectStore>,
    path: Path,
    part_bytes: usize,
    /// Since the first part; a file of less than one has none.
    parts: Option<Box<dyn MultipartUpload>>,
    buffer: PutPayloadMut,
    head: Vec<u8>,
    size: u64,
    metrics: MediaMetrics,
}

/// What is known of a file that was written.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) size: u64,
    pub(crate) content_type: &'static str,
}

impl Upload {
    /// `part_bytes` is the size of all parts but the last: stores demand that they are alike.
    pub(crate) fn new(
        store: Arc<dyn ObjectStore>,
        path: Path,
        part_bytes: usize,
        metrics: &MediaMetrics,
    ) -> Self {
        let (parts, head, metrics) = (None, Vec::new(), metrics.clone());
        Self { store, path, part_bytes, parts, buffer: new_buffer(), head, size: 0, metrics }
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) async fn write(&mut self, mut chunk: &[u8]) -> Result<(), Error> {
        let missing = SNIFF_BYTES.saturating_sub(self.head.len());
        self.head.extend_from_slice(&chunk[..missing.min(chunk.len())]);
        self.size += chunk.len() as u64;
        while !chunk.is_empty() {
            let room = self.part_bytes - self.buffer.content_length();
            let (fitting, rest) = chunk.split_at(room.min(chunk.len()));
            self.buffer.extend_from_slice(fitting);
            chunk = rest;
            if self.buffer.content_length() == self.part_bytes {
                self.put_part().await?;
            }
        }
        Ok(())
    }

    async fn put_part(&mut self) -> Result<(), Error> {
        let (metrics, bytes) = (self.metrics.clone(), self.buffer.content_length());
        metrics.measure(MediaOperation::Write, self.put_part_now()).await?;
        metrics.moved(Direction::Written, bytes);
        Ok(())
    }

    async fn put_part_now(&mut self) -> Result<(), Error> {
        if self.parts.is_none() {
            self.parts = Some(self.store.put_multipart(&self.path).await.map_err(failed)?);
        }
        if let Some(parts) = &mut self.parts {
            let part = std::mem::replace(&mut self.buffer, new_buffer());
            parts.put_part(part.freeze()).await.map_err(failed)?;
        }
        Ok(())
    }

    /// The file is durable under its path when it returns. After an error it may be there or not.
    pub(crate) async fn finish(&mut self) -> Result<Finished, Error> {
        if self.parts.is_some() && !self.buffer.is_empty() {
            self.put_part().await?;
        }
        let (metrics, bytes) = (self.metrics.clone(), self.buffer.content_length());
        metrics.measure(MediaOperation::Finish, self.finish_now()).await?;
        metrics.moved(Direction::Written, bytes);
        Ok(Finished { size: self.size, content_type: kind::media_type(&self.head) })
    }

    async fn finish_now(&mut self) -> Result<(), Error> {
        if let Some(parts) = &mut self.parts {
            parts.complete().await.map_err(failed)?;
            self.parts = None;
        } else {
            let whole = std::mem::replace(&mut self.buffer, new_buffer());
            self.store.put(&self.path, whole.freeze()).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Removes the parts of a file that will not be finished.
    pub(crate) async fn abort(&mut self) -> Result<(), Error> {
        match self.parts.take() {
            Some(mut parts) => match parts.abort().await {
                // It may have been completed, unheard.
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(failed(error)),
            },
            None => Ok(()),
        }
    }
}

fn new_buffer() -> PutPayloadMut {
    PutPayloadMut::new().with_block_size(BLOCK_BYTES)
}

/// Where something is written, nothing can be missing but the store itself.
fn failed(error: object_store::Error) -> Error {
    Error::Unavailable(StoreError::from(error))
}
