//! A file from its note in the database to the message that refers to it. Whatever comes in between, nothing
//! is left of one without a message: it is removed when the draft is dropped, or at a later start.

use std::time::Duration;

use netrox_proto::request_id::RequestId;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::Attachments;
use crate::{
    committer::{BeginUpload, Committer, EndUpload, Pending, Terms, Verb},
    error::Error,
    media::{Finished, Media, Upload},
};

/// How long an upload waits in all for a database that is away (PROTOCOL section 2).
const LONGEST_WAIT: Duration = Duration::from_secs(5);

pub(super) struct Draft {
    media: Media,
    committer: Committer,
    tasks: TaskTracker,
    path: String,
    upload: Option<Upload>,
    /// What is left of its wait for the database.
    wait: Duration,
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
            wait: service.committer.wait().min(LONGEST_WAIT),
            kept: false,
        };
        let began_at = Instant::now();
        draft.submit(BeginUpload(draft.path.clone()))?.answer().await?;
        draft.wait = draft.wait.saturating_sub(began_at.elapsed());
        draft.upload = Some(draft.media.create(&draft.path));
        Ok(draft)
    }

    /// Queues a write that waits for as long as the upload still may.
    pub(super) fn submit<V: Verb>(&self, verb: V) -> Result<Pending<V>, Error> {
        let terms = Terms {
            age: Duration::ZERO,
            wait: self.wait,
            returns: None,
            request: RequestId::current(),
        };
        self.committer.submit_on(verb, terms)
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn size(&self) -> u64 {
        self.upload.as_ref().map_or(0, Upload::size)
    }

    pub(super) async fn write(&mut self, chunk: &[u8]) -> Result<(), Error> {
        let upload = self.upload.as_mut().ok_or(Error::Internal)?;
        let written = upload.write(chunk).await;
        Ok(written.inspect_err(|_| self.media.failed())?)
    }

    /// Durable when it returns.
    pub(super) async fn finish(&mut self) -> Result<Finished, Error> {
        let upload = self.upload.as_mut().ok_or(Error::Internal)?;
        let finished = upload.finish().await;
        Ok(finished.inspect_err(|_| self.media.failed())?)
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

/// The file first: what is still noted is tried again at the next start.
pub(super) async fn remove(
    media: Media,
    committer: Committer,
    path: String,
    upload: Option<Upload>,
) {
    let removed = match upload {
        Some(upload) => media.discard(&path, upload).await,
        None => media.remove(&path).await,
    };
    if let Err(error) = removed {
        tracing::warn!(path, %error, "failed to remove a file without a message");
        return;
    }
    if let Ok(pending) = committer.submit(EndUpload(path)) {
        // Its failure leaves a note without a file, which does no harm.
        let _ = pending.answer().await;
    }
}
