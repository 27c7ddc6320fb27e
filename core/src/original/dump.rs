//! What `manage.py dumpdata` wrote, as a SQLite database of the preset's tables: rows of a fixture come in any order, and not in
//! more memory than a batch.

use std::{fmt, fs::File, io::BufReader, path::Path};

use serde::{
    Deserialize, Deserializer as _,
    de::{SeqAccess, Visitor},
};
use serde_json::{Map, Value};
use sqlx::{
    ConnectOptions as _, Connection as _, QueryBuilder, Sqlite, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::sync::mpsc;

use super::{
    Mapping, OriginalError,
    mapping::{UserTable, field},
    value,
};

/// Rows that are written at a time; and so many batches are read ahead.
const BATCH_ROWS: usize = 1_000;
const BATCHES_AHEAD: usize = 2;

const TABLES: &str = "\
    create table users_user (id text primary key, email text, profile text);
    create table chat_thread (id integer primary key, user_one_id text, user_two_id text,
        created integer);
    create table chat_message (id integer primary key, thread_id integer, sender_id text,
        receiver_id text, message text, attached_file text, attached_file_name text,
        attached_file_size text, seen integer, deleted integer, created integer,
        updated integer);
    begin";

/// A row of a fixture.
#[derive(Deserialize)]
struct Object {
    model: String,
    pk: Value,
    #[serde(default)]
    fields: Map<String, Value>,
}

/// The values of a row, in the order of the table's columns.
type Row = Vec<Option<String>>;

#[derive(Default)]
struct Batch {
    users: Vec<Row>,
    threads: Vec<Row>,
    messages: Vec<Row>,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.users.len() + self.threads.len() + self.messages.len() >= BATCH_ROWS
    }
}

/// Makes the database `target` of a fixture.
pub(super) async fn load(
    path: &Path,
    mapping: &Mapping,
    target: &Path,
) -> Result<(), OriginalError> {
    let failed = |reason: String| OriginalError::Dump { path: path.to_owned(), reason };
    let (sender, mut batches) = mpsc::channel(BATCHES_AHEAD);
    let (source, mapping) = (path.to_owned(), mapping.clone());
    let reading = tokio::task::spawn_blocking(move || read(&source, &mapping, sender));
    let options = SqliteConnectOptions::new()
        .filename(target)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Off)
        .synchronous(SqliteSynchronous::Off)
        .disable_statement_logging();
    let mut connection = SqliteConnection::connect_with(&options).await?;
    sqlx::raw_sql(TABLES).execute(&mut connection).await?;
    while let Some(Batch { users, threads, messages }) = batches.recv().await {
        insert(&mut connection, "insert into users_user ", users).await?;
        insert(&mut connection, "insert into chat_thread ", threads).await?;
        insert(&mut connection, "insert into chat_message ", messages).await?;
    }
    match reading.await {
        Ok(read) => read.map_err(failed)?,
        Err(error) => return Err(failed(error.to_string())),
    }
    sqlx::raw_sql("commit").execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

async fn insert(
    connection: &mut SqliteConnection,
    head: &'static str,
    rows: Vec<Row>,
) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut query = QueryBuilder::<Sqlite>::new(head);
    query.push_values(rows, |mut values, row| {
        for value in row {
            values.push_bind(value);
        }
    });
    query.build().execute(connection).await.map(drop)
}

fn read(path: &Path, mapping: &Mapping, sender: mpsc::Sender<Batch>) -> Result<(), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let reader = BufReader::with_capacity(1 << 20, file);
    let mut rows = Rows { mapping, sender, batch: Batch::default() };
    let mut values = serde_json::Deserializer::from_reader(reader);
    if path.extension().is_some_and(|extension| extension == "jsonl") {
        for object in values.into_iter::<Object>() {
            rows.add(object.map_err(|error| error.to_string())?)?;
        }
    } else {
        values.deserialize_seq(&mut rows).map_err(|error| error.to_string())?;
        values.end().map_err(|error| error.to_string())?;
    }
    rows.send()
}

/// What takes objects one by one.
struct Rows<'a> {
    mapping: &'a Mapping,
    sender: mpsc::Sender<Batch>,
    batch: Batch,
}

impl<'de> Visitor<'de> for &mut Rows<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects, as dumpdata writes it")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut objects: A) -> Result<(), A::Error> {
        while let Some(object) = objects.next_element()? {
            self.add(object).map_err(serde::de::Error::custom)?;
        }
        Ok(())
    }
}

impl Rows<'_> {
    /// Rows of other models are none of ours.
    fn add(&mut self, Object { model, pk, fields }: Object) -> Result<(), String> {
        let Mapping { users, threads, messages, .. } = self.mapping;
        let mut row = Fields { model: &model, pk: &pk, fields, row: vec![text(pk.clone())] };
        // Django's names of models have no case.
        if model.eq_ignore_ascii_case(&users.model) {
            let UserTable { email, profile, .. } = users;
            row.maybe(email.as_deref());
            row.maybe(profile.as_deref());
            self.batch.users.push(row.row);
        } else if model.eq_ignore_ascii_case(&threads.model) {
            row.take(field(&threads.user_one))?;
            row.take(field(&threads.user_two))?;
            row.time(&threads.created)?;
            self.batch.threads.push(row.row);
        } else if model.eq_ignore_ascii_case(&messages.model) {
            row.take(field(&messages.thread))?;
            row.take(field(&messages.sender))?;
            row.take(field(&messages.receiver))?;
            row.take(&messages.message)?;
            row.take(&messages.attached_file)?;
            row.take(&messages.attached_file_name)?;
            row.maybe(messages.attached_file_size.as_deref());
            row.take(&messages.seen)?;
            row.take(&messages.deleted)?;
            row.time(&messages.created)?;
            row.time(&messages.updated)?;
            self.batch.messages.push(row.row);
        }
        if self.batch.is_full() { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<(), String> {
        let batch = std::mem::take(&mut self.batch);
        // Nobody takes it any more after an error, which is told in place of this one.
        self.sender.blocking_send(batch).map_err(|_| "it was not read to its end".to_owned())
    }
}

struct Fields<'a> {
    model: &'a str,
    pk: &'a Value,
    fields: Map<String, Value>,
    row: Row,
}

impl Fields<'_> {
    fn take(&mut self, name: &str) -> Result<(), String> {
        let value = self.fields.remove(name).ok_or_else(|| {
            let Self { model, pk, .. } = self;
            format!("{model} {pk} has no field {name:?}: name its columns in a --mapping")
        })?;
        self.row.push(text(value));
        Ok(())
    }

    /// As a number, by which the latest is found. What is none is told when it is read.
    fn time(&mut self, name: &str) -> Result<(), String> {
        self.take(name)?;
        if let Some(Some(text)) = self.row.last_mut()
            && let Ok(micros) = value::micros(text)
        {
            *text = micros.to_string();
        }
        Ok(())
    }

    fn maybe(&mut self, name: Option<&str>) {
        self.row.push(name.and_then(|name| self.fields.remove(name)).and_then(text));
    }
}

/// As a column of text has it.
fn text(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::Bool(flag) => Some(i32::from(flag).to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text),
        Value::Array(_) | Value::Object(_) => Some(value.to_string()),
    }
}
