//! An import of lines, batch by batch, many in a transaction, with the files that they name. Run again after it was cut off, it
//! finds what is there and goes on.

use std::{fmt, fs::File, io::BufReader, path::Path};

use futures_util::{StreamExt as _, stream};

use super::{
    TransferError, TransferSettings, blocking, files,
    manifest::{self, Counts, Given, Manifest},
};
use crate::{
    backup::{copying::FILES_AT_ONCE, place::Place, scratch::Scratch},
    clock,
    config::Database,
    lifecycle,
    lock::LockFile,
    store::{
        Expected,
        transfer::intake::{Intake, IntakeError, NeededFile, Taken},
    },
};

mod batch;

use batch::{Batch, Group};

/// Of a trial: more are counted alone.
const MAX_TOLD: usize = 100;
/// Of a transaction: a page of an index is written once for all that it takes of them.
pub(super) const TRANSACTION_LINES: u64 = 20_000;
const MICROS_A_SECOND: i64 = 1_000_000;

/// What was stored; of a trial what would be.
#[derive(Debug, Default)]
pub struct Imported {
    pub lines: u64,
    pub users: u64,
    pub threads: u64,
    pub messages: u64,
    pub marks: u64,
    pub blocks: u64,
    pub revocations: u64,
    /// That were copied to where servers look for them.
    pub files: u64,
    /// Of messages that are there without them: the export says that it has not found them either.
    pub missing_files: u64,
    /// There already, and left as it was.
    pub known: u64,
    /// Users whose lines are newer than their entries were.
    pub changed: u64,
    /// Messages that are not younger than the one before in their thread.
    pub not_younger: u64,
    /// Of a trial: lines that would be refused, the first of them.
    pub refused: Vec<BadLine>,
    /// All of them.
    pub refused_count: u64,
}

/// A line that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// From 1.
    pub number: u64,
    pub reason: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.number, self.reason)
    }
}

/// Imports into a database that no core uses; it is made where it is missing. A trial (`is_trial`) writes nothing, and goes through
/// all lines. `progress` is told how many lines were taken so far.
pub async fn import(
    settings: &TransferSettings,
    is_trial: bool,
    mut progress: impl FnMut(u64),
) -> Result<Imported, TransferError> {
    let Given { lines: path, directory, manifest } = manifest::find(&settings.path).await?;
    let opened = path.clone();
    let file = blocking(move || File::open(opened)).await;
    let reader = BufReader::new(file.map_err(TransferError::file(path.clone()))?);
    let source = files::beside(&directory).await?;
    let Opened { intake, _lock, _scratch } = open(&settings.database, is_trial).await?;
    let media = match is_trial {
        true => files::to_read(&settings.media).await?,
        false => Some(files::to_write(&settings.media).await?),
    };
    let (imported, read) = (Imported::default(), Counts::default());
    let mut run = Run {
        intake,
        source,
        media,
        manifest,
        is_trial,
        is_open: false,
        committed: 0,
        read,
        imported,
    };
    let ended = run.take_all(reader, &path, &mut progress).await;
    // What was begun of a batch is taken back, and so is a trial.
    let rolled_back = if run.is_open { run.intake.roll_back().await } else { Ok(()) };
    let closed = run.intake.close().await;
    ended?;
    rolled_back.and(closed).map_err(TransferError::Write)?;
    if run.imported.refused_count == 0 {
        run.manifest.compare(&run.read).map_err(|differs| differs.of(path))?;
    }
    Ok(run.imported)
}

/// A database that is imported into, and what keeps it ours.
pub(super) struct Opened {
    pub(super) intake: Intake,
    pub(super) _lock: Option<LockFile>,
    pub(super) _scratch: Option<Scratch>,
}

pub(super) async fn open(database: &Database, is_trial: bool) -> Result<Opened, TransferError> {
    let (mut lock, mut scratch, mut expected) = (None, None, Expected::Nothing);
    let mut at = database.clone();
    if let Database::Sqlite(path) = database {
        let is_there = path.metadata().is_ok_and(|data| data.len() > 0);
        if is_there {
            lifecycle::check_existing(path).map_err(TransferError::Open)?;
            lock = Some(lifecycle::lock_database(path).map_err(TransferError::Open)?);
            expected = Expected::Database;
        } else if is_trial {
            // One that is not there is not made for it.
            let elsewhere = Scratch::new().map_err(|error| TransferError::Path {
                path: std::env::temp_dir(),
                reason: error.to_string(),
            })?;
            at = Database::Sqlite(elsewhere.path().join("chat.db"));
            scratch = Some(elsewhere);
        } else {
            if let Some(parent) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
                lifecycle::create_dir(parent).map_err(TransferError::Open)?;
            }
            lock = Some(lifecycle::lock_database(path).map_err(TransferError::Open)?);
        }
    }
    match Intake::open(&at, expected, is_trial).await {
        Ok(intake) => Ok(Opened { intake, _lock: lock, _scratch: scratch }),
        Err(IntakeError::InUse) => Err(TransferError::InUse(database.clone())),
        Err(IntakeError::Open(error)) => Err(TransferError::unopened(database, error)),
    }
}

struct Run {
    intake: Intake,
    /// Where files lie beside the lines.
    source: Place,
    /// Where servers have them. None of a trial whose directory is not there.
    media: Option<Place>,
    manifest: Manifest,
    is_trial: bool,
    /// A transaction is under way.
    is_open: bool,
    /// So many lines were taken before it.
    committed: u64,
    read: Counts,
    imported: Imported,
}

impl Run {
    async fn take_all(
        &mut self,
        reader: BufReader<File>,
        path: &Path,
        progress: &mut impl FnMut(u64),
    ) -> Result<(), TransferError> {
        let read = |reader, first| blocking(move || Ok(batch::read(reader, first)));
        let mut batch = read(reader, 1).await.map_err(TransferError::file(path))?;
        loop {
            let Batch { reader, groups, refused, lines, is_last, failed } = batch;
            if let Some(error) = failed {
                return Err(TransferError::file(path)(error));
            }
            let next = self.imported.lines + lines + 1;
            let taken = async {
                self.take(groups, refused).await?;
                self.imported.lines += lines;
                if is_last || self.imported.lines - self.committed >= TRANSACTION_LINES {
                    self.commit().await?;
                }
                progress(self.imported.lines);
                Ok(())
            };
            if is_last {
                return taken.await;
            }
            // The next ones are read meanwhile.
            let (taken, read) = tokio::join!(taken, read(reader, next));
            taken?;
            batch = read.map_err(TransferError::file(path))?;
        }
    }

    /// Of a trial there is one transaction, which is taken back.
    async fn commit(&mut self) -> Result<(), TransferError> {
        if self.is_open && !self.is_trial {
            self.intake.commit().await.map_err(TransferError::Write)?;
            self.is_open = false;
        }
        self.committed = self.imported.lines;
        Ok(())
    }

    async fn take(
        &mut self,
        groups: Vec<(Vec<u64>, Group)>,
        refused: Vec<BadLine>,
    ) -> Result<(), TransferError> {
        for line in refused {
            self.refuse(line)?;
        }
        if groups.is_empty() {
            return Ok(());
        }
        if !self.intake.has_renewed() && self.has_news(&groups).await? {
            // In a transaction of its own.
            self.commit().await?;
            self.intake.renew().await.map_err(TransferError::Write)?;
        }
        if !self.is_open {
            self.intake.begin().await.map_err(TransferError::Write)?;
            self.is_open = true;
        }
        let now = clock::now_micros() / MICROS_A_SECOND;
        for (numbers, group) in groups {
            let (intake, read) = (&mut self.intake, &mut self.read);
            let (taken, stored, read) = match group {
                Group::Users(lines) => {
                    (intake.users(lines).await, &mut self.imported.users, &mut read.users)
                }
                Group::Threads(lines) => {
                    (intake.threads(lines).await, &mut self.imported.threads, &mut read.threads)
                }
                Group::Messages(mut lines) => {
                    for line in &mut lines {
                        self.manifest.erase(line);
                    }
                    (intake.messages(lines).await, &mut self.imported.messages, &mut read.messages)
                }
                Group::Marks(lines) => {
                    (intake.marks(lines).await, &mut self.imported.marks, &mut read.marks)
                }
                Group::Blocks(lines) => {
                    (intake.blocks(lines).await, &mut self.imported.blocks, &mut read.blocks)
                }
                Group::Revocations(lines) => {
                    let stored = &mut self.imported.revocations;
                    (intake.revocations(lines, now).await, stored, &mut read.revocations)
                }
            };
            let taken = taken.map_err(TransferError::Write)?;
            *stored += taken.stored;
            *read += numbers.len() as u64;
            self.note(taken, &numbers).await?;
        }
        Ok(())
    }

    /// Whether there is something that users would be told of.
    async fn has_news(&mut self, groups: &[(Vec<u64>, Group)]) -> Result<bool, TransferError> {
        let intake = &mut self.intake;
        for (_, group) in groups {
            let is_new = match group {
                Group::Messages(lines) => intake.has_new_messages(lines).await,
                Group::Marks(lines) => intake.has_newer_marks(lines).await,
                Group::Blocks(lines) => intake.has_new_blocks(lines).await,
                Group::Users(_) | Group::Threads(_) | Group::Revocations(_) => Ok(false),
            };
            if is_new.map_err(TransferError::Read)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn note(&mut self, taken: Taken, numbers: &[u64]) -> Result<(), TransferError> {
        self.imported.known += taken.known;
        self.imported.changed += taken.changed;
        self.imported.not_younger += taken.not_younger;
        let number = |place: usize| numbers.get(place).copied().unwrap_or_default();
        for problem in taken.problems {
            self.refuse(BadLine { number: number(problem.place), reason: problem.reason })?;
        }
        // One that was missing may have been found since.
        let of_known = taken.known_files.into_iter();
        let of_known = of_known.filter(|file| self.manifest.missing_files.contains(&file.path));
        let files: Vec<_> = taken.files.into_iter().chain(of_known).collect();
        for (NeededFile { place, path, .. }, brought) in self.bring(files).await? {
            match brought {
                Ok(is_new) => self.imported.files += u64::from(is_new),
                Err(_) if self.manifest.missing_files.contains(&path) => {
                    self.imported.missing_files += 1;
                }
                Err(reason) => self.refuse(BadLine { number: number(place), reason })?,
            }
        }
        Ok(())
    }

    /// In the order of their lines.
    async fn bring(&self, files: Vec<NeededFile>) -> Result<Vec<Brought>, TransferError> {
        let mut brought = Vec::with_capacity(files.len());
        let mut coming = stream::iter(files)
            .map(|file| {
                let (source, media, is_trial) =
                    (self.source.clone(), self.media.clone(), self.is_trial);
                async move {
                    let bytes = file.size.unsigned_abs();
                    let is_new =
                        files::bring(&source, media.as_ref(), &file.path, bytes, is_trial).await;
                    (file, is_new)
                }
            })
            .buffered(FILES_AT_ONCE);
        while let Some((file, is_new)) = coming.next().await {
            brought.push((file, is_new?));
        }
        Ok(brought)
    }

    /// Of a trial it is told with all others.
    fn refuse(&mut self, line: BadLine) -> Result<(), TransferError> {
        if !self.is_trial {
            return Err(TransferError::Refused(line));
        }
        self.imported.refused_count += 1;
        if self.imported.refused.len() < MAX_TOLD {
            self.imported.refused.push(line);
        }
        Ok(())
    }
}

/// A file, and whether it is new where servers look for it, or why it cannot be there.
type Brought = (NeededFile, Result<bool, String>);
