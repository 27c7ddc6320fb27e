//! Messages.

use std::{borrow::Cow, sync::Arc};

use netrox_proto::{
    ids::{ClientRef, UserId},
    time::timestamp,
    v1,
};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use uuid::Uuid;

use super::{
    Error, Store,
    engine::{Readers, read, read_postgres},
    user::UserKey,
};

mod page;

pub(super) use self::page::take_body;

/// The columns of [`MessageRow`].
macro_rules! message_columns {
    () => {
        "m.id, m.thread_id, m.sender, m.receiver, m.body, m.created, m.updated, m.seen, m.deleted, \
         m.attachment_path, m.attachment_name, m.attachment_size, m.attachment_type, m.dispatched, \
         m.reply_to, m.meta, m.sender_seq, m.receiver_seq, \
         m.hidden_for_sender is not null as hidden_for_sender, \
         m.hidden_for_receiver is not null as hidden_for_receiver, m.receiver_sees, \
         case when m.ref_from_client is not null then m.client_ref end as client_ref"
    };
}
pub(super) use message_columns;

#[derive(Debug, Clone, FromRow)]
pub(crate) struct MessageRow {
    pub(crate) id: i64,
    pub(crate) thread_id: i64,
    pub(crate) sender: UserKey,
    pub(crate) receiver: UserKey,
    pub(crate) body: String,
    pub(crate) created: i64,
    pub(crate) updated: i64,
    pub(crate) seen: bool,
    pub(crate) deleted: bool,
    #[sqlx(flatten)]
    pub(crate) attachment: AttachedFile,
    pub(crate) reply_to: Option<i64>,
    pub(crate) meta: Option<String>,
    /// The place of its latest change in the feed of each participant.
    pub(crate) sender_seq: i64,
    /// `None` until the receiver is shown it.
    pub(crate) receiver_seq: Option<i64>,
    pub(crate) hidden_for_sender: bool,
    /// Also of one that was swallowed, of which the receiver is never shown anything.
    pub(crate) hidden_for_receiver: bool,
    /// What the receiver goes on to see of one that its sender edited while blocked: an [`EarlierText`].
    pub(crate) receiver_sees: Option<String>,
    /// If the sender's own client chose it.
    pub(crate) client_ref: Option<Uuid>,
}

/// What a message was, as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct EarlierText {
    pub(crate) body: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) meta: Option<String>,
    /// Microseconds since the epoch.
    pub(crate) updated: i64,
}

impl EarlierText {
    pub(crate) fn parse(json: Option<&str>) -> Option<Self> {
        serde_json::from_str(json?).ok()
    }
}

/// As whom a user takes part in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Participant {
    Sender,
    Receiver,
}

/// The file of a message, if it has one. Few have, and all are moved.
#[derive(Debug, Clone, Default)]
pub(crate) struct AttachedFile(Option<Box<AttachmentColumns>>);

impl<'r, R: sqlx::Row> FromRow<'r, R> for AttachedFile
where
    AttachmentColumns: FromRow<'r, R>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        AttachmentColumns::from_row(row).map(Self::from)
    }
}

impl From<AttachmentColumns> for AttachedFile {
    fn from(columns: AttachmentColumns) -> Self {
        Self(columns.path.is_some().then(|| Box::new(columns)))
    }
}

impl AttachedFile {
    pub(crate) fn path(&self) -> Option<&str> {
        self.0.as_ref()?.path.as_deref()
    }

    pub(crate) fn size(&self) -> i64 {
        self.0.as_ref().and_then(|file| file.size).unwrap_or_default()
    }

    /// When it was shown to the receiver.
    pub(crate) fn dispatched(&self) -> Option<i64> {
        self.0.as_ref()?.dispatched
    }

    /// Whether the receiver is not shown its message yet.
    pub(crate) fn is_held_back(&self) -> bool {
        self.0.as_ref().is_some_and(|file| file.dispatched.is_none())
    }

    pub(crate) fn dispatch(&mut self, at: i64) {
        if let Some(file) = &mut self.0 {
            file.dispatched = Some(at);
        }
    }

    pub(crate) fn erase_name(&mut self) {
        if let Some(file) = &mut self.0 {
            file.name = None;
        }
    }

    pub(crate) fn into_wire(self) -> Option<v1::Attachment> {
        self.0?.into_wire()
    }
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
    fn into_wire(self) -> Option<v1::Attachment> {
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
    pub(crate) fn is_hidden_for(&self, viewer: Participant) -> bool {
        match viewer {
            Participant::Sender => self.hidden_for_sender,
            Participant::Receiver => self.hidden_for_receiver,
        }
    }

    /// Whether it is to be counted as unread while the receiver has not seen it.
    pub(crate) fn counts_for_receiver(&self) -> bool {
        self.receiver_seq.is_some() && !self.deleted && !self.hidden_for_receiver
    }

    /// Whether its receiver blocked its sender when it was stored, or its file dispatched: it is the sender's alone.
    pub(crate) fn is_swallowed(&self) -> bool {
        self.receiver_seq.is_none() && self.hidden_for_receiver
    }

    /// What its receiver sees now, to be kept when it is edited.
    pub(crate) fn as_receiver_sees(&self) -> String {
        let MessageRow { body, meta, updated, .. } = self;
        let now = EarlierText { body: body.clone(), meta: meta.clone(), updated: *updated };
        // Texts and a number can be written as JSON.
        let now = || serde_json::to_string(&now).unwrap_or_default();
        self.receiver_sees.clone().unwrap_or_else(now)
    }

    pub(super) fn earlier_text(&self) -> Option<EarlierText> {
        EarlierText::parse(self.receiver_sees.as_deref())
    }

    /// What one of its participants is shown of its text; none where they are shown nothing of it.
    pub(super) fn text_for(&self, viewer: Participant) -> Option<Cow<'_, str>> {
        if self.deleted || self.is_hidden_for(viewer) {
            return None;
        }
        match viewer {
            Participant::Sender => Some(Cow::Borrowed(&self.body)),
            Participant::Receiver => {
                self.receiver_seq?;
                let earlier = self.earlier_text().map(|earlier| Cow::Owned(earlier.body));
                Some(earlier.unwrap_or(Cow::Borrowed(&self.body)))
            }
        }
    }

    /// As one of its participants sees it.
    pub(crate) fn into_wire(
        mut self,
        viewer: Participant,
        sender_id: String,
        receiver_id: String,
    ) -> v1::Message {
        if viewer == Participant::Receiver
            && let Some(EarlierText { body, meta, updated }) = self.earlier_text()
        {
            (self.body, self.meta, self.updated) = (body, meta, updated);
        }
        let hidden = self.is_hidden_for(viewer);
        let (seq, client_ref) = match viewer {
            Participant::Sender => (Some(self.sender_seq), self.client_ref),
            Participant::Receiver => (self.receiver_seq, None),
        };
        // Of what is gone there is no more than that.
        let is_shown = !hidden && !self.deleted;
        v1::Message {
            id: self.id,
            thread_id: self.thread_id,
            sender_id,
            receiver_id,
            body: if is_shown { self.body } else { String::new() },
            created: Some(timestamp(self.created)),
            updated: Some(timestamp(self.updated)),
            seen: self.seen,
            deleted: self.deleted,
            attachment: self.attachment.into_wire().filter(|_| is_shown).map(Box::new),
            client_ref: client_ref.map(|client_ref| ClientRef(client_ref).to_string()),
            reply_to_id: self.reply_to.filter(|_| is_shown),
            meta_json: self.meta.filter(|_| is_shown),
            hidden,
            rev: seq.unwrap_or_default().cast_unsigned(),
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
    receiver_first_seq: Option<i64>,
}

impl ParticipantsRow {
    #[cfg(test)]
    pub(crate) fn of_test(message: MessageRow, sender: UserId, receiver: UserId) -> Self {
        let (sender_id, receiver_id) = (sender.0, receiver.0);
        let receiver_first_seq = message.receiver_seq.map(|_| 8);
        Self { message, sender_id, receiver_id, sender_first_seq: 9, receiver_first_seq }
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

    /// Its latest places, as far as they are new.
    pub(crate) fn take_places(&mut self, sender_seq: Option<u64>, receiver_seq: Option<u64>) {
        if let Some(seq) = sender_seq {
            self.message.sender_seq = seq.cast_signed();
        }
        if let Some(seq) = receiver_seq.map(u64::cast_signed) {
            self.message.receiver_seq = Some(seq);
            self.receiver_first_seq.get_or_insert(seq);
        }
    }

    /// The same with its receiver, if it has.
    pub(crate) fn receiver_first_seq(&self) -> Option<u64> {
        self.receiver_first_seq.map(i64::cast_unsigned)
    }

    /// Whether a user takes part in it, and it was not swallowed before it reached them.
    pub(crate) fn is_known_to(&self, user: UserId) -> bool {
        match self.participant(user) {
            Some(Participant::Sender) => true,
            Some(Participant::Receiver) => !self.message.is_swallowed(),
            None => false,
        }
    }

    /// Whether a user is shown it: in no generation what was swallowed or hidden for them, in the second no file of another
    /// before its dispatch.
    pub(crate) fn is_visible_to(&self, user: UserId) -> bool {
        match self.participant(user) {
            Some(viewer) if self.message.is_hidden_for(viewer) => false,
            Some(Participant::Sender) => true,
            Some(Participant::Receiver) => self.message.receiver_seq.is_some(),
            None => false,
        }
    }

    pub(crate) fn participant(&self, user: UserId) -> Option<Participant> {
        if user == self.sender_id() {
            Some(Participant::Sender)
        } else if user == self.receiver_id() {
            Some(Participant::Receiver)
        } else {
            None
        }
    }

    pub(crate) fn into_wire(self, viewer: Participant) -> v1::Message {
        let (sender, receiver) = (self.sender_id(), self.receiver_id());
        self.message.into_wire(viewer, sender.to_string(), receiver.to_string())
    }

    /// As its sender sees it, and as its receiver does: mostly the same.
    pub(crate) fn into_wire_of_both(self) -> (Arc<v1::Message>, Arc<v1::Message>) {
        let to_receiver = self.message.receiver_sees.is_some().then(|| self.clone());
        let to_sender = Arc::new(self.into_wire(Participant::Sender));
        let to_receiver = to_receiver.map(|row| Arc::new(row.into_wire(Participant::Receiver)));
        let to_receiver = to_receiver.unwrap_or_else(|| Arc::clone(&to_sender));
        (to_sender, to_receiver)
    }
}

/// Which part of a conversation is wanted; ids are exclusive bounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MessageRange {
    pub(crate) thread_id: i64,
    pub(crate) after: i64,
    pub(crate) before: i64,
    pub(crate) newest_first: bool,
    /// Who asks: what this participant has hidden is left out.
    pub(crate) viewer: UserKey,
    pub(crate) peer: UserKey,
    /// Without the files of the other that are not dispatched.
    pub(crate) visible_only: bool,
}

macro_rules! page {
    ($order:literal) => {
        concat!(
            "select ",
            message_columns!(),
            " from messages m where m.thread_id = $1 and m.id > $2 and m.id < $3
                and case m.sender when $5 then m.hidden_for_sender else m.hidden_for_receiver end is null
                and (m.sender = $5 or m.receiver_seq is not null or not $6)
                and m.removed is null
            order by m.id ",
            $order,
            " limit $4"
        )
    };
}
const OLDEST_FIRST: &str = page!("asc");
const NEWEST_FIRST: &str = page!("desc");

/// Messages with their participants, where `m` fulfils a condition: not what retention has left of one.
macro_rules! with_participants {
    ($condition:literal) => {
        concat!(
            "select ",
            $crate::store::message::message_columns!(),
            ", s.id as sender_id, r.id as receiver_id,",
            " coalesce(m.sender_first_seq, m.sender_seq) as sender_first_seq,",
            " coalesce(m.receiver_first_seq, m.receiver_seq) as receiver_first_seq from messages m",
            " join users s on s.key = m.sender join users r on r.key = m.receiver",
            " where m.removed is null and ",
            $condition
        )
    };
}
pub(super) use with_participants;

const FIND: &str = with_participants!("m.id = $1");
const FIND_BY_REF: &str =
    with_participants!("m.sender = (select key from users where id = $1) and m.client_ref = $2");
/// The newest message of each thread that is visible to the user $1, up to one that is known to be as new: what was swallowed
/// behind it, however much, is not looked through.
macro_rules! last_of_threads {
    ($threads:literal) => {
        concat!(
            "select ",
            message_columns!(),
            " from ",
            $threads,
            " join messages m on m.thread_id = j.thread_id and m.id = (
                select v.id from messages v where v.thread_id = j.thread_id and v.id <= j.last_id
                    and (v.sender = $1 and v.hidden_for_sender is null
                        or v.sender <> $1 and v.hidden_for_receiver is null
                            and v.receiver_seq is not null)
                order by v.id desc limit 1)"
        )
    };
}
const SQLITE_LAST_OF_THREADS: &str = last_of_threads!(
    "(select value ->> 0 as thread_id, value ->> 1 as last_id from json_each($2)) j"
);
const POSTGRES_LAST_OF_THREADS: &str =
    last_of_threads!("unnest($2::bigint[], $3::bigint[]) as j (thread_id, last_id)");
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
                    .bind(limit)
                    .bind(range.viewer)
                    .bind(range.visible_only);
                read_postgres!(pool, fetch_all, rows)
            }
        };
        self.known(result)
    }

    pub(crate) async fn find_message(&self, id: i64) -> Result<Option<ParticipantsRow>, Error> {
        read!(self, fetch_optional, sqlx::query_as(FIND).bind(id))
    }

    /// The newest message of each thread that a user may see, in no order. With each thread, the greatest id that was ever
    /// visible to the user.
    pub(crate) async fn last_messages(
        &self,
        user: UserKey,
        threads: &[(i64, i64)],
    ) -> Result<Vec<MessageRow>, Error> {
        let rows = match self.readers()? {
            Readers::Sqlite(pool) => {
                let threads = serde_json::json!(threads).to_string();
                let query = sqlx::query_as(SQLITE_LAST_OF_THREADS).bind(user).bind(threads);
                query.fetch_all(pool).await
            }
            Readers::Postgres(pool) => {
                let (threads, last): (Vec<_>, Vec<_>) = threads.iter().copied().unzip();
                let query = sqlx::query_as(POSTGRES_LAST_OF_THREADS).bind(user);
                let query = query.bind(threads).bind(last);
                read_postgres!(pool, fetch_all, query)
            }
        };
        self.known(rows)
    }

    /// What a user has sent with a reference.
    pub(crate) async fn find_send(
        &self,
        sender: UserId,
        client_ref: ClientRef,
    ) -> Result<Option<ParticipantsRow>, Error> {
        read!(self, fetch_optional, sqlx::query_as(FIND_BY_REF).bind(sender.0).bind(client_ref.0))
    }

    pub(crate) async fn find_attachment(
        &self,
        path: &str,
    ) -> Result<Option<ParticipantsRow>, Error> {
        read!(self, fetch_optional, sqlx::query_as(FIND_BY_PATH).bind(path))
    }
}
