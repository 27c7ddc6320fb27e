//! On SQLite. The index of times is there with `--retain-messages` alone: without it a message is not to pay for it.

use sqlx::SqliteConnection;
use tokio::time::Instant;

use super::{Due, Ends, Removed, Row, Sorted, columns, leave, removed, threads_of, without_ends};
use crate::store::{
    batch::{Pair, look_ends_up},
    history::Start,
};

const HAS_INDEX: &str = "select exists (select 1 from sqlite_schema where type = 'index' and name = 'messages_created')";
/// What is sorted for it is in files, and not in memory as what a batch needs.
const MAKE_INDEX: &str = "\
    pragma temp_store = default;
    create index messages_created on messages (created) where removed is null;
    pragma temp_store = memory";
const DROP_INDEX: &str = "drop index messages_created";

const DUE: &str = concat!(
    "select ",
    columns!(),
    " from messages m indexed by messages_created where m.removed is null and m.created < $1
    order by m.created limit $2"
);
const NOTE_SIDES: &str =
    look_ends_up!(sides "update", without_ends!("in (select value from json_each($1))"));
const NOTE_LAST: &str =
    look_ends_up!(last "update", without_ends!("in (select value from json_each($1))"));
const ENDS: &str = "\
    select id, low_key, high_key, low_sent, low_shown, low_swallowed, high_sent, high_shown,
        high_swallowed
    from threads where id in (select value from json_each($1))";
/// What was left of these threads before. The oldest: there are more than six in a thread only where its ends were not known.
const LEFT: &str = concat!(
    "select ",
    columns!(),
    " from json_each($1) j cross join messages m
    where m.thread_id = j.value and m.id in (
        select l.id from messages l indexed by messages_removed
        where l.removed is not null and l.thread_id = j.value order by l.id limit 16)"
);
const LEAVE: &str = leave!("update", "in (select value from json_each($1))");
const FORGET_WORDS: [&str; 2] = [
    "delete from message_words where rowid in (
        select value * 2 from json_each($1) union all select value * 2 + 1 from json_each($1))",
    "delete from unindexed_messages where id in (select value from json_each($1))",
];
const REMOVE: &str = "delete from messages where id in (select value from json_each($1))";
/// The message before is gone: whose it was is not known any more.
const BEGIN_TURNS: &str = "\
    update messages set continues = null
    where continues is not null and (thread_id, id) in (
        select j.value ->> 0, (select min(n.id) from messages n
            where n.thread_id = j.value ->> 0 and n.id > j.value ->> 1)
        from json_each($1) j)";
const ERASE_FILES: &str = "\
    insert into uploads (path, start, erased) select value, $2, true from json_each($1) where true
    on conflict (path) do update set erased = true";
/// Of messages that were deleted before: those that are not removed yet.
const ERASE_DELETED_FILES: &str =
    "update uploads set erased = true where path in (select value from json_each($1))";
const NOTE_FILE: &str = "\
    insert into removed_file (id, message_id, path) values (1, $1, $2)
    on conflict (id) do update set message_id = excluded.message_id, path = excluded.path
    where excluded.message_id > removed_file.message_id";

/// Sees to it that what is oldest can be found, or that nothing is paid for it. To be called before anything is written, by who
/// alone writes.
pub(in crate::store) async fn enter(
    connection: &mut SqliteConnection,
    retains: bool,
) -> Result<(), sqlx::Error> {
    let has_index: bool = sqlx::query_scalar(HAS_INDEX).fetch_one(&mut *connection).await?;
    if has_index == retains {
        return Ok(());
    }
    let began = Instant::now();
    let change = if retains { MAKE_INDEX } else { DROP_INDEX };
    sqlx::raw_sql(change).execute(connection).await?;
    let duration_seconds = began.elapsed().as_secs();
    if retains {
        tracing::info!(duration_seconds, "the index of times is made, for --retain-messages");
    } else {
        tracing::info!(
            duration_seconds,
            "the index of times is removed: messages are retained for ever"
        );
    }
    Ok(())
}

pub(super) async fn step(
    connection: &mut SqliteConnection,
    Due { before, most, .. }: Due,
    start: Start,
    indexes: bool,
) -> Result<Removed, sqlx::Error> {
    let limit = i64::try_from(most).unwrap_or(i64::MAX);
    let due = sqlx::query_as(DUE).bind(before).bind(limit);
    let due: Vec<Row> = due.fetch_all(&mut *connection).await?;
    if due.is_empty() {
        return Ok(Removed { is_last: true, ..Removed::default() });
    }
    let threads = json(&threads_of(&due))?;
    let mut noted = 0;
    for note in [NOTE_SIDES, NOTE_LAST] {
        noted += sqlx::query(note).bind(&threads).execute(&mut *connection).await?.rows_affected();
    }
    let ends: Vec<Ends> = sqlx::query_as(ENDS).bind(&threads).fetch_all(&mut *connection).await?;
    let left: Vec<Row> = sqlx::query_as(LEFT).bind(&threads).fetch_all(&mut *connection).await?;
    let sorted = Sorted::of(due.iter().cloned().chain(left).collect(), &ends);
    if !sorted.left.is_empty() {
        let left = json(&sorted.left)?;
        sqlx::query(LEAVE).bind(&left).execute(&mut *connection).await?;
        // One that was given up is not written any more.
        for forget in FORGET_WORDS.iter().filter(|_| indexes) {
            sqlx::query(*forget).bind(&left).execute(&mut *connection).await?;
        }
    }
    if !sorted.gone.is_empty() {
        sqlx::query(REMOVE).bind(json(&sorted.gone_ids())?).execute(&mut *connection).await?;
        sqlx::query(BEGIN_TURNS).bind(json(&sorted.gone)?).execute(&mut *connection).await?;
    }
    if !sorted.files.is_empty() {
        let erase = sqlx::query(ERASE_FILES).bind(json(&sorted.files)?).bind(start);
        erase.execute(&mut *connection).await?;
    }
    if !sorted.deleted_files.is_empty() {
        let erase = sqlx::query(ERASE_DELETED_FILES).bind(json(&sorted.deleted_files)?);
        erase.execute(&mut *connection).await?;
    }
    if let Some((message, path)) = &sorted.newest_file {
        sqlx::query(NOTE_FILE).bind(message).bind(path).execute(connection).await?;
    }
    let pair = |ends: &Ends| -> Pair { (ends.low_key, ends.high_key) };
    let changed = if noted > 0 { ends.iter().map(pair).collect() } else { Vec::new() };
    Ok(removed(&due, most, &sorted, changed))
}

fn json<T: serde::Serialize>(rows: &T) -> Result<String, sqlx::Error> {
    serde_json::to_string(rows).map_err(|error| sqlx::Error::Encode(error.into()))
}
