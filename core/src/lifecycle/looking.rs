//! What a start would refuse of the places that it is given, found out without making anything.

use std::{
    fs, io,
    path::{Component, Path, PathBuf, absolute},
};

use rustix::fs::{Access, access};

use super::{
    OpenError,
    data_dir::{LOCK_FILE, real_path, with_suffix},
    presence,
};
use crate::{
    config::{Config, Database, MediaLocation},
    media::StoreError,
    store::{self, Expected},
};

/// Whether files could be made where database and files are to be, and those that are there be opened.
pub(crate) fn check_places(config: &Config) -> Result<(), OpenError> {
    let expected = presence::look(config)?;
    check_data_dir(config)?;
    if let Database::Sqlite(path) = &config.database {
        if expected == Expected::Nothing && config.require_existing_data {
            let (database, error) = (config.database.clone(), store::OpenError::NoData);
            return Err(OpenError::Database { database, error });
        }
        check_database_files(config, path)?;
    }
    if let MediaLocation::Directory(path) = &config.media {
        check_directory(path)?;
    }
    Ok(())
}

/// The lock in a data directory. That directory itself is the program's to look at.
pub(crate) fn check_data_dir(config: &Config) -> Result<(), OpenError> {
    if config.data_dir.exists() { could_open(&config.data_dir.join(LOCK_FILE)) } else { Ok(()) }
}

/// The file of a database and what is beside it.
pub(crate) fn check_database_files(config: &Config, path: &Path) -> Result<(), OpenError> {
    let unusable = |error| OpenError::File { path: path.to_owned(), error };
    // A start would make that directory first, with those above it.
    let is_to_be_made = !config.data_dir.exists() && {
        let [data_dir, beside] = [&config.data_dir, path].map(to_be);
        let (data_dir, beside) = (data_dir.map_err(unusable)?, beside.map_err(unusable)?);
        beside.parent().is_some_and(|beside| !beside.exists() && data_dir.starts_with(beside))
    };
    if is_to_be_made {
        return Ok(());
    }
    let place = real_path(path)?;
    could_write(place.parent().unwrap_or(Path::new("/"))).map_err(unusable)?;
    [".lock", "", "-wal", "-shm"].iter().try_for_each(|suffix| {
        let file = with_suffix(&place, suffix);
        could_open(&file)
    })
}

/// Whether a file could be read and written, or made where it is missing.
fn could_open(path: &Path) -> Result<(), OpenError> {
    let opened = match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Err(rustix::io::Errno::ISDIR.into()),
        Ok(_) => access(path, Access::READ_OK | Access::WRITE_OK).map_err(io::Error::from),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            could_write(path.parent().unwrap_or(Path::new("/")))
        }
        Err(error) => Err(error),
    };
    opened.map_err(|error| OpenError::File { path: path.to_owned(), error })
}

/// Where a path leads when the directories that it names are made: those that are there may be links.
fn to_be(path: &Path) -> io::Result<PathBuf> {
    let path = absolute(path)?;
    let above = existing_above(&path);
    let mut place = above.canonicalize()?;
    for component in path.strip_prefix(above).unwrap_or(&path).components() {
        match component {
            Component::ParentDir => {
                place.pop();
            }
            Component::Normal(name) => place.push(name),
            Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
        }
    }
    Ok(place)
}

/// A directory of files, or what one could be made in.
pub(crate) fn check_directory(path: &Path) -> Result<(), OpenError> {
    let unusable = |error| OpenError::File { path: path.to_owned(), error };
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => could_write(path).map_err(|error| {
            let error = StoreError::new(format!("{}: {error}", path.display()));
            OpenError::Media { media: MediaLocation::Directory(path.to_owned()), error }
        }),
        Ok(_) => Err(unusable(rustix::io::Errno::EXIST.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            could_write(existing_above(path)).map_err(unusable)
        }
        Err(error) => Err(unusable(error)),
    }
}

/// The first directory above a path that is there.
pub(crate) fn existing_above(path: &Path) -> &Path {
    let above = path.ancestors().find(|above| above.exists());
    // A path that is not absolute ends with nothing.
    above.unwrap_or(Path::new("."))
}

fn could_write(directory: &Path) -> io::Result<()> {
    Ok(access(directory, Access::WRITE_OK | Access::EXEC_OK)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::lifecycle::create_dir;

    #[test]
    fn a_place_is_the_same_however_it_is_named_before_it_is_made() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        fs::create_dir(root.join("volume")).unwrap();
        symlink("volume", root.join("link")).unwrap();
        for name in ["volume/a/b", "volume/./a/b", "volume/a/../a/b", "link/a/b", "link/a/b/"] {
            assert_eq!(to_be(&root.join(name)).unwrap(), root.join("volume/a/b"), "{name}");
        }
        let here = std::env::current_dir().unwrap().canonicalize().unwrap();
        let [plain, dotted] = ["to-be", "./to-be"].map(|name| to_be(Path::new(name)).unwrap());
        assert_eq!((&plain, &plain), (&dotted, &here.join("to-be")));
    }

    #[test]
    fn what_cannot_be_opened_or_made_is_refused() {
        let root = tempfile::tempdir().unwrap();
        could_open(&root.path().join("missing")).unwrap();
        fs::write(root.path().join("file"), "").unwrap();
        could_open(&root.path().join("file")).unwrap();
        for place in [root.path().to_owned(), root.path().join("a/b"), root.path().join("file/b")] {
            assert!(could_open(&place).is_err(), "{}", place.display());
        }
    }

    #[test]
    fn a_directory_that_could_not_be_made_is_refused_as_by_a_start() {
        let root = tempfile::tempdir().unwrap();
        check_directory(&root.path().join("a/b")).unwrap();
        check_directory(root.path()).unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        for place in [file.clone(), file.join("media"), file.join("a/media")] {
            let looked = check_directory(&place).unwrap_err().to_string();
            assert_eq!(looked, create_dir(&place).unwrap_err().to_string());
        }
    }
}
