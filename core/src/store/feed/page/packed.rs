//! A page of a feed on SQLite, read as one row: handing a row over the driver's thread costs several times what reading it from
//! the table does.
//!
//! What every message has travels as JSON arrays, the bodies one after the other beside them: they need no escaping there.

use serde::Deserialize;
use sqlx::SqlitePool;
use uuid::Uuid;

use super::FeedRow;
use crate::store::{
    history::Start,
    message::{AttachmentColumns, MessageRow, take_body},
    user::UserKey,
};

/// The rows of a statement, as one. The last element has what a plain message that nobody touched has not.
macro_rules! packed {
    ($rows:expr) => {
        concat!(
            "select json_group_array(json_array(seq, first_seq, start, is_lost, hex(peer_id), id,
                thread_id, sender, receiver, octet_length(body), created, sender_seq, receiver_seq,
                iif(updated = created and seen = 0 and deleted = 0 and attachment_path is null
                        and reply_to is null and meta is null and client_ref is null
                        and hidden_for_sender = 0 and hidden_for_receiver = 0, null,
                    json_array(updated, seen, deleted, attachment_path, attachment_name,
                        attachment_size, attachment_type, dispatched, reply_to, meta,
                        iif(client_ref is null, null, hex(client_ref)), hidden_for_sender,
                        hidden_for_receiver)))),
                coalesce(group_concat(body, ''), '')
            from (",
            $rows,
            ")"
        )
    };
}
pub(super) use packed;

#[derive(Deserialize)]
struct Packed(
    i64, // seq
    i64, // first_seq
    i64, // start
    u8,  // is_lost
    Uuid,
    i64, // id
    i64, // thread_id
    UserKey,
    UserKey,
    usize,       // of the body
    i64,         // created
    i64,         // sender_seq
    Option<i64>, // receiver_seq
    Option<Rest>,
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
);

pub(super) async fn read(
    readers: &SqlitePool,
    statement: &'static str,
    user: UserKey,
    start: Start,
    seq: i64,
    limit: i64,
) -> Result<Vec<FeedRow>, sqlx::Error> {
    let query = sqlx::query_as(statement).bind(user).bind(start).bind(seq).bind(limit);
    let (packed, bodies): (String, String) = query.fetch_one(readers).await?;
    let packed: Vec<Packed> =
        serde_json::from_str(&packed).map_err(|error| sqlx::Error::Decode(error.into()))?;
    let mut bodies = bodies.as_str();
    packed.into_iter().map(|row| row.unpack(&mut bodies)).collect()
}

impl Packed {
    fn unpack(self, bodies: &mut &str) -> Result<FeedRow, sqlx::Error> {
        let Self(
            seq,
            first_seq,
            start,
            is_lost,
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
        let plain = Rest(created, 0, 0, None, None, None, None, None, None, None, None, 0, 0);
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
        ) = rest.unwrap_or(plain);
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
            attachment: AttachmentColumns { path, name, size, content_type, dispatched },
            reply_to,
            meta,
            sender_seq,
            receiver_seq,
            hidden_for_sender: hidden_for_sender != 0,
            hidden_for_receiver: hidden_for_receiver != 0,
            client_ref,
        };
        let (start, is_lost) = (Start(start), is_lost != 0);
        Ok(FeedRow { seq, first_seq, start, is_lost, message, peer_id })
    }
}
