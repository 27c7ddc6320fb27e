//! What a data directory is opened for: to start on it, or only to look whether a start could.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::Path,
};

use rand::{TryRng, rngs::SysRng};
use rustix::fs::{Access, access};

use super::{Secret, Warnings};

/// What an HS256 key should have at least (RFC 7518 section 3.2), and enough for any credential.
pub(super) const SECRET_BYTES: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// What is missing is made.
    Start,
    /// Nothing is made, changed or removed. What could not be made is refused as a start would refuse it.
    Look,
}

/// Where a secret that was missing is now.
pub(super) enum Generated {
    Here,
    /// It came just then.
    ByAnother,
    Nowhere,
}

impl Purpose {
    /// A directory with those above it.
    pub(super) fn create(self, path: &Path) -> io::Result<()> {
        match self {
            Self::Start => create(path),
            Self::Look => could_create(path),
        }
    }

    /// A secret in a directory that was created.
    pub(super) fn generate(self, dir: &Path, name: &str) -> io::Result<Generated> {
        match self {
            Self::Start if generate(dir, name)? => Ok(Generated::Here),
            Self::Start => Ok(Generated::ByAnother),
            // Where it is missing it could be made.
            Self::Look if dir.exists() => could_write(dir).map(|()| Generated::Nowhere),
            Self::Look => Ok(Generated::Nowhere),
        }
    }

    pub(super) fn remove_leftovers(self, dir: &Path, name: &str, warnings: &mut Warnings) {
        match self {
            Self::Start => remove_leftovers(dir, name, warnings),
            Self::Look => {}
        }
    }

    /// How secrets that were missing are told of.
    pub(super) fn are_made(self) -> &'static str {
        match self {
            Self::Start => "were made",
            Self::Look => "would be made by a start",
        }
    }
}

/// Nobody knows it, and nobody will.
pub(super) fn made_up() -> io::Result<Secret> {
    random()?.parse().map_err(io::Error::other)
}

fn random() -> io::Result<String> {
    let mut bytes = [0; SECRET_BYTES];
    SysRng.try_fill_bytes(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
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

/// What [`create`] would say, as far as can be told without it.
fn could_create(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => return Ok(()),
        Ok(_) => return Err(io::ErrorKind::NotADirectory.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            let is_parent = path.parent().is_some_and(|parent| parent.exists());
            return Err(if is_parent { rustix::io::Errno::EXIST.into() } else { error });
        }
        Err(error) => return Err(error),
    }
    let is_here = |above: &Path| above.as_os_str().is_empty();
    let mut above = path.ancestors().skip(1).filter(|above| is_here(above) || above.exists());
    match above.next() {
        Some(above) if is_here(above) => could_write(Path::new(".")),
        Some(above) => could_write(above),
        None => Ok(()),
    }
}

/// Whether files can be made in a directory.
fn could_write(dir: &Path) -> io::Result<()> {
    Ok(access(dir, Access::WRITE_OK | Access::EXEC_OK)?)
}

/// Appears whole or not at all, and never in the place of another process's secret. Says whether it
/// was this call that created it.
fn generate(dir: &Path, name: &str) -> io::Result<bool> {
    let secret = random()?;
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
