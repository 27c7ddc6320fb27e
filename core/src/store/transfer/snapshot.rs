//! One instant of a database, page by page, in the order of keys: as lines. Nothing is held but a page.

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write as _,
};

use serde_json::value::RawValue;
use sqlx::Connection as _;
use uuid::Uuid;

use super::{PAGE_ROWS, select_in};
use crate::{
    config::Database,
    lines::{
        AttachmentLine, BegunLine, BlockLine, EarlierLine, ExternalIdLine, LineKind, MarkLine,
        MessageLine, Moment, RevocationLine, ThreadLine, UserLine, raw_line,
    },
    store::{
        OpenError,
        copy::table::{
            Block, ExternalId, HiddenUser, LastSeen, Message, Notice, Table, Thread, ThreadState,
            User,
        },
        engine::{Connection, on},
        history::{History, Start},
        message::EarlierText,
        postgres::{self, Migrations},
        session::NoticeKind,
        snapshot::Reader,
        sqlite,
    },
};

const SCHEMA: &str = "select coalesce(max(version), 0) from _sqlx_migrations where success";
const SCHEMA_BESIDE_ANOTHER: &str =
    "select coalesce(max(version), 0) from netrox_chat_migrations where success";
const SQLITE_IDENTITY: &str = "select id from identity";
const POSTGRES_IDENTITY: &str = "select id from cluster";
const STARTS: &str = "select coalesce(min(start), 0), coalesce(max(start), 0) from starts";
const NEWEST_MESSAGE: &str = "select coalesce(max(id), 0) from messages";
const MICROS_A_MINUTE: i64 = 60_000_000;
const IS_NAMED: &str =
    "select exists (select 1 from messages where attachment_path = $1 and not deleted)";

/// A database, of which one instant is read until [`Snapshot::end`].
#[derive(Debug)]
pub(crate) struct Snapshot(Connection);

/// What there is to say of it.
#[derive(Debug)]
pub(crate) struct Facts {
    /// By which the database is known again.
    pub(crate) identity: Uuid,
    /// The name of its history; none before the first.
    pub(crate) epoch: Option<String>,
    pub(crate) newest_message: i64,
}

impl Snapshot {
    /// Of a database that exists, whoever else uses it.
    pub(crate) async fn open(database: &Database) -> Result<Self, OpenError> {
        let (mut connection, migrations) = match database {
            Database::Sqlite(path) => {
                let connection = Reader::open(path).await?.into_connection();
                (Connection::Sqlite(connection), Migrations::Usual)
            }
            Database::Postgres(database) => {
                let (connection, migrations) = postgres::connect_for_export(database).await?;
                (Connection::Postgres(connection), migrations)
            }
        };
        check_schema(&mut connection, migrations).await?;
        Ok(Self(connection))
    }

    /// From here on it is as it is now.
    pub(crate) async fn begin(&mut self) -> Result<Facts, sqlx::Error> {
        let (begin, identity) = match &self.0 {
            // The first read fixes it.
            Connection::Sqlite(_) => ("begin", SQLITE_IDENTITY),
            Connection::Postgres(_) => {
                ("begin isolation level repeatable read read only", POSTGRES_IDENTITY)
            }
        };
        on!(&mut self.0, execute, sqlx::query(begin))?;
        let (first, latest): (Start, Start) = on!(&mut self.0, fetch_one, sqlx::query_as(STARTS))?;
        let epoch = History::of_starts(first, latest).epoch(latest).to_string();
        Ok(Facts {
            identity: on!(&mut self.0, fetch_one, sqlx::query_scalar(identity))?,
            epoch: (latest != Start::default()).then_some(epoch),
            newest_message: on!(&mut self.0, fetch_one, sqlx::query_scalar(NEWEST_MESSAGE))?,
        })
    }

    /// What follows reads the database as it is.
    pub(crate) async fn end(&mut self) -> Result<(), sqlx::Error> {
        on!(&mut self.0, execute, sqlx::query("rollback"))
    }

    /// It was only read: nothing is lost with a connection that does not end well.
    pub(crate) async fn close(self) {
        let _ = match self.0 {
            Connection::Sqlite(connection) => connection.close().await,
            Connection::Postgres(connection) => connection.close().await,
        };
    }

    /// Whether a message that is not deleted has this file.
    pub(crate) async fn names(&mut self, path: &str) -> Result<bool, sqlx::Error> {
        on!(&mut self.0, fetch_one, sqlx::query_scalar(IS_NAMED).bind(path))
    }

    async fn page<T: Table>(&mut self, after: &T::Key) -> Result<Vec<T>, sqlx::Error> {
        let limit = PAGE_ROWS as i64;
        match &mut self.0 {
            Connection::Sqlite(connection) => T::read_sqlite(connection, after, limit).await,
            Connection::Postgres(connection) => T::read_postgres(connection, after, limit).await,
        }
    }

    /// The ids of users by their keys.
    async fn ids_of(
        &mut self,
        keys: impl IntoIterator<Item = i64>,
    ) -> Result<HashMap<i64, Uuid>, sqlx::Error> {
        ids_of(&mut self.0, keys.into_iter().collect()).await
    }

    /// Users after a key, which moves to the last of them. None are the end; so of all that follow.
    pub(crate) async fn users(&mut self, after: &mut i64) -> Result<Vec<UserLine>, sqlx::Error> {
        let rows: Vec<User> = self.page(&(*after,)).await?;
        let called: Vec<ExternalId> = self.page(&(*after,)).await?;
        let mut called: HashMap<_, _> = called.into_iter().map(|row| (row.user_key, row)).collect();
        let hidden: Vec<HiddenUser> = self.page(&(*after,)).await?;
        let hidden: HashMap<_, _> =
            hidden.into_iter().map(|row| (row.user_key, row.hidden)).collect();
        let seen: Vec<LastSeen> = self.page(&(*after,)).await?;
        let seen: HashMap<_, _> = seen.into_iter().map(|row| (row.user_key, row.minute)).collect();
        if let Some(last) = rows.last() {
            *after = last.key;
        }
        let lines = rows.into_iter().map(|row| {
            let minute = seen.get(&row.key);
            Ok(UserLine {
                hides_presence: hidden.get(&row.key).copied().unwrap_or_default(),
                last_seen: minute.map(|minute| Moment(minute.saturating_mul(MICROS_A_MINUTE))),
                kind: LineKind::User,
                id: row.id,
                email: row.email,
                profile: json(row.profile, || format!("the profile of user {}", row.id))?,
                external_id: called
                    .remove(&row.key)
                    .map(|row| ExternalIdLine { issuer: row.issuer, subject: row.subject }),
                deleted: row.deleted,
                updated: Some(Moment(row.updated)),
                claims_issued: row.claims_issued,
                upserted: row.upserted,
            })
        });
        lines.collect()
    }

    pub(crate) async fn threads(
        &mut self,
        after: &mut i64,
    ) -> Result<Vec<ThreadLine>, sqlx::Error> {
        let rows: Vec<Thread> = self.page(&(*after,)).await?;
        let ids = self.ids_of(rows.iter().flat_map(|row| [row.low_key, row.high_key])).await?;
        let id = |key: i64| ids.get(&key).copied().ok_or(sqlx::Error::RowNotFound);
        let mut lines = Vec::with_capacity(rows.len());
        for row in rows {
            *after = row.id;
            let two = if row.user_one == row.low_key { row.high_key } else { row.low_key };
            lines.push(ThreadLine {
                kind: LineKind::Thread,
                id: row.id,
                user_one: id(row.user_one)?,
                user_two: id(two)?,
                created: Moment(row.created),
                begun_for_two: match (row.late_one, row.late_created) {
                    (Some(one), Some(created)) => {
                        Some(BegunLine { user_one: id(one)?, created: Moment(created) })
                    }
                    (Some(_) | None, None) | (None, Some(_)) => None,
                },
            });
        }
        Ok(lines)
    }

    pub(crate) async fn messages(
        &mut self,
        after: &mut (i64, i64),
    ) -> Result<Vec<MessageLine>, sqlx::Error> {
        let rows: Vec<Message> = self.page(after).await?;
        let ids = self.ids_of(rows.iter().flat_map(|row| [row.sender, row.receiver])).await?;
        let id = |key: i64| ids.get(&key).copied().ok_or(sqlx::Error::RowNotFound);
        let mut lines = Vec::with_capacity(rows.len());
        for row in rows {
            *after = (row.thread_id, row.id);
            let (sender, receiver) = (id(row.sender)?, id(row.receiver)?);
            lines.push(message_line(row, sender, receiver)?);
        }
        Ok(lines)
    }

    pub(crate) async fn marks(
        &mut self,
        after: &mut (i64, i64),
    ) -> Result<Vec<MarkLine>, sqlx::Error> {
        let rows: Vec<ThreadState> = self.page(after).await?;
        let ids = self.ids_of(rows.iter().map(|row| row.user_key)).await?;
        let mut lines = Vec::with_capacity(rows.len());
        for row in rows {
            *after = (row.user_key, row.thread_id);
            lines.push(MarkLine {
                kind: LineKind::Mark,
                thread_id: row.thread_id,
                user_id: ids.get(&row.user_key).copied().ok_or(sqlx::Error::RowNotFound)?,
                seen_id: row.seen_id,
                delivered_id: row.delivered_id,
                shown_seen_id: row.shown_seen_id,
                shown_delivered_id: row.shown_delivered_id,
            });
        }
        Ok(lines)
    }

    pub(crate) async fn blocks(
        &mut self,
        after: &mut (i64, i64),
    ) -> Result<Vec<BlockLine>, sqlx::Error> {
        let rows: Vec<Block> = self.page(after).await?;
        let ids = self.ids_of(rows.iter().flat_map(|row| [row.blocker, row.blocked])).await?;
        let id = |key: i64| ids.get(&key).copied().ok_or(sqlx::Error::RowNotFound);
        let mut lines = Vec::with_capacity(rows.len());
        for row in rows {
            *after = (row.blocker, row.blocked);
            lines.push(BlockLine {
                kind: LineKind::Block,
                user_id: id(row.blocker)?,
                peer_id: id(row.blocked)?,
                created: Moment(row.created),
            });
        }
        Ok(lines)
    }

    /// What was noted, of which only revocations that have not expired become lines. `now` is in seconds since the epoch. The
    /// end is where `after` does not move.
    pub(crate) async fn revocations(
        &mut self,
        after: &mut i64,
        now: i64,
    ) -> Result<Vec<RevocationLine>, sqlx::Error> {
        let rows: Vec<Notice> = self.page(&(*after,)).await?;
        if let Some(last) = rows.last() {
            *after = last.version;
        }
        let rows = rows.iter().filter(|row| row.expires.is_none_or(|at| at >= now));
        Ok(rows.filter_map(revocation_line).collect())
    }
}

/// The ids of users by their keys.
pub(super) async fn ids_of(
    connection: &mut Connection,
    keys: BTreeSet<i64>,
) -> Result<HashMap<i64, Uuid>, sqlx::Error> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(i64, Uuid)> =
        select_in!(connection, "select key, id from users where key", keys)?;
    Ok(rows.into_iter().collect())
}

/// Refuses one of another version of this program.
pub(super) async fn check_schema(
    connection: &mut Connection,
    migrations: Migrations,
) -> Result<(), OpenError> {
    let expected = match connection {
        Connection::Sqlite(_) => sqlite::newest_schema(),
        Connection::Postgres(_) => postgres::last_migration(),
    };
    let schema = match migrations {
        Migrations::Usual => SCHEMA,
        Migrations::Own => SCHEMA_BESIDE_ANOTHER,
    };
    let found: i64 = on!(connection, fetch_one, sqlx::query_scalar(schema))?;
    if found == expected { Ok(()) } else { Err(OpenError::OtherSchema { found, expected }) }
}

/// What cannot be written into a line must not be left out of it in silence.
fn json(
    text: Option<String>,
    of: impl FnOnce() -> String,
) -> Result<Option<Box<RawValue>>, sqlx::Error> {
    let Some(text) = text else { return Ok(None) };
    let line = raw_line(text).map(Some);
    line.ok_or_else(|| sqlx::Error::Decode(format!("{} is no JSON", of()).into()))
}

pub(super) fn message_line(
    row: Message,
    sender_id: Uuid,
    receiver_id: Uuid,
) -> Result<MessageLine, sqlx::Error> {
    let attachment = row.attachment_path.map(|path| AttachmentLine {
        path,
        file_name: row.attachment_name,
        size: row.attachment_size.unwrap_or_default(),
        content_type: row.attachment_type.unwrap_or_default(),
        dispatched: row.dispatched.map(Moment),
    });
    let swallowed = row.receiver_seq.is_none() && row.hidden_for_receiver.is_some();
    // An import refuses it where there is nothing that the receiver may see.
    let receiver_sees = row.receiver_sees.filter(|_| !swallowed && !row.deleted);
    Ok(MessageLine {
        kind: LineKind::Message,
        id: row.id,
        thread_id: row.thread_id,
        sender_id,
        receiver_id,
        created: Moment(row.created),
        updated: (row.updated != row.created).then_some(Moment(row.updated)),
        body: row.body,
        seen: row.seen,
        deleted: row.deleted,
        hidden_for_sender: row.hidden_for_sender.is_some(),
        hidden_for_receiver: row.hidden_for_receiver.is_some() && !swallowed,
        swallowed,
        removed: row.removed.is_some(),
        receiver_sees: receiver_sees.map(|text| earlier_line(&text, row.id)).transpose()?,
        reply_to_id: row.reply_to,
        meta: json(row.meta, || format!("the meta of message {}", row.id))?,
        client_ref: row.client_ref,
        ref_from_client: row.ref_from_client.is_some(),
        attachment,
    })
}

fn earlier_line(text: &str, id: i64) -> Result<EarlierLine, sqlx::Error> {
    let damaged = |error| sqlx::Error::Decode(format!("message {id}: {error}").into());
    let EarlierText { body, meta, updated } = serde_json::from_str(text).map_err(damaged)?;
    let meta = json(meta, || format!("the meta of message {id}"))?;
    Ok(EarlierLine { body, meta, updated: Moment(updated) })
}

fn revocation_line(row: &Notice) -> Option<RevocationLine> {
    let line = |user_id, token| RevocationLine {
        kind: LineKind::Revocation,
        user_id,
        token,
        issued_until: row.cutoff,
        expires_at: row.expires,
    };
    match NoticeKind::of(row.kind)? {
        NoticeKind::AllTokens => Some(line(None, None)),
        NoticeKind::TokensOfUser => Some(line(Some(Uuid::from_slice(&row.key).ok()?), None)),
        NoticeKind::Token => {
            let digits = row.key.iter().fold(String::new(), |mut digits, byte| {
                let _ = write!(digits, "{byte:02x}");
                digits
            });
            Some(line(None, Some(digits)))
        }
        NoticeKind::SessionsOfUser | NoticeKind::Session | NoticeKind::Question => None,
    }
}
