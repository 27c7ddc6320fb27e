//! A page of a conversation on SQLite, read as one row: handing a row over the driver's thread costs
//! several times what reading it from the table does.
//!
//! What every message has travels as JSON arrays, the bodies one after the other beside them: they need
//! no escaping there.

use serde::Deserialize;
use sqlx::SqlitePool;
use uuid::Uuid;

use super::{AttachmentColumns, MessageRange, MessageRow};
use crate::store::user::UserKey;

/// The last element has what a plain message that nobody touched has not. A bare parameter as the limit
/// would have SQLite compile the statement again for each page, to plan by its value.
macro_rules! packed {
    ($order:literal) => {
        concat!(
            "select json_group_array(json_array(id, sender, octet_length(body), created, seq,
                json(rest))), coalesce(group_concat(body, ''), '')
            from (select id, sender, body, created,
                    iif(sender = $5, sender_seq, receiver_seq) as seq,
                    iif(updated = created and seen = 0 and deleted = 0
                            and attachment_path is null and reply_to is null and meta is null
                            and ref_from_client is null and receiver_sees is null, null,
                        json_array(updated, seen, deleted, attachment_path, attachment_name,
                            attachment_size, attachment_type, dispatched, reply_to, meta,
                            iif(ref_from_client is null, null, hex(client_ref)),
                            receiver_sees)) as rest
                from messages where thread_id = $1 and id > $2 and id < $3
                    and iif(sender = $5, hidden_for_sender, hidden_for_receiver) is null
                    and (sender = $5 or receiver_seq is not null or not $6)
                    and removed is null
                order by id ",
            $order,
            " limit cast($4 as bigint))"
        )
    };
}
const OLDEST_FIRST: &str = packed!("asc");
const NEWEST_FIRST: &str = packed!("desc");

#[derive(Deserialize)]
struct Packed(i64, UserKey, usize, i64, Option<i64>, Option<Box<Rest>>);

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
    Option<String>, // receiver_sees
);

impl Rest {
    fn plain(created: i64) -> Self {
        Self(created, 0, 0, None, None, None, None, None, None, None, None, None)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the bodies of a page are not as long as their messages say")]
struct BodiesMismatch;

/// Takes the next body off the front of `bodies`.
pub(in crate::store) fn take_body(bodies: &mut &str, length: usize) -> Result<String, sqlx::Error> {
    let (body, others) =
        bodies.split_at_checked(length).ok_or(sqlx::Error::Decode(BodiesMismatch.into()))?;
    *bodies = others;
    Ok(body.to_owned())
}

pub(super) async fn read(
    readers: &SqlitePool,
    range: MessageRange,
    limit: i64,
) -> Result<Vec<MessageRow>, sqlx::Error> {
    let statement = if range.newest_first { NEWEST_FIRST } else { OLDEST_FIRST };
    let (packed, bodies): (String, String) = sqlx::query_as(statement)
        .bind(range.thread_id)
        .bind(range.after)
        .bind(range.before)
        .bind(limit)
        .bind(range.viewer)
        .bind(range.visible_only)
        .fetch_one(readers)
        .await?;
    let packed: Vec<Packed> =
        serde_json::from_str(&packed).map_err(|error| sqlx::Error::Decode(error.into()))?;
    let mut bodies = bodies.as_str();
    packed.into_iter().map(|row| row.unpack(range, &mut bodies)).collect()
}

impl Packed {
    fn unpack(self, range: MessageRange, bodies: &mut &str) -> Result<MessageRow, sqlx::Error> {
        let Self(id, sender, length, created, seq, rest) = self;
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
            receiver_sees,
        ) = rest.map_or_else(|| Rest::plain(created), |rest| *rest);
        // The place in the feed of who asks; the other's is not told.
        let (sender_seq, receiver_seq) =
            if sender == range.viewer { (seq.unwrap_or_default(), None) } else { (0, seq) };
        Ok(MessageRow {
            id,
            thread_id: range.thread_id,
            sender,
            receiver: if sender == range.viewer { range.peer } else { range.viewer },
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
            hidden_for_sender: false,
            hidden_for_receiver: false,
            receiver_sees,
            client_ref,
        })
    }
}
