//! Rows into the database, many in a transaction, with their files, which are there before it. What cannot be taken is told, and
//! the rest goes on.

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, stream};
use netrox_proto::attachment_path;

use super::{
    digest::{self, Digests},
    line::Ids,
    report::Followed,
    rows::{Group, Reading},
};
use crate::{
    backup::{copying::FILES_AT_ONCE, place::Place},
    clock,
    original::{BadRow, OriginalMessage, OriginalThread, OriginalUser},
    store::transfer::intake::{Intake, NeededFile, Problem, Taken},
    transfer::{TransferError, files, import::TRANSACTION_LINES},
};

/// Messages of all threads come in the order of their ids, and each transaction writes pages of most threads: long ones write
/// fewer. The first are short, so that a pass that is stopped early was not for nothing.
const LONGEST_TRANSACTION: u64 = 8 * TRANSACTION_LINES;

pub(super) struct Run {
    pub(super) intake: Intake,
    /// `MEDIA_ROOT`. None, if it is not there.
    source: Option<Place>,
    /// Where servers have files. None of a trial whose directory is not there.
    media: Option<Place>,
    ids: Ids,
    is_trial: bool,
    /// A transaction is under way, of so many lines.
    is_open: bool,
    lines: u64,
    /// After so many it is committed.
    longest: u64,
    pub(super) report: Followed,
    /// Of what was taken, or is here already.
    pub(super) taken: Digests,
}

/// What is found of the file of a message.
type Found = Option<(i64, &'static str)>;

impl Run {
    pub(super) fn new(
        intake: Intake,
        source: Option<Place>,
        media: Option<Place>,
        ids: Ids,
        is_trial: bool,
        report: Followed,
    ) -> Self {
        Self {
            intake,
            source,
            media,
            ids,
            is_trial,
            is_open: false,
            lines: 0,
            longest: TRANSACTION_LINES,
            report,
            taken: Digests::default(),
        }
    }

    /// `progress` is told how many rows were taken so far.
    pub(super) async fn take_all(
        &mut self,
        mut rows: Reading,
        mut progress: impl FnMut(u64),
    ) -> Result<(), TransferError> {
        let mut count = 0;
        loop {
            let (next, groups) = rows.next().await?;
            rows = next;
            if groups.is_empty() {
                break;
            }
            for group in groups {
                count += match group {
                    Group::Users(rows) => self.users(rows).await?,
                    Group::Threads(rows) => self.threads(rows).await?,
                    Group::Messages(rows) => self.messages(rows).await?,
                };
            }
            self.commit_when_long().await?;
            progress(count);
        }
        self.marks().await?;
        self.commit().await
    }

    /// What was begun is taken back.
    pub(super) async fn close(mut self) -> (Followed, Result<(), sqlx::Error>) {
        let rolled_back = if self.is_open { self.intake.roll_back().await } else { Ok(()) };
        let closed = self.intake.close().await;
        (self.report, rolled_back.and(closed))
    }

    /// Of a trial there is one transaction, which is taken back.
    pub(super) async fn commit(&mut self) -> Result<(), TransferError> {
        if self.is_open && !self.is_trial {
            self.intake.commit().await.map_err(TransferError::Write)?;
            self.is_open = false;
        }
        self.lines = 0;
        Ok(())
    }

    pub(super) async fn commit_when_long(&mut self) -> Result<(), TransferError> {
        if self.lines < self.longest {
            return Ok(());
        }
        self.longest = (2 * self.longest).min(LONGEST_TRANSACTION);
        self.commit().await
    }

    /// `has_news`: there is something that users would be told of, before which a new history begins.
    pub(super) async fn open(&mut self, has_news: bool, lines: usize) -> Result<(), TransferError> {
        if has_news && !self.intake.has_renewed() {
            // In a transaction of its own.
            self.commit().await?;
            self.intake.renew().await.map_err(TransferError::Write)?;
        }
        if !self.is_open {
            self.intake.begin().await.map_err(TransferError::Write)?;
            self.is_open = true;
        }
        self.lines += lines as u64;
        Ok(())
    }

    async fn users(&mut self, rows: Vec<OriginalUser>) -> Result<u64, TransferError> {
        let (count, now) = (rows.len(), clock::now_micros());
        let (mut lines, mut ids) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for row in rows {
            let (id, mut notes) = (row.id, Vec::new());
            match self.ids.user(row, now, &mut notes) {
                Ok(line) => {
                    notes.into_iter().for_each(|note| self.report.note("user", &id, note));
                    lines.push(line);
                    ids.push(id);
                }
                Err(reason) => self.refuse("user", &id, reason),
            }
        }
        self.open(false, count).await?;
        let taken = self.intake.users(lines).await.map_err(TransferError::Write)?;
        self.report.users += taken.stored;
        self.tally("user", &ids, &taken);
        Ok(count as u64)
    }

    async fn threads(&mut self, rows: Vec<OriginalThread>) -> Result<u64, TransferError> {
        let count = rows.len();
        let (mut lines, mut ids) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for row in rows {
            match self.ids.thread(&row) {
                Ok(line) => {
                    lines.push(line);
                    ids.push(row.id);
                }
                Err(reason) => self.refuse("thread", &row.id, reason),
            }
        }
        self.open(false, count).await?;
        let taken = self.intake.threads(lines).await.map_err(TransferError::Write)?;
        self.report.threads += taken.stored;
        self.tally("thread", &ids, &taken);
        Ok(count as u64)
    }

    async fn messages(&mut self, rows: Vec<OriginalMessage>) -> Result<u64, TransferError> {
        let count = rows.len();
        let found = self.look(&rows).await?;
        let (mut lines, mut ids) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for (row, found) in rows.into_iter().zip(found) {
            let (id, mut notes) = (row.id, Vec::new());
            let largest = found.map_or(0, |(bytes, _)| bytes);
            self.report.largest_file = self.report.largest_file.max(largest);
            match self.ids.message(row, found, &mut notes) {
                Ok(line) => {
                    notes.into_iter().for_each(|note| self.report.note("message", &id, note));
                    lines.push(line);
                    ids.push(id);
                }
                Err(reason) => self.refuse("message", &id, reason),
            }
        }
        let has_news = !self.intake.has_renewed() && {
            let news = self.intake.has_new_messages(&lines).await;
            news.map_err(TransferError::Read)?
        };
        self.open(has_news, count).await?;
        let digests: Vec<_> = lines.iter().map(|line| (line.id, digest::of(line))).collect();
        let taken = self.intake.messages(lines).await.map_err(TransferError::Write)?;
        self.report.messages += taken.stored;
        self.tally("message", &ids, &taken);
        let refused: BTreeSet<_> = taken.problems.iter().map(|problem| problem.place).collect();
        let kept = (0..digests.len()).filter(|place| !refused.contains(place));
        for (id, digest) in kept.filter_map(|place| digests.get(place)) {
            self.taken.add(*id, *digest);
        }
        self.bring(taken.files.into_iter().chain(taken.known_files).collect(), &ids).await?;
        Ok(count as u64)
    }

    /// What there is of the files of some messages, in their order; of one that is gone there, what is here.
    async fn look(&self, rows: &[OriginalMessage]) -> Result<Vec<Found>, TransferError> {
        let paths = rows.iter().map(|row| row.file.as_ref().filter(|_| !row.deleted));
        let paths = paths.map(|file| file.map(|file| file.path.clone()));
        // Any other may lead elsewhere, and is refused.
        let paths: Vec<_> =
            paths.map(|path| path.filter(|path| attachment_path::is_valid(path))).collect();
        let mut found = Vec::with_capacity(paths.len());
        let mut coming = stream::iter(paths)
            .map(|path| {
                let places = [self.source.clone(), self.media.clone()];
                async move {
                    let Some(path) = path else { return Ok(None) };
                    for place in places.iter().flatten() {
                        let found = files::look(place, &path).await?;
                        if found.is_some() {
                            return Ok(found);
                        }
                    }
                    Ok::<_, TransferError>(None)
                }
            })
            .buffered(FILES_AT_ONCE);
        while let Some(file) = coming.next().await {
            found.push(file?);
        }
        Ok(found)
    }

    /// Has files be where servers look for them.
    async fn bring(&mut self, files: Vec<NeededFile>, ids: &[i64]) -> Result<(), TransferError> {
        let mut coming = stream::iter(files)
            .map(|file| {
                let (source, media) = (self.source.clone(), self.media.clone());
                let is_trial = self.is_trial;
                async move {
                    let Some(source) = source else {
                        return (file, Ok(Err("there is no directory of files".to_owned())));
                    };
                    let (path, bytes) = (&file.path, file.size.unsigned_abs());
                    let brought =
                        files::bring(&source, media.as_ref(), path, bytes, is_trial).await;
                    (file, brought)
                }
            })
            .buffered(FILES_AT_ONCE);
        let mut brought = Vec::new();
        while let Some((file, result)) = coming.next().await {
            brought.push((file.place, result?));
        }
        drop(coming);
        for (place, result) in brought {
            match result {
                Ok(is_new) => self.report.files += u64::from(is_new),
                Err(reason) => {
                    let id = ids.get(place).copied().unwrap_or_default();
                    self.report.miss(id, &reason);
                }
            }
        }
        Ok(())
    }

    fn tally<T: std::fmt::Display>(&mut self, kind: &'static str, ids: &[T], taken: &Taken) {
        self.report.known += taken.known;
        self.report.changed += taken.changed;
        self.report.late += taken.late;
        self.report.newer_here += taken.newer;
        self.report.not_younger += taken.not_younger;
        for Problem { place, reason } in &taken.problems {
            if let Some(id) = ids.get(*place) {
                self.refuse(kind, id, reason.clone());
            }
        }
    }

    fn refuse(&mut self, kind: &'static str, id: &dyn std::fmt::Display, reason: String) {
        self.report.refuse(BadRow { kind, id: id.to_string(), reason });
    }
}
