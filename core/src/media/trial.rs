//! Whether a directory takes what an upload writes.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

use uuid::Uuid;

use super::name;
use crate::clock::now_micros;

const CONTENT: &[u8] = b"netrox-chat";

/// Writes, syncs, renames and removes a file where the next one would come, or its directory would. The error names
/// the place; what passes by itself is none.
pub(super) fn run(directory: &Path) -> io::Result<()> {
    let next = directory.join(name::path(now_micros(), ""));
    let place = next.ancestors().skip(1).find(|place| place.exists()).unwrap_or(directory);
    let name = format!("netrox-chat-check-{}", Uuid::new_v4());
    let (written, renamed) = (place.join(&name), place.join(format!("{name}-renamed")));
    let tried = write(&written).and_then(|()| fs::rename(&written, &renamed));
    // Whatever is there goes; of a file that was written, this has to be possible.
    let left = if tried.is_ok() { &renamed } else { &written };
    let removed = fs::remove_file(left);
    match tried.and(removed) {
        Err(error) if !is_passing(&error) => {
            Err(io::Error::new(error.kind(), format!("{}: {error}", place.display())))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn write(path: &Path) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(CONTENT)?;
    file.sync_all()
}

/// Whether an error tells of nothing but a lack of room, or of files that may be open: that comes and goes with what is
/// stored and served.
fn is_passing(error: &io::Error) -> bool {
    /// The same on every Unix.
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        || matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_where_the_next_file_would_come_and_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        run(root.path()).unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
        let next = root.path().join(name::path(now_micros(), ""));
        let day = next.parent().unwrap();
        fs::create_dir_all(day).unwrap();
        run(root.path()).unwrap();
        assert_eq!(fs::read_dir(day).unwrap().count(), 0);
        // A file where the directory of the month should be.
        let month = day.parent().unwrap();
        fs::remove_dir_all(month).unwrap();
        fs::write(month, "").unwrap();
        let error = run(root.path()).unwrap_err().to_string();
        assert!(error.starts_with(&*month.to_string_lossy()), "{error}");
    }

    #[test]
    fn a_directory_that_takes_no_file_is_told() {
        assert!(run(Path::new("/proc")).is_err());
        assert!(run(Path::new("/proc/no-such-directory")).is_err());
    }
}
