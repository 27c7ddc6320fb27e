//! Our own, page by page in one snapshot, held against what is known of the original.

use std::collections::{BTreeSet, VecDeque};

use super::{
    fate::Fate,
    fixture::Fixture,
    known::{self, Known},
    report::WayBack,
    row::{self, UserColumns, UserKey},
    was::Was,
};
use crate::{
    clock,
    lines::{MessageLine, Moment, ThreadLine, UserLine},
    original::{Mapping, OriginalUserIds},
    store::transfer::snapshot::Snapshot,
    transfer::TransferError,
};

const MICROS_A_SECOND: i64 = 1_000_000;

pub(super) struct Writer<'a, P> {
    pub(super) snapshot: Snapshot,
    pub(super) known: Known,
    pub(super) mapping: &'a Mapping,
    pub(super) fixture: Fixture,
    pub(super) kind: OriginalUserIds,
    pub(super) columns: UserColumns,
    pub(super) report: WayBack,
    /// Messages.
    pub(super) in_both: u64,
    /// The newest that the original has.
    pub(super) newest: i64,
    pub(super) rows: u64,
    pub(super) progress: P,
}

impl<P: FnMut(u64)> Writer<'_, P> {
    pub(super) async fn write_all(&mut self) -> Result<(), TransferError> {
        let now = clock::now_micros();
        self.report.as_of = Moment(now).to_string();
        let facts = self.snapshot.begin().await.map_err(TransferError::Read)?;
        self.report.database_id = facts.identity.to_string();
        self.report.epoch = facts.epoch;
        self.users().await?;
        self.read_marks().await?;
        self.count_others(now / MICROS_A_SECOND).await?;
        self.messages().await?;
        self.snapshot.end().await.map_err(TransferError::Read)
    }

    async fn page_is_done(&mut self, rows: usize) -> Result<(), TransferError> {
        self.rows += rows as u64;
        (self.progress)(self.rows);
        self.fixture.flush().await
    }

    async fn users(&mut self) -> Result<(), TransferError> {
        let mut after = 0;
        loop {
            let page = self.snapshot.users(&mut after).await.map_err(TransferError::Read)?;
            if page.is_empty() {
                return Ok(());
            }
            let (count, mut called) = (page.len(), Vec::with_capacity(page.len()));
            for line in page {
                match self.original_id(&line) {
                    Some(id) => called.push((line, id)),
                    None => self.report.left_out.users_without_id += 1,
                }
            }
            let ids = called.iter().map(|(line, id)| (line.id, id.clone()));
            self.known.add_users(ids.collect()).await?;
            let ids: Vec<_> = called.iter().map(|(_, id)| id.clone()).collect();
            let there = self.known.original_users(&ids).await?;
            for (line, id) in &called {
                match there.get(id) {
                    Some(_) if line.deleted => self.report.left_out.deleted_users += 1,
                    Some(known) if *known != entry_of(line) => {
                        self.report.left_out.changed_users += 1;
                    }
                    Some(_) => {}
                    None => self.user(line, id)?,
                }
            }
            self.page_is_done(count).await?;
        }
    }

    /// What the original calls a user.
    fn original_id(&self, line: &UserLine) -> Option<String> {
        match self.kind {
            OriginalUserIds::Uuids => Some(line.id.to_string()),
            OriginalUserIds::Numbers => {
                let id = &line.external_id.as_ref()?.subject;
                id.parse::<i64>().is_ok().then(|| id.clone())
            }
        }
    }

    fn user(&mut self, line: &UserLine, id: &str) -> Result<(), TransferError> {
        let left_out = &mut self.report.left_out;
        left_out.users_without_email += u64::from(line.email.is_empty());
        left_out.profiles += u64::from(line.profile.is_some() && !self.columns.profile);
        self.report.users += 1;
        let key = UserKey { kind: self.kind, id };
        self.fixture.add(row::user(self.mapping, self.columns, key, line))
    }

    async fn read_marks(&mut self) -> Result<(), TransferError> {
        let mut after = (0, 0);
        loop {
            let page = self.snapshot.marks(&mut after).await.map_err(TransferError::Read)?;
            if page.is_empty() {
                return Ok(());
            }
            let count = page.len();
            // What the other one is shown of it.
            let marks = page.into_iter().map(|line| {
                (line.thread_id, line.user_id, line.shown_seen_id.unwrap_or(line.seen_id))
            });
            self.known.add_marks(marks.collect()).await?;
            self.page_is_done(count).await?;
        }
    }

    async fn count_others(&mut self, now: i64) -> Result<(), TransferError> {
        let mut after = (0, 0);
        loop {
            let page = self.snapshot.blocks(&mut after).await.map_err(TransferError::Read)?;
            if page.is_empty() {
                break;
            }
            self.report.left_out.blocks += page.len() as u64;
        }
        let mut after = 0;
        loop {
            let before = after;
            let page = self.snapshot.revocations(&mut after, now).await;
            self.report.left_out.revocations += page.map_err(TransferError::Read)?.len() as u64;
            if after == before {
                return Ok(());
            }
        }
    }

    /// In the order of threads, each new one before its messages.
    async fn messages(&mut self) -> Result<(), TransferError> {
        let mut threads = Threads::default();
        let mut after = (0, 0);
        loop {
            let page = self.snapshot.messages(&mut after).await.map_err(TransferError::Read)?;
            if page.is_empty() {
                return Ok(());
            }
            let of_threads: BTreeSet<_> = page.iter().map(|line| line.thread_id).collect();
            let ids: Vec<_> = page.iter().map(|line| line.id).collect();
            let was = self.known.original_messages(&ids).await?;
            let there = self.known.original_threads(of_threads.clone()).await?;
            let marks = self.known.marks(of_threads).await?;
            let users: BTreeSet<_> =
                page.iter().flat_map(|line| [line.sender_id, line.receiver_id]).collect();
            let users = self.known.users(users).await?;
            let mut new_files = Vec::new();
            for line in &page {
                let was = was.get(&line.id);
                let seen_id = marks.get(&(line.thread_id, line.receiver_id));
                let seen = line.seen || seen_id.is_some_and(|seen_id| *seen_id >= line.id);
                let called = [line.sender_id, line.receiver_id].map(|id| users.get(&id));
                let fate = Fate::of(line, was, called, seen);
                self.in_both += u64::from(was.is_some() && fate != Fate::Other);
                self.count(line, fate);
                if !matches!(fate, Fate::New | Fate::Changed) {
                    continue;
                }
                let [Some(sender), Some(receiver)] = called else {
                    self.report.left_out.messages_of_them += 1;
                    continue;
                };
                if !there.contains(&line.thread_id)
                    && let Some(thread) = threads.take(&mut self.snapshot, line.thread_id).await?
                {
                    let one = if thread.user_one == line.sender_id { sender } else { receiver };
                    let two = if thread.user_one == line.sender_id { receiver } else { sender };
                    self.thread(&thread, [one, two])?;
                }
                new_files.extend(self.message(line, was, [sender, receiver], seen)?);
            }
            self.known.add_files(new_files).await?;
            self.page_is_done(page.len()).await?;
        }
    }

    fn thread(&mut self, line: &ThreadLine, [one, two]: [&String; 2]) -> Result<(), TransferError> {
        self.report.threads += 1;
        let keys = [one, two].map(|id| UserKey { kind: self.kind, id });
        self.fixture.add(row::thread(self.mapping, line, keys))
    }

    /// Gives the file that the original lacks.
    fn message(
        &mut self,
        line: &MessageLine,
        was: Option<&Was>,
        users: [&String; 2],
        seen: bool,
    ) -> Result<Option<(String, i64)>, TransferError> {
        let keys = users.map(|id| UserKey { kind: self.kind, id });
        let report = &mut self.report;
        report.newest_message = report.newest_message.max(line.id);
        match was {
            None => {
                report.messages += 1;
                if line.id <= self.newest {
                    report.deleted_there.note(line.id);
                }
            }
            Some(_) => report.changed_messages += 1,
        }
        if line.deleted {
            report.erased_files.extend(was.and_then(Was::file).map(|file| file.path));
        } else {
            report.left_out.held_edits += u64::from(line.receiver_sees.is_some());
            report.left_out.replies += u64::from(line.reply_to_id.is_some());
            report.left_out.meta += u64::from(line.meta.is_some());
        }
        self.fixture.add(row::message(self.mapping, line, was, keys, seen))?;
        let file = line.attachment.as_ref().filter(|_| was.is_none() && !line.deleted);
        Ok(file.map(|file| (file.path.clone(), file.size)))
    }

    fn count(&mut self, line: &MessageLine, fate: Fate) {
        let left_out = &mut self.report.left_out;
        match fate {
            Fate::Swallowed => left_out.swallowed_messages += 1,
            Fate::Removed => left_out.removed_messages += 1,
            Fate::Other => self.report.other_messages.note(line.id),
            Fate::Newer => self.report.newer_messages.note(line.id),
            Fate::Same | Fate::New | Fate::Changed | Fate::Unread => {
                let is_hidden = line.hidden_for_sender || line.hidden_for_receiver;
                left_out.hidden_messages += u64::from(is_hidden && !line.deleted);
            }
        }
    }
}

fn entry_of(line: &UserLine) -> Vec<u8> {
    known::entry(&line.email, line.profile.as_ref().map(|profile| profile.get()))
}

/// Threads beside their messages: both come in the order of the ids of threads.
#[derive(Default)]
struct Threads {
    after: i64,
    /// The last one that was asked for.
    last: i64,
    page: VecDeque<ThreadLine>,
}

impl Threads {
    /// The thread of this id, if it was not taken before.
    async fn take(
        &mut self,
        snapshot: &mut Snapshot,
        id: i64,
    ) -> Result<Option<ThreadLine>, TransferError> {
        if id <= self.last {
            return Ok(None);
        }
        self.last = id;
        loop {
            match self.page.pop_front() {
                Some(line) if line.id == id => return Ok(Some(line)),
                Some(line) if line.id > id => {
                    self.page.push_front(line);
                    return Ok(None);
                }
                Some(_) => {}
                None => {
                    let page = snapshot.threads(&mut self.after).await;
                    self.page = page.map_err(TransferError::Read)?.into();
                    if self.page.is_empty() {
                        return Ok(None);
                    }
                }
            }
        }
    }
}
