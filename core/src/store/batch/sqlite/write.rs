//! How a batch is stored: in one call, because each takes a thread of the driver's to wake and to wait for.
//!
//! An error ends the transaction at once ("or rollback"), so that no statement keeps what it would take back alone.

use std::sync::OnceLock;

use futures_util::TryStreamExt as _;
use serde::Serialize;
use sqlx::{
    Arguments as _, Either, Encode, Executor as _, Sqlite, SqliteConnection, Type,
    sqlite::SqliteArguments,
};

use super::{cache::Cache, digest_hex, hex, json};
use crate::{
    command::SentForm,
    store::{
        batch::{
            ActivityRow, ChangedMessageRow, ErasedFileRow, FORGOTTEN_REFUSALS, MAX_MESSAGES,
            NewMessageRow, NewThreadRow, REFUSAL_KEPT, RefusalRow, Rows, StoreError, SwallowedRow,
            ThreadState, ThreadStateRow,
            form::{FORGOTTEN_FORMS, FormRow, SAME_FOR},
            thread::look_ends_up,
        },
        history::FeedStartRow,
    },
};

/// What a message with a file has besides its text.
#[derive(Serialize)]
struct FileRow<'a>(i64, i64, &'a str, &'a str, i64, &'a str, Option<i64>);

impl<'a> FileRow<'a> {
    fn of(row: &NewMessageRow<'a>) -> Option<Self> {
        let file = row.attachment?;
        Some(Self(
            row.thread_id,
            row.id,
            &file.path,
            &file.file_name,
            file.size,
            &file.content_type,
            row.dispatched,
        ))
    }
}

impl Serialize for RefusalRow {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.sender, hex(self.client_ref.0), self.refused).serialize(serializer)
    }
}

impl Serialize for FormRow {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let SentForm { boundary, content } = &self.form;
        (digest_hex(boundary), digest_hex(content), self.message_id, self.sent)
            .serialize(serializer)
    }
}

impl Serialize for NewThreadRow {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.id, self.low_key, self.high_key, self.user_one, self.created).serialize(serializer)
    }
}

impl Serialize for FeedStartRow {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.user, self.start, self.last_seq).serialize(serializer)
    }
}

impl Serialize for ChangedMessageRow {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { thread_id, id, created: _, updated, seen, deleted, dispatched, .. } = *self;
        let Self { sender_seq, receiver_seq, hidden_for_sender, hidden_for_receiver, .. } = *self;
        let Self { body, meta, .. } = self;
        let hidden = |hidden: bool| hidden.then_some(1);
        let hidden = (hidden(hidden_for_sender), hidden(hidden_for_receiver));
        let places = (sender_seq, receiver_seq);
        (
            thread_id,
            id,
            updated,
            seen,
            deleted,
            dispatched,
            places.0,
            places.1,
            body,
            meta,
            hidden.0,
            hidden.1,
            self.receiver_first_seq,
            &self.receiver_sees,
        )
            .serialize(serializer)
    }
}

impl Serialize for ThreadStateRow {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { user, thread_id, seen_id, delivered_id, shown, seq } = *self;
        let shown = (shown.map(|marks| marks.seen_id), shown.map(|marks| marks.delivered_id));
        (user, thread_id, seen_id, delivered_id, seq, shown.0, shown.1).serialize(serializer)
    }
}

impl Serialize for ErasedFileRow {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (&self.path, self.start).serialize(serializer)
    }
}

impl Serialize for SwallowedRow {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { thread_id, low_swallowed, high_swallowed, late_created, .. } = *self;
        let Self { late_one, knows_ends, ref messages, .. } = *self;
        (thread_id, low_swallowed, high_swallowed, late_created, late_one, knows_ends, messages)
            .serialize(serializer)
    }
}

/// A thread that was written to.
#[derive(Serialize)]
struct Activity(i64, i64, i64, Option<i64>, Option<i64>, Option<i64>, Option<i64>);

impl Activity {
    fn of(ActivityRow { thread, last_message }: &ActivityRow) -> Self {
        let ThreadState { id, last_activity, low_sent, low_shown, high_sent, high_shown, .. } =
            *thread;
        Self(id, last_activity, *last_message, low_sent, low_shown, high_sent, high_shown)
    }
}

/// The rows of a parameter as `v`. The limit keeps SQLite from rendering a row again for each of its columns.
macro_rules! rows {
    ($parameter:literal) => {
        concat!("(select value as v from json_each(", $parameter, ") limit -1 offset 0)")
    };
}
/// What every batch with messages has.
const MOVE: &str = "\
    insert or rollback into feeds (user_key, last_seq)
    select value ->> 0, value ->> 1 from json_each(?) where true
    on conflict (user_key) do update set last_seq = excluded.last_seq;
    update or rollback threads set last_activity = j.value ->> 1,
        last_message = j.value ->> 2, last_message_at = j.value ->> 1,
        low_sent = j.value ->> 3, low_shown = j.value ->> 4,
        high_sent = j.value ->> 5, high_shown = j.value ->> 6
    from json_each(?) j where threads.id = j.value ->> 0;";
/// What is rarer, and goes before that.
const RARER: &str = concat!(
    "insert or rollback into threads (id, low_key, high_key, user_one, created, last_activity)
    select v ->> 0, v ->> 1, v ->> 2, v ->> 3, v ->> 4, v ->> 4 from ",
    rows!("?"),
    ";
    update or rollback messages set updated = v ->> 2, seen = v ->> 3, deleted = v ->> 4,
        dispatched = v ->> 5, body = v ->> 8, meta = v ->> 9,
        hidden_for_sender = v ->> 10, hidden_for_receiver = v ->> 11,
        receiver_sees = v ->> 13,
        attachment_name = case when v ->> 4 then null else attachment_name end,
        reply_to = case when v ->> 4 then null else reply_to end,
        sender_first_seq = case when v ->> 6 is null then sender_first_seq
            else coalesce(sender_first_seq, sender_seq) end,
        sender_seq = coalesce(v ->> 6, sender_seq),
        receiver_first_seq = case when v ->> 7 is null then receiver_first_seq
            else nullif(v ->> 12, v ->> 7) end,
        receiver_seq = coalesce(v ->> 7, receiver_seq) from ",
    rows!("?"),
    " where messages.thread_id = v ->> 0 and messages.id = v ->> 1;
    delete from uploads where path in (select value ->> 2 from json_each(?));"
);
/// What is as rare, and goes after it, with the sixth parameter.
const ENTER_START: &str = "\
    update or rollback feeds set start = value ->> 1 from json_each(?)
    where feeds.user_key = value ->> 0;
    insert or rollback into feed_starts (user_key, start, last_seq)
    select value ->> 0, value ->> 1, value ->> 2 from json_each($6);";
/// The same of marks, and of files that are to be removed.
const MARK: &str = concat!(
    "insert or rollback into thread_states (user_key, thread_id, seen_id, delivered_id, seq,
        shown_seen_id, shown_delivered_id)
    select v ->> 0, v ->> 1, v ->> 2, v ->> 3, v ->> 4, v ->> 5, v ->> 6 from ",
    rows!("?"),
    " where true
    on conflict (user_key, thread_id) do update set seen_id = excluded.seen_id,
        delivered_id = excluded.delivered_id, shown_seen_id = excluded.shown_seen_id,
        shown_delivered_id = excluded.shown_delivered_id,
        seq = coalesce(excluded.seq, thread_states.seq);
    insert or ignore into uploads (path, start)
    select value ->> 0, value ->> 1 from json_each(?);"
);
/// What is rarer still: threads of which one of the two does not see all.
const SWALLOW: &str = concat!(
    "update or rollback threads set low_swallowed = v ->> 1, high_swallowed = v ->> 2,
        late_created = v ->> 3, late_one = v ->> 4,
        last_message_at = iif(v ->> 5, last_message_at, null) from ",
    rows!("?"),
    " where threads.id = v ->> 0;"
);
/// What is as rare, and goes after the messages, with the parameter of that.
const HIDE_SWALLOWED: &str = "\
    update or rollback messages set hidden_for_receiver = 1
    from (select t.value ->> 0 as thread_id, m.value as id
        from json_each($9) t, json_each(t.value -> 6) m) s
    where messages.thread_id = s.thread_id and messages.id = s.id;";
/// What is as rare, and goes after that, with the same parameter.
const LOOK_ENDS_UP: &str = concat!(
    look_ends_up!(sides "update or rollback", "select value ->> 0 from json_each($9) where not value ->> 5"),
    ";",
    look_ends_up!(last "update or rollback", "select value ->> 0 from json_each($9) where not value ->> 5"),
    ";"
);
/// What is as rare, and goes after the messages, with the third parameter.
const SET_FILES: &str = concat!(
    "update or rollback messages set attachment_path = v ->> 2, attachment_name = v ->> 3,
        attachment_size = v ->> 4, attachment_type = v ->> 5, dispatched = v ->> 6 from ",
    rows!("$3"),
    " where messages.thread_id = v ->> 0 and messages.id = v ->> 1;"
);
/// Messages with their text alone. All parameters that are left are theirs; the driver leaves null what it has none for.
macro_rules! insert_messages {
    ($more_columns:literal, $more_values:literal) => {
        concat!(
            "insert or rollback into messages (thread_id, id, sender, receiver, body, created, updated,
                sender_seq, receiver_seq, client_ref, continues",
            $more_columns,
            ") select column1, column2, column3, column4, column5, column6, column6, column7, column8,
                column9, column10",
            $more_values,
            " from (values "
        )
    };
}
const INSERT_PLAIN: &str = insert_messages!("", "");
const PLAIN: &str = "(?,?,?,?,?,?,?,?,?,?)";
/// With what clients of the second generation and services may add.
const INSERT_MESSAGES: &str =
    insert_messages!(", ref_from_client, reply_to, meta", ", column11, column12, column13");
const MESSAGE: &str = "(?,?,?,?,?,?,?,?,?,?,?,?,?)";
const MESSAGE_PARAMETERS: usize = 13;
const END_OF_MESSAGES: &str = ") where column1 is not null;";
const COMMIT: &str = "commit";

/// For how many messages there is a statement: few, each compiled once, and not much longer than the batches that they are
/// for.
const SIZES: [usize; 20] =
    [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, MAX_MESSAGES];

/// The statements of a batch to its end. Each but the commit ends in a semicolon, by which they are counted.
struct Statements {
    plain: String,
    usual: String,
    with_rarer: String,
}

impl Statements {
    /// Of a batch with so many messages.
    fn of(messages: usize) -> Option<&'static Self> {
        static ALL: [OnceLock<Statements>; SIZES.len()] = [const { OnceLock::new() }; SIZES.len()];
        let index = SIZES.partition_point(|size| *size < messages);
        let (statements, size) = (ALL.get(index)?, *SIZES.get(index)?);
        Some(statements.get_or_init(|| Self::new(size)))
    }

    fn new(size: usize) -> Self {
        let insert = |start: &str, row: &str| {
            let rows = vec![row; size].join(",");
            [start, &rows, END_OF_MESSAGES].concat()
        };
        let plain = insert(INSERT_PLAIN, PLAIN);
        let insert = insert(INSERT_MESSAGES, MESSAGE);
        Self {
            plain: [MOVE, &plain, COMMIT].concat(),
            usual: [MOVE, &insert, COMMIT].concat(),
            with_rarer: [
                RARER,
                MOVE,
                ENTER_START,
                MARK,
                SWALLOW,
                &insert,
                SET_FILES,
                HIDE_SWALLOWED,
                LOOK_ENDS_UP,
                COMMIT,
            ]
            .concat(),
        }
    }
}

/// Rare enough for calls of their own.
const INSERT_REFUSALS: &str = "\
    insert or ignore into refused_sends (sender, client_ref, refused)
    select value ->> 0, unhex(value ->> 1), value ->> 2 from json_each($1)";
const FORGET_REFUSALS: &str = "\
    delete from refused_sends where (sender, client_ref) in
        (select sender, client_ref from refused_sends where refused < $1 limit $2)";
const INSERT_FORMS: &str = "\
    insert into sent_forms (boundary, content, message_id, sent)
    select unhex(value ->> 0), unhex(value ->> 1), value ->> 2, value ->> 3 from json_each($1)
    where true
    on conflict (boundary, content) do update
        set message_id = excluded.message_id, sent = excluded.sent";
const DELETE_BLOCKS: &str = "\
    delete from blocks where (blocker, blocked) in
        (select value ->> 0, value ->> 1 from json_each($1))";
const INSERT_BLOCKS: &str = "\
    insert into blocks (blocker, blocked, created)
    select value ->> 0, value ->> 1, value ->> 2 from json_each($1)
    where value ->> 2 is not null";
const FORGET_FORMS: &str = "\
    update sent_forms set message_id = null where (boundary, content) in
        (select boundary, content from sent_forms
            where message_id is not null and sent < $1 limit $2)";

/// Stores a batch and commits it; durable when it returns.
pub(in crate::store) async fn commit(
    connection: &mut SqliteConnection,
    rows: &Rows<'_>,
    cache: &mut Cache,
) -> Result<(), StoreError> {
    store_refusals(connection, &rows.refusals).await?;
    store_forms(connection, &rows.forms).await?;
    store_blocks(connection, rows).await?;
    let files: Vec<_> = rows.messages.iter().filter_map(FileRow::of).collect();
    let is_usual = rows.threads.is_empty()
        && files.is_empty()
        && rows.changed.is_empty()
        && rows.feed_starts.is_empty()
        && rows.thread_states.is_empty()
        && rows.erased_files.is_empty()
        && rows.swallowed.is_empty();
    let mut parameters = Parameters::default();
    if is_usual && rows.messages.is_empty() {
        run(connection, COMMIT, parameters).await?;
    } else {
        let statements = Statements::of(rows.messages.len()).ok_or_else(too_many_messages)?;
        if !is_usual {
            parameters.add(json(&rows.threads)?)?;
            parameters.add(json(&rows.changed.values().collect::<Vec<_>>())?)?;
            parameters.add(json(&files)?)?;
        }
        let feeds: Vec<_> = rows.feeds.iter().map(|user| (user.key, user.last_seq)).collect();
        let activities: Vec<_> = rows.activities.iter().map(Activity::of).collect();
        parameters.add(json(&feeds)?)?;
        parameters.add(json(&activities)?)?;
        if !is_usual {
            parameters.add(json(&rows.feed_starts)?)?;
            parameters.add(json(&rows.thread_states)?)?;
            parameters.add(json(&rows.erased_files)?)?;
            parameters.add(json(&rows.swallowed)?)?;
        }
        let is_plain = is_usual && rows.messages.iter().all(NewMessageRow::is_plain);
        parameters.add_messages(rows, is_plain)?;
        let sql = match (is_usual, is_plain) {
            (true, true) => &statements.plain,
            (true, false) => &statements.usual,
            (false, _) => &statements.with_rarer,
        };
        run(connection, sql, parameters).await?;
    }
    cache.keep_stored(rows);
    Ok(())
}

fn too_many_messages() -> sqlx::Error {
    sqlx::Error::Encode("there is no statement for so many messages".into())
}

#[derive(Default)]
struct Parameters(SqliteArguments);

impl Parameters {
    fn add<'t>(
        &mut self,
        value: impl Encode<'t, Sqlite> + Type<Sqlite>,
    ) -> Result<(), sqlx::Error> {
        self.0.add(value).map_err(sqlx::Error::Encode)
    }

    fn add_messages(&mut self, rows: &Rows<'_>, are_plain: bool) -> Result<(), sqlx::Error> {
        self.0.reserve(rows.messages.len() * MESSAGE_PARAMETERS, 0);
        for row in &rows.messages {
            let body = str::from_utf8(&rows.bodies[row.body.clone()])
                .map_err(|error| sqlx::Error::Encode(error.into()))?;
            self.add(row.thread_id)?;
            self.add(row.id)?;
            self.add(row.sender)?;
            self.add(row.receiver)?;
            self.add(body)?;
            self.add(row.created)?;
            self.add(row.sender_seq.cast_signed())?;
            self.add(row.receiver_seq.map(u64::cast_signed))?;
            self.add(row.client_ref.map(|client_ref| client_ref.0))?;
            self.add(row.continues.then_some(1))?;
            if are_plain {
                continue;
            }
            self.add(row.ref_from_client.then_some(1))?;
            self.add(row.reply_to)?;
            self.add(row.meta)?;
        }
        Ok(())
    }
}

pub(super) async fn store_refusals(
    connection: &mut SqliteConnection,
    refusals: &[RefusalRow],
) -> Result<(), sqlx::Error> {
    let Some(newest) = refusals.iter().map(|row| row.refused).max() else { return Ok(()) };
    sqlx::query(INSERT_REFUSALS).bind(json(refusals)?).execute(&mut *connection).await?;
    sqlx::query(FORGET_REFUSALS)
        .bind(newest - REFUSAL_KEPT)
        .bind(FORGOTTEN_REFUSALS)
        .execute(connection)
        .await
        .map(drop)
}

async fn store_forms(
    connection: &mut SqliteConnection,
    forms: &[FormRow],
) -> Result<(), sqlx::Error> {
    let Some(newest) = forms.iter().map(|row| row.sent).max() else { return Ok(()) };
    sqlx::query(INSERT_FORMS).bind(json(forms)?).execute(&mut *connection).await?;
    sqlx::query(FORGET_FORMS)
        .bind(newest - SAME_FOR)
        .bind(FORGOTTEN_FORMS)
        .execute(connection)
        .await
        .map(drop)
}

async fn store_blocks(
    connection: &mut SqliteConnection,
    rows: &Rows<'_>,
) -> Result<(), sqlx::Error> {
    if rows.blocks.is_empty() {
        return Ok(());
    }
    let blocks = rows.blocks.iter().map(|((blocker, blocked), at)| (blocker, blocked, at));
    let blocks = json(&blocks.collect::<Vec<_>>())?;
    for statement in [DELETE_BLOCKS, INSERT_BLOCKS] {
        sqlx::query(statement).bind(&blocks).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Runs statements of which the last is the commit.
async fn run(
    connection: &mut SqliteConnection,
    sql: &'static str,
    parameters: Parameters,
) -> Result<(), StoreError> {
    let before_commit = sql.matches(';').count();
    let mut ended = 0;
    let mut results = connection.fetch_many(sqlx::query_with(sql, parameters.0));
    loop {
        match results.try_next().await {
            Ok(Some(Either::Left(_))) => ended += 1,
            Ok(Some(Either::Right(_))) => {}
            Ok(None) if ended > before_commit => return Ok(()),
            // The thread of the driver died.
            Ok(None) => return Err(StoreError::Commit(sqlx::Error::WorkerCrashed)),
            Err(error) if ended < before_commit => return Err(StoreError::Statement(error)),
            Err(error) => return Err(StoreError::Commit(error)),
        }
    }
}
