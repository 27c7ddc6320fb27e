//! How far users got, as it follows from which messages they have seen: up to where they have seen all of them. Beyond it, what
//! they have seen is noted with each message alone.

use super::take::Run;
use crate::{store::transfer::PAGE_ROWS, transfer::TransferError};

impl Run {
    /// Of the threads in which something was stored or changed.
    pub(super) async fn marks(&mut self) -> Result<(), TransferError> {
        match self.threads.take() {
            Some(touched) => {
                let touched: Vec<_> = touched.into_iter().collect();
                for threads in touched.chunks(PAGE_ROWS) {
                    self.marks_of(threads.to_vec()).await?;
                }
            }
            None => {
                let mut after = 0;
                loop {
                    let page = self.intake.thread_ids(&mut after).await;
                    let threads = page.map_err(TransferError::Read)?;
                    if threads.is_empty() {
                        break;
                    }
                    self.marks_of(threads).await?;
                }
            }
        }
        Ok(())
    }

    async fn marks_of(&mut self, threads: Vec<i64>) -> Result<(), TransferError> {
        let lines = self.intake.seen_marks(threads).await.map_err(TransferError::Read)?;
        if lines.is_empty() {
            return Ok(());
        }
        let has_news = !self.intake.has_renewed() && {
            let news = self.intake.has_newer_marks(&lines).await;
            news.map_err(TransferError::Read)?
        };
        self.open(has_news, lines.len()).await?;
        let mut lines = lines.into_iter();
        loop {
            let page: Vec<_> = lines.by_ref().take(PAGE_ROWS).collect();
            if page.is_empty() {
                break;
            }
            let taken = self.intake.marks(page).await.map_err(TransferError::Write)?;
            self.report.marks += taken.stored;
        }
        self.commit_when_long().await
    }
}
