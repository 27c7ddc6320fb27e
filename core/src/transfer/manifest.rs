//! What is imported: a file of lines, and what an export says of it.

use std::{
    collections::HashSet,
    io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{TransferError, blocking};
use crate::lines::{LINES_FILE, LINES_FORMAT, LineKind, MANIFEST_FILE, MessageLine, Moment};

/// Where it lies.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) lines: PathBuf,
    /// That has the files.
    pub(super) directory: PathBuf,
    /// Nothing is said of lines that are given without their directory.
    pub(super) manifest: Manifest,
}

/// What matters to an import. Other programs write it as well: they may leave out what they do not know.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Manifest {
    format: u32,
    of: String,
    #[serde(default)]
    as_of: Option<Moment>,
    users: Option<u64>,
    threads: Option<u64>,
    messages: Option<u64>,
    marks: Option<u64>,
    blocks: Option<u64>,
    revocations: Option<u64>,
    #[serde(default)]
    pub(super) missing_files: HashSet<String>,
    #[serde(default)]
    erased_files: HashSet<String>,
}

/// Lines that were read, by their kind.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) users: u64,
    pub(super) threads: u64,
    pub(super) messages: u64,
    pub(super) marks: u64,
    pub(super) blocks: u64,
    pub(super) revocations: u64,
}

/// `path`: a directory, or a file of lines.
pub(super) async fn find(path: &Path) -> Result<Given, TransferError> {
    let wrong = |reason: String| TransferError::Path { path: path.to_owned(), reason };
    if !path.is_dir() {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new(".")).to_owned();
        return Ok(Given { lines: path.to_owned(), directory, manifest: Manifest::default() });
    }
    let manifest = path.join(MANIFEST_FILE);
    let read = blocking(move || std::fs::read(manifest)).await;
    let text = match read {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(wrong(format!("has no {MANIFEST_FILE}: it is no whole export")));
        }
        Err(error) => return Err(TransferError::file(path.join(MANIFEST_FILE))(error)),
    };
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|error| wrong(format!("its {MANIFEST_FILE} is not understood: {error}")))?;
    if manifest.format != LINES_FORMAT {
        let format = manifest.format;
        return Err(wrong(format!("is of format {format}, and this program takes {LINES_FORMAT}")));
    }
    if manifest.of == "django" {
        return Err(wrong("is a way back to the original server, and no whole chat".to_owned()));
    }
    if manifest.of != "all" {
        return Err(wrong(
            "has the data of one user, as that user sees it, and is no whole chat".to_owned(),
        ));
    }
    Ok(Given { lines: path.join(LINES_FILE), directory: path.to_owned(), manifest })
}

impl Manifest {
    /// A message whose file was gone because it was deleted while the export went on: what is left of it is what the database
    /// has of one that is deleted.
    pub(super) fn erase(&self, line: &mut MessageLine) {
        let Some(file) = &mut line.attachment else { return };
        if line.deleted || !self.erased_files.contains(&file.path) {
            return;
        }
        file.file_name = None;
        line.deleted = true;
        line.body.clear();
        line.meta = None;
        line.reply_to_id = None;
        line.receiver_sees = None;
        line.updated = line.updated.max(self.as_of);
    }

    /// Whether the lines are as many as the export wrote: one that was cut off at the end of a line looks like a whole one.
    pub(super) fn compare(&self, read: &Counts) -> Result<(), Differs> {
        let counts = [
            (LineKind::User, self.users, read.users),
            (LineKind::Thread, self.threads, read.threads),
            (LineKind::Message, self.messages, read.messages),
            (LineKind::Mark, self.marks, read.marks),
            (LineKind::Block, self.blocks, read.blocks),
            (LineKind::Revocation, self.revocations, read.revocations),
        ];
        for (kind, said, read) in counts {
            if let Some(said) = said
                && said != read
            {
                return Err(Differs { kind, said, read });
            }
        }
        Ok(())
    }
}

/// The lines are not those of which the export speaks.
#[derive(Debug)]
pub(super) struct Differs {
    kind: LineKind,
    said: u64,
    read: u64,
}

impl Differs {
    pub(super) fn of(self, path: PathBuf) -> TransferError {
        let Self { kind, said, read } = self;
        TransferError::NotWhole { path, kind, said, read }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(more: &str) -> Manifest {
        let as_of = "2026-01-31T09:30:00.000000Z";
        let text = format!("{{\"format\":1,\"of\":\"all\",\"as_of\":\"{as_of}\"{more}}}");
        serde_json::from_str(&text).expect("a manifest")
    }

    #[test]
    fn a_message_whose_file_was_erased_is_deleted() {
        let text = "{\"type\":\"message\",\"id\":7,\"thread_id\":1,\
            \"sender_id\":\"96bf0d3f-720d-4620-8dee-0f59f997cb51\",\
            \"receiver_id\":\"96bf0d3f-720d-4620-8dee-0f59f997cb52\",\
            \"created\":\"2026-01-02T00:00:00Z\",\"body\":\"canary\",\"meta\":{},\"reply_to_id\":3,\
            \"attachment\":{\"path\":\"a\",\"file_name\":\"canary\",\"size\":1,\"content_type\":\"x\"}}";
        let line = || serde_json::from_str::<MessageLine>(text).expect("a line");
        let (mut erased, mut other) = (line(), line());
        manifest(",\"erased_files\":[\"a\"]").erase(&mut erased);
        let told = serde_json::to_string(&erased).expect("JSON");
        assert!(erased.deleted && !told.contains("canary"), "{told}");
        assert!(erased.meta.is_none() && erased.reply_to_id.is_none(), "{told}");
        assert_eq!(erased.updated.expect("a time").to_string(), "2026-01-31T09:30:00.000000Z");
        manifest(",\"erased_files\":[\"b\"]").erase(&mut other);
        assert!(!other.deleted);
    }

    #[test]
    fn as_many_lines_are_there_as_the_export_says_if_it_says_so() {
        let read = Counts { users: 2, messages: 3, ..Counts::default() };
        assert!(manifest("").compare(&read).is_ok());
        assert!(manifest(",\"users\":2,\"messages\":3").compare(&read).is_ok());
        for more in [",\"messages\":4", ",\"users\":1", ",\"marks\":1", ",\"blocks\":1"] {
            assert!(manifest(more).compare(&read).is_err(), "{more}");
        }
    }
}
