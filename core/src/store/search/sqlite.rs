//! The index of SQLite: a table of FTS5 that keeps no text of its own, so that no entry can be taken away by another text than it was
//! made of.

use sqlx::SqliteConnection;

use super::entry::{Entry, Note};
use crate::store::user::UserKey;

const IS_BUILT: &str = "select exists (select 1 from search_build)";
const BEGIN_BUILD: &str = "\
    insert into search_build (id, next_id) select 1, coalesce(max(id), 0) from messages where true
    on conflict (id) do nothing";
/// What is removed leaves the index, whoever removes it.
const FOLLOW_REMOVALS: &str = "\
    create trigger if not exists unindexed_removals after delete on messages begin
        delete from message_words where rowid in (old.id * 2, old.id * 2 + 1);
        delete from unindexed_messages where id = old.id;
    end";
/// While no core indexes what it writes. Not "or ignore": what the statement says that fires them counts within.
const NOTE_INSERTS: &str = "\
    create trigger if not exists unindexed_inserts after insert on messages begin
        insert into unindexed_messages (id, sender, receiver) select new.id, new.sender, new.receiver
            where not exists (select 1 from unindexed_messages where id = new.id);
    end";
const NOTE_UPDATES: &str = "\
    create trigger if not exists unindexed_updates
        after update of body, deleted, hidden_for_sender, hidden_for_receiver, receiver_seq, receiver_sees on messages
        when old.body is not new.body or old.deleted is not new.deleted
            or old.hidden_for_sender is not new.hidden_for_sender
            or old.hidden_for_receiver is not new.hidden_for_receiver
            or old.receiver_sees is not new.receiver_sees
            or (old.receiver_seq is null) <> (new.receiver_seq is null)
    begin
        delete from message_words where rowid in (new.id * 2, new.id * 2 + 1);
        insert into unindexed_messages (id, sender, receiver) select new.id, new.sender, new.receiver
            where not exists (select 1 from unindexed_messages where id = new.id);
    end";
const NOTE_NO_INSERTS: &str = "drop trigger if exists unindexed_inserts";
const FOLLOW_NO_REMOVALS: &str = "drop trigger if exists unindexed_removals";
const NOTE_NO_UPDATES: &str = "drop trigger if exists unindexed_updates";
const DELETE: &str = "delete from message_words where rowid in (select value from json_each($1))";
const NOTE: &str = "\
    insert or ignore into unindexed_messages (id, sender, receiver)
    select value ->> 0, value ->> 1, value ->> 2 from json_each($1)";
const INSERT: &str = "\
    insert or replace into message_words (rowid, words)
    select value ->> 0, value ->> 1 from json_each($1)";

/// Of an index that was found damaged, or is to go.
const IS_DAMAGED: &str = "select exists (select 1 from search_build where next_id = -1)";
/// Nothing follows it any more, and the next start makes it anew.
const GIVE_UP: [&str; 4] = [
    NOTE_NO_INSERTS,
    NOTE_NO_UPDATES,
    FOLLOW_NO_REMOVALS,
    "insert into search_build (id, next_id) values (1, -1) on conflict (id) do update set next_id = -1 where next_id <> -1",
];
const REMOVE: [&str; 7] = [
    NOTE_NO_INSERTS,
    NOTE_NO_UPDATES,
    FOLLOW_NO_REMOVALS,
    "drop table message_words",
    MAKE,
    "delete from unindexed_messages",
    "delete from search_build",
];
/// As its migration does.
const MAKE: &str = "\
create virtual table message_words using fts5 (
    words, content='', contentless_delete=1, detail=none, tokenize='trigram case_sensitive 1'
)";

/// Has the writer that follows index what it writes, or triggers note it where there is an index. To be called before anything is
/// written, by who alone writes. An index that is damaged goes, or that an operator gives up.
pub(in crate::store) async fn enter(
    connection: &mut SqliteConnection,
    searches: bool,
) -> Result<(), sqlx::Error> {
    let is_damaged: bool = sqlx::query_scalar(IS_DAMAGED).fetch_one(&mut *connection).await?;
    if is_damaged {
        run(connection, &REMOVE).await?;
        tracing::info!("the index for search is removed, as it was damaged or given up");
    }
    let is_built: bool = sqlx::query_scalar(IS_BUILT).fetch_one(&mut *connection).await?;
    match (searches, is_built) {
        (false, false) => Ok(()),
        (false, true) => run(connection, &[NOTE_INSERTS, NOTE_UPDATES]).await,
        (true, _) => {
            let statements = [NOTE_NO_INSERTS, NOTE_NO_UPDATES, FOLLOW_REMOVALS, BEGIN_BUILD];
            run(connection, &statements).await
        }
    }
}

/// In a transaction of their own.
async fn run(
    connection: &mut SqliteConnection,
    statements: &[&'static str],
) -> Result<(), sqlx::Error> {
    sqlx::query("begin immediate").execute(&mut *connection).await?;
    for statement in statements {
        if let Err(error) = sqlx::query(*statement).execute(&mut *connection).await {
            // The connection is given up.
            let _ = sqlx::query("rollback").execute(connection).await;
            return Err(error);
        }
    }
    sqlx::query("commit").execute(connection).await.map(drop)
}

/// Leaves a damaged index alone, in a transaction.
pub(in crate::store) async fn give_up(
    connection: &mut SqliteConnection,
) -> Result<(), sqlx::Error> {
    for statement in GIVE_UP {
        sqlx::query(statement).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Stores new entries, and those of messages that were changed, in the transaction of these.
pub(in crate::store) async fn store(
    connection: &mut SqliteConnection,
    new: &[Entry],
    changed: &[Entry],
) -> Result<(), sqlx::Error> {
    if !changed.is_empty() {
        let numbers: Vec<_> = changed.iter().map(|entry| entry.number).collect();
        sqlx::query(DELETE).bind(json(&numbers)?).execute(&mut *connection).await?;
    }
    let rows = new.iter().chain(changed).filter_map(|it| Some((it.number, text(it)?)));
    let rows: Vec<_> = rows.collect();
    if !rows.is_empty() {
        sqlx::query(INSERT).bind(json(&rows)?).execute(connection).await?;
    }
    Ok(())
}

/// Notes messages that are to be indexed later.
pub(in crate::store) async fn note(
    connection: &mut SqliteConnection,
    notes: &[Note],
) -> Result<(), sqlx::Error> {
    if notes.is_empty() {
        return Ok(());
    }
    let row = |note: &Note| {
        let [UserKey(sender), UserKey(receiver)] = note.participants;
        [note.id, sender, receiver]
    };
    let rows: Vec<_> = notes.iter().map(row).collect();
    sqlx::query(NOTE).bind(json(&rows)?).execute(connection).await.map(drop)
}

fn json<T: serde::Serialize>(rows: &T) -> Result<String, sqlx::Error> {
    serde_json::to_string(rows).map_err(|error| sqlx::Error::Encode(error.into()))
}

fn text(entry: &Entry) -> Option<String> {
    let words = entry.words.as_ref()?;
    let mut text = token_of_thread(entry.thread_id);
    for user in entry.users.into_iter().flatten() {
        text.push(' ');
        text.push_str(&token_of_user(user));
    }
    text.push_str(words);
    Some(text)
}

/// What the index is asked for: all of these, each of three letters.
pub(super) fn query(user: UserKey, thread: Option<i64>, trigrams: &[String]) -> String {
    let mut query = format!("\"{}\"", token_of_user(user));
    let tokens = thread.map(token_of_thread);
    for trigram in tokens.iter().chain(trigrams) {
        query.push_str(" AND \"");
        query.push_str(trigram);
        query.push('"');
    }
    query
}

fn token_of_user(UserKey(key): UserKey) -> String {
    token(key.cast_unsigned().wrapping_mul(2))
}

fn token_of_thread(id: i64) -> String {
    token(id.cast_unsigned().wrapping_mul(2).wrapping_add(1))
}

/// Three letters in a row that no folded text has, since a space follows each letter of their script there.
fn token(number: u64) -> String {
    const FIRST: u32 = 0x4E00;
    const BITS: u32 = 14;
    let letter = |place: u32| {
        let digit = number >> (place * BITS) & ((1 << BITS) - 1);
        u32::try_from(digit).ok().and_then(|digit| char::from_u32(FIRST + digit))
    };
    (0..3).filter_map(letter).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{super::fold::is_unspaced, *};

    #[test]
    fn a_token_is_three_letters_of_its_own() {
        let users = (0..1_000).map(|key| token_of_user(UserKey(key)));
        let threads = (0..1_000).map(token_of_thread);
        let tokens: HashSet<_> = users.chain(threads).chain([token(u64::MAX)]).collect();
        assert_eq!(tokens.len(), 2_001);
        for token in tokens {
            assert_eq!(token.chars().count(), 3);
            assert!(token.chars().all(is_unspaced), "{token}");
        }
    }

    #[test]
    fn it_is_made_anew_as_it_was_made() {
        let migration = include_str!("../../../migrations/sqlite/0013_search.sql");
        assert!(migration.contains(MAKE));
    }

    #[test]
    fn a_query_asks_for_who_may_find_it() {
        let user = token_of_user(UserKey(7));
        let trigrams = ["abc".to_owned(), " 学 ".to_owned()];
        assert_eq!(
            query(UserKey(7), None, &trigrams),
            format!("\"{user}\" AND \"abc\" AND \" 学 \"")
        );
        let thread = token_of_thread(3);
        assert_eq!(query(UserKey(7), Some(3), &[]), format!("\"{user}\" AND \"{thread}\""));
    }
}
