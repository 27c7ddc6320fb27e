//! A file from its note in the database to the message that refers to it. Whatever comes in between, nothing
//! is left of one without a message: it is removed when the draft is dropped, or at the next start.

use std::time::Duration;

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::Attachments;
use crate::{
    committer::{Committer, Write},
    error::Error,
    media::{Finished, Media, Upload},
    store::Store,
};

pub(super) struct Draft {
    media: Media,
    committer: Committer,
    tasks: TaskTracker,
    path: String,
    upload: Option<Upload>,
    kept: bool,
}

impl Draft {
    pub(super) async fn begin(service: &Attachments, path: String) -> Result<Self, Error> {
        let mut draft = Self {
            media: service.media.clone(),
            committer: service.committer.clone(),
            tasks: service.tasks.clone(),
            path,
            upload: None,
            kept: false,
        };
        let noted = Write::BeginUpload(draft.path.clone());
        draft.committer.submit(noted)?.answer().await?;
        draft.upload = Some(draft.media.create(&draft.path));
        Ok(draft)
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn size(&self) -> u64 {
        self.upload.as_ref().map_or(0, Upload::size)
    }

    pub(super) async fn write(&mut self, chunk: &[u8]) -> Result<(), Error> {
        let upload = self.upload.as_mut().ok_or(Error::Internal)?;
        Ok(upload.write(chunk).await?)
    }

    /// Durable when it returns.
    pub(super) async fn finish(&mut self) -> Result<Finished, Error> {
        let upload = self.upload.as_mut().ok_or(Error::Internal)?;
        Ok(upload.finish().await?)
    }

    /// A message refers to the file now, or may do so: then the next start finds out.
    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.kept {
            let (upload, path) = (self.upload.take(), std::mem::take(&mut self.path));
            self.tasks.spawn(remove(self.media.clone(), self.committer.clone(), path, upload));
        }
    }
}

/// How often cores that share a database look for what one of them left behind.
const CLEANING_INTERVAL: Duration = Duration::from_secs(10 * 60);

/// Removes files of uploads that were cut off.
pub(crate) struct Cleaner {
    pub(crate) store: Store,
    pub(crate) media: Media,
    pub(crate) committer: Committer,
}

impl Cleaner {
    /// Those found at the start; where other cores may leave some behind, also later ones.
    pub(crate) async fn run(self, found: Vec<String>, stop: CancellationToken) {
        self.remove_all(found).await;
        while self.store.cluster().is_some() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(CLEANING_INTERVAL) => {}
            }
            match self.store.list_cut_off_uploads().await {
                Ok(found) => self.remove_all(found).await,
                Err(error) => tracing::debug!(%error, "cannot list uploads that were cut off"),
            }
        }
    }

    async fn remove_all(&self, paths: Vec<String>) {
        if !paths.is_empty() {
            tracing::info!(count = paths.len(), "removing files of uploads that were cut off");
        }
        for path in paths {
            remove(self.media.clone(), self.committer.clone(), path, None).await;
        }
    }
}

/// The file first: what is still noted is tried again at the next start.
async fn remove(media: Media, committer: Committer, path: String, upload: Option<Upload>) {
    let removed = match upload {
        Some(upload) => media.discard(&path, upload).await,
        None => media.remove(&path).await,
    };
    if let Err(error) = removed {
        tracing::warn!(path, %error, "failed to remove a file without a message");
        return;
    }
    if let Ok(pending) = committer.submit(Write::EndUpload(path)) {
        // Its failure leaves a note without a file, which does no harm.
        let _ = pending.answer().await;
    }
}
