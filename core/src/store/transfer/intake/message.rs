//! Messages that are imported: each behind the newest of its conversation, with its id and its times.
//!
//! * [`check`](mod@check): what is to be said of one alone.
//! * [`update`]: those that are there, where lines are followed. Such a line may come late, too: the original gave its id before
//!   that of another that was seen first.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use uuid::Uuid;

use super::{Intake, NeededFile, Taken, WANTED, check_new_id};
use crate::{
    command::parse,
    lines::{EarlierLine, MessageLine},
    media::name,
    store::{
        copy::table::{FeedStart, Message, Thread},
        engine::Connection,
        message::EarlierText,
        transfer::select_in,
    },
};

mod check;
mod update;

use self::{
    check::check,
    update::{Change, Known, change, is_newer},
};

/// What the database has of what some lines name.
struct Loaded {
    keys: HashMap<Uuid, i64>,
    threads: BTreeMap<i64, Thread>,
    known: HashMap<i64, Known>,
    /// The ends of feeds, and those that the database has.
    feeds: BTreeMap<i64, i64>,
    begun: BTreeSet<i64>,
    refs: HashSet<(i64, Uuid)>,
    paths: HashSet<String>,
    /// Whether lines are followed, and also where they are older.
    follows: bool,
    yields: bool,
    /// How many are older, and are not.
    newer: u64,
}

/// What becomes of a line.
enum Fate {
    New(NewRow),
    Known,
    Changed(Change),
}

impl Intake {
    /// Whether some of them are not there, or are followed by what is there.
    pub(crate) async fn has_new_messages(
        &mut self,
        lines: &[MessageLine],
    ) -> Result<bool, sqlx::Error> {
        let ids: BTreeSet<_> = lines.iter().map(|line| line.id).collect();
        if self.follows {
            let known = self.known_messages(ids).await?;
            let yields = self.yields;
            return Ok(lines.iter().any(|line| match known.get(&line.id) {
                None => true,
                Some(known) => matches!(change(known, line, yields), Ok(Some(_))),
            }));
        }
        let count = ids.len();
        let known: Vec<(i64,)> =
            select_in!(&mut self.connection, "select id from messages where id", ids)?;
        Ok(known.len() < count)
    }

    /// What is there already stays as it is, unless lines are followed.
    pub(crate) async fn messages(&mut self, lines: Vec<MessageLine>) -> Result<Taken, sqlx::Error> {
        let mut taken = Taken::default();
        let mut loaded = self.load(&lines).await?;
        let (mut rows, mut touched, mut moved) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        let (mut changes, mut late) = (Vec::new(), Vec::new());
        for (place, line) in lines.into_iter().enumerate() {
            let id = line.id;
            let row = match loaded.take(line) {
                Ok(Fate::New(row)) => row,
                Ok(Fate::Known) => {
                    taken.known += 1;
                    taken.known_files.extend(loaded.file_of(id, place));
                    continue;
                }
                Ok(Fate::Changed(change)) => {
                    taken.changed += 1;
                    if let (Some(path), false) = (&change.path, change.deleted) {
                        let (path, size) = (path.clone(), change.size.unwrap_or_default());
                        taken.files.push(NeededFile { place, path, size });
                    }
                    changes.push(change);
                    continue;
                }
                Err(reason) => {
                    taken.refuse(place, reason);
                    continue;
                }
            };
            taken.stored += 1;
            taken.not_younger += u64::from(row.is_not_younger);
            if row.is_late {
                taken.late += 1;
                late.push((row.message.thread_id, id));
            }
            let row = row.message;
            if let (Some(path), false) = (&row.attachment_path, row.deleted) {
                let (path, size) = (path.clone(), row.attachment_size.unwrap_or_default());
                taken.files.push(NeededFile { place, path, size });
            }
            touched.insert(row.thread_id);
            moved.extend([row.sender, row.receiver]);
            rows.push(row);
        }
        taken.newer = loaded.newer;
        let senders_of_files = rows.iter().filter(|row| row.attachment_path.is_some());
        let mut senders_of_files: BTreeSet<_> = senders_of_files.map(|row| row.sender).collect();
        let of_changed = changes.iter().filter(|it| it.path.is_some() || it.erased.is_some());
        senders_of_files.extend(of_changed.map(|change| change.sender));
        self.write(rows).await?;
        self.update_messages(changes).await?;
        self.turn(late).await?;
        loaded.threads.retain(|id, _| touched.contains(id));
        self.note_ends(loaded.threads).await?;
        loaded.feeds.retain(|key, _| moved.contains(key));
        self.begin_feeds(&loaded.feeds, &loaded.begun).await?;
        self.move_feeds(loaded.feeds).await?;
        self.forget_storage(senders_of_files).await?;
        Ok(taken)
    }

    async fn load(&mut self, lines: &[MessageLine]) -> Result<Loaded, sqlx::Error> {
        let users = lines.iter().flat_map(|line| [line.sender_id, line.receiver_id]).collect();
        let keys = self.keys_of(users).await?;
        let threads = self.find_threads(lines.iter().map(|line| line.thread_id).collect()).await?;
        let ids: BTreeSet<_> = lines.iter().map(|line| line.id).collect();
        let known = self.known_messages(ids).await?;
        let feeds: BTreeSet<_> = keys.values().copied().collect();
        let feeds: Vec<(i64, i64)> = match feeds.is_empty() {
            true => Vec::new(),
            false => select_in!(
                &mut self.connection,
                "select user_key, last_seq from feeds where user_key",
                feeds
            )?,
        };
        let refs =
            lines.iter().filter_map(|line| Some((*keys.get(&line.sender_id)?, line.client_ref?)));
        let refs = self.find_refs(refs.collect()).await?;
        let paths = lines.iter().filter_map(|line| line.attachment.as_ref());
        let paths: BTreeSet<_> = paths.map(|file| file.path.clone()).collect();
        let paths: Vec<(String,)> = match paths.is_empty() {
            true => Vec::new(),
            false => select_in!(
                &mut self.connection,
                "select attachment_path from messages where attachment_path",
                paths
            )?,
        };
        Ok(Loaded {
            keys,
            threads: threads.into_iter().map(|thread| (thread.id, thread)).collect(),
            known,
            begun: feeds.iter().map(|(key, _)| *key).collect(),
            feeds: feeds.into_iter().collect(),
            refs,
            paths: paths.into_iter().map(|(path,)| path).collect(),
            follows: self.follows,
            yields: self.yields,
            newer: 0,
        })
    }

    /// With their texts, where these may change.
    async fn known_messages(
        &mut self,
        ids: BTreeSet<i64>,
    ) -> Result<HashMap<i64, Known>, sqlx::Error> {
        let rows: Vec<Known> = match self.follows {
            true => select_in!(
                &mut self.connection,
                "select id, thread_id, sender, created, updated, seen, deleted, removed,
                    attachment_path, attachment_name, attachment_size, attachment_type, body
                from messages where id",
                ids
            )?,
            false => select_in!(
                &mut self.connection,
                "select id, thread_id, sender, created, updated, seen, deleted, removed,
                    attachment_path, attachment_name, attachment_size, attachment_type,
                    cast(null as text) as body
                from messages where id",
                ids
            )?,
        };
        Ok(rows.into_iter().map(|row| (row.id, row)).collect())
    }

    async fn find_refs(
        &mut self,
        refs: BTreeSet<(i64, Uuid)>,
    ) -> Result<HashSet<(i64, Uuid)>, sqlx::Error> {
        const FIND: &str = ") select m.sender, m.client_ref from wanted w cross join messages m
            where m.sender = w.one and m.client_ref = w.two and m.client_ref is not null";
        if refs.is_empty() {
            return Ok(HashSet::new());
        }
        let rows: Vec<(i64, Uuid)> = match &mut self.connection {
            Connection::Sqlite(connection) => {
                let mut query = sqlx::QueryBuilder::<sqlx::Sqlite>::new(WANTED);
                query.push_values(refs, |mut row, (sender, client_ref)| {
                    row.push_bind(sender).push_bind(client_ref);
                });
                query.push(FIND).build_query_as().fetch_all(connection).await?
            }
            Connection::Postgres(connection) => {
                let mut query = sqlx::QueryBuilder::<sqlx::Postgres>::new(WANTED);
                query.push_values(refs, |mut row, (sender, client_ref)| {
                    row.push_bind(sender).push_bind(client_ref);
                });
                query.push(FIND).build_query_as().fetch_all(connection).await?
            }
        };
        Ok(rows.into_iter().collect())
    }

    /// On SQLite a feed begins with its first change. One who was there before may have been told where it stood then: at its
    /// beginning, of which the new history knows nothing yet.
    async fn begin_feeds(
        &mut self,
        feeds: &BTreeMap<i64, i64>,
        begun: &BTreeSet<i64>,
    ) -> Result<(), sqlx::Error> {
        let (start, last_old_key) = (self.start().0, self.last_old_key);
        let new = feeds.keys().filter(|key| **key <= last_old_key && !begun.contains(key));
        let rows = new.map(|key| FeedStart { user_key: *key, start, last_seq: -1 });
        self.write(rows.collect()).await
    }

    async fn move_feeds(&mut self, feeds: BTreeMap<i64, i64>) -> Result<(), sqlx::Error> {
        const INSERT: &str = "insert into feeds (user_key, last_seq, start) ";
        const UPDATE: &str = " on conflict (user_key) do update set \
            last_seq = excluded.last_seq, start = excluded.start";
        if feeds.is_empty() {
            return Ok(());
        }
        let start = self.start().0;
        macro_rules! insert {
            ($engine:ident, $connection:expr) => {{
                let mut query = sqlx::QueryBuilder::<sqlx::$engine>::new(INSERT);
                query.push_values(feeds, |mut row, (key, last_seq)| {
                    row.push_bind(key).push_bind(last_seq).push_bind(start);
                });
                query.push(UPDATE).build().execute($connection).await.map(drop)
            }};
        }
        match &mut self.connection {
            Connection::Sqlite(connection) => insert!(Sqlite, connection),
            Connection::Postgres(connection) => insert!(Postgres, connection),
        }
    }

    /// What their files take is counted again when it is asked for.
    async fn forget_storage(&mut self, users: BTreeSet<i64>) -> Result<(), sqlx::Error> {
        if users.is_empty() {
            return Ok(());
        }
        let _: Vec<(i64,)> =
            select_in!(&mut self.connection, "delete from user_storage where user_key", users)?;
        Ok(())
    }
}

struct NewRow {
    message: Message,
    is_not_younger: bool,
    is_late: bool,
}

impl Loaded {
    /// The row of a message, unless it is there already.
    fn take(&mut self, line: MessageLine) -> Result<Fate, String> {
        parse::message_id("id", line.id).map_err(|error| error.to_string())?;
        let key = |id: &Uuid| {
            self.keys.get(id).copied().ok_or("no such user: the lines of users come first")
        };
        let (sender, receiver) = (key(&line.sender_id)?, key(&line.receiver_id)?);
        let thread = self.threads.get_mut(&line.thread_id);
        let thread = thread.ok_or("no such thread: the lines of threads come before messages")?;
        if (sender.min(receiver), sender.max(receiver)) != (thread.low_key, thread.high_key) {
            return Err("sender and receiver are not the two users of the thread".to_owned());
        }
        let created = line.created.0;
        if let Some(known) = self.known.get(&line.id) {
            let is_same =
                (known.thread_id, known.sender, known.created) == (line.thread_id, sender, created);
            return match is_same {
                true if self.follows => {
                    self.newer += u64::from(!self.yields && is_newer(known, &line));
                    Ok(change(known, &line, self.yields)?.map_or(Fate::Known, Fate::Changed))
                }
                true => Ok(Fate::Known),
                false => Err("another message has this id".to_owned()),
            };
        }
        let last = thread.newest();
        let is_late = line.id <= last;
        if is_late && !self.follows {
            return Err(format!("the ids of a thread ascend, and {last} comes before it"));
        }
        check_new_id(line.id)?;
        check(&line)?;
        if let Some(client_ref) = line.client_ref
            && !self.refs.insert((sender, client_ref))
        {
            return Err("the sender has another message with this client_ref".to_owned());
        }
        if let Some(file) = &line.attachment
            && !self.paths.insert(file.path.clone())
        {
            return Err("another message has a file of this path".to_owned());
        }

        let is_not_younger = last > 0 && !is_late && created <= thread.last_activity;
        let is_low = sender == thread.low_key;
        let continues = last > 0 && !is_late && {
            let (sent, swallowed) = if is_low {
                (thread.low_sent, thread.low_swallowed)
            } else {
                (thread.high_sent, thread.high_swallowed)
            };
            sent == Some(last) || swallowed == Some(last)
        };
        let is_held = match &line.attachment {
            Some(file) => file.dispatched.is_none(),
            None => line.removed && !line.hidden_for_receiver,
        };
        let is_shown = !line.swallowed && !is_held;
        let (sent, shown, swallowed) = if is_low {
            (&mut thread.low_sent, &mut thread.low_shown, &mut thread.low_swallowed)
        } else {
            (&mut thread.high_sent, &mut thread.high_shown, &mut thread.high_swallowed)
        };
        // One that is late is not the last, and of an end that is not noted it says nothing.
        let reach = |end: &mut Option<i64>| {
            *end = if is_late { end.map(|end| end.max(line.id)) } else { Some(line.id) };
        };
        if line.swallowed {
            reach(swallowed);
        } else {
            reach(sent);
            reach(&mut thread.last_message);
        }
        if is_shown {
            reach(shown);
        }
        // An empty thread has had none: its own time may be later than those of its messages.
        thread.last_activity = if last > 0 { thread.last_activity.max(created) } else { created };
        thread.last_message_at = Some(thread.last_activity);
        // A second line of the same message in one batch is of one that is there.
        let (id, thread_id) = (line.id, line.thread_id);
        let known = Known {
            id,
            thread_id,
            sender,
            created,
            updated: line.updated.map_or(created, |at| at.0),
            seen: line.seen,
            deleted: line.deleted,
            removed: line.removed.then_some(true),
            attachment_path: None,
            attachment_name: None,
            attachment_size: None,
            attachment_type: None,
            body: Some(line.body.clone()).filter(|_| self.follows),
        };
        self.known.insert(id, known);
        let sender_seq = self.next_place(sender);
        let receiver_seq = is_shown.then(|| self.next_place(receiver));
        let message = row(line, sender, receiver, sender_seq, receiver_seq, continues);
        Ok(Fate::New(NewRow { message, is_not_younger, is_late }))
    }

    /// Of a message that was there, and is not deleted.
    fn file_of(&self, id: i64, place: usize) -> Option<NeededFile> {
        let known = self.known.get(&id).filter(|known| !known.deleted)?;
        let size = known.attachment_size.unwrap_or_default();
        Some(NeededFile { place, path: known.attachment_path.clone()?, size })
    }

    fn next_place(&mut self, user: i64) -> i64 {
        let end = self.feeds.entry(user).or_default();
        *end += 1;
        *end
    }
}

fn earlier_text(line: &EarlierLine) -> String {
    let meta = line.meta.as_ref().map(|meta| meta.get().to_owned());
    let text = EarlierText { body: line.body.clone(), meta, updated: line.updated.0 };
    // Texts and a number can be written as JSON.
    serde_json::to_string(&text).unwrap_or_default()
}

fn row(
    line: MessageLine,
    sender: i64,
    receiver: i64,
    sender_seq: i64,
    receiver_seq: Option<i64>,
    continues: bool,
) -> Message {
    let set = |flag: bool| flag.then_some(true);
    let file = line.attachment;
    let created = line.created.0;
    Message {
        thread_id: line.thread_id,
        id: line.id,
        sender,
        receiver,
        body: line.body,
        created,
        updated: line.updated.map_or(created, |at| at.0),
        seen: line.seen,
        deleted: line.deleted,
        sender_seq,
        receiver_seq,
        sender_first_seq: None,
        receiver_first_seq: None,
        client_ref: line.client_ref,
        attachment_size: file.as_ref().map(|file| file.size),
        dispatched: file.as_ref().and_then(|file| file.dispatched).map(|at| at.0),
        attachment_type: file.as_ref().map(|file| file.content_type.clone()),
        attachment_name: file.as_ref().and_then(|file| file.file_name.as_deref()).map(name::clean),
        attachment_path: file.map(|file| file.path),
        reply_to: line.reply_to_id,
        meta: line.meta.map(|meta| meta.get().to_owned()),
        hidden_for_sender: set(line.hidden_for_sender),
        hidden_for_receiver: set(line.hidden_for_receiver || line.swallowed),
        receiver_sees: line.receiver_sees.map(|earlier| earlier_text(&earlier)),
        ref_from_client: set(line.ref_from_client),
        continues: set(continues),
        removed: set(line.removed),
    }
}
