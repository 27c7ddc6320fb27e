//! The file of rows: one list of JSON, a row a line.

use std::{fs::File, io::Write as _, path::PathBuf};

use super::row::Row;
use crate::transfer::{TransferError, blocking, export};

pub(super) struct Fixture {
    path: PathBuf,
    file: File,
    /// Rows that are to be written.
    text: Vec<u8>,
    is_empty: bool,
}

impl Fixture {
    pub(super) async fn create(path: PathBuf) -> Result<Self, TransferError> {
        let of = path.clone();
        let file = blocking(move || export::create(&of)).await;
        let file = file.map_err(TransferError::file(path.clone()))?;
        Ok(Self { path, file, text: b"[".to_vec(), is_empty: true })
    }

    /// `row`: as it was made, if it could be.
    pub(super) fn add(&mut self, row: serde_json::Result<Row<'_>>) -> Result<(), TransferError> {
        self.text.extend_from_slice(if self.is_empty { b"\n" } else { b",\n" });
        self.is_empty = false;
        let added = row.and_then(|row| serde_json::to_writer(&mut self.text, &row));
        added.map_err(|error| TransferError::file(self.path.clone())(error.into()))
    }

    /// What was added is in the file then.
    pub(super) async fn flush(&mut self) -> Result<(), TransferError> {
        let text = std::mem::take(&mut self.text);
        let written = async {
            let mut file = self.file.try_clone()?;
            blocking(move || file.write_all(&text)).await
        };
        written.await.map_err(TransferError::file(self.path.clone()))
    }

    pub(super) async fn finish(mut self) -> Result<(), TransferError> {
        self.text.extend_from_slice(b"\n]\n");
        self.flush().await?;
        let Self { file, path, .. } = self;
        blocking(move || file.sync_all()).await.map_err(TransferError::file(path))
    }
}
