//! The statements that store a batch, a row of any kind as an element of arrays.

use sqlx::PgConnection;
use tokio::time::Instant;

use super::column;
use crate::store::{
    batch::{
        FORGOTTEN_REFUSALS, REFUSAL_KEPT, RefusalRow, Rows, StoreError, SwallowedRow,
        form::{FORGOTTEN_FORMS, FormRow, SAME_FOR},
        thread::look_ends_up,
    },
    engine::by,
};

const INSERT_THREADS: &str = "\
    insert into threads (id, low_key, high_key, user_one, created, last_activity)
    select id, low_key, high_key, user_one, created, created
    from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
        as w (id, low_key, high_key, user_one, created)";
const INSERT_MESSAGES: &str = "\
    insert into messages (thread_id, id, sender, receiver, body, created, updated,
        sender_seq, receiver_seq, client_ref, ref_from_client, continues, reply_to, meta)
    select thread_id, id, sender, receiver, body, created, created,
        sender_seq, receiver_seq, client_ref, ref_from_client, continues, reply_to, meta
    from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[],
        $7::bigint[], $8::bigint[], $9::uuid[], $10::boolean[], $11::boolean[], $12::bigint[],
        $13::text[])
        as w (thread_id, id, sender, receiver, body, created, sender_seq, receiver_seq, client_ref,
            ref_from_client, continues, reply_to, meta)";
/// Rare, and apart: the other messages need not carry four empty columns.
const SET_ATTACHMENTS: &str = "\
    update messages m set attachment_path = w.path, attachment_name = w.name,
        attachment_size = w.size, attachment_type = w.type, dispatched = w.dispatched
    from unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::text[],
        $7::bigint[])
        as w (thread_id, id, path, name, size, type, dispatched)
    where m.thread_id = w.thread_id and m.id = w.id";
const DELETE_UPLOADS: &str = "delete from uploads where path = any($1)";
const UPDATE_MESSAGES: &str = "\
    update messages m set updated = w.updated, seen = w.seen, deleted = w.deleted,
        dispatched = w.dispatched, body = w.body, meta = w.meta,
        hidden_for_sender = w.hidden_for_sender, hidden_for_receiver = w.hidden_for_receiver,
        receiver_sees = w.receiver_sees,
        attachment_name = case when w.deleted then null else m.attachment_name end,
        reply_to = case when w.deleted then null else m.reply_to end,
        sender_first_seq = case when w.sender_seq is null then m.sender_first_seq
            else coalesce(m.sender_first_seq, m.sender_seq) end,
        sender_seq = coalesce(w.sender_seq, m.sender_seq),
        receiver_first_seq = case when w.receiver_seq is null then m.receiver_first_seq
            else nullif(w.receiver_first_seq, w.receiver_seq) end,
        receiver_seq = coalesce(w.receiver_seq, m.receiver_seq)
    from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::boolean[], $5::boolean[],
        $6::bigint[], $7::bigint[], $8::bigint[], $9::text[], $10::text[], $11::boolean[],
        $12::boolean[], $13::bigint[], $14::text[])
        as w (thread_id, id, updated, seen, deleted, dispatched, sender_seq, receiver_seq, body, meta,
            hidden_for_sender, hidden_for_receiver, receiver_first_seq, receiver_sees)
    where m.thread_id = w.thread_id and m.id = w.id";
const UPDATE_FEEDS: &str = "\
    update feeds f set last_seq = w.last_seq
    from unnest($1::bigint[], $2::bigint[]) as w (user_key, last_seq)
    where f.user_key = w.user_key";
/// Once a user and start.
const ENTER_START: &str = "\
    update feeds f set start = w.start
    from unnest($1::bigint[], $2::bigint[]) as w (user_key, start)
    where f.user_key = w.user_key";
const INSERT_FEED_STARTS: &str = "\
    insert into feed_starts (user_key, start, last_seq)
    select user_key, start, last_seq
    from unnest($1::bigint[], $2::bigint[], $3::bigint[]) as w (user_key, start, last_seq)";
const UPDATE_ACTIVITIES: &str = "\
    update threads t set last_activity = w.last_activity, last_message = w.last_message,
        last_message_at = w.last_activity, low_sent = w.low_sent, low_shown = w.low_shown,
        high_sent = w.high_sent, high_shown = w.high_shown
    from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
        $7::bigint[])
        as w (id, last_activity, last_message, low_sent, low_shown, high_sent, high_shown)
    where t.id = w.id";
const UPSERT_THREAD_STATES: &str = "\
    insert into thread_states as s (user_key, thread_id, seen_id, delivered_id, seq,
        shown_seen_id, shown_delivered_id)
    select user_key, thread_id, seen_id, delivered_id, seq, shown_seen_id, shown_delivered_id
    from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
        $7::bigint[])
        as w (user_key, thread_id, seen_id, delivered_id, seq, shown_seen_id, shown_delivered_id)
    on conflict (user_key, thread_id) do update set seen_id = excluded.seen_id,
        delivered_id = excluded.delivered_id, shown_seen_id = excluded.shown_seen_id,
        shown_delivered_id = excluded.shown_delivered_id, seq = coalesce(excluded.seq, s.seq)";
/// Rare, as what follows is.
const UPDATE_SWALLOWED: &str = "\
    update threads t set low_swallowed = w.low_swallowed, high_swallowed = w.high_swallowed,
        late_created = w.late_created, late_one = w.late_one,
        last_message_at = case when w.knows_ends then t.last_message_at end
    from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::boolean[])
        as w (id, low_swallowed, high_swallowed, late_created, late_one, knows_ends)
    where t.id = w.id";
const SWALLOW: &str = "\
    update messages m set hidden_for_receiver = true
    from unnest($1::bigint[], $2::bigint[]) as w (thread_id, id)
    where m.thread_id = w.thread_id and m.id = w.id";
const LOOK_ENDS_UP: &str = look_ends_up!(sides "update", "select unnest($1::bigint[])");
const LOOK_LAST_UP: &str = look_ends_up!(last "update", "select unnest($1::bigint[])");
const DELETE_BLOCKS: &str = "\
    delete from blocks b using unnest($1::bigint[], $2::bigint[]) as w (blocker, blocked)
    where b.blocker = w.blocker and b.blocked = w.blocked";
const INSERT_BLOCKS: &str = "\
    insert into blocks (blocker, blocked, created)
    select blocker, blocked, created
    from unnest($1::bigint[], $2::bigint[], $3::bigint[]) as w (blocker, blocked, created)
    where created is not null";
const NOTE_BLOCKS: &str =
    "update feeds set has_blocks = true where user_key = any($1) and has_blocks is null";
/// Begun so long ago that any core removes them.
const ERASE_FILES: &str = "\
    insert into uploads (path, begun, start)
    select path, 0, start from unnest($1::text[], $2::bigint[]) as w (path, start)
    on conflict (path) do nothing";

const INSERT_REFUSALS: &str = "\
    insert into refused_sends (sender, client_ref, refused)
    select sender, client_ref, refused
    from unnest($1::bigint[], $2::uuid[], $3::bigint[]) as w (sender, client_ref, refused)
    on conflict do nothing";
/// Without waiting for another core that does the same.
const FORGET_REFUSALS: &str = "\
    delete from refused_sends where ctid = any (array(
        select ctid from refused_sends where refused < $1 limit $2 for update skip locked))";

/// A core that stores the same form runs before or after, since it is the same sender's.
const INSERT_FORMS: &str = "\
    insert into sent_forms (boundary, content, message_id, sent)
    select boundary, content, message_id, sent
    from unnest($1::bytea[], $2::bytea[], $3::bigint[], $4::bigint[])
        as w (boundary, content, message_id, sent)
    on conflict (boundary, content) do update
        set message_id = excluded.message_id, sent = excluded.sent";
/// Without waiting for another core that does the same.
const FORGET_FORMS: &str = "\
    update sent_forms set message_id = null where ctid = any (array(
        select ctid from sent_forms where message_id is not null and sent < $1 limit $2
            for update skip locked))";

const COMMIT: &str = "commit";

/// Stores a batch and commits it; durable when it returns.
pub(in crate::store) async fn commit(
    connection: &mut PgConnection,
    rows: &Rows<'_>,
    deadline: Option<Instant>,
) -> Result<(), StoreError> {
    by(deadline, store(connection, rows)).await.map_err(StoreError::Statement)?;
    let committed = async { sqlx::query(COMMIT).execute(connection).await.map(drop) };
    by(deadline, committed).await.map_err(StoreError::Commit)
}

async fn store(connection: &mut PgConnection, rows: &Rows<'_>) -> Result<(), sqlx::Error> {
    let threads = &rows.threads[..];
    if !threads.is_empty() {
        sqlx::query(INSERT_THREADS)
            .bind(column(threads, |row| row.id))
            .bind(column(threads, |row| row.low_key))
            .bind(column(threads, |row| row.high_key))
            .bind(column(threads, |row| row.user_one))
            .bind(column(threads, |row| row.created))
            .execute(&mut *connection)
            .await?;
    }
    insert_messages(connection, rows).await?;
    let changed: Vec<_> = rows.changed.values().collect();
    if !changed.is_empty() {
        sqlx::query(UPDATE_MESSAGES)
            .bind(column(&changed, |row| row.thread_id))
            .bind(column(&changed, |row| row.id))
            .bind(column(&changed, |row| row.updated))
            .bind(column(&changed, |row| row.seen))
            .bind(column(&changed, |row| row.deleted))
            .bind(column(&changed, |row| row.dispatched))
            .bind(column(&changed, |row| row.sender_seq.map(u64::cast_signed)))
            .bind(column(&changed, |row| row.receiver_seq.map(u64::cast_signed)))
            .bind(column(&changed, |row| row.body.as_str()))
            .bind(column(&changed, |row| row.meta.as_deref()))
            .bind(column(&changed, |row| row.hidden_for_sender.then_some(true)))
            .bind(column(&changed, |row| row.hidden_for_receiver.then_some(true)))
            .bind(column(&changed, |row| row.receiver_first_seq.map(u64::cast_signed)))
            .bind(column(&changed, |row| row.receiver_sees.as_deref()))
            .execute(&mut *connection)
            .await?;
    }
    if !rows.feeds.is_empty() {
        sqlx::query(UPDATE_FEEDS)
            .bind(column(&rows.feeds, |user| user.key))
            .bind(column(&rows.feeds, |user| user.last_seq))
            .execute(&mut *connection)
            .await?;
    }
    if !rows.feed_starts.is_empty() {
        sqlx::query(ENTER_START)
            .bind(column(&rows.feed_starts, |row| row.user))
            .bind(column(&rows.feed_starts, |row| row.start))
            .execute(&mut *connection)
            .await?;
        sqlx::query(INSERT_FEED_STARTS)
            .bind(column(&rows.feed_starts, |row| row.user))
            .bind(column(&rows.feed_starts, |row| row.start))
            .bind(column(&rows.feed_starts, |row| row.last_seq))
            .execute(&mut *connection)
            .await?;
    }
    if !rows.activities.is_empty() {
        sqlx::query(UPDATE_ACTIVITIES)
            .bind(column(&rows.activities, |row| row.thread.id))
            .bind(column(&rows.activities, |row| row.thread.last_activity))
            .bind(column(&rows.activities, |row| row.last_message))
            .bind(column(&rows.activities, |row| row.thread.low_sent))
            .bind(column(&rows.activities, |row| row.thread.low_shown))
            .bind(column(&rows.activities, |row| row.thread.high_sent))
            .bind(column(&rows.activities, |row| row.thread.high_shown))
            .execute(&mut *connection)
            .await?;
    }
    if !rows.swallowed.is_empty() {
        store_swallowed(connection, &rows.swallowed).await?;
    }
    if !rows.blocks.is_empty() {
        store_blocks(connection, rows).await?;
    }
    let states = &rows.thread_states[..];
    if !states.is_empty() {
        sqlx::query(UPSERT_THREAD_STATES)
            .bind(column(states, |row| row.user))
            .bind(column(states, |row| row.thread_id))
            .bind(column(states, |row| row.seen_id))
            .bind(column(states, |row| row.delivered_id))
            .bind(column(states, |row| row.seq.map(u64::cast_signed)))
            .bind(column(states, |row| row.shown.map(|marks| marks.seen_id)))
            .bind(column(states, |row| row.shown.map(|marks| marks.delivered_id)))
            .execute(&mut *connection)
            .await?;
    }
    if !rows.erased_files.is_empty() {
        sqlx::query(ERASE_FILES)
            .bind(column(&rows.erased_files, |row| row.path.as_str()))
            .bind(column(&rows.erased_files, |row| row.start))
            .execute(&mut *connection)
            .await?;
    }
    store_refusals(connection, &rows.refusals).await?;
    store_forms(connection, &rows.forms).await
}

async fn store_swallowed(
    connection: &mut PgConnection,
    rows: &[SwallowedRow],
) -> Result<(), sqlx::Error> {
    sqlx::query(UPDATE_SWALLOWED)
        .bind(column(rows, |row| row.thread_id))
        .bind(column(rows, |row| row.low_swallowed))
        .bind(column(rows, |row| row.high_swallowed))
        .bind(column(rows, |row| row.late_created))
        .bind(column(rows, |row| row.late_one))
        .bind(column(rows, |row| row.knows_ends))
        .execute(&mut *connection)
        .await?;
    let messages = rows.iter().flat_map(|row| row.messages.iter().map(|id| (row.thread_id, *id)));
    let (threads, ids): (Vec<_>, Vec<_>) = messages.unzip();
    sqlx::query(SWALLOW).bind(threads).bind(ids).execute(&mut *connection).await?;
    let unknown = rows.iter().filter(|row| !row.knows_ends).map(|row| row.thread_id);
    let unknown: Vec<_> = unknown.collect();
    if !unknown.is_empty() {
        sqlx::query(LOOK_ENDS_UP).bind(&unknown).execute(&mut *connection).await?;
        sqlx::query(LOOK_LAST_UP).bind(unknown).execute(connection).await?;
    }
    Ok(())
}

async fn store_blocks(connection: &mut PgConnection, rows: &Rows<'_>) -> Result<(), sqlx::Error> {
    let (blockers, blocked): (Vec<_>, Vec<_>) = rows.blocks.keys().copied().unzip();
    let query = sqlx::query(DELETE_BLOCKS).bind(&blockers).bind(&blocked);
    query.execute(&mut *connection).await?;
    let created: Vec<_> = rows.blocks.values().copied().collect();
    let query = sqlx::query(INSERT_BLOCKS).bind(&blockers).bind(blocked).bind(created);
    query.execute(&mut *connection).await?;
    sqlx::query(NOTE_BLOCKS).bind(blockers).execute(connection).await.map(drop)
}

async fn store_forms(connection: &mut PgConnection, forms: &[FormRow]) -> Result<(), sqlx::Error> {
    let Some(newest) = forms.iter().map(|row| row.sent).max() else { return Ok(()) };
    sqlx::query(INSERT_FORMS)
        .bind(column(forms, |row| row.form.boundary.to_vec()))
        .bind(column(forms, |row| row.form.content.to_vec()))
        .bind(column(forms, |row| row.message_id))
        .bind(column(forms, |row| row.sent))
        .execute(&mut *connection)
        .await?;
    sqlx::query(FORGET_FORMS)
        .bind(newest - SAME_FOR)
        .bind(FORGOTTEN_FORMS)
        .execute(connection)
        .await
        .map(drop)
}

async fn store_refusals(
    connection: &mut PgConnection,
    refusals: &[RefusalRow],
) -> Result<(), sqlx::Error> {
    let Some(newest) = refusals.iter().map(|row| row.refused).max() else { return Ok(()) };
    sqlx::query(INSERT_REFUSALS)
        .bind(column(refusals, |row| row.sender))
        .bind(column(refusals, |row| row.client_ref.0))
        .bind(column(refusals, |row| row.refused))
        .execute(&mut *connection)
        .await?;
    sqlx::query(FORGET_REFUSALS)
        .bind(newest - REFUSAL_KEPT)
        .bind(FORGOTTEN_REFUSALS)
        .execute(connection)
        .await
        .map(drop)
}

async fn insert_messages(
    connection: &mut PgConnection,
    rows: &Rows<'_>,
) -> Result<(), sqlx::Error> {
    let messages = &rows.messages[..];
    if messages.is_empty() {
        return Ok(());
    }
    let body = |range: &std::ops::Range<usize>| {
        std::str::from_utf8(&rows.bodies[range.clone()])
            .map_err(|error| sqlx::Error::Encode(error.into()))
    };
    let bodies = messages.iter().map(|row| body(&row.body)).collect::<Result<Vec<_>, _>>()?;
    sqlx::query(INSERT_MESSAGES)
        .bind(column(messages, |row| row.thread_id))
        .bind(column(messages, |row| row.id))
        .bind(column(messages, |row| row.sender))
        .bind(column(messages, |row| row.receiver))
        .bind(bodies)
        .bind(column(messages, |row| row.created))
        .bind(column(messages, |row| row.sender_seq.cast_signed()))
        .bind(column(messages, |row| row.receiver_seq.map(u64::cast_signed)))
        .bind(column(messages, |row| row.client_ref.map(|client_ref| client_ref.0)))
        .bind(column(messages, |row| row.ref_from_client.then_some(true)))
        .bind(column(messages, |row| row.continues.then_some(true)))
        .bind(column(messages, |row| row.reply_to))
        .bind(column(messages, |row| row.meta))
        .execute(&mut *connection)
        .await?;

    let files: Vec<_> = messages
        .iter()
        .filter_map(|row| Some((row.thread_id, row.id, row.dispatched, row.attachment?)))
        .collect();
    if files.is_empty() {
        return Ok(());
    }
    sqlx::query(SET_ATTACHMENTS)
        .bind(column(&files, |(thread_id, ..)| *thread_id))
        .bind(column(&files, |(_, id, ..)| *id))
        .bind(column(&files, |(.., file)| file.path.as_str()))
        .bind(column(&files, |(.., file)| file.file_name.as_str()))
        .bind(column(&files, |(.., file)| file.size))
        .bind(column(&files, |(.., file)| file.content_type.as_str()))
        .bind(column(&files, |(_, _, dispatched, _)| *dispatched))
        .execute(&mut *connection)
        .await?;
    sqlx::query(DELETE_UPLOADS)
        .bind(column(&files, |(.., file)| file.path.as_str()))
        .execute(connection)
        .await
        .map(drop)
}
