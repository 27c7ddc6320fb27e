//! The files of messages, between where the servers have them and a directory beside lines.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader},
    path::Path,
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use netrox_proto::attachment_path;

use super::{TransferError, blocking};
use crate::{
    backup::{
        copying::{self, CopyError, FILES_AT_ONCE},
        place::Place,
    },
    config::MediaLocation,
    lifecycle,
    lines::{LINES_FILE, MessageLine},
    media,
};

/// Lines that are read at a time.
const BATCH_LINES: usize = 1_000;
/// Only lines that have it can name a file.
const HAS_FILE: &str = "\"attachment\":";

/// What was copied.
#[derive(Debug, Default)]
pub(super) struct Copied {
    pub(super) files: u64,
    pub(super) missing: Vec<String>,
}

/// None of a directory that is not there: a new chat has none.
pub(super) async fn to_read(media: &MediaLocation) -> Result<Option<Place>, TransferError> {
    match media {
        MediaLocation::Directory(path) if !path.is_dir() => return Ok(None),
        MediaLocation::Directory(_) | MediaLocation::S3(_) => {}
    }
    let place = Place::to_read(media).await;
    place.map(Some).map_err(|error| TransferError::Media { location: media.clone(), error })
}

/// A directory is made where it is missing.
pub(super) async fn to_write(media: &MediaLocation) -> Result<Place, TransferError> {
    if let MediaLocation::Directory(path) = media {
        lifecycle::create_dir(path).map_err(TransferError::Open)?;
    }
    let place = Place::to_write(media).await;
    place.map_err(|error| TransferError::Media { location: media.clone(), error })
}

/// A directory that was given on the command line.
pub(super) async fn beside(directory: &Path) -> Result<Place, TransferError> {
    let place = Place::to_write(&MediaLocation::Directory(directory.to_owned())).await;
    place.map_err(|error| TransferError::Path {
        path: directory.to_owned(),
        reason: error.to_string(),
    })
}

/// Copies what the lines of a directory name beside them.
pub(super) async fn copy_out(
    media: Option<&Place>,
    directory: &Path,
    mut progress: impl FnMut(u64),
) -> Result<Copied, TransferError> {
    let target = beside(directory).await?;
    let path = directory.join(LINES_FILE);
    let opened = path.clone();
    let file = blocking(move || File::open(opened)).await;
    let mut reader = BufReader::new(file.map_err(TransferError::file(path.clone()))?);
    let mut copied = Copied::default();
    loop {
        let read = blocking(move || named_files(reader)).await;
        let (next, files, is_last) = read.map_err(TransferError::file(path.clone()))?;
        reader = next;
        let mut copies = stream::iter(files)
            .map(|(file, bytes)| {
                let (media, target) = (media.cloned(), target.clone());
                async move {
                    let copied = copy(media.as_ref(), &target, &file, bytes).await;
                    (file, copied)
                }
            })
            .buffer_unordered(FILES_AT_ONCE);
        while let Some((file, result)) = copies.next().await {
            if result? {
                copied.files += 1;
                progress(copied.files);
            } else {
                copied.missing.push(file);
            }
        }
        drop(copies);
        if is_last {
            return Ok(copied);
        }
    }
}

type Read = (BufReader<File>, Vec<(String, u64)>, bool);

/// Of some of the lines, and whether they are the last. The lines are ours.
fn named_files(mut reader: BufReader<File>) -> io::Result<Read> {
    let (mut files, mut line) = (Vec::new(), String::new());
    for _ in 0..BATCH_LINES {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok((reader, files, true));
        }
        if !line.contains(HAS_FILE) {
            continue;
        }
        let Ok(message) = serde_json::from_str::<MessageLine>(&line) else { continue };
        if let Some(file) = message.attachment.filter(|_| !message.deleted) {
            files.push((file.path, file.size.unsigned_abs()));
        }
    }
    Ok((reader, files, false))
}

/// Gives whether it was there to be copied.
pub(super) async fn copy(
    media: Option<&Place>,
    target: &Place,
    path: &str,
    bytes: u64,
) -> Result<bool, TransferError> {
    let Some(media) = media.filter(|_| attachment_path::is_valid(path)) else { return Ok(false) };
    match copying::copy((media, path), (target, path), bytes).await {
        Ok(_) => Ok(true),
        Err(CopyError::Gone(_)) => Ok(false),
        Err(CopyError::Source(error) | CopyError::Target(error)) => Err(failed(path, error)),
    }
}

/// Has a file be where servers look for it, and gives whether it is new there, or why it cannot be. Of a trial whether it could be
/// brought: nothing is copied.
pub(super) async fn bring(
    source: &Place,
    media: Option<&Place>,
    path: &str,
    bytes: u64,
    is_trial: bool,
) -> Result<Result<bool, String>, TransferError> {
    if let Some(media) = media
        && has(media, path, bytes).await?
    {
        return Ok(Ok(false));
    }
    if !is_plain(source, path).await {
        return Ok(Err(format!("its file {path:?} is missing, or no file by itself")));
    }
    let Some(media) = media.filter(|_| !is_trial) else {
        let gone = || format!("its file {path:?} is missing, or has another length");
        return Ok(if has(source, path, bytes).await? { Ok(false) } else { Err(gone()) });
    };
    match copying::copy((source, path), (media, path), bytes).await {
        Ok(_) => Ok(Ok(true)),
        Err(CopyError::Gone(why)) => Ok(Err(format!("its file {path:?} {why}"))),
        Err(CopyError::Source(error) | CopyError::Target(error)) => Err(failed(path, error)),
    }
}

/// How many bytes a file has, and what it is by its beginning; none where there is none by itself.
pub(super) async fn look(
    source: &Place,
    path: &str,
) -> Result<Option<(i64, &'static str)>, TransferError> {
    if !is_plain(source, path).await {
        return Ok(None);
    }
    let looked = async {
        let mut opened = source.open(path).await?;
        let mut head = Vec::new();
        while head.len() < media::SNIFF_BYTES
            && let Some(chunk) = opened.content.try_next().await?
        {
            head.extend_from_slice(&chunk);
        }
        head.truncate(media::SNIFF_BYTES);
        Ok::<_, media::Error>((opened.bytes, media::media_type(&head)))
    };
    match looked.await {
        Ok((bytes, kind)) => Ok(i64::try_from(bytes).ok().map(|bytes| (bytes, kind))),
        Err(media::Error::NotFound | media::Error::Truncated) => Ok(None),
        Err(error @ media::Error::Unavailable(_)) => Err(failed(path, error)),
    }
}

/// Of a length.
pub(super) async fn has(place: &Place, path: &str, bytes: u64) -> Result<bool, TransferError> {
    match place.length(path).await {
        Ok(length) => Ok(length == bytes),
        Err(media::Error::NotFound | media::Error::Truncated) => Ok(false),
        Err(error @ media::Error::Unavailable(_)) => Err(failed(path, error)),
    }
}

/// A link beside lines could lead to anything that whoever imports them may read.
async fn is_plain(source: &Place, path: &str) -> bool {
    let Some(directory) = source.directory() else { return true };
    let file = directory.join(path);
    blocking(move || Ok(file.canonicalize()? == file && file.metadata()?.is_file()))
        .await
        .unwrap_or(false)
}

fn failed(path: &str, error: media::Error) -> TransferError {
    TransferError::File { path: path.into(), error: io::Error::other(error) }
}
