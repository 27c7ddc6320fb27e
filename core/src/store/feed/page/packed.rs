//! A page of a feed on SQLite, read as one row: handing a row over the driver's thread costs several times what reading it from
//! the table does, and so does a statement.
//!
//! What every message has travels as JSON arrays, the bodies one after the other beside them: they need no escaping there.

use serde::{Deserialize, de::DeserializeOwned};
use sqlx::SqlitePool;
use uuid::Uuid;

use super::{
    super::is_lost,
    Asked, EndRow, FeedRow, ThreadPlaceRow, Told,
    statement::{all, both, end, feed_of, new, threads},
};
use crate::{
    change::FeedScope,
    store::{
        history::Start,
        message::{AttachmentColumns, MessageRow, message_columns, take_body},
        user::UserKey,
    },
};

/// The end of the feed, threads, and the rows of a statement. The last element of a row has what a plain message that nobody
/// touched has not.
macro_rules! packed {
    ($threads:expr, $rows:expr) => {
        concat!(
            "select (",
            end!("json_array(f.last_seq, f.start, ", is_lost!("$1"), ")"),
            "), ",
            $threads,
            ", json_group_array(json_array(seq, first_seq, hex(peer_id), id,
                thread_id, sender, receiver, octet_length(body), created, sender_seq, receiver_seq,
                iif(updated = created and seen = 0 and deleted = 0 and attachment_path is null
                        and reply_to is null and meta is null and client_ref is null
                        and hidden_for_sender = 0 and hidden_for_receiver = 0
                        and receiver_sees is null, null,
                    json_array(updated, seen, deleted, attachment_path, attachment_name,
                        attachment_size, attachment_type, dispatched, reply_to, meta,
                        iif(client_ref is null, null, hex(client_ref)), hidden_for_sender,
                        hidden_for_receiver, receiver_sees)))),
                coalesce(group_concat(body, ''), '')
            from (",
            $rows,
            ")"
        )
    };
}
const NEW: &str = packed!("'[]'", new!("", ""));
const ALL: &str = packed!("'[]'", all!("", ""));
const ALL_AND_THREADS: &str = packed!(
    concat!("(select json_group_array(json_array(seq, thread_id)) from (", threads!("", ""), "))"),
    all!("", "")
);

#[derive(Deserialize)]
struct PackedEnd(
    i64, // last_seq
    i64, // start
    u8,  // is_lost
);

#[derive(Deserialize)]
struct PackedThread(
    i64, // seq
    i64, // thread_id
);

#[derive(Deserialize)]
struct Packed(
    i64, // seq
    i64, // first_seq
    Uuid,
    i64, // id
    i64, // thread_id
    UserKey,
    UserKey,
    usize,       // of the body
    i64,         // created
    i64,         // sender_seq
    Option<i64>, // receiver_seq
    Option<Box<Rest>>,
);

#[derive(Deserialize)]
struct Rest(
    i64,            // updated
    u8,             // seen
    u8,             // deleted
    Option<String>, // attachment_path
    Option<String>, // attachment_name
    Option<i64>,    // attachment_size
    Option<String>, // attachment_type
    Option<i64>,    // dispatched
    Option<i64>,    // reply_to
    Option<String>, // meta
    Option<Uuid>,   // client_ref
    u8,             // hidden_for_sender
    u8,             // hidden_for_receiver
    Option<String>, // receiver_sees
);

impl Rest {
    fn plain(created: i64) -> Self {
        Self(created, 0, 0, None, None, None, None, None, None, None, None, 0, 0, None)
    }
}

pub(super) async fn read(readers: &SqlitePool, asked: Asked) -> Result<Told, sqlx::Error> {
    let Asked { user, after, scope, limit } = asked;
    let statement = match scope {
        FeedScope::Received => NEW,
        FeedScope::Messages => ALL,
        FeedScope::MessagesAndThreads => ALL_AND_THREADS,
    };
    let query = sqlx::query_as(statement).bind(user).bind(after.start);
    let query = query.bind(after.seq.cast_signed()).bind(limit as i64);
    let (end, threads, rows, bodies): (Option<String>, String, String, String) =
        query.fetch_one(readers).await?;
    let end: Option<PackedEnd> = end.as_deref().map(unpack).transpose()?;
    let end = end.map(|PackedEnd(last_seq, start, is_lost)| EndRow {
        last_seq,
        start: Start(start),
        is_lost: is_lost != 0,
    });
    // All of it is of one instant.
    let start = end.map_or_else(Start::default, |end| end.start);
    let rows: Vec<Packed> = unpack(&rows)?;
    let mut bodies = bodies.as_str();
    let messages = rows.into_iter().map(|row| row.unpack(start, &mut bodies));
    let messages = messages.collect::<Result<_, _>>()?;
    let threads: Vec<PackedThread> = unpack(&threads)?;
    let threads = threads.into_iter().map(|PackedThread(seq, thread_id)| ThreadPlaceRow {
        seq,
        thread_id,
        start,
        is_lost: false,
    });
    Ok(Told { end, messages, threads: threads.collect() })
}

fn unpack<T: DeserializeOwned>(packed: &str) -> Result<T, sqlx::Error> {
    serde_json::from_str(packed).map_err(|error| sqlx::Error::Decode(error.into()))
}

impl Packed {
    fn unpack(self, start: Start, bodies: &mut &str) -> Result<FeedRow, sqlx::Error> {
        let Self(
            seq,
            first_seq,
            peer_id,
            id,
            thread_id,
            sender,
            receiver,
            length,
            created,
            sender_seq,
            receiver_seq,
            rest,
        ) = self;
        let body = take_body(bodies, length)?;
        let Rest(
            updated,
            seen,
            deleted,
            path,
            name,
            size,
            content_type,
            dispatched,
            reply_to,
            meta,
            client_ref,
            hidden_for_sender,
            hidden_for_receiver,
            receiver_sees,
        ) = rest.map_or_else(|| Rest::plain(created), |rest| *rest);
        let message = MessageRow {
            id,
            thread_id,
            sender,
            receiver,
            body,
            created,
            updated,
            seen: seen != 0,
            deleted: deleted != 0,
            attachment: AttachmentColumns { path, name, size, content_type, dispatched }.into(),
            reply_to,
            meta,
            sender_seq,
            receiver_seq,
            hidden_for_sender: hidden_for_sender != 0,
            hidden_for_receiver: hidden_for_receiver != 0,
            receiver_sees,
            client_ref,
        };
        Ok(FeedRow { seq, first_seq, start, is_lost: false, message, peer_id })
    }
}
