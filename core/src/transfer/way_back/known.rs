//! What is known of both sides while a fixture is written: in a database of this machine, which is gone with it. However much there
//! is, no more than a page of it is held.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    io,
};

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use sqlx::{
    ConnectOptions as _, Connection as _, QueryBuilder, Sqlite, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use uuid::Uuid;

use super::was::Was;
use crate::{backup::scratch::Scratch, transfer::TransferError};

const TABLES: &str = "\
    create table original_users (id text primary key, digest blob not null) without rowid;
    create table users (id text primary key, original text not null) without rowid;
    create table original_threads (id integer primary key);
    create table original_messages (id integer primary key, is_read integer not null,
        thread_id integer not null, sender text not null, receiver text not null,
        created integer not null, updated integer not null, seen integer not null,
        deleted integer not null, digest blob not null, path text, name text, size_text text);
    create table marks (thread_id integer, user_id text, seen_id integer not null,
        primary key (thread_id, user_id)) without rowid;
    create table files (id integer primary key, path text not null, bytes integer not null);
    begin";
const FIND_ORIGINAL_USERS: &str = "\
    select id, digest from original_users where id in (select value from json_each($1))";
const FIND_USERS: &str =
    "select id, original from users where id in (select value from json_each($1))";
const FIND_THREADS: &str =
    "select id from original_threads where id in (select value from json_each($1))";
const FIND_MESSAGES: &str = "\
    select id, is_read, thread_id, sender, receiver, created, updated, seen, deleted, digest,
        path, name, size_text from original_messages
    where id in (select value from json_each($1))";
const FIND_MARKS: &str = "\
    select thread_id, user_id, seen_id from marks
    where thread_id in (select value from json_each($1))";
const FILES: &str = "select id, path, bytes from files where id > $1 order by id limit $2";
/// Values that a statement takes (SQLITE_MAX_VARIABLE_NUMBER).
const MAX_VALUES: usize = 32_000;

pub(super) fn digest(text: &str) -> Vec<u8> {
    Sha256::digest(text.as_bytes()).to_vec()
}

/// What is known of a user beside the id, however its JSON is written.
pub(super) fn entry(email: &str, profile: Option<&str>) -> Vec<u8> {
    let profile = profile.map(|text| serde_json::from_str::<Value>(text).unwrap_or_default());
    digest(&format!("{email}\n{}", profile.unwrap_or_default()))
}

pub(super) struct Known {
    connection: SqliteConnection,
    _scratch: Scratch,
}

/// It is this machine that fails.
fn failed(error: impl std::fmt::Display) -> TransferError {
    TransferError::file(std::env::temp_dir())(io::Error::other(error.to_string()))
}

fn listed(ids: impl serde::Serialize) -> Result<String, TransferError> {
    serde_json::to_string(&ids).map_err(failed)
}

impl Known {
    pub(super) async fn create() -> Result<Self, TransferError> {
        let scratch = Scratch::new().map_err(failed)?;
        let options = SqliteConnectOptions::new()
            .filename(scratch.path().join("known.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Off)
            .synchronous(SqliteSynchronous::Off)
            .disable_statement_logging();
        let mut connection = SqliteConnection::connect_with(&options).await.map_err(failed)?;
        sqlx::raw_sql(TABLES).execute(&mut connection).await.map_err(failed)?;
        Ok(Self { connection, _scratch: scratch })
    }

    /// What it has lies in a directory that goes with it.
    pub(super) async fn close(self) {
        let _ = self.connection.close().await;
    }

    async fn insert<T>(
        &mut self,
        head: &'static str,
        columns: usize,
        rows: Vec<T>,
        mut push: impl FnMut(&mut sqlx::query_builder::Separated<'_, Sqlite, &'static str>, T),
    ) -> Result<(), TransferError> {
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let mut query = QueryBuilder::<Sqlite>::new(head);
            query.push_values(rows.by_ref().take(MAX_VALUES / columns), |mut values, row| {
                push(&mut values, row);
            });
            query.build().execute(&mut self.connection).await.map_err(failed)?;
        }
        Ok(())
    }

    pub(super) async fn add_original_users(
        &mut self,
        rows: Vec<(String, Vec<u8>)>,
    ) -> Result<(), TransferError> {
        let head = "insert or ignore into original_users (id, digest) ";
        self.insert(head, 2, rows, |values, (id, digest)| {
            values.push_bind(id).push_bind(digest);
        })
        .await
    }

    /// Ids of ours with those that the original has for them.
    pub(super) async fn add_users(
        &mut self,
        rows: Vec<(Uuid, String)>,
    ) -> Result<(), TransferError> {
        let head = "insert into users (id, original) ";
        self.insert(head, 2, rows, |values, (id, original)| {
            values.push_bind(id.to_string()).push_bind(original);
        })
        .await
    }

    pub(super) async fn add_original_threads(
        &mut self,
        ids: Vec<i64>,
    ) -> Result<(), TransferError> {
        let head = "insert or ignore into original_threads (id) ";
        self.insert(head, 1, ids, |values, id| {
            values.push_bind(id);
        })
        .await
    }

    pub(super) async fn add_original_messages(
        &mut self,
        rows: Vec<Was>,
    ) -> Result<(), TransferError> {
        let head = "insert or ignore into original_messages \
            (id, is_read, thread_id, sender, receiver, created, updated, seen, deleted, digest, \
            path, name, size_text) ";
        self.insert(head, 13, rows, |values, was| {
            values.push_bind(was.id).push_bind(was.is_read).push_bind(was.thread_id);
            values.push_bind(was.sender).push_bind(was.receiver);
            values.push_bind(was.created).push_bind(was.updated);
            values.push_bind(was.seen).push_bind(was.deleted).push_bind(was.digest);
            values.push_bind(was.path).push_bind(was.name).push_bind(was.size_text);
        })
        .await
    }

    /// How far users have seen a thread.
    pub(super) async fn add_marks(
        &mut self,
        rows: Vec<(i64, Uuid, i64)>,
    ) -> Result<(), TransferError> {
        let head = "insert into marks (thread_id, user_id, seen_id) ";
        self.insert(head, 3, rows, |values, (thread, user, seen)| {
            values.push_bind(thread).push_bind(user.to_string()).push_bind(seen);
        })
        .await
    }

    /// Files that are to be copied.
    pub(super) async fn add_files(
        &mut self,
        rows: Vec<(String, i64)>,
    ) -> Result<(), TransferError> {
        self.insert("insert into files (path, bytes) ", 2, rows, |values, (path, bytes)| {
            values.push_bind(path).push_bind(bytes);
        })
        .await
    }

    /// Those of the users that the original has, with digests of what it has of them.
    pub(super) async fn original_users(
        &mut self,
        ids: &[String],
    ) -> Result<HashMap<String, Vec<u8>>, TransferError> {
        let query = sqlx::query_as(FIND_ORIGINAL_USERS).bind(listed(ids)?);
        let rows: Vec<(String, Vec<u8>)> =
            query.fetch_all(&mut self.connection).await.map_err(failed)?;
        Ok(rows.into_iter().collect())
    }

    pub(super) async fn users(
        &mut self,
        ids: BTreeSet<Uuid>,
    ) -> Result<HashMap<Uuid, String>, TransferError> {
        let query = sqlx::query_as(FIND_USERS).bind(listed(ids)?);
        let rows: Vec<(String, String)> =
            query.fetch_all(&mut self.connection).await.map_err(failed)?;
        let parsed = rows.into_iter().map(|(id, original)| Ok((id.parse()?, original)));
        parsed.collect::<Result<_, uuid::Error>>().map_err(failed)
    }

    pub(super) async fn original_threads(
        &mut self,
        ids: BTreeSet<i64>,
    ) -> Result<HashSet<i64>, TransferError> {
        let query = sqlx::query_scalar(FIND_THREADS).bind(listed(ids)?);
        let rows: Vec<i64> = query.fetch_all(&mut self.connection).await.map_err(failed)?;
        Ok(rows.into_iter().collect())
    }

    pub(super) async fn original_messages(
        &mut self,
        ids: &[i64],
    ) -> Result<HashMap<i64, Was>, TransferError> {
        let query = sqlx::query_as(FIND_MESSAGES).bind(listed(ids)?);
        let rows: Vec<Was> = query.fetch_all(&mut self.connection).await.map_err(failed)?;
        Ok(rows.into_iter().map(|was| (was.id, was)).collect())
    }

    /// How far each user has seen some threads.
    pub(super) async fn marks(
        &mut self,
        threads: BTreeSet<i64>,
    ) -> Result<HashMap<(i64, Uuid), i64>, TransferError> {
        let query = sqlx::query_as(FIND_MARKS).bind(listed(threads)?);
        let rows: Vec<(i64, String, i64)> =
            query.fetch_all(&mut self.connection).await.map_err(failed)?;
        let parsed =
            rows.into_iter().map(|(thread, user, seen)| Ok(((thread, user.parse()?), seen)));
        parsed.collect::<Result<_, uuid::Error>>().map_err(failed)
    }

    /// Files after a number, which moves to the last of them.
    pub(super) async fn files(
        &mut self,
        after: &mut i64,
        limit: i64,
    ) -> Result<Vec<(String, u64)>, TransferError> {
        let query = sqlx::query_as(FILES).bind(*after).bind(limit);
        let rows: Vec<(i64, String, i64)> =
            query.fetch_all(&mut self.connection).await.map_err(failed)?;
        if let Some((last, _, _)) = rows.last() {
            *after = *last;
        }
        Ok(rows.into_iter().map(|(_, path, bytes)| (path, bytes.unsigned_abs())).collect())
    }
}
