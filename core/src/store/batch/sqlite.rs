//! A batch on SQLite. Rows travel as JSON arrays; UUIDs in them as hexadecimal digits. Bodies travel beside
//! them as bytes: escaping and unescaping them as JSON could cost seconds.

use futures_util::TryStreamExt as _;
use serde::Serialize;
use sqlx::{Either, Executor as _, SqliteConnection};
use uuid::Uuid;

use self::cache::Cache;
use super::{
    ClientRefRow, DispatchRow, FORGOTTEN_REFUSALS, Loaded, NewMessageRow, NewThreadRow,
    REFUSAL_KEPT, RefusalRow, Rows, StoreError, ThreadState, UserState, Wanted, by_id, by_pair,
    key_refs, later_refs, overtaken,
};
use crate::store::{
    history::{
        FeedStartRow,
        sqlite::{Greatest, Memory},
    },
    message::{ParticipantsRow, with_participants},
    user::{UserKey, hex_array},
};

pub(in crate::store) mod cache;

const LOAD_MESSAGES: &str = with_participants!("m.id in (select value from json_each($1))");
const LOAD_USERS: &str = "\
    select u.id, u.key, u.deleted, coalesce(f.last_seq, 0) as last_seq,
        coalesce(f.start, 0) as start
    from json_each($1) j
    join users u on u.id = unhex(j.value)
    left join feeds f on f.user_key = u.key";
const LOAD_THREADS: &str = "\
    select t.id, t.low_key, t.high_key, t.last_activity
    from json_each($1) j
    join threads t on t.low_key = j.value ->> 0 and t.high_key = j.value ->> 1";
/// By an object of references and senders, which needs no parsing for each of its members. Mostly nothing was refused,
/// and then that is found out once.
const LOAD_CLIENT_REFS: &str = "\
    select m.sender, m.client_ref, m.id, m.thread_id, m.created
    from json_each($1) j
    cross join messages m on m.sender = j.value and m.client_ref = unhex(j.key)
    union all
    select r.sender, r.client_ref, null, null, null
    from (select 1 from refused_sends limit 1)
    cross join json_each($1) j
    cross join refused_sends r on r.sender = j.value and r.client_ref = unhex(j.key)";
/// Of the same version, whose digit is the 13th.
const LOAD_OVERTAKEN: &str = "\
    select j.value ->> 0, unhex(j.value ->> 1)
    from json_each($1) j
    where exists (select 1 from messages m
        where m.sender = j.value ->> 0 and m.client_ref > unhex(j.value ->> 1)
            and m.client_ref <= unhex(j.value ->> 2)
            and substr(hex(m.client_ref), 13, 1) = substr(j.value ->> 1, 13, 1))";
const VERSION: &str = "pragma data_version";
const BEGIN: &str = "begin immediate; pragma data_version";

/// Begins to write, and sees to it that the cache is true, and that the history is the one that is remembered.
pub(in crate::store) async fn begin(
    connection: &mut SqliteConnection,
    cache: &mut Cache,
    memory: &mut Memory,
) -> Result<(), sqlx::Error> {
    let version = sqlx::query_scalar(BEGIN).fetch_one(&mut *connection).await?;
    if !cache.is_of(version) {
        let Greatest { message_id, thread_id } = memory.look(connection).await?;
        // Never less than before: clients have seen the ids of what another program removed.
        *cache =
            Cache::new(version, message_id.max(cache.message_id), thread_id.max(cache.thread_id));
    }
    Ok(())
}

/// What SQLite calls the version of the data. It is another after any commit of another connection, and says nothing to
/// another connection.
pub(in crate::store) async fn version(
    connection: &mut SqliteConnection,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(VERSION).fetch_one(connection).await
}

pub(in crate::store) async fn load(
    connection: &mut SqliteConnection,
    wanted: Wanted,
    cache: &mut Cache,
) -> Result<Loaded, sqlx::Error> {
    let mut loaded = Loaded::default();
    let mut users = wanted.users.clone();
    if !wanted.messages.is_empty() {
        let rows: Vec<ParticipantsRow> = sqlx::query_as(LOAD_MESSAGES)
            .bind(json(&wanted.messages)?)
            .fetch_all(&mut *connection)
            .await?;
        for row in rows {
            users.push(row.receiver_id());
            loaded.messages.insert(row.message.id, row);
        }
    }
    users.sort_unstable();
    users.dedup();
    let (known, unknown) = cache.users(&users);
    loaded.users = known;
    if !unknown.is_empty() {
        let query = sqlx::query_as(LOAD_USERS).bind(hex_array(unknown));
        let rows: Vec<UserState> = query.fetch_all(&mut *connection).await?;
        cache.keep_users(rows.iter().copied());
        loaded.users.extend(by_id(rows));
    }

    let pairs = wanted.key_pairs(&loaded.users);
    let (known, unknown) = cache.threads(&pairs);
    loaded.threads = known;
    if !unknown.is_empty() {
        let query = sqlx::query_as(LOAD_THREADS).bind(json(&unknown)?);
        let rows: Vec<ThreadState> = query.fetch_all(&mut *connection).await?;
        cache.keep_threads(rows.iter().copied());
        loaded.threads.extend(by_pair(rows));
    }
    let refs = key_refs(&wanted.client_refs, &loaded.users);
    if !refs.is_empty() {
        let query = sqlx::query_as(LOAD_CLIENT_REFS).bind(json(&SenderOfRef(&refs))?);
        let rows: Vec<ClientRefRow> = query.fetch_all(&mut *connection).await?;
        loaded.take_refs(rows);
    }
    let repetitions = later_refs(&wanted.repetitions, &loaded.users);
    if !repetitions.is_empty() {
        let with_hex = |(sender, id, last)| (sender, hex(id), hex(last));
        let repetitions: Vec<_> = repetitions.into_iter().map(with_hex).collect();
        let query = sqlx::query_as(LOAD_OVERTAKEN).bind(json(&repetitions)?);
        loaded.overtaken = overtaken(query.fetch_all(connection).await?);
    }
    loaded.message_ids = following(cache.message_id, wanted.new_messages);
    loaded.thread_ids = following(cache.thread_id, unknown.len());
    Ok(loaded)
}

fn following(last: i64, count: usize) -> std::vec::IntoIter<i64> {
    (last + 1..).take(count).collect::<Vec<_>>().into_iter()
}

/// An object with the sender of each reference, which may be in it several times.
struct SenderOfRef<'a>(&'a [(UserKey, Uuid)]);

impl Serialize for SenderOfRef<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(sender, id)| (hex(*id), sender)))
    }
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

/// What a message with a file has besides its text.
#[derive(Serialize)]
struct FileRow<'a>(i64, i64, &'a str, &'a str, i64, &'a str);

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
        ))
    }
}

/// Arrays, in the order that the statements read.
impl Serialize for NewMessageRow<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (
            self.thread_id,
            self.id,
            self.sender,
            self.receiver,
            self.body.start + 1,
            self.body.len(),
            self.created,
            self.sender_seq,
            self.receiver_seq,
            self.client_ref.map(|client_ref| hex(client_ref.0)),
        )
            .serialize(serializer)
    }
}

impl Serialize for RefusalRow {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.sender, hex(self.client_ref.0), self.refused).serialize(serializer)
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

impl Serialize for DispatchRow {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.thread_id, self.id, self.dispatched, self.sender_seq, self.receiver_seq)
            .serialize(serializer)
    }
}

/// The rows of a parameter as `v`. The limit keeps SQLite from rendering a row again for each of its columns.
macro_rules! rows {
    ($parameter:literal) => {
        concat!("(select value as v from json_each(", $parameter, ") limit -1 offset 0)")
    };
}
/// Messages with their text alone, and what they move.
macro_rules! store_messages {
    () => {
        concat!(
            "insert or rollback into messages (thread_id, id, sender, receiver, body, created, updated,
                sender_seq, receiver_seq, client_ref)
            select v ->> 0, v ->> 1, v ->> 2, v ->> 3,
                coalesce(cast(substr($2, v ->> 4, v ->> 5) as text), ''),
                v ->> 6, v ->> 6, v ->> 7, v ->> 8, unhex(v ->> 9) from ",
            rows!("$1"),
            ";
            insert or rollback into feeds (user_key, last_seq)
            select value ->> 0, value ->> 1 from json_each($3) where true
            on conflict (user_key) do update set last_seq = excluded.last_seq;
            update or rollback threads set last_activity = j.value ->> 1
            from json_each($4) j where threads.id = j.value ->> 0;"
        )
    };
}
/// A batch to its end in one call, because each takes a thread of the driver's to wake and to wait for. An error ends
/// the transaction at once ("or rollback"), so that no statement keeps what it would take back alone. Each statement but
/// the commit ends in a semicolon, by which they are counted.
///
/// The second parameter has the bodies. To SQLite no bytes at all are null.
const STORE_MESSAGES: &str = concat!(store_messages!(), "commit");
/// The same with what is rarer.
const STORE_ALL: &str = concat!(
    "insert or rollback into threads (id, low_key, high_key, user_one, created, last_activity)
    select v ->> 0, v ->> 1, v ->> 2, v ->> 3, v ->> 4, v ->> 4 from ",
    rows!("$5"),
    ";",
    store_messages!(),
    "update or rollback messages set attachment_path = v ->> 2, attachment_name = v ->> 3,
        attachment_size = v ->> 4, attachment_type = v ->> 5 from ",
    rows!("$6"),
    " where messages.thread_id = v ->> 0 and messages.id = v ->> 1;
    delete from uploads where path in (select value ->> 2 from json_each($6));
    update or rollback messages set dispatched = v ->> 2,
        sender_first_seq = coalesce(sender_first_seq, sender_seq), sender_seq = v ->> 3,
        receiver_seq = v ->> 4 from ",
    rows!("$7"),
    " where messages.thread_id = v ->> 0 and messages.id = v ->> 1;
    update or rollback feeds set start = value ->> 1 from json_each($8)
    where feeds.user_key = value ->> 0;
    insert or rollback into feed_starts (user_key, start, last_seq)
    select value ->> 0, value ->> 1, value ->> 2 from json_each($8);
    commit"
);
const COMMIT: &str = "commit";
/// Rare enough for calls of their own.
const INSERT_REFUSALS: &str = "\
    insert or ignore into refused_sends (sender, client_ref, refused)
    select value ->> 0, unhex(value ->> 1), value ->> 2 from json_each($1)";
const FORGET_REFUSALS: &str = "\
    delete from refused_sends where (sender, client_ref) in
        (select sender, client_ref from refused_sends where refused < $1 limit $2)";

/// Stores a batch and commits it; durable when it returns.
pub(in crate::store) async fn commit(
    connection: &mut SqliteConnection,
    rows: &Rows<'_>,
    cache: &mut Cache,
) -> Result<(), StoreError> {
    store_refusals(connection, &rows.refusals).await?;
    let files: Vec<_> = rows.messages.iter().filter_map(FileRow::of).collect();
    let is_rare = !(rows.threads.is_empty()
        && files.is_empty()
        && rows.dispatches.is_empty()
        && rows.feed_starts.is_empty());
    if is_rare {
        let query = bind_messages(sqlx::query(STORE_ALL), rows)?
            .bind(json(&rows.threads)?)
            .bind(json(&files)?)
            .bind(json(&rows.dispatches)?)
            .bind(json(&rows.feed_starts)?);
        run(connection, STORE_ALL, query).await?;
    } else if rows.messages.is_empty() {
        run(connection, COMMIT, sqlx::query(COMMIT)).await?;
    } else {
        let query = bind_messages(sqlx::query(STORE_MESSAGES), rows)?;
        run(connection, STORE_MESSAGES, query).await?;
    }
    cache.keep_stored(rows);
    Ok(())
}

async fn store_refusals(
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

fn bind_messages<'q>(query: Query<'q>, rows: &'q Rows<'_>) -> Result<Query<'q>, StoreError> {
    let feeds: Vec<_> = rows.feeds.iter().map(|user| (user.key, user.last_seq)).collect();
    let activities: Vec<_> =
        rows.activities.iter().map(|thread| (thread.id, thread.last_activity)).collect();
    Ok(query
        .bind(json(&rows.messages)?)
        .bind(&rows.bodies)
        .bind(json(&feeds)?)
        .bind(json(&activities)?))
}

/// Runs statements of which the last is the commit.
async fn run(
    connection: &mut SqliteConnection,
    sql: &str,
    query: Query<'_>,
) -> Result<(), StoreError> {
    let before_commit = sql.matches(';').count();
    let mut ended = 0;
    let mut results = connection.fetch_many(query);
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

fn json<T: Serialize + ?Sized>(rows: &T) -> Result<String, sqlx::Error> {
    serde_json::to_string(rows).map_err(|error| sqlx::Error::Encode(error.into()))
}

fn hex(id: Uuid) -> String {
    id.as_simple().to_string()
}

#[cfg(test)]
mod tests;
