//! Looks after a directory of files that has failed, until it takes files again.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Media;

/// How often a directory that failed is tried again.
const INTERVAL: Duration = Duration::from_secs(1);

/// Tries a directory of files out after each upload that failed on it, and tells whether it takes files. Until `draining`.
pub(crate) async fn watch(
    media: Media,
    takes_files: watch::Sender<bool>,
    draining: CancellationToken,
) {
    let watching = async {
        loop {
            media.failure().await;
            let Err(error) = media.try_out().await else { continue };
            tracing::warn!(%error, "the media directory takes no files");
            takes_files.send_replace(false);
            while media.try_out().await.is_err() {
                tokio::time::sleep(INTERVAL).await;
            }
            tracing::info!("the media directory takes files again");
            takes_files.send_replace(true);
        }
    };
    draining.run_until_cancelled(watching).await;
}
