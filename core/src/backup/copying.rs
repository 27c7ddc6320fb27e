//! Files on their way from one place to another.

use std::fmt::Write as _;

use futures_util::TryStreamExt as _;
use sha2::{Digest as _, Sha256};

use super::{manifest::Content, place::Place};
use crate::media::{Error, Upload};

/// Each file waits for its disk or its server.
pub(crate) const FILES_AT_ONCE: usize = 8;

/// Why a file was not copied.
#[derive(Debug)]
pub(crate) enum CopyError {
    /// There is none, or another length of it.
    Gone(String),
    Source(Error),
    Target(Error),
}

/// Copies a file, which is to have so many bytes. It is durable under its path when it returns, or not there.
pub(crate) async fn copy(
    (source, from): (&Place, &str),
    (target, to): (&Place, &str),
    bytes: u64,
) -> Result<Content, CopyError> {
    let opened = source.open(from).await.map_err(of_source)?;
    if opened.bytes != bytes {
        return Err(CopyError::Gone(format!("has {} bytes of {bytes}", opened.bytes)));
    }
    let mut upload = target.create(to);
    let copied = transfer(opened.content, &mut upload, bytes).await;
    if copied.is_err() {
        // What stays is removed by the next.
        let _ = upload.abort().await;
    }
    copied
}

async fn transfer(
    mut content: impl futures_util::Stream<Item = Result<bytes::Bytes, Error>> + Unpin,
    upload: &mut Upload,
    bytes: u64,
) -> Result<Content, CopyError> {
    let mut hash = Sha256::new();
    while let Some(chunk) = content.try_next().await.map_err(of_source)? {
        hash.update(&chunk);
        upload.write(&chunk).await.map_err(CopyError::Target)?;
    }
    if upload.size() != bytes {
        return Err(CopyError::Gone(format!("has {} bytes of {bytes}", upload.size())));
    }
    upload.finish().await.map_err(CopyError::Target)?;
    Ok(Content { bytes, sha256: hexadecimal(hash) })
}

fn of_source(error: Error) -> CopyError {
    match error {
        Error::NotFound => CopyError::Gone("is missing".to_owned()),
        Error::Truncated => CopyError::Gone("is shorter than it was".to_owned()),
        Error::Unavailable(_) => CopyError::Source(error),
    }
}

/// What a file holds.
pub(crate) async fn content(place: &Place, path: &str) -> Result<Content, Error> {
    let mut opened = place.open(path).await?;
    let mut hash = Sha256::new();
    let mut bytes = 0;
    while let Some(chunk) = opened.content.try_next().await? {
        hash.update(&chunk);
        bytes += chunk.len() as u64;
    }
    Ok(Content { bytes, sha256: hexadecimal(hash) })
}

fn hexadecimal(hash: Sha256) -> String {
    hash.finalize().iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}
