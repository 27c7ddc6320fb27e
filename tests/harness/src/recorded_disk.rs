//! A disk whose writes are recorded, and what it may hold after a power cut at any of them: all that was flushed before, and
//! of the rest any part, down to sectors.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    fs::{File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{Builder, Role, preload};

const SOURCE: &str = include_str!("recorded_disk.c");
const HEADER_BYTES: usize = 24;
/// What a disk writes as a whole.
const SECTOR_BYTES: usize = 512;
/// What the test itself notes, beside the kinds of the library.
const NOTED: u32 = 6;

/// It lasts as long as this does.
#[derive(Debug)]
pub struct RecordedDisk {
    directory: TempDir,
    library: PathBuf,
}

/// Whose flush keeps what was removed.
const DIRECTORY: &str = ".";

/// One step of what happened, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Write { file: String, place: usize, bytes: Vec<u8> },
    CutTo { file: String, length: usize },
    Remove { file: String },
    Flush { file: String, thread: u64 },
    Flushed { file: String, thread: u64 },
    Noted(u64),
}

/// What becomes of what was not flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unflushed {
    Lost,
    Kept,
    /// Some of it, in sectors.
    Torn,
}

impl Step {
    fn removes(&self) -> bool {
        matches!(self, Self::Remove { .. })
    }
}

impl RecordedDisk {
    pub fn make() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let library = preload::compile("recorded_disk", SOURCE, directory.path());
        let disk = Self { directory, library };
        File::create(disk.record()).expect("create the record");
        disk
    }

    /// Records what a process writes of the file of a database.
    pub fn under(&self, builder: Builder, role: Role) -> Builder {
        let variables: [(&str, OsString); 2] = [
            (preload::VARIABLE, self.library.clone().into()),
            ("RECORDED_DISK", self.record().into()),
        ];
        variables
            .into_iter()
            .fold(builder, |builder, (name, value)| builder.variable(role, name, value))
    }

    /// Notes that something was seen of which the disk must not lose the cause.
    pub fn note(&self, number: u64) {
        let mut step = [0; HEADER_BYTES];
        step[..4].copy_from_slice(&NOTED.to_ne_bytes());
        step[8..16].copy_from_slice(&number.to_ne_bytes());
        let mut record = OpenOptions::new().append(true).open(self.record()).expect("the record");
        record.write_all(&step).expect("write to the record");
    }

    pub fn steps(&self) -> Vec<Step> {
        let record = std::fs::read(self.record()).expect("the record");
        let mut rest = record.as_slice();
        let mut steps = Vec::new();
        while !rest.is_empty() {
            steps.push(read(&mut rest));
        }
        steps
    }

    fn record(&self) -> PathBuf {
        self.directory.path().join("record")
    }
}

fn read(rest: &mut &[u8]) -> Step {
    let header = rest.split_off(..HEADER_BYTES).expect("a header");
    let half = |at: usize| u32::from_ne_bytes(header[at..at + 4].try_into().expect("four bytes"));
    let whole = |at: usize| u64::from_ne_bytes(header[at..at + 8].try_into().expect("eight bytes"));
    let (kind, name_length, place, length) =
        (half(0), half(4) as usize, whole(8), whole(16) as usize);
    let name = rest.split_off(..name_length).expect("a name");
    let file = String::from_utf8(name.to_vec()).expect("a name in UTF-8");
    match kind {
        1 => {
            let bytes = rest.split_off(..length).expect("what was written").to_vec();
            Step::Write { file, place: place as usize, bytes }
        }
        2 => Step::CutTo { file, length },
        3 => Step::Flush { file, thread: place },
        4 => Step::Flushed { file, thread: place },
        5 => Step::Remove { file },
        NOTED => Step::Noted(place),
        kind => panic!("a step of the kind {kind}"),
    }
}

/// What the disk holds while the steps go by.
#[derive(Debug, Default)]
pub struct Disk<'a> {
    files: BTreeMap<&'a str, Contents<'a>>,
    /// How much of a file's `unflushed` a flush under way covers.
    flushes: HashMap<(&'a str, u64), usize>,
}

#[derive(Debug, Default)]
struct Contents<'a> {
    /// `None` where it is not there.
    flushed: Option<Vec<u8>>,
    unflushed: Vec<&'a Step>,
}

impl<'a> Disk<'a> {
    pub fn take(&mut self, step: &'a Step) {
        match step {
            Step::Write { file, .. } | Step::CutTo { file, .. } | Step::Remove { file } => {
                self.files.entry(file).or_default().unflushed.push(step);
            }
            Step::Flush { file, thread } if file == DIRECTORY => {
                for (file, contents) in &self.files {
                    let removed = contents.unflushed.iter().rposition(|step| step.removes());
                    self.flushes.insert((file, *thread), removed.map_or(0, |last| last + 1));
                }
            }
            Step::Flush { file, thread } => {
                let so_far = self.files.entry(file).or_default().unflushed.len();
                self.flushes.insert((file, *thread), so_far);
            }
            Step::Flushed { file, thread } if file == DIRECTORY => {
                let files: Vec<_> = self.files.keys().copied().collect();
                files.into_iter().for_each(|file| self.flush(file, *thread));
            }
            Step::Flushed { file, thread } => self.flush(file, *thread),
            Step::Noted(_) => {}
        }
    }

    fn flush(&mut self, file: &'a str, thread: u64) {
        // Of a file that came while its directory was flushed, nothing is.
        let covered = self.flushes.remove(&(file, thread)).unwrap_or_default();
        let contents = self.files.get_mut(file).expect("a file that is flushed");
        for step in contents.unflushed.drain(..covered) {
            apply(&mut contents.flushed, step);
        }
        // Of another thread's flush, which began earlier or later, so much less is left.
        for ((other, _), covers) in &mut self.flushes {
            if *other == file {
                *covers = covers.saturating_sub(covered);
            }
        }
    }

    /// Writes to a directory what the disk may hold if the power is cut now. A coin says what of the unflushed is there.
    pub fn cut(&self, unflushed: Unflushed, coin: &mut dyn FnMut() -> bool, directory: &Path) {
        for (file, contents) in &self.files {
            let mut now = contents.flushed.clone();
            for step in &contents.unflushed {
                match unflushed {
                    Unflushed::Lost => break,
                    Unflushed::Kept => apply(&mut now, step),
                    Unflushed::Torn => tear(&mut now, step, coin),
                }
            }
            let path = directory.join(file);
            match now {
                Some(bytes) => std::fs::write(path, bytes).expect("write a file of the disk"),
                None => drop(std::fs::remove_file(path)),
            }
        }
    }
}

fn apply(contents: &mut Option<Vec<u8>>, step: &Step) {
    match step {
        Step::Write { place, bytes, .. } => put(contents, *place, bytes),
        Step::CutTo { length, .. } => contents.get_or_insert_default().resize(*length, 0),
        Step::Remove { .. } => *contents = None,
        Step::Flush { .. } | Step::Flushed { .. } | Step::Noted(_) => {}
    }
}

/// Any sectors of what is written, or all or nothing of the rest.
fn tear(contents: &mut Option<Vec<u8>>, step: &Step, coin: &mut dyn FnMut() -> bool) {
    let Step::Write { place, bytes, .. } = step else {
        if coin() {
            apply(contents, step);
        }
        return;
    };
    let mut done = 0;
    while done < bytes.len() {
        let at = place + done;
        let length = (SECTOR_BYTES - at % SECTOR_BYTES).min(bytes.len() - done);
        if coin() {
            put(contents, at, &bytes[done..done + length]);
        }
        done += length;
    }
}

fn put(contents: &mut Option<Vec<u8>>, place: usize, bytes: &[u8]) {
    let contents = contents.get_or_insert_default();
    let end = place + bytes.len();
    if contents.len() < end {
        contents.resize(end, 0);
    }
    contents[place..end].copy_from_slice(bytes);
}
