//! The table of messages of the original, as another program reads it.

use std::{collections::BTreeMap, path::Path};

use sqlx::{
    ColumnIndex, Connection as _, Database, Decode, Executor, IntoArguments, Row as _,
    SqliteConnection, Type, sqlite::SqliteConnectOptions,
};

/// One message: its columns as text, and those that tests ask for by themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) message: String,
    pub(super) attached_file: String,
    pub(super) deleted: bool,
    pub(super) seen: bool,
    /// All others.
    pub(super) rest: String,
}

/// By id.
pub(super) type Rows = BTreeMap<i64, Row>;

/// In the words of both engines.
const ALL: &str = "select id, message, coalesce(attached_file, ''), deleted, seen,
    cast(thread_id as text) || ' ' || cast(sender_id as text) || ' ' || cast(receiver_id as text)
    || ' ' || cast(created as text) || ' ' || cast(updated as text) || ' '
    || attached_file_size || ' ' || coalesce(attached_file_name, '')
    from chat_message";

pub(super) async fn read<'c, C, D>(connection: C) -> Rows
where
    D: Database,
    C: Executor<'c, Database = D>,
    D::Arguments: IntoArguments<D>,
    usize: ColumnIndex<D::Row>,
    for<'a> i64: Decode<'a, D> + Type<D>,
    for<'a> bool: Decode<'a, D> + Type<D>,
    for<'a> String: Decode<'a, D> + Type<D>,
{
    let rows = sqlx::query(ALL).fetch_all(connection).await.expect("the rows of the original");
    let row = |row: D::Row| {
        let content = Row {
            message: row.get(1),
            attached_file: row.get(2),
            deleted: row.get(3),
            seen: row.get(4),
            rest: row.get(5),
        };
        (row.get(0), content)
    };
    rows.into_iter().map(row).collect()
}

pub(super) async fn read_file(path: &Path) -> Rows {
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let mut file = SqliteConnection::connect_with(&options).await.expect("open the file");
    read(&mut file).await
}
