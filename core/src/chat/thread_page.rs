//! Threads with what a user is to see of them: one, or a page of all.

use futures_util::{StreamExt, stream};
use netrox_proto::{ids::UserId, v1};
use prost::Message as _;

use super::list::{RESPONSE_BYTES, ThreadList};
use crate::{
    command::{MAX_ID, parse},
    error::Error,
    store::{
        Store,
        history::Position,
        message::{MessageRow, Participant},
        user::UserRow,
    },
};

/// Of any list that is given in pages.
pub(super) const MAX_LIMIT: i32 = 200;

/// What the first response of a page tells besides threads.
pub(super) async fn overview(store: &Store, user_id: UserId) -> Result<ThreadList, Error> {
    let feed = store.find_feeds(&[(user_id, Position::default())]).await?.pop().flatten();
    let feed = feed.ok_or(Error::UserUnknown)?;
    if feed.deleted {
        return Err(Error::UserDeleted);
    }
    let unread = store.unread_total(feed.key).await?;
    let response = told(store, feed.end(), unread);
    Ok(stream::iter([Ok(response)]).boxed())
}

fn told(store: &Store, end: Position, unread: i64) -> v1::ListThreadsResponse {
    v1::ListThreadsResponse {
        unread_total: i32::try_from(unread).unwrap_or(i32::MAX),
        last_seq: end.seq,
        epoch: store.history().epoch(end.start).to_string(),
        ..Default::default()
    }
}

/// A page of the threads of a user. Where the feed ends is read first: what happens meanwhile is found from there on.
pub(super) async fn page(
    store: &Store,
    user_id: UserId,
    limit: i32,
    token: &str,
) -> Result<ThreadList, Error> {
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Error::InvalidField { field: "limit", problem: "not from 1 to 200" });
    }
    let before = before(token)?;
    let feeds = async { Ok(store.find_feeds(&[(user_id, Position::default())]).await?) };
    let (mut feeds, user) = tokio::try_join!(feeds, acting(store, user_id))?;
    let end = feeds.pop().flatten().ok_or(Error::UserUnknown)?.end();
    let limit = usize::try_from(limit).unwrap_or_default();
    let listed = store.list_thread_page(user.key, before, limit + 1);
    let (mut listed, unread) = tokio::try_join!(listed, store.unread_total(user.key))?;
    let has_more = listed.len() > limit;
    listed.truncate(limit);
    let ids: Vec<_> = listed.iter().map(|(id, _)| *id).collect();
    let threads = with_state(store, &user, &ids).await?;
    let mut responses = split(threads);
    if let Some(first) = responses.first_mut() {
        let threads = std::mem::take(&mut first.threads);
        *first = v1::ListThreadsResponse { threads, ..told(store, end, unread) };
    }
    if let (Some(last), Some((_, last_id)), true) = (responses.last_mut(), listed.last(), has_more)
    {
        last.next_page_token = last_id.to_string();
    }
    Ok(stream::iter(responses.into_iter().map(Ok)).boxed())
}

/// The id before which a page begins.
fn before(token: &str) -> Result<i64, Error> {
    if token.is_empty() {
        return Ok(MAX_ID + 1);
    }
    parse::page_token(token)
}

/// The thread of two users.
pub(super) async fn find(
    store: &Store,
    user_id: UserId,
    peer_id: UserId,
) -> Result<v1::Thread, Error> {
    let peer = async { Ok(store.find_user(peer_id).await?) };
    let (user, peer) = tokio::try_join!(acting(store, user_id), peer)?;
    let peer = peer.filter(|_| peer_id != user_id).ok_or(Error::UserUnknown)?;
    let thread = store.find_thread(user.key, peer.key).await?.ok_or(Error::ThreadNotFound)?;
    let thread = with_state(store, &user, &[thread.id]).await?.pop();
    let is_visible = |thread: &v1::Thread| thread.state.as_ref().is_some_and(|it| it.last_id > 0);
    thread.filter(is_visible).ok_or(Error::ThreadNotFound)
}

/// The user who asks, if they are there.
pub(super) async fn acting(store: &Store, id: UserId) -> Result<UserRow, Error> {
    let user = store.find_user(id).await?.ok_or(Error::UserUnknown)?;
    if user.deleted { Err(Error::UserDeleted) } else { Ok(user) }
}

/// In the order of the ids.
pub(super) async fn with_state(
    store: &Store,
    user: &UserRow,
    ids: &[i64],
) -> Result<Vec<v1::Thread>, Error> {
    let on_wire_user = user.clone().into();
    let seen = async {
        let states = store.thread_states(user.key, ids).await?;
        // After the states: a message may be in a newer state than they say, never in an older one.
        let ends: Vec<_> = states.iter().map(|state| (state.thread_id, state.last_id)).collect();
        Ok((states, store.last_messages(user.key, &ends).await?))
    };
    let threads = store.get_threads(ids, user, &on_wire_user);
    let (mut threads, (states, mut last_messages)) = tokio::try_join!(threads, seen)?;
    for thread in &mut threads {
        let state = states.iter().find(|state| state.thread_id == thread.id);
        let state: Option<v1::ThreadState> = state.cloned().map(Into::into);
        let last = last_messages.iter().position(|row| row.thread_id == thread.id);
        let last = last.map(|place| last_messages.swap_remove(place));
        let peer = state.as_ref().map(|state| state.peer_id.clone()).unwrap_or_default();
        thread.last_message = last.map(|row| on_wire(row, user, peer));
        thread.state = state;
    }
    Ok(threads)
}

fn on_wire(row: MessageRow, user: &UserRow, peer: String) -> v1::Message {
    let user_id = user.id().to_string();
    if row.sender == user.key {
        row.into_wire(Participant::Sender, user_id, peer)
    } else {
        row.into_wire(Participant::Receiver, peer, user_id)
    }
}

/// At least one response.
fn split(threads: Vec<v1::Thread>) -> Vec<v1::ListThreadsResponse> {
    let mut responses = vec![v1::ListThreadsResponse::default()];
    let mut bytes = 0;
    for thread in threads {
        let size = thread.encoded_len();
        if bytes > 0 && bytes + size > RESPONSE_BYTES {
            responses.push(v1::ListThreadsResponse::default());
            bytes = 0;
        }
        bytes += size;
        if let Some(last) = responses.last_mut() {
            last.threads.push(thread);
        }
    }
    responses
}
