//! What a batch of message writes loads and stores, each table in one statement whatever the size
//! of the batch. Rows travel as JSON arrays; UUIDs in them as hexadecimal digits. Bodies travel beside
//! them as bytes: escaping and unescaping them as JSON could cost seconds.

use std::{collections::HashMap, ops::Range};

use netrox_proto::ids::{ClientRef, UserId};
use serde::Serialize;
use sqlx::{FromRow, SqliteConnection};
use uuid::Uuid;

use super::{
    message::{FIND_MANY as FIND_MESSAGES, ParticipantsRow},
    user::{UserKey, hex_array},
};

/// What the writes of a batch name.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) users: Vec<UserId>,
    pub(crate) pairs: Vec<(UserId, UserId)>,
    pub(crate) client_refs: Vec<(UserId, ClientRef)>,
    pub(crate) messages: Vec<i64>,
}

/// What the database holds of it.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) users: HashMap<UserId, LoadedUser>,
    /// By the lower and the higher key.
    pub(crate) threads: HashMap<(UserKey, UserKey), LoadedThread>,
    pub(crate) client_refs: HashMap<(UserKey, ClientRef), StoredMessage>,
    pub(crate) messages: HashMap<i64, ParticipantsRow>,
}

#[derive(Debug, Clone, Copy, FromRow)]
pub(crate) struct LoadedUser {
    pub(crate) id: Uuid,
    pub(crate) key: UserKey,
    pub(crate) deleted: bool,
    pub(crate) last_seq: i64,
}

#[derive(Debug, Clone, Copy, FromRow)]
pub(crate) struct LoadedThread {
    pub(crate) id: i64,
    pub(crate) low_key: UserKey,
    pub(crate) high_key: UserKey,
    pub(crate) last_activity: i64,
}

/// The answer to a send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoredMessage {
    pub(crate) id: i64,
    pub(crate) thread_id: i64,
    pub(crate) created: i64,
}

#[derive(FromRow)]
struct ClientRefRow {
    sender: UserKey,
    client_ref: Uuid,
    id: i64,
    thread_id: i64,
    created: i64,
}

const LOAD_USERS: &str = "\
    select u.id, u.key, u.deleted, coalesce(f.last_seq, 0) as last_seq
    from json_each($1) j
    join users u on u.id = unhex(j.value)
    left join feeds f on f.user_key = u.key";
const LOAD_THREADS: &str = "\
    select t.id, t.low_key, t.high_key, t.last_activity
    from json_each($1) j
    join threads t on t.low_key = j.value ->> 0 and t.high_key = j.value ->> 1";
const LOAD_CLIENT_REFS: &str = "\
    select m.sender, m.client_ref, m.id, m.thread_id, m.created
    from json_each($1) j
    join messages m on m.sender = j.value ->> 0 and m.client_ref = unhex(j.value ->> 1)";
const LAST_IDS: &str = "\
    select coalesce((select max(id) from messages), 0), coalesce((select max(id) from threads), 0)";

/// The greatest message id and thread id in use.
pub(super) async fn last_ids(connection: &mut SqliteConnection) -> Result<(i64, i64), sqlx::Error> {
    sqlx::query_as(LAST_IDS).fetch_one(connection).await
}

pub(super) async fn load(
    connection: &mut SqliteConnection,
    wanted: Wanted,
) -> Result<Loaded, sqlx::Error> {
    let mut loaded = Loaded::default();
    let mut users = wanted.users;
    if !wanted.messages.is_empty() {
        let rows: Vec<ParticipantsRow> = sqlx::query_as(FIND_MESSAGES)
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
    let rows: Vec<LoadedUser> =
        sqlx::query_as(LOAD_USERS).bind(hex_array(users)).fetch_all(&mut *connection).await?;
    loaded.users = rows.into_iter().map(|row| (UserId(row.id), row)).collect();

    let key = |id: &UserId| loaded.users.get(id).map(|user| user.key);
    let mut pairs: Vec<_> = wanted
        .pairs
        .iter()
        .filter_map(|(one, two)| Some((key(one)?, key(two)?)))
        .map(|(one, two)| (one.min(two), one.max(two)))
        .collect();
    let client_refs: Vec<_> = wanted
        .client_refs
        .iter()
        .filter_map(|(sender, client_ref)| Some((key(sender)?, hex(client_ref.0))))
        .collect();
    if !pairs.is_empty() {
        pairs.sort_unstable();
        pairs.dedup();
        let rows: Vec<LoadedThread> =
            sqlx::query_as(LOAD_THREADS).bind(json(&pairs)?).fetch_all(&mut *connection).await?;
        loaded.threads = rows.into_iter().map(|row| ((row.low_key, row.high_key), row)).collect();
    }
    if !client_refs.is_empty() {
        let rows: Vec<ClientRefRow> = sqlx::query_as(LOAD_CLIENT_REFS)
            .bind(json(&client_refs)?)
            .fetch_all(&mut *connection)
            .await?;
        loaded.client_refs = rows
            .into_iter()
            .map(|row| {
                let stored =
                    StoredMessage { id: row.id, thread_id: row.thread_id, created: row.created };
                ((row.sender, ClientRef(row.client_ref)), stored)
            })
            .collect();
    }
    Ok(loaded)
}

/// What a batch inserts and changes. The rows are tuples in the order of their columns below.
#[derive(Debug, Default)]
pub(crate) struct Rows<'a> {
    pub(crate) threads: Vec<NewThreadRow>,
    pub(crate) messages: Vec<NewMessageRow<'a>>,
    /// The bodies of the messages, in their order.
    pub(crate) bodies: Vec<u8>,
    pub(crate) dispatches: Vec<DispatchRow>,
    /// The new end of each feed that moved.
    pub(crate) feeds: Vec<(UserKey, u64)>,
    /// When each thread was last written to.
    pub(crate) activities: Vec<(i64, i64)>,
}

#[derive(Debug, Serialize)]
pub(crate) struct NewThreadRow(
    pub(crate) i64,     // id
    pub(crate) UserKey, // low_key
    pub(crate) UserKey, // high_key
    pub(crate) UserKey, // user_one
    pub(crate) i64,     // created
);

#[derive(Debug)]
pub(crate) struct NewMessageRow<'a> {
    pub(crate) thread_id: i64,
    pub(crate) id: i64,
    pub(crate) sender: UserKey,
    pub(crate) receiver: UserKey,
    /// Where the body is in [`Rows::bodies`].
    pub(crate) body: Range<usize>,
    pub(crate) created: i64,
    pub(crate) sender_seq: u64,
    pub(crate) receiver_seq: Option<u64>,
    pub(crate) client_ref: Option<ClientRef>,
    pub(crate) attachment: Option<&'a crate::command::NewAttachment>,
}

/// An array, in the order that [`INSERT_MESSAGES`] reads.
impl Serialize for NewMessageRow<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let attachment = self.attachment;
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
            attachment.map(|file| &file.path),
            attachment.map(|file| &file.file_name),
            attachment.map(|file| file.size),
            attachment.map(|file| &file.content_type),
        )
            .serialize(serializer)
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct DispatchRow(
    pub(crate) i64, // thread_id
    pub(crate) i64, // id
    pub(crate) i64, // dispatched
    pub(crate) u64, // sender_seq
    pub(crate) u64, // receiver_seq
);

/// The rows of the first parameter as `v`. The limit keeps SQLite from rendering a row again for each
/// of its columns.
macro_rules! rows {
    () => {
        "(select value as v from json_each($1) limit -1 offset 0)"
    };
}
const INSERT_THREADS: &str = concat!(
    "insert into threads (id, low_key, high_key, user_one, created, last_activity)
    select v ->> 0, v ->> 1, v ->> 2, v ->> 3, v ->> 4, v ->> 4 from ",
    rows!()
);
/// The second parameter has the bodies. To SQLite no bytes at all are null.
const INSERT_MESSAGES: &str = concat!(
    "insert into messages (thread_id, id, sender, receiver, body, created, updated,
        sender_seq, receiver_seq, client_ref,
        attachment_path, attachment_name, attachment_size, attachment_type)
    select v ->> 0, v ->> 1, v ->> 2, v ->> 3, coalesce(cast(substr($2, v ->> 4, v ->> 5) as text), ''),
        v ->> 6, v ->> 6, v ->> 7, v ->> 8, unhex(v ->> 9),
        v ->> 10, v ->> 11, v ->> 12, v ->> 13 from ",
    rows!()
);
const DELETE_UPLOADS: &str = "delete from uploads where path in (select value from json_each($1))";
const UPDATE_DISPATCHED: &str = concat!(
    "update messages set dispatched = v ->> 2, sender_seq = v ->> 3, receiver_seq = v ->> 4 from ",
    rows!(),
    " where messages.thread_id = v ->> 0 and messages.id = v ->> 1"
);
const UPSERT_FEEDS: &str = "\
    insert into feeds (user_key, last_seq)
    select value ->> 0, value ->> 1 from json_each($1) where true
    on conflict (user_key) do update set last_seq = excluded.last_seq";
const UPDATE_ACTIVITIES: &str = "\
    update threads set last_activity = j.value ->> 1
    from json_each($1) j where threads.id = j.value ->> 0";

pub(super) async fn store(
    connection: &mut SqliteConnection,
    rows: &Rows<'_>,
) -> Result<(), sqlx::Error> {
    execute(connection, INSERT_THREADS, &rows.threads).await?;
    if !rows.messages.is_empty() {
        sqlx::query(INSERT_MESSAGES)
            .bind(json(&rows.messages)?)
            .bind(&rows.bodies)
            .execute(&mut *connection)
            .await?;
    }
    let uploaded: Vec<_> =
        rows.messages.iter().filter_map(|row| Some(&row.attachment?.path)).collect();
    execute(connection, DELETE_UPLOADS, &uploaded).await?;
    execute(connection, UPDATE_DISPATCHED, &rows.dispatches).await?;
    execute(connection, UPSERT_FEEDS, &rows.feeds).await?;
    execute(connection, UPDATE_ACTIVITIES, &rows.activities).await
}

async fn execute<T: Serialize>(
    connection: &mut SqliteConnection,
    statement: &'static str,
    rows: &[T],
) -> Result<(), sqlx::Error> {
    if !rows.is_empty() {
        sqlx::query(statement).bind(json(rows)?).execute(connection).await?;
    }
    Ok(())
}

fn json<T: Serialize + ?Sized>(rows: &T) -> Result<String, sqlx::Error> {
    serde_json::to_string(rows).map_err(|error| sqlx::Error::Encode(error.into()))
}

fn hex(id: Uuid) -> String {
    id.as_simple().to_string()
}
