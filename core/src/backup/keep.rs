//! What is removed of a place: what backups that were killed left, backups beyond those to keep, and files that none of the
//! kept ones names.

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroUsize,
};

use super::{
    BackupError,
    manifest::{self, BACKUPS, FILES, Manifest},
    place::{Found, Place},
};

/// What is there of backups.
#[derive(Debug)]
pub(super) struct Shelf {
    /// The names of those with a manifest, the oldest first.
    pub(super) whole: Vec<String>,
    /// The names of those without.
    partial: Vec<String>,
}

impl Shelf {
    pub(super) async fn look(place: &Place) -> Result<Self, BackupError> {
        let (mut whole, mut partial) = (Vec::new(), Vec::new());
        // The names first: what begins to be written in between has no name yet, or files that are new.
        let names = manifest::names(place).await?;
        let found = place.files_below(BACKUPS).await.map_err(BackupError::read)?;
        for name in names {
            let below = format!("{name}/");
            let mut files = found.iter().filter(|(path, _)| path.starts_with(&below)).peekable();
            // A directory is locked, so that an empty one in it was left.
            let is_known = place.directory().is_some() || files.peek().is_some();
            if found.contains_key(&format!("{name}/{}", manifest::MANIFEST)) {
                whole.push(name);
            } else if is_known && files.all(|(_, file)| file.is_old) {
                partial.push(name);
            }
        }
        Ok(Self { whole, partial })
    }

    /// Removes what was cut off. No other backup may be under way.
    pub(super) async fn clean(&mut self, place: &Place) -> Result<(), BackupError> {
        for directory in [BACKUPS, FILES] {
            place.remove_unfinished(directory).await.map_err(BackupError::write)?;
        }
        for name in std::mem::take(&mut self.partial) {
            remove(place, &name).await?;
        }
        Ok(())
    }
}

/// Removes a backup: its manifest first, so that what is left is not taken for a whole one.
pub(super) async fn remove(place: &Place, name: &str) -> Result<(), BackupError> {
    let removed = async {
        place.remove(&manifest::manifest_path(name)).await?;
        place.remove(&manifest::database_path(name)).await?;
        place.remove_directory(&manifest::directory(name)).await
    };
    removed.await.map_err(BackupError::write)
}

/// What was removed.
#[derive(Debug, Default)]
pub(super) struct Removed {
    pub(super) backups: Vec<String>,
    pub(super) files: usize,
    /// Why files stay that may not be needed.
    pub(super) doubt: Option<String>,
    /// What ended it.
    pub(super) error: Option<BackupError>,
}

/// Removes the backups beyond the newest whole ones, and the files that no backup names. `newest` was just made, and is whole
/// however this ends.
pub(super) async fn prune(
    place: &Place,
    newest: &Manifest,
    older: Vec<String>,
    keep: Option<NonZeroUsize>,
    stored: &HashMap<String, Found>,
) -> Removed {
    let mut removed = Removed::default();
    removed.error = remove_needless(place, newest, older, keep, stored, &mut removed).await.err();
    removed
}

async fn remove_needless(
    place: &Place,
    newest: &Manifest,
    mut older: Vec<String>,
    keep: Option<NonZeroUsize>,
    stored: &HashMap<String, Found>,
    removed: &mut Removed,
) -> Result<(), BackupError> {
    let mut unnamed: HashSet<&str> =
        stored.iter().filter(|(_, file)| file.is_old).map(|(path, _)| path.as_str()).collect();
    let names_no_more = |unnamed: &mut HashSet<&str>, manifest: &Manifest| {
        for file in &manifest.files {
            unnamed.remove(file.path.as_str());
        }
    };
    names_no_more(&mut unnamed, newest);
    let limit = keep.map_or(usize::MAX, NonZeroUsize::get);
    if unnamed.is_empty() && older.len() < limit {
        return Ok(());
    }
    let mut whole = 1;
    while let Some(name) = older.pop() {
        if whole >= limit {
            remove(place, &name).await?;
            removed.backups.push(name);
            continue;
        }
        match Manifest::find(place, &name).await? {
            manifest::Found::Whole(manifest) => {
                whole += 1;
                names_no_more(&mut unnamed, &manifest);
            }
            manifest::Found::Partial => {}
            manifest::Found::Damaged(why) => removed.doubt = Some(format!("backup {name}: {why}")),
        }
    }
    if removed.doubt.is_none() {
        for path in unnamed {
            place.remove(&manifest::file_path(path)).await.map_err(BackupError::write)?;
            removed.files += 1;
        }
    }
    Ok(())
}
