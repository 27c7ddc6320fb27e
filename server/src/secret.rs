//! Secrets: given by flag, variable or file, or generated into the data directory.

mod data_dir;
mod purpose;

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    str::FromStr,
};

use http::HeaderValue;

pub(crate) use self::{data_dir::DataDir, purpose::Purpose};
use crate::{
    cli,
    sources::{SettingError, Sources},
};

/// No key is as long; what is longer is another file.
const MAX_FILE_BYTES: u64 = 64 * 1024;
/// Nor are sets of them, or the certificates of all authorities, longer than this.
const MAX_LARGE_FILE_BYTES: u64 = 512 * 1024;

/// Text that is neither empty nor ever printed.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl FromStr for Secret {
    type Err = &'static str;

    /// Line ends after it do not count: files have them, and variables that were filled from files.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim_end_matches(['\r', '\n']);
        if text.trim().is_empty() { Err("must not be empty") } else { Ok(Self(text.to_owned())) }
    }
}

/// What the operator should know, said once the program has started.
#[derive(Debug, Default)]
pub(crate) struct Warnings(Vec<String>);

impl Warnings {
    /// With what is wrong with the variables of the environment.
    pub(crate) fn of_environment() -> Self {
        let mut warnings = Self::default();
        cli::warn_of_variables(&mut warnings);
        warnings
    }

    pub(crate) fn add(&mut self, warning: String) {
        self.0.push(warning);
    }
}

impl IntoIterator for Warnings {
    type Item = String;
    type IntoIter = std::vec::IntoIter<String>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// The secret of `flag` or of `<flag>-file`; `None` where neither is given.
pub(crate) fn given(
    flag: &str,
    value: Option<&Secret>,
    file: Option<&PathBuf>,
    sources: &Sources,
    warnings: &mut Warnings,
) -> Result<Option<Secret>, SettingError> {
    given_if_secret(flag, value, file, |_| true, sources, warnings)
}

/// The same of a value that need not be a secret: only one that is counts as exposed on the command
/// line.
pub(crate) fn given_if_secret(
    flag: &str,
    value: Option<&Secret>,
    file: Option<&PathBuf>,
    is_secret: impl Fn(&Secret) -> bool,
    sources: &Sources,
    warnings: &mut Warnings,
) -> Result<Option<Secret>, SettingError> {
    let file_flag = format!("{flag}-file");
    match (value, file) {
        (Some(_), Some(_)) => Err(sources.conflict(&file_flag, flag)),
        (Some(secret), None) => {
            if sources.is_flag(flag) && is_secret(secret) {
                warnings.add(format!(
                    "--{flag} on the command line is seen by other users of this machine: use \
                     --{file_flag} or the environment"
                ));
            }
            Ok(Some(secret.clone()))
        }
        (None, Some(path)) => {
            let secret = read_secret(path, warnings);
            secret.map(Some).map_err(|error| sources.refuse(&file_flag, error))
        }
        (None, None) => Ok(None),
    }
}

/// Why a file cannot be used; names it.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub(crate) struct FileError {
    path: PathBuf,
    reason: String,
}

impl FileError {
    fn new(path: &Path, reason: impl fmt::Display) -> Self {
        Self { path: path.to_owned(), reason: reason.to_string() }
    }
}

/// Reads a file that holds a secret, and warns where others can.
pub(crate) fn read_secret(path: &Path, warnings: &mut Warnings) -> Result<Secret, FileError> {
    let refuse = |reason: &str| FileError::new(path, reason);
    let (content, mode) = read(path).map_err(|error| FileError::new(path, error))?;
    let text = String::from_utf8(content).map_err(|_| refuse("not valid UTF-8"))?;
    let secret = text.parse().map_err(refuse)?;
    warn_of_mode(path, mode, warnings);
    Ok(secret)
}

/// Reads a small file of any kind.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, FileError> {
    read(path).map(|(content, _)| content).map_err(|error| FileError::new(path, error))
}

/// The same of one that holds several keys or certificates.
pub(crate) fn read_large_file(path: &Path) -> Result<Vec<u8>, FileError> {
    read_large_file_of(path).map(|(content, _)| content)
}

/// The same with its permission bits.
pub(crate) fn read_large_file_of(path: &Path) -> Result<(Vec<u8>, u32), FileError> {
    read_to(path, MAX_LARGE_FILE_BYTES).map_err(|error| FileError::new(path, error))
}

/// The warning alone, of a file that somebody else reads.
pub(crate) fn warn_if_readable(path: &Path, warnings: &mut Warnings) {
    if let Ok(data) = path.metadata() {
        warn_of_mode(path, data.permissions().mode() & 0o777, warnings);
    }
}

/// Warns if others can read a file that holds a secret.
pub(crate) fn warn_of_mode(path: &Path, mode: u32, warnings: &mut Warnings) {
    if mode & 0o077 != 0 {
        warnings.add(format!(
            "{} can be read by other users of this machine (mode {mode:03o}): chmod 600",
            path.display(),
        ));
    }
}

/// The content and the permission bits.
fn read(path: &Path) -> io::Result<(Vec<u8>, u32)> {
    read_to(path, MAX_FILE_BYTES)
}

fn read_to(path: &Path, max_bytes: u64) -> io::Result<(Vec<u8>, u32)> {
    let file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o777;
    let mut content = Vec::new();
    file.take(max_bytes + 1).read_to_end(&mut content)?;
    if content.len() as u64 > max_bytes {
        let reason = format!("larger than {} KiB", max_bytes / 1024);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    Ok((content, mode))
}

/// What callers of the core show; all that is known of them.
#[derive(Clone)]
pub(crate) struct ServiceTokens {
    /// At least one. A core accepts each.
    pub(crate) accepted: Vec<String>,
    /// `Bearer <token>` with the first: what an edge sends.
    pub(crate) authorization: HeaderValue,
}

impl ServiceTokens {
    /// Of a list, comma or line separated.
    pub(crate) fn parse(list: &Secret) -> Result<Self, &'static str> {
        let parts = list.reveal().split([',', '\n']).map(str::trim);
        let accepted: Vec<_> = parts.filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let unfit = "a token is made of printable ASCII characters, without spaces";
        if !accepted.iter().all(|token| token.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(unfit);
        }
        let first = accepted.first().ok_or("must not be empty")?;
        let authorization = HeaderValue::try_from(format!("Bearer {first}"));
        let mut authorization = authorization.map_err(|_| unfit)?;
        authorization.set_sensitive(true);
        Ok(Self { accepted, authorization })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn secret(text: &str) -> Secret {
        text.parse().unwrap()
    }

    #[test]
    fn a_secret_is_never_printed() {
        assert!(!format!("{:?}", secret("hunter2")).contains("hunter2"));
    }

    #[test]
    fn service_tokens_are_a_list_of_which_the_first_is_sent() {
        for list in ["new, old", "new\r\nold\n\n", ",new,,old"] {
            let tokens = ServiceTokens::parse(&secret(list)).unwrap();
            assert_eq!(tokens.accepted, ["new", "old"], "{list:?}");
            assert_eq!(tokens.authorization, "Bearer new");
            assert!(tokens.authorization.is_sensitive());
        }
        for wrong in [",", " , ,", "two words", "n\u{e4}h", "a\tb"] {
            assert!(ServiceTokens::parse(&secret(wrong)).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_secret_file_is_read_without_its_last_line_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        fs::write(&path, "two words \r\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let mut warnings = Warnings::default();
        assert_eq!(read_secret(&path, &mut warnings).unwrap().reveal(), "two words ");
        let warning = warnings.into_iter().next().unwrap();
        assert!(warning.contains("mode 640") && !warning.contains("two words"), "{warning}");

        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let mut warnings = Warnings::default();
        read_secret(&path, &mut warnings).unwrap();
        assert_eq!(warnings.into_iter().count(), 0);
    }

    #[test]
    fn a_file_that_holds_no_secret_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let huge = vec![b'a'; MAX_FILE_BYTES as usize + 1];
        let contents: [(&str, &[u8]); 3] =
            [("empty", b"\n"), ("binary", b"\xff\xfe"), ("huge", &huge)];
        for (name, content) in contents {
            fs::write(dir.path().join(name), content).unwrap();
        }
        for name in ["empty", "binary", "huge", "missing", "."] {
            let error = read_secret(&dir.path().join(name), &mut Warnings::default()).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
