//! Where the lines go. A file is only appended to. A line that found no room for its end is ended before another begins.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    str::FromStr,
};

use rustix::{
    fs::{Access, OFlags, access},
    process::geteuid,
};

const NO_LINK: i32 = OFlags::NOFOLLOW.bits().cast_signed();
/// What belongs to others than the owner.
const OTHERS: u32 = 0o077;

/// What `--audit-log` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Stderr,
    File(PathBuf),
}

impl FromStr for Target {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "" => Err("must not be empty"),
            "stderr" => Ok(Self::Stderr),
            path => Ok(Self::File(path.into())),
        }
    }
}

impl Target {
    /// Whether it could be opened: as [`AuditLog::open`](crate::AuditLog::open) would, without making a file.
    pub fn check(&self) -> io::Result<()> {
        let Self::File(path) = self else { return Ok(()) };
        match path.symlink_metadata() {
            // Whoever opens what is no file may wait for another.
            Ok(metadata) if !metadata.is_file() && !metadata.is_symlink() => Ok(()),
            Ok(_) => {
                let mut options = OpenOptions::new();
                options.read(true).append(true).custom_flags(NO_LINK).open(path).map(drop)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                let directory = directory.unwrap_or(Path::new("."));
                Ok(access(directory, Access::WRITE_OK | Access::EXEC_OK)?)
            }
            Err(error) => Err(error),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Output {
    target: Target,
    /// Absent for stderr.
    file: Option<File>,
    /// What a line still lacks in the file that is open.
    rest: Vec<u8>,
}

impl Output {
    pub(crate) fn open(target: Target) -> io::Result<Self> {
        let (file, rest) = match &target {
            Target::Stderr => (None, Vec::new()),
            Target::File(path) => {
                let (file, rest) = open(path)?;
                (Some(file), rest)
            }
        };
        Ok(Self { target, file, rest })
    }

    /// Writes the whole line, or fails, after which the same line is to be written again, or given up. What of it is in the
    /// file already is not repeated.
    pub(crate) fn write(&mut self, line: &[u8], written: &mut usize) -> io::Result<()> {
        self.write_rest()?;
        while *written < line.len() {
            *written += put(self.file.as_mut(), &line[*written..])?;
        }
        Ok(())
    }

    /// The line is not tried again. If its beginning is in the file, its end is still to come, before any other line.
    pub(crate) fn give_up(&mut self, line: &[u8], written: usize) {
        if let Some(rest) = line.get(written..).filter(|_| written > 0) {
            self.rest.extend_from_slice(rest);
        }
    }

    fn write_rest(&mut self) -> io::Result<()> {
        while !self.rest.is_empty() {
            let count = put(self.file.as_mut(), &self.rest)?;
            self.rest.drain(..count);
        }
        Ok(())
    }

    /// Whether the path leads to another file by now, or to none.
    pub(crate) fn is_elsewhere(&self) -> bool {
        let (Target::File(path), Some(file)) = (&self.target, &self.file) else { return false };
        let Ok(open) = file.metadata() else { return true };
        match path.symlink_metadata() {
            Ok(there) => (there.dev(), there.ino()) != (open.dev(), open.ino()),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Opens the file anew by its path. Says whether there is another one now. If it fails, the old one stays.
    pub(crate) fn reopen(&mut self) -> io::Result<bool> {
        let Target::File(path) = &self.target else { return Ok(false) };
        let is_other = self.is_elsewhere();
        if is_other {
            let (file, rest) = open(path)?;
            // If there is room, the old one ends with a whole line.
            let _ = self.write_rest();
            (self.file, self.rest) = (Some(file), rest);
        }
        Ok(is_other)
    }
}

fn put(file: Option<&mut File>, bytes: &[u8]) -> io::Result<usize> {
    let written = match file {
        Some(file) => file.write(bytes),
        None => io::stderr().lock().write(bytes),
    };
    match written {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
        written => written,
    }
}

/// With what its last line lacks: a process that was killed on a full disk may have left half a one. No symbolic link is
/// followed there: whoever may write into the directory could have lines appended to any file.
fn open(path: &Path) -> io::Result<(File, Vec<u8>)> {
    let mut options = OpenOptions::new();
    let options = options.read(true).append(true).create(true).mode(0o600).custom_flags(NO_LINK);
    let mut file = options.open(path)?;
    let metadata = file.metadata()?;
    warn_if_foreign(path, &metadata);
    if !metadata.is_file() || metadata.len() == 0 {
        return Ok((file, Vec::new()));
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    let rest = if last == *b"\n" { Vec::new() } else { vec![b'\n'] };
    Ok((file, rest))
}

/// Whether the file is as this process makes it.
fn warn_if_foreign(path: &Path, metadata: &Metadata) {
    let (mode, owner_uid) = (metadata.mode() & 0o777, metadata.uid());
    if metadata.is_file() && (mode & OTHERS != 0 || owner_uid != geteuid().as_raw()) {
        let (path, mode) = (path.display(), format!("{mode:03o}"));
        tracing::warn!(
            %path,
            mode,
            owner_uid,
            "others can read or change the audit log: it is to be this user's alone, with mode 600"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn write(output: &mut Output, line: &str) {
        output.write(line.as_bytes(), &mut 0).expect("written");
    }

    #[test]
    fn a_file_that_is_only_looked_at_is_not_made() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("audit.log");
        let target = Target::File(path.clone());
        target.check().expect("it could be made");
        assert!(!path.exists());
        fs::write(&path, "1\n").expect("written");
        target.check().expect("it can be opened");
        assert_eq!(fs::read_to_string(&path).expect("lines"), "1\n");
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        let nowhere = directory.path().join("nowhere/audit.log");
        for place in [link, nowhere, path.join("audit.log")] {
            let target = Target::File(place);
            let looked = target.check().expect_err("it cannot be opened").to_string();
            assert_eq!(looked, Output::open(target).expect_err("nor by a start").to_string());
        }
        Target::Stderr.check().expect("it is open");
    }

    #[test]
    fn a_file_is_its_owners_and_is_appended_to() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("audit.log");
        let target = Target::File(path.clone());
        write(&mut Output::open(target.clone()).expect("opened"), "1\n");
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
        write(&mut Output::open(target.clone()).expect("opened"), "2\n");
        assert_eq!(fs::read_to_string(&path).expect("lines"), "1\n2\n");
        // What a process that was killed has left.
        fs::write(&path, "1\n{\"ti").expect("written");
        write(&mut Output::open(target).expect("opened"), "3\n");
        assert_eq!(fs::read_to_string(&path).expect("lines"), "1\n{\"ti\n3\n");
    }

    #[test]
    fn a_file_that_was_moved_is_left_for_a_new_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, old) =
            (directory.path().join("audit.log"), directory.path().join("audit.log.1"));
        let mut output = Output::open(Target::File(path.clone())).expect("opened");
        write(&mut output, "1\n");
        assert!(!output.is_elsewhere());
        fs::rename(&path, &old).expect("moved");
        assert!(output.is_elsewhere());
        write(&mut output, "2\n");
        assert!(output.reopen().expect("opened"));
        assert!(!output.reopen().expect("the same"));
        write(&mut output, "3\n");
        assert_eq!(fs::read_to_string(&old).expect("lines"), "1\n2\n");
        assert_eq!(fs::read_to_string(&path).expect("lines"), "3\n");
    }

    #[test]
    fn a_link_is_not_followed() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, other) = (directory.path().join("audit.log"), directory.path().join("other"));
        let mut output = Output::open(Target::File(path.clone())).expect("opened");
        fs::write(&other, "of somebody else").expect("written");
        fs::remove_file(&path).expect("removed");
        std::os::unix::fs::symlink(&other, &path).expect("a link");
        assert!(Output::open(Target::File(path)).is_err());
        assert!(output.is_elsewhere() && output.reopen().is_err());
        write(&mut output, "1\n");
        assert_eq!(fs::read_to_string(&other).expect("lines"), "of somebody else");
    }

    #[test]
    fn a_line_that_was_given_up_is_ended_before_the_next_or_a_move() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, old) =
            (directory.path().join("audit.log"), directory.path().join("audit.log.1"));
        let mut output = Output::open(Target::File(path.clone())).expect("opened");
        output.give_up(b"0\n", 0);
        fs::write(&path, "ab").expect("written");
        output.give_up(b"abc\n", 2);
        write(&mut output, "1\n");
        output.give_up(b"2\n", 1);
        fs::rename(&path, &old).expect("moved");
        assert!(output.reopen().expect("opened"));
        write(&mut output, "3\n");
        assert_eq!(fs::read_to_string(&old).expect("lines"), "abc\n1\n\n");
        assert_eq!(fs::read_to_string(&path).expect("lines"), "3\n");
    }

    #[test]
    fn a_line_goes_on_where_the_disk_was_full() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("audit.log");
        let mut output = Output::open(Target::File(path.clone())).expect("opened");
        let full = Output::open(Target::File("/dev/full".into())).expect("opened");
        let mut written = 2;
        fs::write(&path, "ab").expect("written");
        let file = std::mem::replace(&mut output.file, full.file);
        let error = output.write(b"abc\n", &mut written).expect_err("full");
        assert_eq!((error.kind(), written), (io::ErrorKind::StorageFull, 2));
        output.file = file;
        output.write(b"abc\n", &mut written).expect("written");
        assert_eq!(fs::read_to_string(&path).expect("lines"), "abc\n");
    }
}
