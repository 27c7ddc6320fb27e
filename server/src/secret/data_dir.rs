//! The data directory and the secrets that are generated into it.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::{
    FileError, Purpose, Secret, Warnings,
    purpose::{Generated, made_up},
    read_secret,
};

#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    kept: Vec<&'static str>,
    generated: Vec<&'static str>,
    /// A secret that is missing is not made.
    is_complete: bool,
    purpose: Purpose,
}

impl DataDir {
    /// Touches nothing yet.
    pub(crate) fn new(path: &Path, purpose: Purpose) -> Self {
        let (kept, generated) = (Vec::new(), Vec::new());
        Self { path: path.to_owned(), kept, generated, is_complete: false, purpose }
    }

    /// The same, which has its secrets or is refused.
    pub(crate) fn complete(self) -> Self {
        Self { is_complete: true, ..self }
    }

    /// Creates the directory, with mode 0700, where it is missing.
    pub(crate) fn create(&self) -> Result<(), FileError> {
        self.purpose.create(&self.path).map_err(|error| FileError::new(&self.path, error))
    }

    /// Warns where other users can look into it.
    pub(crate) fn check_mode(&self, warnings: &mut Warnings) -> Result<(), FileError> {
        let metadata = match fs::metadata(&self.path) {
            // Nobody made it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            metadata => metadata.map_err(|error| FileError::new(&self.path, error))?,
        };
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

    /// Says which secrets are new.
    pub(crate) fn warn_of_generated(&self, warnings: &mut Warnings) {
        if !self.generated.is_empty() {
            let (are_made, directory) = (self.purpose.are_made(), self.path.display());
            warnings.add(format!(
                "new secrets {are_made} in {directory}: {}; what was given out under others is refused",
                self.generated.join(", ")
            ));
        }
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
            let generated = self.purpose.generate(&self.path, name);
            match generated.map_err(|error| FileError::new(&path, error))? {
                Generated::Here => self.generated.push(name),
                Generated::ByAnother => {}
                Generated::Nowhere => {
                    self.generated.push(name);
                    self.kept.push(name);
                    return made_up().map_err(|error| FileError::new(&path, error));
                }
            }
        }
        self.purpose.remove_leftovers(&self.path, name, warnings);
        // Read also what was just generated: another process may have been faster.
        let secret = read_secret(&path, warnings)?;
        self.kept.push(name);
        Ok(secret)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, thread};

    use super::{super::purpose::SECRET_BYTES, *};

    fn to_start(path: &Path) -> DataDir {
        DataDir::new(path, Purpose::Start)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn directory_and_secret_are_private_and_stay_what_they_are() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b");
        let mut warnings = Warnings::default();
        let mut first = to_start(&path);
        let secret = first.secret("jwt-secret", &mut warnings).unwrap();
        assert_eq!(secret.reveal().len(), 2 * SECRET_BYTES);
        assert!(secret.reveal().bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join("jwt-secret")), 0o600);
        assert_eq!(first.generated(), ["jwt-secret"]);

        let mut second = to_start(&path);
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
            let mut dir = to_start(root.path());
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
                        let mut dir = to_start(root.path());
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
        let error = to_start(&path).create().unwrap_err().to_string();
        assert!(error.contains("data") && error.contains("not a directory"), "{error}");
    }

    #[test]
    fn a_look_finds_the_same_and_makes_nothing() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("a/b");
        let look = |path: &Path| DataDir::new(path, Purpose::Look);
        let mut warnings = Warnings::default();
        let mut missing = look(&path);
        let secret = missing.secret("jwt-secret", &mut warnings).unwrap();
        assert_eq!(secret.reveal().len(), 2 * SECRET_BYTES);
        assert_eq!(
            (missing.generated(), missing.kept()),
            (&["jwt-secret"][..], &["jwt-secret"][..])
        );
        missing.create().unwrap();
        missing.check_mode(&mut warnings).unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);

        // What is there is read, and what was left behind stays.
        let made = to_start(&path).secret("jwt-secret", &mut warnings).unwrap();
        fs::write(path.join(".jwt-secret-new-a1B2c3"), "half").unwrap();
        let found = look(&path).secret("jwt-secret", &mut warnings).unwrap();
        assert_eq!(found.reveal(), made.reveal());
        assert_eq!(fs::read_dir(&path).unwrap().count(), 2);

        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        for place in [file.clone(), file.join("data"), file.join("a/data")] {
            let [looked, started] = [look(&place), to_start(&place)];
            let [looked, started] = [looked, started].map(|dir| dir.create().unwrap_err());
            assert_eq!(looked.to_string(), started.to_string());
        }
    }
}
