//! On PostgreSQL. Cores take their turns, a step each. A step locks what any write to these threads would, in the same order: the
//! feeds of their users, by their keys. So nothing of what it removes is changed meanwhile, and nobody waits in a circle.

use std::collections::BTreeSet;

use sqlx::PgConnection;

use super::{Due, Ends, Removed, Row, Sorted, columns, leave, removed, threads_of, without_ends};
use crate::store::{batch::look_ends_up, history::Start, postgres::server_clock, user::UserKey};

/// Senders wait behind it.
const LIMITS: &str =
    "select set_config('statement_timeout', '500', true), set_config('lock_timeout', '300', true)";
/// Of one core at a time, in this schema. With what the clock says.
const TAKE_TURN: &str = concat!(
    "select pg_try_advisory_xact_lock(
        hashtext('netrox-chat retention'), hashtext(current_schema()::text)), ",
    server_clock!()
);
const DUE: &str = concat!(
    "select ",
    columns!(),
    " from messages m where m.removed is null and m.created >= $3 and m.created < $1
    order by m.created limit $2"
);
/// Before the feeds, as who forgets files does. Whether nobody else has one of them.
const LOCK_FILES: &str = "\
    with free as materialized (
        select path from uploads where path = any($1) order by path for update skip locked)
    select (select count(*) from free) = (select count(*) from uploads where path = any($1))";
const LOCK_FEEDS: &str =
    "select user_key from feeds where user_key = any($1) order by user_key for update";
/// Before their messages, as who indexes them does.
const LOCK_NOTES: &str =
    "select id from unindexed_messages where id = any($1) order by id for update";
/// As they are now. Who indexes them has them locked.
const LOCK_MESSAGES: &str = concat!(
    "select ",
    columns!(),
    " from messages m where m.id = any($1) order by m.id for update of m"
);
const NOTE_SIDES: &str = look_ends_up!(sides "update", without_ends!("= any($1)"));
const NOTE_LAST: &str = look_ends_up!(last "update", without_ends!("= any($1)"));
const ENDS: &str = "\
    select id, low_key, high_key, low_sent, low_shown, low_swallowed, high_sent, high_shown,
        high_swallowed
    from threads where id = any($1)";
/// What was left of these threads before, each looked up. The oldest: there are more than six in a thread only where its ends were not
/// known.
const LEFT: &str = "\
    select l.id from unnest($1::bigint[]) as w (thread_id), lateral (
        select m.id from messages m
        where m.thread_id = w.thread_id and m.removed is not null
        order by m.id limit 16) as l";
const LEAVE: &str = leave!("update", "= any($1)");
const FORGET_WORDS: [&str; 2] = [
    "delete from message_words where id in (
        select n.id * 2 + w.part from unnest($1::bigint[]) as n (id),
            (values (0::bigint), (1::bigint)) as w (part))",
    "delete from unindexed_messages where id = any($1)",
];
const REMOVE: &str = "delete from messages where id = any($1)";
/// The message before is gone: whose it was is not known any more. A range of both columns has one index.
const BEGIN_TURNS: &str = "\
    update messages m set continues = null
    from (select distinct w.thread_id, (select n.id from messages n
            where (n.thread_id, n.id) > (w.thread_id, w.id) and n.thread_id <= w.thread_id
            order by n.thread_id, n.id limit 1) as id
        from unnest($1::bigint[], $2::bigint[]) as w (thread_id, id)) as next
    where m.thread_id = next.thread_id and m.id = next.id and m.continues is not null";
const ERASE_FILES: &str = "\
    insert into uploads (path, begun, start, erased)
    select path, 0, $2, true from unnest($1::text[]) as w (path)
    on conflict (path) do update set erased = true";
/// Of messages that were deleted before: those that are not removed yet.
const ERASE_DELETED_FILES: &str = "update uploads set erased = true where path = any($1)";

pub(super) async fn step(
    connection: &mut PgConnection,
    Due { before, kept, from, most }: Due,
    start: Start,
) -> Result<Removed, sqlx::Error> {
    let nothing = Removed { is_last: true, ..Removed::default() };
    let waits = Removed { waits: true, ..Removed::default() };
    sqlx::query(LIMITS).execute(&mut *connection).await?;
    let (has_turn, now): (bool, i64) =
        sqlx::query_as(TAKE_TURN).fetch_one(&mut *connection).await?;
    if !has_turn {
        return Ok(waits);
    }
    let before = before.min(now.saturating_sub(kept));
    let limit = i64::try_from(most).unwrap_or(i64::MAX);
    let found = sqlx::query_as(DUE).bind(before).bind(limit).bind(from);
    let found: Vec<Row> = found.fetch_all(&mut *connection).await?;
    if found.is_empty() {
        return Ok(nothing);
    }
    let files: Vec<_> = found.iter().filter_map(|row| row.attachment_path.as_ref()).collect();
    if !files.is_empty() {
        let locked = sqlx::query_scalar(LOCK_FILES).bind(files).fetch_one(&mut *connection);
        let are_free: bool = locked.await?;
        if !are_free {
            return Ok(waits);
        }
    }
    let users: BTreeSet<UserKey> =
        found.iter().flat_map(|row| [row.sender, row.receiver]).collect();
    let users: Vec<_> = users.into_iter().collect();
    sqlx::query(LOCK_FEEDS).bind(users).execute(&mut *connection).await?;
    let threads = threads_of(&found);
    for note in [NOTE_SIDES, NOTE_LAST] {
        sqlx::query(note).bind(&threads).execute(&mut *connection).await?;
    }
    let ends: Vec<Ends> = sqlx::query_as(ENDS).bind(&threads).fetch_all(&mut *connection).await?;
    let mut ids: Vec<i64> =
        sqlx::query_scalar(LEFT).bind(&threads).fetch_all(&mut *connection).await?;
    ids.extend(found.iter().map(|row| row.id));
    sqlx::query(LOCK_NOTES).bind(&ids).execute(&mut *connection).await?;
    let rows: Vec<Row> =
        sqlx::query_as(LOCK_MESSAGES).bind(ids).fetch_all(&mut *connection).await?;
    let due: Vec<Row> = rows.iter().filter(|row| !row.is_left).cloned().collect();
    let sorted = Sorted::of(rows, &ends);
    if !sorted.left.is_empty() {
        sqlx::query(LEAVE).bind(&sorted.left).execute(&mut *connection).await?;
        for forget in FORGET_WORDS {
            sqlx::query(forget).bind(&sorted.left).execute(&mut *connection).await?;
        }
    }
    if !sorted.gone.is_empty() {
        sqlx::query(REMOVE).bind(sorted.gone_ids()).execute(&mut *connection).await?;
        let (threads, ids): (Vec<_>, Vec<_>) = sorted.gone.iter().copied().unzip();
        sqlx::query(BEGIN_TURNS).bind(threads).bind(ids).execute(&mut *connection).await?;
    }
    if !sorted.files.is_empty() {
        let erase = sqlx::query(ERASE_FILES).bind(&sorted.files).bind(start);
        erase.execute(&mut *connection).await?;
    }
    if !sorted.deleted_files.is_empty() {
        let erase = sqlx::query(ERASE_DELETED_FILES).bind(&sorted.deleted_files);
        erase.execute(connection).await?;
    }
    let through = found.last().map(|row| row.created);
    let is_last = found.len() < most;
    Ok(Removed { is_last, through, ..removed(&due, most, &sorted, Vec::new()) })
}
