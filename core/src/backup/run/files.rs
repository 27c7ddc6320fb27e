//! The files of messages: those of the target, and how more get there.

use std::collections::HashMap;

use futures_util::{StreamExt as _, stream};

use super::super::{
    BackupError,
    copying::{self, CopyError, FILES_AT_ONCE},
    manifest::{self, BackedUpFile, Content},
    place::{Found, Place},
    words,
};
use crate::{media, store::snapshot::NamedFile};

pub(super) struct Files {
    /// Where the server has them. None where files are not copied, or there are none.
    pub(super) media: Option<Place>,
    /// What files of the target hold.
    pub(super) known: HashMap<String, Content>,
    /// The files of the target.
    pub(super) stored: HashMap<String, Found>,
    pub(super) copied: usize,
    pub(super) copied_bytes: u64,
}

/// A file that was not there to be copied, and why.
pub(super) struct Gone {
    pub(super) path: String,
    pub(super) why: String,
}

impl Files {
    /// Copies those that are not there yet; gives those that were not there to be copied.
    pub(super) async fn copy(
        &mut self,
        target: &Place,
        files: Vec<NamedFile>,
    ) -> Result<Vec<Gone>, BackupError> {
        let wanted = files.into_iter().filter(|file| {
            let is_there =
                self.stored.get(&file.path).is_some_and(|found| found.bytes == file.bytes);
            !is_there || !self.known.contains_key(&file.path)
        });
        let wanted: Vec<_> = wanted.collect();
        let (media, stored) = (self.media.as_ref(), &self.stored);
        let mut done = stream::iter(wanted)
            .map(|file| async move {
                let stored = stored.get(&file.path).map(|found| found.bytes);
                let got = obtain(media, target, stored, &file).await;
                (file, got)
            })
            .buffer_unordered(FILES_AT_ONCE);
        let (mut gone, mut got) = (Vec::new(), Vec::new());
        while let Some((file, result)) = done.next().await {
            match result {
                Ok((content, is_new)) => got.push((file, content, is_new)),
                Err(CopyError::Gone(why)) => gone.push(Gone { path: file.path, why }),
                Err(CopyError::Source(error)) => return Err(BackupError::ReadFile(words(error))),
                Err(CopyError::Target(error)) => return Err(BackupError::write(error)),
            }
        }
        drop(done);
        for (file, content, is_new) in got {
            if is_new {
                self.copied += 1;
                self.copied_bytes += content.bytes;
                self.stored
                    .insert(file.path.clone(), Found { bytes: content.bytes, is_old: false });
            }
            self.known.insert(file.path, content);
        }
        Ok(gone)
    }

    /// Copies a file anew, if the server has it as it was. All backups of the target have it then.
    pub(super) async fn mend(
        &mut self,
        target: &Place,
        file: &BackedUpFile,
    ) -> Result<bool, BackupError> {
        let Some(media) = &self.media else { return Ok(false) };
        match copying::content(media, &file.path).await {
            Ok(content) if content == file.content => {}
            Ok(_) | Err(media::Error::NotFound | media::Error::Truncated) => return Ok(false),
            Err(media::Error::Unavailable(error)) => return Err(BackupError::ReadFile(error)),
        }
        let path = manifest::file_path(&file.path);
        let to = (target, path.as_str());
        match copying::copy((media, &file.path), to, file.content.bytes).await {
            Ok(_) => {}
            Err(CopyError::Gone(_)) => return Ok(false),
            Err(CopyError::Source(error)) => return Err(BackupError::ReadFile(words(error))),
            Err(CopyError::Target(error)) => return Err(BackupError::write(error)),
        }
        self.copied += 1;
        self.copied_bytes += file.content.bytes;
        match copying::content(target, &path).await {
            Ok(content) => Ok(content == file.content),
            Err(media::Error::NotFound | media::Error::Truncated) => Ok(false),
            Err(error @ media::Error::Unavailable(_)) => Err(BackupError::read(error)),
        }
    }
}

/// What a file holds that is in the target, or is copied there; and whether it was copied.
async fn obtain(
    media: Option<&Place>,
    target: &Place,
    stored: Option<u64>,
    file: &NamedFile,
) -> Result<(Content, bool), CopyError> {
    if !netrox_proto::attachment_path::is_valid(&file.path) {
        return Err(CopyError::Gone("is no path of a file".to_owned()));
    }
    let path = manifest::file_path(&file.path);
    if stored == Some(file.bytes) {
        // Of a backup that was cut off.
        let content = copying::content(target, &path).await.map_err(CopyError::Target)?;
        if content.bytes == file.bytes {
            return Ok((content, false));
        }
    }
    let Some(media) = media else { return Err(CopyError::Gone("is missing".to_owned())) };
    let content = copying::copy((media, &file.path), (target, &path), file.bytes).await?;
    Ok((content, true))
}
