//! What a backup says of itself. It is written last: a backup without it is not whole.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{BackupError, place::Place};
use crate::media;

/// Of what is written, and read.
const FORMAT: u32 = 1;
/// Below it each backup has a directory of its name.
pub(super) const BACKUPS: &str = "backups";
/// Below it are the files of all backups of a place, by the path that messages have.
pub(super) const FILES: &str = "files";
pub(super) const MANIFEST: &str = "manifest.json";
const DATABASE: &str = "chat.db";
/// `20261129T205602.123456Z`: in the order of time.
const NAME_FORMAT: &str = "%Y%m%dT%H%M%S.%6fZ";

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) format: u32,
    pub(super) name: String,
    /// The version of the program that made it.
    pub(super) program: String,
    /// When the database was copied, or soon after.
    pub(super) made: String,
    pub(super) schema: i64,
    /// Of the database that was copied, by which it is known again. Its backups alone are in a place.
    pub(super) identity: Option<String>,
    pub(super) epoch: Option<String>,
    pub(super) newest_message: i64,
    pub(super) database: Content,
    /// Where files are that were not copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) files_are_in: Option<String>,
    pub(super) files: Vec<BackedUpFile>,
    /// Files that messages refer to, and that were not there to be copied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) missing: Vec<String>,
    /// Files whose messages were deleted before these could be copied: no damage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) deleted: Vec<String>,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Content {
    pub(crate) bytes: u64,
    /// In hexadecimal digits.
    pub(crate) sha256: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct BackedUpFile {
    pub(super) path: String,
    #[serde(flatten)]
    pub(super) content: Content,
}

/// A backup that was found.
#[derive(Debug)]
pub(super) enum Found {
    Whole(Box<Manifest>),
    /// One that was cut off, or is being made or removed.
    Partial,
    /// What is wrong with its manifest.
    Damaged(String),
}

/// The name of a backup that is made now, after the ones that there are.
pub(super) fn name(now: Timestamp, latest: Option<&str>) -> String {
    let now = now.as_microsecond();
    let latest = latest.and_then(micros).unwrap_or(i64::MIN);
    let micros = now.max(latest.saturating_add(1));
    let named = Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX);
    named.strftime(NAME_FORMAT).to_string()
}

/// The time in a name; none of what is no name.
fn micros(name: &str) -> Option<i64> {
    let time = jiff::civil::DateTime::strptime(NAME_FORMAT, name).ok()?;
    let time = time.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
    // No other spelling of it.
    (time.strftime(NAME_FORMAT).to_string() == name).then(|| time.as_microsecond())
}

pub(super) fn is_name(text: &str) -> bool {
    micros(text).is_some()
}

pub(super) fn directory(name: &str) -> String {
    format!("{BACKUPS}/{name}")
}

pub(super) fn database_path(name: &str) -> String {
    format!("{BACKUPS}/{name}/{DATABASE}")
}

pub(super) fn manifest_path(name: &str) -> String {
    format!("{BACKUPS}/{name}/{MANIFEST}")
}

pub(super) fn file_path(path: &str) -> String {
    format!("{FILES}/{path}")
}

impl Manifest {
    pub(super) const FORMAT: u32 = FORMAT;

    pub(super) async fn write(&self, place: &Place) -> Result<(), BackupError> {
        let written = serde_json::to_vec(self)
            .map_err(|error| media::Error::Unavailable(media::StoreError::new(error.to_string())));
        let done = match written {
            Ok(text) => place.write(&manifest_path(&self.name), text).await,
            Err(error) => Err(error),
        };
        done.map_err(BackupError::write)
    }

    /// Fails where the place cannot be read.
    pub(super) async fn find(place: &Place, name: &str) -> Result<Found, BackupError> {
        let text = match place.read(&manifest_path(name)).await {
            Ok(text) => text,
            Err(media::Error::NotFound) => return Ok(Found::Partial),
            Err(error) => return Err(BackupError::read(error)),
        };
        Ok(match serde_json::from_slice::<Self>(&text) {
            Ok(manifest) if manifest.format != FORMAT => {
                Found::Damaged(format!("its format {} is not known", manifest.format))
            }
            Ok(manifest) if manifest.name != name => {
                Found::Damaged(format!("it is the manifest of {:?}", manifest.name))
            }
            Ok(manifest) => match manifest.files.iter().find(|file| !file.is_ours()) {
                Some(file) => Found::Damaged(format!("{:?} is no path of a file", file.path)),
                None => Found::Whole(Box::new(manifest)),
            },
            Err(error) => Found::Damaged(error.to_string()),
        })
    }

    /// What files hold, by their path.
    pub(super) fn contents(self) -> HashMap<String, Content> {
        self.files.into_iter().map(|file| (file.path, file.content)).collect()
    }
}

impl BackedUpFile {
    /// Whether it may be written below a directory.
    fn is_ours(&self) -> bool {
        netrox_proto::attachment_path::is_valid(&self.path)
    }
}

/// The names of the backups of a place, whole or not, the oldest first.
pub(super) async fn names(place: &Place) -> Result<Vec<String>, BackupError> {
    let mut names = place.directories_in(BACKUPS).await.map_err(BackupError::read)?;
    names.retain(|name| is_name(name));
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_after_the_latest_whatever_the_clock_says() {
        let now = Timestamp::from_microsecond(1_718_623_701_902_531).unwrap();
        let first = name(now, None);
        assert_eq!(first, "20240617T112821.902531Z");
        assert!(is_name(&first));
        let second = name(Timestamp::UNIX_EPOCH, Some(&first));
        assert_eq!(second, "20240617T112821.902532Z");
        for text in ["", "..", "20240617T112821.902531Z/..", "20240617T112821.9Z", "20240617"] {
            assert!(!is_name(text), "{text}");
        }
    }
}
