//! How far users got, as it follows from which messages they have seen: up to where they have seen all of them. Beyond it, what
//! they have seen is noted with each message alone.

use super::take::Run;
use crate::{store::transfer::PAGE_ROWS, transfer::TransferError};

impl Run {
    /// Of all threads, whoever wrote what is there: a pass that was stopped may have left off just before.
    pub(super) async fn marks(&mut self) -> Result<(), TransferError> {
        let mut after = 0;
        loop {
            let page = self.intake.thread_ids(&mut after).await;
            let threads = page.map_err(TransferError::Read)?;
            if threads.is_empty() {
                return Ok(());
            }
            let lines = self.intake.seen_marks(threads).await.map_err(TransferError::Read)?;
            for page in lines.chunks(PAGE_ROWS) {
                let news = self.intake.has_newer_marks(page).await;
                if !news.map_err(TransferError::Read)? {
                    continue;
                }
                self.open(true, page.len()).await?;
                let taken = self.intake.marks(page.to_vec()).await.map_err(TransferError::Write)?;
                self.report.marks += taken.stored;
            }
            self.commit_when_long().await?;
        }
    }
}
