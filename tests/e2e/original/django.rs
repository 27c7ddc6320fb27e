//! A database as Django makes it of the documented models, on either engine, and its `MEDIA_ROOT`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use netrox_harness::database::Database;
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

pub(super) const ADA: &str = "96bf0d3f-720d-4620-8dee-0f59f997cb51";
pub(super) const BOB: &str = "87c8b8e2-3efc-4a4a-b667-1f9c0d7e8437";
pub(super) const CYD: &str = "3fa85f64-5717-4562-b3fc-2c963f66afa6";

pub(super) enum Engine {
    Sqlite,
    Postgres(Database),
}

pub(super) struct Django {
    pub(super) directory: TempDir,
    engine: Engine,
}

/// `user`: the type of users' ids.
fn tables(engine: &Engine, user: &str) -> String {
    let (time, json) = match engine {
        Engine::Sqlite => ("datetime", "text"),
        Engine::Postgres(_) => ("timestamptz", "jsonb"),
    };
    format!(
        "create table users_user (id {user} not null primary key, password varchar(128) null,
            email varchar(254) not null, profile {json} null);
        create table chat_thread (id bigint not null primary key, user_one_id {user} not null,
            user_two_id {user} not null, created {time} not null);
        create table chat_message (id bigint not null primary key, thread_id bigint not null,
            sender_id {user} not null, receiver_id {user} not null, message text null,
            attached_file varchar(100) null, attached_file_name varchar(255) null,
            attached_file_size varchar(20) not null, seen bool not null, deleted bool not null,
            created {time} not null, updated {time} not null)"
    )
}

impl Django {
    pub(super) async fn on(engine: Engine) -> Self {
        let user = match engine {
            Engine::Sqlite => "char(32)",
            Engine::Postgres(_) => "uuid",
        };
        let django = Self::with_ids(engine, user).await;
        let users =
            [(ADA, "ada", "'{\"name\": \"Ada\"}'"), (BOB, "bob", "null"), (CYD, "cyd", "null")];
        for (id, name, profile) in users {
            let id = django.id(id);
            let insert = format!(
                "insert into users_user values ('{id}', 'pbkdf2', '{name}@example.com', {profile})"
            );
            django.execute(&insert).await;
        }
        django
    }

    pub(super) async fn with_ids(engine: Engine, user: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        fs::create_dir(directory.path().join("mediafiles")).expect("made");
        let django = Self { directory, engine };
        django.execute(&tables(&django.engine, user)).await;
        django
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    fn file(&self) -> PathBuf {
        self.path().join("db.sqlite3")
    }

    pub(super) fn url(&self) -> String {
        match &self.engine {
            Engine::Sqlite => format!("sqlite://{}", self.file().display()),
            Engine::Postgres(database) => database.url(),
        }
    }

    /// All that the database has, where it is a file.
    pub(super) fn bytes(&self) -> Option<Vec<u8>> {
        match &self.engine {
            Engine::Sqlite => Some(fs::read(self.file()).expect("a database")),
            Engine::Postgres(_) => None,
        }
    }

    pub(super) async fn execute(&self, sql: &str) {
        match &self.engine {
            Engine::Sqlite => {
                let options =
                    SqliteConnectOptions::new().filename(self.file()).create_if_missing(true);
                let mut connection =
                    SqliteConnection::connect_with(&options).await.expect("a database");
                let executed = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await;
                executed.unwrap_or_else(|error| panic!("{sql}: {error}"));
                connection.close().await.expect("closed");
            }
            Engine::Postgres(database) => {
                database.execute(&format!("set timezone = 'UTC'; {sql}")).await;
            }
        }
    }

    /// As it stands in the database.
    pub(super) fn id(&self, user: &str) -> String {
        match &self.engine {
            Engine::Sqlite => user.replace('-', ""),
            Engine::Postgres(_) => user.to_owned(),
        }
    }

    pub(super) async fn thread(&self, id: i64, one: &str, two: &str) {
        let (one, two) = (self.id(one), self.id(two));
        let insert =
            format!("insert into chat_thread values ({id}, '{one}', '{two}', '{}')", at(0));
        self.execute(&insert).await;
    }

    pub(super) async fn message(&self, message: Message<'_>) {
        let Message { id, thread, from, to, body, file, more } = message;
        let (from, to) = (self.id(from), self.id(to));
        let (path, name, size) = file.unwrap_or(("", "", "0kb"));
        let text =
            |text: &str| if text.is_empty() { "null".to_owned() } else { format!("'{text}'") };
        let (path, name) = (text(path), text(name));
        let (flags, created, updated) = match more {
            More::Plain => ("false, false", at(id), at(id)),
            More::Seen => ("true, false", at(id), at(id)),
            More::Deleted => ("false, true", at(id), at(id + 1_000)),
            More::Edited => ("false, false", at(id), at(id + 1_000)),
            More::At(second) => ("false, false", at(second), at(second)),
        };
        let insert = format!(
            "insert into chat_message values ({id}, {thread}, '{from}', '{to}', '{body}', {path},
                {name}, '{size}', {flags}, '{created}', '{updated}')"
        );
        self.execute(&insert).await;
    }

    pub(super) fn write(&self, path: &str, content: &[u8]) {
        let file = self.path().join("mediafiles").join(path);
        fs::create_dir_all(file.parent().expect("a directory")).expect("made");
        fs::write(file, content).expect("written");
    }
}

pub(super) struct Message<'a> {
    pub(super) id: i64,
    pub(super) thread: i64,
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    pub(super) body: &'a str,
    /// Path, name and what is told of the size.
    pub(super) file: Option<(&'a str, &'a str, &'a str)>,
    pub(super) more: More,
}

pub(super) enum More {
    Plain,
    Seen,
    Deleted,
    Edited,
    At(i64),
}

/// From Ada to Bob, in the first thread.
pub(super) fn to_bob(id: i64, body: &str) -> Message<'_> {
    Message { id, thread: 1, from: ADA, to: BOB, body, file: None, more: More::Plain }
}

/// From Bob to Ada.
pub(super) fn to_ada(id: i64, body: &str) -> Message<'_> {
    Message { from: BOB, to: ADA, ..to_bob(id, body) }
}

/// As Django writes it: of UTC, without microseconds where there are none.
pub(super) fn at(second: i64) -> String {
    let (hour, minute, rest) = (3 + second / 3_600, second / 60 % 60, second % 60);
    let micros = if second % 7 == 0 { "" } else { ".000107" };
    format!("2024-06-17 {hour:02}:{minute:02}:{rest:02}{micros}")
}

/// As answers have it.
pub(super) fn told(second: i64) -> String {
    let text = at(second).replace(' ', "T");
    if text.contains('.') { format!("{text}Z") } else { format!("{text}.000000Z") }
}
