//! What there is to say of a pass: counts, and of what matters the first by name.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::original::{BadRow, Facts, OriginalUserIds, SPAN_IDS, Span};

/// Of each kind: more are counted alone.
const MAX_TOLD: usize = 100;
const MAX_NOTED: usize = 5;

/// What became of the original here.
#[derive(Debug, Default, Serialize)]
pub struct Followed {
    pub dry_run: bool,
    /// What ids of its users are: `uuid`, `integer`, or `none` without users.
    pub user_ids: &'static str,
    pub original: InOriginal,
    /// Messages that were read: of ranges of ids that were not the same on both sides.
    pub read: u64,
    pub users: u64,
    pub threads: u64,
    pub messages: u64,
    pub marks: u64,
    /// That were copied to where servers look for them.
    pub files: u64,
    /// Of all that were looked at, in bytes.
    pub largest_file: i64,
    /// There already, and as it is there or newer.
    pub known: u64,
    /// Users and messages that were brought up to what they are there.
    pub changed: u64,
    /// Messages that were there only after others with greater ids.
    pub late: u64,
    /// Messages that changed here later than they did there, and are left so.
    pub newer_here: u64,
    /// Messages that are not younger than the one before in their thread.
    pub not_younger: u64,
    /// Rows that cannot be taken.
    pub refused: u64,
    pub missing_files: u64,
    /// What is other here than it is there, by design.
    pub notes: BTreeMap<Note, u64>,
    /// Messages that were compared with those of the original, as they are here at the end.
    pub verified: u64,
    /// Ranges of messages, and kinds, that are not here as they are there.
    pub differences: u64,
    /// What of it is told by name.
    #[serde(skip)]
    pub told: Vec<String>,
    /// By spans of ids.
    #[serde(skip)]
    pub(super) refused_messages: BTreeMap<i64, i64>,
    #[serde(skip)]
    pub(super) refused_of: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Default, Serialize)]
pub struct InOriginal {
    pub users: u64,
    pub threads: u64,
    pub messages: u64,
    pub newest_message: i64,
    /// Times have whole milliseconds alone.
    pub cut_to_milliseconds: bool,
}

/// Why something is here as it is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// A message of neither text nor file.
    Empty,
    /// What a message said that is deleted.
    TextOfDeleted,
    /// A file whose size is told otherwise than it is.
    SizeDiffers,
    /// A file's name that had a directory or control characters.
    NameCleaned,
    /// A file that is called by its path.
    NameMissing,
    EmailLeftOut,
    ProfileLeftOut,
}

impl Note {
    fn words(self) -> &'static str {
        match self {
            Self::Empty => "has neither text nor file",
            Self::TextOfDeleted => "is deleted: its text stays behind",
            Self::SizeDiffers => "tells another size of its file than the file has",
            Self::NameCleaned => "has a file whose name has a directory or control characters",
            Self::NameMissing => "has a file without a name: it is called by its path",
            Self::EmailLeftOut => "has an email of more than 320 bytes: it is left out",
            Self::ProfileLeftOut => "has a profile of more than 16384 bytes: it is left out",
        }
    }

    /// What is as it should be is not told by name.
    fn is_told(self) -> bool {
        self != Self::TextOfDeleted
    }
}

impl Followed {
    /// What the original is.
    pub(super) fn begin(&mut self, facts: &Facts, spans: &[Span], is_trial: bool) {
        self.dry_run = is_trial;
        self.original.messages = spans.iter().map(|span| span.messages.unsigned_abs()).sum();
        self.user_ids = match facts.user_ids {
            None => "none",
            Some(OriginalUserIds::Uuids) => "uuid",
            Some(OriginalUserIds::Numbers) => "integer",
        };
        self.original.users = facts.users;
        self.original.threads = facts.threads;
        self.original.newest_message = facts.newest_message;
        self.original.cut_to_milliseconds = facts.is_cut_to_millis;
    }

    /// Whether all is here that is there, as it is there.
    pub fn is_whole(&self) -> bool {
        self.refused == 0 && self.missing_files == 0 && self.differences == 0
    }

    pub(super) fn refuse(&mut self, BadRow { kind, id, reason }: BadRow) {
        if self.refused < MAX_TOLD as u64 {
            self.told.push(format!("{kind} {id}: {reason}"));
        }
        self.refused += 1;
        *self.refused_of.entry(kind).or_default() += 1;
        if kind == "message"
            && let Ok(id) = id.parse::<i64>()
        {
            *self.refused_messages.entry(id / SPAN_IDS).or_default() += 1;
        }
    }

    pub(super) fn miss(&mut self, id: i64, reason: &str) {
        if self.missing_files < MAX_TOLD as u64 {
            self.told.push(format!("message {id}: {reason}"));
        }
        self.missing_files += 1;
    }

    pub(super) fn note(&mut self, kind: &'static str, id: &dyn std::fmt::Display, note: Note) {
        let count = self.notes.entry(note).or_default();
        *count += 1;
        if *count <= MAX_NOTED as u64 && note.is_told() {
            self.told.push(format!("note: {kind} {id} {}", note.words()));
        }
    }

    pub(super) fn differ(&mut self, what: String) {
        if self.differences < MAX_TOLD as u64 {
            self.told.push(what);
        }
        self.differences += 1;
    }
}
