//! Histories and thread lists as streams: read from the store page by page, as fast as the caller takes
//! them and no faster. No transaction is open between two pages.

use std::collections::VecDeque;

use futures_util::{StreamExt, stream, stream::BoxStream};
use netrox_proto::{ids::UserId, v1};
use prost::Message as _;
use tonic::Status;

use crate::{
    command::{self, MAX_ID},
    error::Error,
    store::{
        Store,
        message::MessageRange,
        user::{UserKey, UserRow},
    },
};

pub(super) type MessageList = BoxStream<'static, Result<v1::ListMessagesResponse, Status>>;
pub(super) type ThreadList = BoxStream<'static, Result<v1::ListThreadsResponse, Status>>;

const PAGE_MESSAGES: i64 = 256;
/// What one response may carry, so that it stays far below the limit of a gRPC message.
const RESPONSE_BYTES: usize = 256 * 1024;
/// About what a message takes besides its body.
const MESSAGE_BYTES: usize = 256;
const PAGE_THREADS: usize = 256;

pub(super) async fn messages(
    store: &Store,
    request: v1::ListMessagesRequest,
) -> Result<MessageList, Error> {
    let user_id = command::user_id("user_id", &request.user_id)?;
    let peer_id = command::user_id("peer_id", &request.peer_id)?;
    if request.limit < 0 {
        return Err(Error::InvalidField { field: "limit", problem: "negative" });
    }
    let found = store.find_users(&[user_id, peer_id]).await?;
    let find = |id| found.iter().find(|row| row.id() == id).ok_or(Error::UserUnknown);
    let (user, peer) = (find(user_id)?.clone(), find(peer_id)?.clone());
    let thread_id =
        if user_id == peer_id { None } else { store.find_thread(user.key, peer.key).await? };
    let user_key = user.key;
    let users =
        v1::ListMessagesResponse { users: vec![user.into(), peer.into()], messages: Vec::new() };
    let first = stream::once(std::future::ready(Ok(users)));
    let Some(thread_id) = thread_id else { return Ok(first.boxed()) };

    let pages = MessagePages {
        store: store.clone(),
        range: MessageRange {
            thread_id,
            after: request.after_id.unwrap_or(0),
            before: request.before_id.unwrap_or(MAX_ID + 1),
            newest_first: request.newest_first,
        },
        remaining: if request.limit == 0 { i64::MAX } else { i64::from(request.limit) },
        participants: Participants {
            user_key,
            user_id: user_id.to_string(),
            peer_id: peer_id.to_string(),
        },
        read: VecDeque::new(),
    };
    let rest = stream::try_unfold(pages, |mut pages| async move {
        let response = pages.next().await?;
        Ok(response.map(|response| (response, pages)))
    });
    Ok(first.chain(rest).boxed())
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
    /// Read and not yet sent.
    read: VecDeque<v1::Message>,
}

impl MessagePages {
    async fn next(&mut self) -> Result<Option<v1::ListMessagesResponse>, Error> {
        if self.read.is_empty() {
            self.read_page().await?;
        }
        let mut bytes = 0;
        let mut messages = Vec::with_capacity(self.read.len());
        while bytes < RESPONSE_BYTES
            && let Some(message) = self.read.pop_front()
        {
            bytes += message.body.len() + MESSAGE_BYTES;
            messages.push(message);
        }
        let response = v1::ListMessagesResponse { users: Vec::new(), messages };
        Ok((!response.messages.is_empty()).then_some(response))
    }

    async fn read_page(&mut self) -> Result<(), Error> {
        let limit = PAGE_MESSAGES.min(self.remaining);
        if limit == 0 {
            return Ok(());
        }
        let rows = self.store.list_messages(self.range, limit).await?;
        if let Some(last) = rows.last() {
            let bound = if self.range.newest_first {
                &mut self.range.before
            } else {
                &mut self.range.after
            };
            *bound = last.id;
        }
        // A short page is the last one.
        let count = rows.len() as i64;
        self.remaining = if count < limit { 0 } else { self.remaining - count };
        let Participants { user_key, user_id, peer_id } = &self.participants;
        self.read.extend(rows.into_iter().map(|row| {
            let sent = row.sender == *user_key;
            let (sender, receiver) = if sent { (user_id, peer_id) } else { (peer_id, user_id) };
            row.into_wire(sender.clone(), receiver.clone())
        }));
        Ok(())
    }
}

pub(super) async fn threads(store: &Store, user_id: UserId) -> Result<ThreadList, Error> {
    let user = store.find_user(user_id).await?.ok_or(Error::UserUnknown)?;
    let ids = store.list_thread_ids(user.key).await?;
    let pages = ThreadPages {
        store: store.clone(),
        user_on_wire: user.clone().into(),
        user,
        ids: ids.into(),
        read: VecDeque::new(),
    };
    let pages = stream::try_unfold(pages, |mut pages| async move {
        let response = pages.next().await?;
        Ok(response.map(|response| (response, pages)))
    });
    Ok(pages.boxed())
}

struct ThreadPages {
    store: Store,
    user: UserRow,
    user_on_wire: v1::User,
    /// Still to be read.
    ids: VecDeque<i64>,
    /// Read and not yet sent.
    read: VecDeque<v1::Thread>,
}

impl ThreadPages {
    async fn next(&mut self) -> Result<Option<v1::ListThreadsResponse>, Error> {
        if self.read.is_empty() {
            let page: Vec<_> = self.ids.drain(..PAGE_THREADS.min(self.ids.len())).collect();
            let threads = self.store.get_threads(&page, &self.user, &self.user_on_wire).await?;
            self.read.extend(threads);
        }
        let mut bytes = 0;
        let mut threads = Vec::new();
        while bytes < RESPONSE_BYTES
            && let Some(thread) = self.read.pop_front()
        {
            bytes += thread.encoded_len();
            threads.push(thread);
        }
        let response = v1::ListThreadsResponse { threads };
        Ok((!response.threads.is_empty()).then_some(response))
    }
}
