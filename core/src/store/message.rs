//! Messages.

use netrox_proto::{ids::UserId, time::timestamp, v1};
use sqlx::FromRow;
use uuid::Uuid;

use super::{
    Error, Store,
    engine::{Readers, read, read_postgres},
    user::UserKey,
};

mod page;

/// The columns of [`MessageRow`].
macro_rules! message_columns {
    () => {
        "m.id, m.thread_id, m.sender, m.body, m.created, m.updated, m.seen, m.deleted, \
         m.attachment_path, m.attachment_name, m.attachment_size, m.attachment_type, m.dispatched"
    };
}
pub(super) use message_columns;

#[derive(Debug, Clone, FromRow)]
pub(crate) struct MessageRow {
    pub(crate) id: i64,
    pub(crate) thread_id: i64,
    pub(crate) sender: UserKey,
    pub(crate) body: String,
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(crate) seen: bool,
    pub(crate) deleted: bool,
    #[sqlx(flatten)]
    pub(crate) attachment: AttachmentColumns,
}

#[derive(Debug, Clone, Default, FromRow)]
pub(crate) struct AttachmentColumns {
    #[sqlx(rename = "attachment_path")]
    pub(crate) path: Option<String>,
    #[sqlx(rename = "attachment_name")]
    pub(crate) name: Option<String>,
    #[sqlx(rename = "attachment_size")]
    pub(crate) size: Option<i64>,
    #[sqlx(rename = "attachment_type")]
    pub(crate) content_type: Option<String>,
    pub(crate) dispatched: Option<i64>,
}

impl AttachmentColumns {
    pub(crate) fn into_wire(self) -> Option<v1::Attachment> {
        Some(v1::Attachment {
            path: self.path?,
            file_name: self.name.unwrap_or_default(),
            size: self.size.unwrap_or_default(),
            content_type: self.content_type.unwrap_or_default(),
            dispatched: self.dispatched.map(timestamp),
        })
    }
}

impl MessageRow {
    pub(crate) fn into_wire(self, sender_id: String, receiver_id: String) -> v1::Message {
        v1::Message {
            id: self.id,
            thread_id: self.thread_id,
            sender_id,
            receiver_id,
            body: self.body,
            created: Some(timestamp(self.created)),
            updated: Some(timestamp(self.updated)),
            seen: self.seen,
            deleted: self.deleted,
            attachment: self.attachment.into_wire(),
            ..Default::default()
        }
    }
}

/// A message with its participants.
#[derive(Debug, Clone, FromRow)]
pub(crate) struct ParticipantsRow {
    #[sqlx(flatten)]
    pub(crate) message: MessageRow,
    sender_id: Uuid,
    receiver_id: Uuid,
    sender_first_seq: i64,
}

impl ParticipantsRow {
    #[cfg(test)]
    pub(crate) fn of_test(message: MessageRow, sender: UserId, receiver: UserId) -> Self {
        let (sender_id, receiver_id) = (sender.0, receiver.0);
        Self { message, sender_id, receiver_id, sender_first_seq: 9 }
    }

    pub(crate) fn sender_id(&self) -> UserId {
        UserId(self.sender_id)
    }

    pub(crate) fn receiver_id(&self) -> UserId {
        UserId(self.receiver_id)
    }

    /// The place at which it first appeared to its sender.
    pub(crate) fn sender_first_seq(&self) -> u64 {
        self.sender_first_seq.cast_unsigned()
    }

    pub(crate) fn has_participant(&self, user: UserId) -> bool {
        user == self.sender_id() || user == self.receiver_id()
    }

    pub(crate) fn into_wire(self) -> v1::Message {
        let (sender, receiver) = (self.sender_id(), self.receiver_id());
        self.message.into_wire(sender.to_string(), receiver.to_string())
    }
}

/// Which part of a conversation is wanted; ids are exclusive bounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MessageRange {
    pub(crate) thread_id: i64,
    pub(crate) after: i64,
    pub(crate) before: i64,
    pub(crate) newest_first: bool,
}

macro_rules! page {
    ($order:literal) => {
        concat!(
            "select ",
            message_columns!(),
            " from messages m where m.thread_id = $1 and m.id > $2 and m.id < $3 order by m.id ",
            $order,
            " limit $4"
        )
    };
}
const OLDEST_FIRST: &str = page!("asc");
const NEWEST_FIRST: &str = page!("desc");

/// Messages with their participants, where `m` fulfils a condition.
macro_rules! with_participants {
    ($condition:literal) => {
        concat!(
            "select ",
            $crate::store::message::message_columns!(),
            ", s.id as sender_id, r.id as receiver_id,",
            " coalesce(m.sender_first_seq, m.sender_seq) as sender_first_seq from messages m",
            " join users s on s.key = m.sender join users r on r.key = m.receiver where ",
            $condition
        )
    };
}
pub(super) use with_participants;

const FIND: &str = with_participants!("m.id = $1");
const FIND_BY_PATH: &str = with_participants!("m.attachment_path = $1");

impl Store {
    pub(crate) async fn list_messages(
        &self,
        range: MessageRange,
        limit: i64,
    ) -> Result<Vec<MessageRow>, Error> {
        let result = match self.readers()? {
            Readers::Sqlite(pool) => page::read(pool, range, limit).await,
            Readers::Postgres(pool) => {
                let statement = if range.newest_first { NEWEST_FIRST } else { OLDEST_FIRST };
                let rows = sqlx::query_as(statement)
                    .bind(range.thread_id)
                    .bind(range.after)
                    .bind(range.before)
                    .bind(limit);
                read_postgres!(pool, fetch_all, rows)
            }
        };
        self.known(result)
    }

    pub(crate) async fn find_message(&self, id: i64) -> Result<Option<ParticipantsRow>, Error> {
        read!(self, fetch_optional, sqlx::query_as(FIND).bind(id))
    }

    pub(crate) async fn find_attachment(
        &self,
        path: &str,
    ) -> Result<Option<ParticipantsRow>, Error> {
        read!(self, fetch_optional, sqlx::query_as(FIND_BY_PATH).bind(path))
    }
}
