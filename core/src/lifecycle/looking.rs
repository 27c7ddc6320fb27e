//! What a start would refuse of the places that it is given, found out without making anything.

use std::{fs, io, path::Path};

use rustix::fs::{Access, access};

use super::{OpenError, data_dir::real_path, presence};
use crate::{
    config::{Config, Database, MediaLocation},
    media::StoreError,
    store::{self, Expected},
};

/// Whether files could be made where database and files are to be. The data directory is the program's to look at.
pub(crate) fn check_places(config: &Config) -> Result<(), OpenError> {
    let expected = presence::look(config)?;
    if let Database::Sqlite(path) = &config.database {
        if expected == Expected::Nothing && config.require_existing_data {
            let (database, error) = (config.database.clone(), store::OpenError::NoData);
            return Err(OpenError::Database { database, error });
        }
        // A start would make that directory first.
        let is_to_be_made =
            !config.data_dir.exists() && path.parent() == Some(config.data_dir.as_path());
        if !is_to_be_made {
            let place = real_path(path)?;
            could_write(place.parent().unwrap_or(Path::new("/")))
                .map_err(|error| OpenError::File { path: path.clone(), error })?;
        }
    }
    if let MediaLocation::Directory(path) = &config.media {
        check_directory(path)?;
    }
    Ok(())
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
    use super::*;
    use crate::lifecycle::create_dir;

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
