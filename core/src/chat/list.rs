//! Histories and thread lists as streams: read from the store page by page, as fast as the caller takes
//! them and no faster. No transaction is open between two pages. A page is what one response takes: nothing more is held
//! for a caller that stalls.

use std::collections::VecDeque;

use futures_util::{StreamExt as _, stream, stream::BoxStream};
use netrox_proto::{ids::UserId, request_id::RequestId, v1};
use prost::Message as _;
use tonic::Status;

use crate::{
    command::{MAX_ID, parse},
    error::Error,
    reading::Reading,
    request,
    store::{
        Store,
        message::{MessageRange, Participant},
        thread::FoundThread,
        user::{UserKey, UserRow},
    },
};

pub(crate) type MessageList = BoxStream<'static, Result<v1::ListMessagesResponse, Status>>;
pub(super) type ThreadList = BoxStream<'static, Result<v1::ListThreadsResponse, Status>>;

/// What one response may carry. It is held, on its way, for each caller that stalls.
pub(super) const RESPONSE_BYTES: usize = 64 * 1024;
/// About what a message takes besides its body.
const MESSAGE_BYTES: usize = 128;

/// How many messages or threads to read at a time.
struct PageSize(usize);

impl PageSize {
    /// Not the most at once: long bodies would be read for nothing.
    const FIRST: usize = 64;
    const MOST: usize = 512;
    /// So full a response is full enough: what is read beyond one is read again.
    const FULL_BYTES: usize = RESPONSE_BYTES / 8 * 7;

    /// Next time as many as would have filled a response, but not more than twice as many as this time.
    fn learn(&mut self, taken: usize, bytes: usize) {
        let next = if bytes < Self::FULL_BYTES {
            let fitting = taken.saturating_mul(Self::FULL_BYTES) / bytes.max(1);
            fitting.min(taken.saturating_mul(2))
        } else {
            taken
        };
        self.0 = next.clamp(1, Self::MOST);
    }
}

impl Default for PageSize {
    fn default() -> Self {
        Self(Self::FIRST)
    }
}

/// Whose view of a conversation is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Viewer {
    /// One who acts, and so was not deleted.
    Acting,
    /// Anybody, for who runs the service.
    Any,
}

pub(super) async fn messages(
    store: &Store,
    request: v1::ListMessagesRequest,
    viewer: Viewer,
) -> Result<MessageList, Error> {
    let user_id = parse::user_id("user_id", &request.user_id)?;
    let peer_id = parse::user_id("peer_id", &request.peer_id)?;
    if request.limit < 0 {
        return Err(Error::InvalidField { field: "limit", problem: "negative" });
    }
    let found = store.find_users(&[user_id, peer_id]).await?;
    let find = |id| found.iter().find(|row| row.id() == id).ok_or(Error::UserUnknown);
    let (user, peer) = (find(user_id)?.clone(), find(peer_id)?.clone());
    if user.deleted && viewer == Viewer::Acting {
        return Err(Error::UserDeleted);
    }
    let thread =
        if user_id == peer_id { None } else { store.find_thread(user.key, peer.key).await? };
    let (user_key, peer_key) = (user.key, peer.key);
    let users =
        v1::ListMessagesResponse { users: vec![user.into(), peer.into()], messages: Vec::new() };
    let first = stream::once(std::future::ready(Ok(users)));
    let Some(thread) = thread else { return Ok(first.boxed()) };

    let pages = MessagePages {
        store: store.clone(),
        range: MessageRange {
            thread_id: thread.id,
            after: request.after_id.unwrap_or(0),
            before: before(request.before_id, thread.ends_at),
            newest_first: request.newest_first,
            viewer: user_key,
            peer: peer_key,
            visible_only: request.visible_only,
        },
        remaining: if request.limit == 0 { i64::MAX } else { i64::from(request.limit) },
        participants: Participants {
            user_key,
            user_id: user_id.to_string(),
            peer_id: peer_id.to_string(),
        },
        thread,
        size: PageSize::default(),
    };
    let request = RequestId::current();
    let rest = stream::try_unfold(pages, move |mut pages| {
        reading(request.clone(), async move {
            let response = pages.next().await?;
            Ok(response.map(|response| (response, pages)))
        })
    });
    Ok(first.chain(rest).boxed())
}

/// What is behind the end that a user sees is not looked through.
fn before(asked: Option<i64>, ends_at: Option<i64>) -> i64 {
    let end = ends_at.map_or(MAX_ID + 1, |id| id.saturating_add(1));
    asked.map_or(end, |asked| asked.min(end))
}

/// A part of a list, for the request that asked for it.
async fn reading<T: Send + 'static>(
    id: Option<RequestId>,
    read: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Status> {
    let read = Reading::begin(request::follow(id.clone(), read)).await;
    read.map_err(|error| request::about(id.as_ref(), || Status::from(error)))
}

/// The two users, their identifiers as they are on the wire.
struct Participants {
    user_key: UserKey,
    user_id: String,
    peer_id: String,
}

struct MessagePages {
    store: Store,
    range: MessageRange,
    remaining: i64,
    participants: Participants,
    thread: FoundThread,
    size: PageSize,
}

impl MessagePages {
    async fn next(&mut self) -> Result<Option<v1::ListMessagesResponse>, Error> {
        let limit = self.remaining.min(self.size.0 as i64);
        if limit == 0 {
            return Ok(None);
        }
        let rows = self.store.list_messages(self.range, limit).await?;
        let read = rows.len();
        let mut bytes = 0;
        let mut messages = Vec::with_capacity(read);
        let Participants { user_key, user_id, peer_id } = &self.participants;
        for row in rows {
            if bytes >= RESPONSE_BYTES {
                break;
            }
            bytes += row.body.len() + row.meta.as_ref().map_or(0, String::len) + MESSAGE_BYTES;
            let bound = if self.range.newest_first {
                &mut self.range.before
            } else {
                &mut self.range.after
            };
            *bound = row.id;
            let sent = row.sender == *user_key;
            let (sender, receiver) = if sent { (user_id, peer_id) } else { (peer_id, user_id) };
            let viewer = if sent { Participant::Sender } else { Participant::Receiver };
            let is_shown = !row.attachment.is_held_back();
            let mut message = row.into_wire(viewer, sender.clone(), receiver.clone());
            let seen_id = if sent { self.thread.peer_seen_id } else { self.thread.seen_id };
            // Where it was imported as seen, its own word counts as well.
            message.seen = is_shown && (message.seen || message.id <= seen_id);
            messages.push(message);
        }
        let taken = messages.len();
        // A short page is the last one.
        let is_last = taken == read && (read as i64) < limit;
        self.remaining = if is_last { 0 } else { self.remaining - taken as i64 };
        self.size.learn(taken, bytes);
        Ok((taken > 0).then_some(v1::ListMessagesResponse { users: Vec::new(), messages }))
    }
}

pub(super) async fn threads(store: &Store, user_id: UserId) -> Result<ThreadList, Error> {
    let user = store.find_user(user_id).await?.ok_or(Error::UserUnknown)?;
    if user.deleted {
        return Err(Error::UserDeleted);
    }
    let ids = store.list_thread_ids(user.key).await?;
    let pages = ThreadPages {
        store: store.clone(),
        user_on_wire: user.clone().into(),
        user,
        ids: ids.into(),
        size: PageSize::default(),
    };
    let request = RequestId::current();
    let pages = stream::try_unfold(pages, move |mut pages| {
        reading(request.clone(), async move {
            let response = pages.next().await?;
            Ok(response.map(|response| (response, pages)))
        })
    });
    Ok(pages.boxed())
}

struct ThreadPages {
    store: Store,
    user: UserRow,
    user_on_wire: v1::User,
    /// Still to be read.
    ids: VecDeque<i64>,
    size: PageSize,
}

impl ThreadPages {
    async fn next(&mut self) -> Result<Option<v1::ListThreadsResponse>, Error> {
        let page: Vec<_> = self.ids.iter().take(self.size.0).copied().collect();
        let mut threads = self.store.get_threads(&page, &self.user, &self.user_on_wire).await?;
        let (mut taken, mut bytes) = (0, 0);
        while let Some(thread) = threads.get(taken).filter(|_| bytes < RESPONSE_BYTES) {
            bytes += thread.encoded_len();
            taken += 1;
        }
        let next = threads.get(taken).and_then(|next| page.iter().position(|id| *id == next.id));
        self.ids.drain(..next.unwrap_or(page.len()));
        threads.truncate(taken);
        self.size.learn(taken, bytes);
        Ok((taken > 0).then_some(v1::ListThreadsResponse { threads, ..Default::default() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_becomes_what_a_response_takes() {
        let mut size = PageSize::default();
        for (taken, bytes, expected) in [
            (64, 20_000, 128),
            (128, 24_500, 256),
            (256, 80_000, 256),
            (256, 49_000, 299),
            (299, 57_400, 299),
            (300, 10_000, 512),
            // Long bodies, of which nine fit.
            (9, RESPONSE_BYTES + 10_000, 9),
            (9, RESPONSE_BYTES - 10_000, 9),
            (9, RESPONSE_BYTES / 2, 15),
            (18, 1_000, 36),
            (1, 2 * RESPONSE_BYTES, 1),
            (0, 0, 1),
        ] {
            size.learn(taken, bytes);
            assert_eq!(size.0, expected, "{taken} of {bytes} bytes");
        }
    }
}
