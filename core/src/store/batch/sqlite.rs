//! A batch on SQLite. Rows travel as JSON arrays, UUIDs in them as hexadecimal digits; new messages, which are most of
//! it, as a parameter a column.
//!
//! * [`mod@write`]: what is stored. * [`cache`]: what need not be read.

use serde::Serialize;
use sqlx::SqliteConnection;
use uuid::Uuid;

use self::cache::Cache;
use super::{
    BatchData, BatchQuery, ClientRefRow, ReplyTarget, ThreadState, UserState, by_id, by_pair, form,
    key_pairs, key_refs, later_refs, overtaken, progress, reply_target_columns, thread_columns,
};
use crate::{
    command::Digest,
    store::{
        history::sqlite::{Greatest, Memory},
        message::{ParticipantsRow, with_participants},
        quota,
        user::{UserKey, hex_array},
    },
};

pub(in crate::store) mod cache;
mod write;

pub(in crate::store) use self::write::commit;

const LOAD_MESSAGES: &str = with_participants!("m.id in (select value from json_each($1))");
const LOAD_USERS: &str = "\
    select u.id, u.key, u.deleted, coalesce(f.last_seq, 0) as last_seq,
        coalesce(f.start, 0) as start,
        exists (select 1 from blocks b where b.blocker = u.key) as has_blocks
    from json_each($1) j
    join users u on u.id = unhex(j.value)
    left join feeds f on f.user_key = u.key";
const LOAD_THREADS: &str = concat!(
    "select ",
    thread_columns!(),
    " from json_each($1) j
    join threads t on t.low_key = j.value ->> 0 and t.high_key = j.value ->> 1"
);
const LOAD_PROGRESS: &str = progress!("json_each($1) j", "j.value ->> 0", "j.value ->> 1");
const LOAD_REPLY_TARGETS: &str = concat!(
    "select ",
    reply_target_columns!(),
    " from messages where id in (select value from json_each($1))"
);
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
        where m.ref_from_client is null and m.sender = j.value ->> 0 and m.client_ref > unhex(j.value ->> 1)
            and m.client_ref <= unhex(j.value ->> 2)
            and substr(hex(m.client_ref), 13, 1) = substr(j.value ->> 1, 13, 1))";
const LOAD_FORMS: &str = "\
    select boundary, content, message_id, sent from sent_forms
    where boundary in (select unhex(value) from json_each($1))";
const LOAD_BLOCKS: &str = "\
    select b.blocker, b.blocked from json_each($1) j
    cross join blocks b on b.blocker = j.value ->> 0 and b.blocked = j.value ->> 1";
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
    mut wanted: BatchQuery,
    cache: &mut Cache,
) -> Result<BatchData, sqlx::Error> {
    let mut loaded = BatchData::default();
    let mut users = wanted.users.clone();
    if !wanted.messages.is_empty() {
        let rows: Vec<ParticipantsRow> = sqlx::query_as(LOAD_MESSAGES)
            .bind(json(&wanted.messages)?)
            .fetch_all(&mut *connection)
            .await?;
        for row in rows {
            users.extend([row.sender_id(), row.receiver_id()]);
            loaded.messages.insert(row.message.id, row);
        }
        wanted.add_pairs(&loaded.messages);
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

    let pairs = key_pairs(&wanted.pairs, &loaded.users);
    let (known, unknown) = cache.threads(&pairs);
    loaded.threads = known;
    if !unknown.is_empty() {
        let query = sqlx::query_as(LOAD_THREADS).bind(json(&unknown)?);
        let rows: Vec<ThreadState> = query.fetch_all(&mut *connection).await?;
        cache.keep_threads(rows.iter().copied());
        loaded.threads.extend(by_pair(rows));
    }
    let marked = key_pairs(&wanted.marked_pairs, &loaded.users);
    if !marked.is_empty() {
        let query = sqlx::query_as(LOAD_PROGRESS).bind(json(&marked)?);
        loaded.take_progress(query.fetch_all(&mut *connection).await?);
    }
    let blocks = wanted.possible_blocks(&loaded);
    if !blocks.is_empty() {
        let query = sqlx::query_as(LOAD_BLOCKS).bind(json(&blocks)?);
        loaded.blocks = query.fetch_all(&mut *connection).await?.into_iter().collect();
    }
    if !wanted.reply_targets.is_empty() {
        let query = sqlx::query_as(LOAD_REPLY_TARGETS).bind(json(&wanted.reply_targets)?);
        let rows: Vec<ReplyTarget> = query.fetch_all(&mut *connection).await?;
        loaded.reply_targets = rows.into_iter().map(|row| (row.id, row)).collect();
    }
    let refs = key_refs(&wanted.client_refs, &loaded.users);
    if !refs.is_empty() {
        let query = sqlx::query_as(LOAD_CLIENT_REFS).bind(json(&SenderOfRef(&refs))?);
        let rows: Vec<ClientRefRow> = query.fetch_all(&mut *connection).await?;
        loaded.take_refs(rows);
    }
    if !wanted.boundaries.is_empty() {
        let boundaries: Vec<_> = wanted.boundaries.iter().map(digest_hex).collect();
        let query = sqlx::query_as(LOAD_FORMS).bind(json(&boundaries)?);
        let rows = query.fetch_all(&mut *connection).await?;
        let query = sqlx::query_as(LOAD_MESSAGES).bind(json(&form::message_ids(&rows))?);
        loaded.forms.take(rows, query.fetch_all(&mut *connection).await?);
    }
    if let Some((senders, contacts)) = wanted.beginners(&loaded) {
        loaded.begun = quota::begun_sqlite(&mut *connection, json(&senders)?, contacts).await?;
    }
    let senders = wanted.senders_of_files(&loaded);
    if !senders.is_empty() {
        loaded.stored_files = quota::bytes_sqlite(&mut *connection, json(&senders)?).await?;
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

fn json<T: Serialize + ?Sized>(rows: &T) -> Result<String, sqlx::Error> {
    serde_json::to_string(rows).map_err(|error| sqlx::Error::Encode(error.into()))
}

fn hex(id: Uuid) -> String {
    id.as_simple().to_string()
}

fn digest_hex(digest: &Digest) -> String {
    hex(Uuid::from_bytes(*digest))
}

#[cfg(test)]
mod tests;
