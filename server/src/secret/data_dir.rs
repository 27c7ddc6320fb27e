//! The data directory and the secrets that are generated into it.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rand::{TryRng, rngs::SysRng};

use super::{FileError, Secret, Warnings, read_secret};

/// What an HS256 key should have at least (RFC 7518 section 3.2), and enough for any credential.
const SECRET_BYTES: usize = 32;

#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    kept: Vec<&'static str>,
    generated: Vec<&'static str>,
    /// A secret that is missing is not made.
    is_complete: bool,
}

impl DataDir {
    /// Touches nothing yet.
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), kept: Vec::new(), generated: Vec::new(), is_complete: false }
    }

    /// The same, which has its secrets or is refused.
    pub(crate) fn complete(self) -> Self {
        Self { is_complete: true, ..self }
    }

    /// Creates the directory, with mode 0700, where it is missing.
    pub(crate) fn create(&self) -> Result<(), FileError> {
        create(&self.path).map_err(|error| FileError::new(&self.path, error))
    }

    /// Warns where other users can look into it.
    pub(crate) fn check_mode(&self, warnings: &mut Warnings) -> Result<(), FileError> {
        let metadata =
            fs::metadata(&self.path).map_err(|error| FileError::new(&self.path, error))?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            warnings.add(format!(
                "{} is open to other users of this machine (mode {mode:03o}): chmod 700",
                self.path.display()
            ));
        }
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The names of the secrets that were taken from here.
    pub(crate) fn kept(&self) -> &[&'static str] {
        &self.kept
    }

    /// Those of them that were missing.
    pub(crate) fn generated(&self) -> &[&'static str] {
        &self.generated
    }

    /// The secret in the file `name`; both file and directory are created where they are missing.
    pub(crate) fn secret(
        &mut self,
        name: &'static str,
        warnings: &mut Warnings,
    ) -> Result<Secret, FileError> {
        let path = self.path.join(name);
        if !path.try_exists().map_err(|error| FileError::new(&path, error))? {
            if self.is_complete {
                let reason = "it is missing, and --require-existing-data makes no new one";
                return Err(FileError::new(&path, reason));
            }
            self.create()?;
            let created =
                generate(&self.path, name).map_err(|error| FileError::new(&path, error))?;
            self.generated.extend(created.then_some(name));
        }
        remove_leftovers(&self.path, name, warnings);
        // Read also what was just generated: another process may have been faster.
        let secret = read_secret(&path, warnings)?;
        self.kept.push(name);
        Ok(secret)
    }
}

fn create(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    fs::create_dir_all(parent)?;
    match DirBuilder::new().mode(0o700).create(path) {
        // It is there after a power cut, with what is in it. A parent that cannot be read cannot be synced.
        Ok(()) => match File::open(parent) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            opened => opened?.sync_all(),
        },
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if fs::metadata(path)?.is_dir() {
                Ok(())
            } else {
                Err(io::ErrorKind::NotADirectory.into())
            }
        }
        created => created,
    }
}

/// Appears whole or not at all, and never in the place of another process's secret. Says whether it
/// was this call that created it.
fn generate(dir: &Path, name: &str) -> io::Result<bool> {
    let mut bytes = [0; SECRET_BYTES];
    SysRng.try_fill_bytes(&mut bytes).map_err(io::Error::other)?;
    let secret: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut file = tempfile::Builder::new().prefix(&leftover_prefix(name)).tempfile_in(dir)?;
    file.write_all(secret.as_bytes())?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(dir.join(name)) {
        Ok(_) => {
            File::open(dir)?.sync_all()?;
            Ok(true)
        }
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        // Whoever was faster took it for a leftover.
        Err(_) if dir.join(name).exists() => Ok(false),
        Err(error) => Err(error.error),
    }
}

fn leftover_prefix(name: &str) -> String {
    // A name that nobody gives to a copy.
    format!(".{name}-new-")
}

/// Removes what starts left behind that were killed while they made the secret `name`, which is there now: whoever makes
/// another has lost.
fn remove_leftovers(dir: &Path, name: &str, warnings: &mut Warnings) {
    let prefix = leftover_prefix(name);
    // What cannot be listed or removed is in nobody's way.
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let is_leftover = entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix));
        if !is_leftover || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        match fs::remove_file(entry.path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let path = entry.path();
                warnings
                    .add(format!("{} is of no use and cannot be removed: {error}", path.display()));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, thread};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn directory_and_secret_are_private_and_stay_what_they_are() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b");
        let mut warnings = Warnings::default();
        let mut first = DataDir::new(&path);
        let secret = first.secret("jwt-secret", &mut warnings).unwrap();
        assert_eq!(secret.reveal().len(), 2 * SECRET_BYTES);
        assert!(secret.reveal().bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("jwt-secret")), 0o600);
        assert_eq!(first.generated(), ["jwt-secret"]);

        let mut second = DataDir::new(&path);
        let again = second.secret("jwt-secret", &mut warnings).unwrap();
        assert_eq!(again.reveal(), secret.reveal());
        assert_eq!(second.kept(), ["jwt-secret"]);
        assert!(second.generated().is_empty());
        let left: Vec<_> =
            fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["jwt-secret"]);
        assert_eq!(warnings.into_iter().count(), 0);
    }

    #[test]
    fn what_a_killed_start_left_behind_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let list = || {
            let entries = fs::read_dir(root.path()).unwrap();
            entries.map(|entry| entry.unwrap().file_name()).collect::<BTreeSet<_>>()
        };
        let secret = || {
            let mut dir = DataDir::new(root.path());
            dir.secret("jwt-secret", &mut Warnings::default()).unwrap().reveal().to_owned()
        };
        fs::write(root.path().join(".jwt-secret-new-a1B2c3"), "half").unwrap();
        fs::write(root.path().join(".service-token-new-a1B2c3"), "of another").unwrap();
        fs::create_dir(root.path().join(".jwt-secret-new-directory")).unwrap();
        let first = secret();
        let kept = [".jwt-secret-new-directory", ".service-token-new-a1B2c3", "jwt-secret"];
        assert_eq!(list(), kept.map(Into::into).into());
        // Nor does it stay where the secret was there before.
        fs::write(root.path().join(".jwt-secret-new-a1B2c3"), "half").unwrap();
        assert_eq!(secret(), first);
        assert_eq!(list(), kept.map(Into::into).into());
    }

    #[test]
    fn starters_at_the_same_time_agree_on_one_secret() {
        let root = tempfile::tempdir().unwrap();
        let secrets: BTreeSet<String> = thread::scope(|scope| {
            let starters: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let mut dir = DataDir::new(root.path());
                        let secret = dir.secret("service-token", &mut Warnings::default());
                        secret.unwrap().reveal().to_owned()
                    })
                })
                .collect();
            starters.into_iter().map(|starter| starter.join().unwrap()).collect()
        });
        assert_eq!(secrets.len(), 1);
    }

    #[test]
    fn a_file_in_its_place_is_refused_by_name() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("data");
        fs::write(&path, "").unwrap();
        let error = DataDir::new(&path).create().unwrap_err().to_string();
        assert!(error.contains("data") && error.contains("not a directory"), "{error}");
    }
}
