//! Removes files of uploads that were cut off, as far as it is certain that no message refers to them, and files of messages
//! that were deleted or removed.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::draft;
use crate::{
    committer::{Committer, EndUpload},
    config::MediaLocation,
    media::{Claim, Media},
    store::{self, Store, upload::ERASED_AT_A_TIME},
};

/// How often is looked for what a core left behind, and for what could not be removed.
const CLEANING_INTERVAL: Duration = Duration::from_secs(10 * 60);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// How often a start looks for what tells whose a directory is: on a busy disk a read may come too late.
const LOOKS: usize = 3;
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct Cleaner {
    pub(crate) store: Store,
    pub(crate) media: Media,
    pub(crate) committer: Committer,
    /// Of a directory in which nothing may be named: nobody else may clean it meanwhile.
    pub(crate) held: Option<Claim>,
}

impl Cleaner {
    /// Of a core that is alone with its database, before it takes an upload: claims its directory of files, and gives those that
    /// are to be removed. Where the database may be a copy whose original has finished these uploads since, they are
    /// forgotten, and stay. Where that could not be found out, nothing is removed or forgotten before the next start.
    pub(crate) async fn claim(
        &mut self,
        media: &MediaLocation,
        cut_off: Vec<String>,
    ) -> (Vec<String>, Option<Arc<Claim>>) {
        let claimed = match media {
            MediaLocation::Directory(directory) => Claim::take(directory)
                .map_err(|error| format!("{} cannot be claimed: {error}", directory.display())),
            // What was cut off is no file there, but where the last moment was hit.
            MediaLocation::S3(_) => Err("a bucket does not tell who uses it".to_owned()),
        };
        let (claim, doubt) = match claimed {
            Ok(claim) => match self.doubt(&claim).await {
                Ok(doubt) => (Some(Arc::new(claim)), doubt),
                Err(_) if cut_off.is_empty() => (Some(Arc::new(claim)), None),
                Err(error) => {
                    let count = cut_off.len();
                    tracing::warn!(count, %error, "files of uploads that were cut off are not removed now");
                    // As long as one is noted, nothing may be named that this database knows.
                    self.held = Some(claim);
                    return (Vec::new(), None);
                }
            },
            Err(doubt) => (None, Some(doubt)),
        };
        let Some(doubt) = doubt.filter(|_| !cut_off.is_empty()) else { return (cut_off, claim) };
        tracing::warn!(
            count = cut_off.len(),
            reason = doubt,
            "files of uploads that were cut off are not removed"
        );
        for path in cut_off {
            if !self.forget(path).await {
                // As long as one is noted, nothing may be named that this database knows.
                return (Vec::new(), None);
            }
        }
        (Vec::new(), claim)
    }

    /// Why messages that this database does not have may refer to files in its directory.
    async fn doubt(&self, claim: &Claim) -> Result<Option<String>, store::Error> {
        let last = match claim.last_file() {
            Ok(last) if last.is_empty() => return Ok(None),
            Ok(last) => last,
            Err(error) => return Ok(Some(error.to_string())),
        };
        let mut found = self.store.find_attachment(&last).await;
        for _ in 1..LOOKS {
            if found.is_ok() {
                break;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
            found = self.store.find_attachment(&last).await;
        }
        // One whose message was removed is known as long as no newer one was.
        let is_of_another = found?.is_none() && !self.store.is_removed_file(&last).await?;
        Ok(is_of_another.then(|| "the last file in it is not of this database".to_owned()))
    }

    async fn forget(&self, path: String) -> bool {
        match self.committer.submit(EndUpload(path)) {
            Ok(pending) => pending.answer().await.is_ok(),
            Err(_) => false,
        }
    }

    /// Removes those found at the start; where other cores may leave some behind, also later ones. And what is erased, when it
    /// is, and again until it is gone.
    pub(crate) async fn run(self, found: Vec<String>, stop: CancellationToken) {
        self.remove_cut_off(found, &stop).await;
        self.erase(&stop).await;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.committer.erased() => self.erase(&stop).await,
                () = tokio::time::sleep(CLEANING_INTERVAL) => {
                    self.erase(&stop).await;
                    if self.store.cluster().is_none() {
                        continue;
                    }
                    match self.store.list_cut_off_uploads().await {
                        Ok(found) => self.remove_cut_off(found, &stop).await,
                        Err(error) => tracing::debug!(%error, "cannot list uploads that were cut off"),
                    }
                }
            }
        }
    }

    async fn remove_cut_off(&self, paths: Vec<String>, stop: &CancellationToken) {
        if !paths.is_empty() {
            tracing::info!(count = paths.len(), "removing files of uploads that were cut off");
        }
        self.remove_all(paths, stop).await;
    }

    /// A note of an erased file is of the transaction that deleted or removed its message: whichever history has it, the file
    /// goes. As many as there are, each once: one that cannot be removed now holds up none.
    async fn erase(&self, stop: &CancellationToken) {
        let mut last = String::new();
        loop {
            let paths = match self.store.list_erased_files(&last).await {
                Ok(paths) => paths,
                Err(error) => {
                    tracing::debug!(%error, "cannot list files of deleted messages");
                    return;
                }
            };
            let is_all = paths.len() < ERASED_AT_A_TIME;
            let Some(next) = paths.last().cloned() else { return };
            self.remove_all(paths, stop).await;
            if is_all || stop.is_cancelled() {
                return;
            }
            last = next;
        }
    }

    /// What is left at the end of the process is noted for the next start. Of many each is followed by a pause as long as it took:
    /// that it is gone is a commit, for which senders wait.
    async fn remove_all(&self, paths: Vec<String>, stop: &CancellationToken) {
        let are_many = paths.len() > 1;
        for path in paths {
            if stop.is_cancelled() {
                return;
            }
            let began = Instant::now();
            draft::remove(self.media.clone(), self.committer.clone(), path, None).await;
            if are_many {
                tokio::time::sleep(began.elapsed().min(LONGEST_PAUSE)).await;
            }
        }
    }
}
