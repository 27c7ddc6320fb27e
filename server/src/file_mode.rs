//! Who else on the machine can read what is kept.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use rustix::{fs::Mode, process::umask};

use crate::secret::Warnings;

/// What belongs to others than the owner.
const OTHERS: u32 = 0o077;

/// Has what the process makes from here on be its user's alone, or less.
pub(crate) fn keep_others_out() {
    let others = Mode::RWXG | Mode::RWXO;
    let before = umask(others);
    umask(before | others);
}

/// Warns where other users can read a file or directory, as one that an earlier version made.
pub(crate) fn warn_if_open(path: &Path, warnings: &mut Warnings) {
    let Some(mode) = mode(path).filter(|mode| mode & OTHERS != 0) else { return };
    let absolute = std::path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
    let is_closed = |directory: &Path| self::mode(directory).is_some_and(|mode| mode & OTHERS == 0);
    if !absolute.ancestors().skip(1).any(is_closed) {
        warnings.add(format!(
            "{} can be read by other users of this machine (mode {mode:03o}): chmod -R go= {}",
            path.display(),
            path.display()
        ));
    }
}

fn mode(path: &Path) -> Option<u32> {
    fs::metadata(path).ok().map(|metadata| metadata.permissions().mode() & 0o777)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warnings(path: &Path) -> Vec<String> {
        let mut warnings = Warnings::default();
        warn_if_open(path, &mut warnings);
        warnings.into_iter().collect()
    }

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_lies_in_a_closed_directory_is_closed() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("elsewhere");
        fs::create_dir(&directory).unwrap();
        let file = directory.join("chat.db");
        fs::write(&file, "").unwrap();
        set(&file, 0o644);
        set(&directory, 0o755);
        set(root.path(), 0o700);
        assert!(warnings(&file).is_empty());
        set(root.path(), 0o755);
        let told = warnings(&file);
        assert!(told.len() == 1 && told[0].contains("mode 644"), "{told:?}");
        set(&directory, 0o700);
        assert!(warnings(&file).is_empty());
        set(&directory, 0o755);
        set(&file, 0o600);
        assert!(warnings(&file).is_empty());
        assert!(warnings(&directory.join("missing")).is_empty());
    }
}
