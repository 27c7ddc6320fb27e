//! A batch on PostgreSQL. Rows travel as arrays, a column each, in the binary protocol.
//!
//! Order over any number of cores comes from row locks: a transaction locks the feeds of all users that it
//! writes to, in the order of their keys, before it reads anything it decides upon and before it takes an id. So two
//! transactions that share a user run one after the other, ids and sequence numbers of a user grow in the order of
//! commits, and nobody ever waits in a circle.
//!
//! * [`sends`]: what needs no deciding, in one call.
//! * [`mod@write`]: the statements of everything else.

use sqlx::PgConnection;

use super::{
    BatchData, BatchQuery, ClientRefRow, ReplyTarget, ThreadState, UserState, by_id, by_pair, form,
    key_pairs, key_refs, later_refs, overtaken, progress, reply_target_columns, thread_columns,
};
use crate::store::{
    message::{ParticipantsRow, with_participants},
    quota,
};

pub(super) mod sends;
mod write;

pub(in crate::store) use self::write::commit;

const LOAD_MESSAGES: &str = with_participants!("m.id = any($1)");
/// A row that another transaction has changed is read again once it is locked.
const LOCK_USERS: &str = "\
    select u.id, u.key, u.deleted, f.last_seq, f.start, f.has_blocks is not null as has_blocks
    from users u join feeds f on f.user_key = u.key where u.id = any($1)
    order by f.user_key for update of f";
const LOAD_THREADS: &str = concat!(
    "select ",
    thread_columns!(),
    " from unnest($1::bigint[], $2::bigint[]) as w (low_key, high_key)
    join threads t on t.low_key = w.low_key and t.high_key = w.high_key"
);
const LOAD_PROGRESS: &str = progress!(
    "unnest($1::bigint[], $2::bigint[]) as j (low_key, high_key)",
    "j.low_key",
    "j.high_key"
);
const LOAD_REPLY_TARGETS: &str =
    concat!("select ", reply_target_columns!(), " from messages where id = any($1)");
/// Mostly nothing was refused, and then that is found out once. "offset 0" has the planner look each reference up, also where
/// it planned while there were none: a join would read all of them for each.
const LOAD_CLIENT_REFS: &str = "\
    select m.sender, m.client_ref, m.id, m.thread_id, m.created
    from unnest($1::bigint[], $2::uuid[]) as w (sender, client_ref)
    join messages m on m.sender = w.sender and m.client_ref = w.client_ref
    union all
    select r.sender, r.client_ref, null, null, null
    from unnest($1::bigint[], $2::uuid[]) as w (sender, client_ref),
        lateral (select sender, client_ref from refused_sends
            where sender = w.sender and client_ref = w.client_ref offset 0) r
    where (select exists (select 1 from refused_sends))";
/// Of the same version, whose digit is the 15th of the text.
const LOAD_OVERTAKEN: &str = "\
    select w.sender, w.client_ref
    from unnest($1::bigint[], $2::uuid[], $3::uuid[]) as w (sender, client_ref, last_later)
    where exists (select 1 from messages m
        where m.ref_from_client is null and m.sender = w.sender and m.client_ref > w.client_ref and m.client_ref <= w.last_later
            and substr(m.client_ref::text, 15, 1) = substr(w.client_ref::text, 15, 1))";
const LOAD_FORMS: &str =
    "select boundary, content, message_id, sent from sent_forms where boundary = any($1)";
/// Each looked up, whatever was planned for while there were none.
const LOAD_BLOCKS: &str = "\
    select b.blocker, b.blocked
    from unnest($1::bigint[], $2::bigint[]) as w (blocker, blocked),
        lateral (select blocker, blocked from blocks
            where blocker = w.blocker and blocked = w.blocked offset 0) b";
/// In one row: a row for each would cost more than the id.
const NEXT_MESSAGE_IDS: &str =
    "select array_agg(nextval('message_ids')) from generate_series(1, $1)";
const NEXT_THREAD_IDS: &str = "select array_agg(nextval('thread_ids')) from generate_series(1, $1)";

pub(in crate::store) async fn load(
    connection: &mut PgConnection,
    mut wanted: BatchQuery,
) -> Result<BatchData, sqlx::Error> {
    let mut loaded = BatchData::default();
    let mut users: Vec<_> = wanted.users.iter().map(|user| user.0).collect();
    if !wanted.messages.is_empty() {
        // Not locked yet: only who takes part in it is certain.
        let rows = load_messages(connection, &wanted.messages).await?;
        users.extend(rows.iter().flat_map(|row| [row.sender_id().0, row.receiver_id().0]));
    }
    users.sort_unstable();
    users.dedup();
    let rows: Vec<UserState> =
        sqlx::query_as(LOCK_USERS).bind(users).fetch_all(&mut *connection).await?;
    loaded.users = by_id(rows);

    if !wanted.messages.is_empty() {
        let rows = load_messages(connection, &wanted.messages).await?;
        loaded.messages = rows.into_iter().map(|row| (row.message.id, row)).collect();
        wanted.add_pairs(&loaded.messages);
    }
    let pairs = key_pairs(&wanted.pairs, &loaded.users);
    if !pairs.is_empty() {
        let (low, high): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
        let rows: Vec<ThreadState> =
            sqlx::query_as(LOAD_THREADS).bind(low).bind(high).fetch_all(&mut *connection).await?;
        loaded.threads = by_pair(rows);
    }
    let marked = key_pairs(&wanted.marked_pairs, &loaded.users);
    if !marked.is_empty() {
        let (low, high): (Vec<_>, Vec<_>) = marked.into_iter().unzip();
        let query = sqlx::query_as(LOAD_PROGRESS).bind(low).bind(high);
        loaded.take_progress(query.fetch_all(&mut *connection).await?);
    }
    let blocks = wanted.possible_blocks(&loaded);
    if !blocks.is_empty() {
        let (blockers, blocked): (Vec<_>, Vec<_>) = blocks.into_iter().unzip();
        let query = sqlx::query_as(LOAD_BLOCKS).bind(blockers).bind(blocked);
        loaded.blocks = query.fetch_all(&mut *connection).await?.into_iter().collect();
    }
    if !wanted.reply_targets.is_empty() {
        let query = sqlx::query_as(LOAD_REPLY_TARGETS).bind(&wanted.reply_targets);
        let rows: Vec<ReplyTarget> = query.fetch_all(&mut *connection).await?;
        loaded.reply_targets = rows.into_iter().map(|row| (row.id, row)).collect();
    }
    let refs = key_refs(&wanted.client_refs, &loaded.users);
    if !refs.is_empty() {
        let (senders, refs): (Vec<_>, Vec<_>) = refs.into_iter().unzip();
        let rows: Vec<ClientRefRow> = sqlx::query_as(LOAD_CLIENT_REFS)
            .bind(senders)
            .bind(refs)
            .fetch_all(&mut *connection)
            .await?;
        loaded.take_refs(rows);
    }
    if !wanted.boundaries.is_empty() {
        let boundaries = column(&wanted.boundaries, |digest| digest.to_vec());
        let query = sqlx::query_as(LOAD_FORMS).bind(boundaries);
        let rows = query.fetch_all(&mut *connection).await?;
        let messages = load_messages(connection, &form::message_ids(&rows)).await?;
        loaded.forms.take(rows, messages);
    }
    if let Some((senders, contacts)) = wanted.beginners(&loaded) {
        loaded.begun = quota::begun_postgres(&mut *connection, senders, contacts).await?;
    }
    let senders = wanted.senders_of_files(&loaded);
    if !senders.is_empty() {
        loaded.stored_files = quota::bytes_postgres(&mut *connection, senders).await?;
    }
    let repetitions = later_refs(&wanted.repetitions, &loaded.users);
    if !repetitions.is_empty() {
        let query = sqlx::query_as(LOAD_OVERTAKEN)
            .bind(column(&repetitions, |(sender, ..)| *sender))
            .bind(column(&repetitions, |(_, client_ref, _)| *client_ref))
            .bind(column(&repetitions, |(.., last_later)| *last_later));
        loaded.overtaken = overtaken(query.fetch_all(&mut *connection).await?);
    }
    loaded.message_ids = next_ids(connection, NEXT_MESSAGE_IDS, wanted.new_messages).await?;
    let new_threads = pairs.len().saturating_sub(loaded.threads.len());
    loaded.thread_ids = next_ids(connection, NEXT_THREAD_IDS, new_threads).await?;
    Ok(loaded)
}

async fn load_messages(
    connection: &mut PgConnection,
    ids: &[i64],
) -> Result<Vec<ParticipantsRow>, sqlx::Error> {
    sqlx::query_as(LOAD_MESSAGES).bind(ids).fetch_all(connection).await
}

async fn next_ids(
    connection: &mut PgConnection,
    statement: &'static str,
    count: usize,
) -> Result<std::vec::IntoIter<i64>, sqlx::Error> {
    if count == 0 {
        return Ok(std::vec::IntoIter::default());
    }
    let ids: Vec<i64> =
        sqlx::query_scalar(statement).bind(count as i64).fetch_one(connection).await?;
    Ok(ids.into_iter())
}

/// A column of `rows`.
fn column<'a, R, T>(rows: &'a [R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}
