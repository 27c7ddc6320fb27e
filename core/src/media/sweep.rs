//! Removes what crashes left in the media directory: files that no message refers to, and the parts of
//! uploads that were cut off.

use futures_util::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use object_store::{ObjectStore, path::Path};
use tokio_util::sync::CancellationToken;

use super::{Media, name};
use crate::{error::Error, store::Store};

/// Files looked up in the database at a time.
const PAGE_FILES: usize = 512;

/// Looks at the files from before `started` only: younger ones may be uploads that are under way.
pub(crate) async fn run(
    media: Media,
    store: Store,
    started: Timestamp,
    cancelled: CancellationToken,
) {
    let swept = tokio::select! {
        swept = sweep(&media, &store, started) => swept,
        () = cancelled.cancelled() => return,
    };
    match swept {
        Ok(0) => {}
        Ok(removed) => tracing::info!(removed, "removed attachments that no message refers to"),
        Err(error) => tracing::warn!(%error, "failed to look for unused attachments"),
    }
}

async fn sweep(media: &Media, store: &Store, started: Timestamp) -> Result<usize, Error> {
    let mut removed = media.remove_staged(started).await;
    let prefix = Path::from(name::PREFIX);
    let mut pages = media
        .store
        .list(Some(&prefix))
        .map_err(super::Error::from)
        .try_filter(|file| {
            let old = file.last_modified.timestamp_micros() < started.as_microsecond();
            std::future::ready(old)
        })
        .map_ok(|file| file.location.to_string())
        .try_chunks(PAGE_FILES);
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| error.1)?;
        let kept = store.find_attachment_paths(&page).await?;
        for path in page.iter().filter(|path| !kept.contains(path)) {
            media.delete(path).await?;
            removed += 1;
        }
    }
    Ok(removed)
}
