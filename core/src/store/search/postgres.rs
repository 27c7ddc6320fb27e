//! The index of PostgreSQL: trigrams (`pg_trgm`) of a column of folded text. Where the locale of the database knows ASCII alone, the
//! index tells users apart and Latin words; the rest is read of the user's own messages.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection};

use super::entry::{Entry, Note};
use crate::store::{
    OpenError,
    error::{has_code, leaves_session},
};

/// Of sessions that index what they write.
pub(in crate::store) const SEARCHES: (&str, &str) = ("netrox_chat.search", "on");

const HAS_BUILD: &str = "select exists (select 1 from search_build)";
/// Whether all is there that keeps the index true.
const IS_WHOLE: &str = "\
    select exists (select 1 from search_build)
        and exists (select 1 from pg_index where indexrelid = to_regclass('message_words_trigrams') and indisvalid)
        and (select count(*) from pg_trigger where tgrelid = 'messages'::regclass and tgenabled <> 'D'
            and tgname in ('unindexed_inserts', 'unindexed_updates', 'unindexed_removals')) = 3";
const MAKE_EXTENSION: &str = "create extension if not exists pg_trgm";
const EXTENSION_SCHEMA: &str = "\
    select quote_ident(n.nspname) from pg_extension e join pg_namespace n on n.oid = e.extnamespace
    where e.extname = 'pg_trgm'";
/// Behind the lock each message is stored already, or what stores it finds the triggers. Cores wait for it meanwhile, and it for
/// them: no longer than a batch may wait for a lock, and for longer than the second after which the server ends an autovacuum that is
/// in the way. What was there of an index that is not whole is made anew: nobody noted what changed.
///
/// Entries are put down beside the index, and sorted into it later ([`SORT_IN`]), by who keeps no sender waiting: at once it takes
/// more than ten times as long. By itself it would be done by a send, where there is more than the limit.
const MAKE: &str = "\
    begin;
    set local lock_timeout = '1200ms';
    lock table messages in share row exclusive mode;
    truncate message_words, unindexed_messages, search_build;
    drop index if exists message_words_trigrams;
    create index message_words_trigrams on message_words
        using gin (words SCHEMA.gin_trgm_ops) with (fastupdate = on, gin_pending_list_limit = 1048576);
    create or replace function note_unindexed() returns trigger language plpgsql as $$
    begin
        insert into unindexed_messages (id, sender, receiver) values (new.id, new.sender, new.receiver)
            on conflict (id) do update set id = excluded.id;
        if tg_op = 'UPDATE' then
            insert into message_words as w (id, version)
                select n.id, new.sender_seq + coalesce(new.receiver_seq, 0)
                from (values (new.id * 2), (new.id * 2 + 1)) as n (id)
                on conflict (id) do update set words = null, version = excluded.version
                where excluded.version >= w.version;
        end if;
        return null;
    end
    $$;
    create or replace function forget_removed() returns trigger language plpgsql as $$
    begin
        delete from message_words where id in (old.id * 2, old.id * 2 + 1);
        delete from unindexed_messages where id = old.id;
        return null;
    end
    $$;
    create or replace trigger unindexed_inserts after insert on messages for each row
        when (current_setting('netrox_chat.search', true) is distinct from 'on')
        execute function note_unindexed();
    create or replace trigger unindexed_updates
        after update of body, deleted, hidden_for_sender, hidden_for_receiver, receiver_seq, receiver_sees on messages
        for each row when (current_setting('netrox_chat.search', true) is distinct from 'on'
            and (old.body is distinct from new.body or old.deleted is distinct from new.deleted
                or old.hidden_for_sender is distinct from new.hidden_for_sender
                or old.hidden_for_receiver is distinct from new.hidden_for_receiver
                or old.receiver_sees is distinct from new.receiver_sees
                or (old.receiver_seq is null) <> (new.receiver_seq is null)))
        execute function note_unindexed();
    create or replace trigger unindexed_removals after delete on messages for each row
        execute function forget_removed();
    insert into search_build (id, next_id) select 1, coalesce(max(id), 0) from messages
        on conflict (id) do nothing;
    commit";
/// For a lock that somebody else holds.
const ATTEMPTS: usize = 20;
/// Sends go on meanwhile.
const ATTEMPT_INTERVAL: Duration = Duration::from_secs(2);
/// Who keeps it.
const HOLDER: &str = "\
    select format('process %s (%s)', l.pid, coalesce(nullif(a.application_name, ''), a.backend_type, 'of another role'))
    from pg_locks l left join pg_stat_activity a on a.pid = l.pid
    where l.locktype = 'relation' and l.granted and l.pid is distinct from pg_backend_pid()
        and l.database = (select oid from pg_database where datname = current_database())
        and l.relation in ('messages'::regclass, 'message_words'::regclass)
        and l.mode not in ('AccessShareLock', 'RowShareLock')
    order by a.xact_start limit 1";

/// The lock of what is noted already is taken, too: who indexes it at the moment has read an older text.
const NOTE: &str = "\
    insert into unindexed_messages (id, sender, receiver) select * from unnest($1::bigint[], $2::bigint[], $3::bigint[])
    on conflict (id) do update set id = excluded.id";
/// Some at a time: what is sorted in when it ends early stays so.
pub(super) const BEGIN_SORTING: &str =
    "begin; set local statement_timeout = '60s'; set local maintenance_work_mem = '4MB'";
pub(super) const SORT_IN: &str = "\
    select gin_clean_pending_list(c.oid) from pg_class c
    where c.oid = to_regclass('message_words_trigrams') and pg_has_role(c.relowner, 'usage')";
const STORE: &str = "\
    insert into message_words as w (id, words, version)
    select e.id, search_words(e.thread_id, e.one, e.two, e.words), e.version
    from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[])
        as e (id, thread_id, one, two, words, version)
    on conflict (id) do update set words = excluded.words, version = excluded.version
    where excluded.version >= w.version";

/// Makes the index where there is none. In a session of a start, which has our schema in its path and the lock of it.
pub(in crate::store) async fn enable(connection: &mut PgConnection) -> Result<(), OpenError> {
    if sqlx::query_scalar(IS_WHOLE).fetch_one(&mut *connection).await? {
        return Ok(());
    }
    if let Err(error) = sqlx::query(MAKE_EXTENSION).execute(&mut *connection).await {
        return Err(if leaves_session(&error) {
            OpenError::NoTrigrams(error)
        } else {
            OpenError::Connect(error)
        });
    }
    let schema: String = sqlx::query_scalar(EXTENSION_SCHEMA).fetch_one(&mut *connection).await?;
    let make = MAKE.replace("SCHEMA", &schema);
    let mut attempts = 0;
    loop {
        const NOT_ALLOWED: &str = "42501";
        let made = sqlx::raw_sql(AssertSqlSafe(make.clone())).execute(&mut *connection).await;
        let Err(error) = made else { break };
        attempts += 1;
        if !leaves_session(&error) {
            return Err(OpenError::Connect(error));
        }
        sqlx::raw_sql("rollback").execute(&mut *connection).await?;
        match is_in_the_way(&error) {
            true if attempts < ATTEMPTS => wait(connection, attempts).await?,
            true => return Err(OpenError::SearchLocked { holder: holder(connection).await? }),
            false if has_code(&error, NOT_ALLOWED) => return Err(OpenError::SearchNotMade(error)),
            false => return Err(OpenError::Connect(error)),
        }
    }
    tracing::info!("the index for search is made: messages are indexed from now on");
    Ok(())
}

/// Whether another transaction has what is to be locked.
fn is_in_the_way(error: &sqlx::Error) -> bool {
    const LOCK_NOT_AVAILABLE: &str = "55P03";
    const DEADLOCK_DETECTED: &str = "40P01";
    [LOCK_NOT_AVAILABLE, DEADLOCK_DETECTED].iter().any(|code| has_code(error, code))
}

async fn wait(connection: &mut PgConnection, attempts: usize) -> Result<(), sqlx::Error> {
    if attempts == 1 {
        let held_by = holder(connection).await?;
        tracing::info!(%held_by, "waiting for a lock on the messages, to make the index for search");
    }
    tokio::time::sleep(ATTEMPT_INTERVAL).await;
    Ok(())
}

async fn holder(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    let holder: Option<String> = sqlx::query_scalar(HOLDER).fetch_optional(connection).await?;
    Ok(holder.unwrap_or_else(|| "one that has ended since".to_owned()))
}

/// Whether a core has made the index: others note for it what they write.
pub(in crate::store) async fn is_built(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(HAS_BUILD).fetch_one(connection).await
}

/// Notes messages that are to be indexed later: in their order, each once.
pub(in crate::store) async fn note(
    connection: &mut PgConnection,
    notes: &[Note],
) -> Result<(), sqlx::Error> {
    if notes.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = notes.iter().map(|note| note.id).collect();
    let user = |place: usize| notes.iter().map(|it| it.participants[place]).collect::<Vec<_>>();
    let query = sqlx::query(NOTE).bind(ids).bind(user(0)).bind(user(1));
    query.execute(connection).await.map(drop)
}

/// Stores entries in the transaction of their messages, or of those that were found. In the order of their numbers: whoever waits for
/// another waits for no one who waits for them. One of an older state than is stored counts for nothing.
pub(in crate::store) async fn store(
    connection: &mut PgConnection,
    entries: &[Entry],
) -> Result<(), sqlx::Error> {
    if entries.is_empty() {
        return Ok(());
    }
    let column = |value: fn(&Entry) -> i64| entries.iter().map(value).collect::<Vec<_>>();
    let user = |place: usize| {
        let user = |entry: &Entry| entry.users.get(place).copied().flatten();
        entries.iter().map(user).collect::<Vec<_>>()
    };
    let words: Vec<Option<&str>> = entries.iter().map(|entry| entry.words.as_deref()).collect();
    sqlx::query(STORE)
        .bind(column(|entry| entry.number))
        .bind(column(|entry| entry.thread_id))
        .bind(user(0))
        .bind(user(1))
        .bind(words)
        .bind(column(|entry| entry.version))
        .execute(connection)
        .await
        .map(drop)
}
