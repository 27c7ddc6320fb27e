//! Messages that a user finds by words.

use std::{collections::BTreeSet, sync::Arc};

use netrox_proto::{
    ids::UserId,
    v1::{self, SearchMessagesRequest, SearchMessagesResponse},
};
use prost::Message as _;

use super::thread_page::{MAX_LIMIT, acting};
use crate::{
    command::{MAX_ID, parse},
    error::Error,
    store::{
        Store,
        message::{Participant, ParticipantsRow},
        search::{Found, Search, Words},
        user::UserRow,
    },
};

/// Characters of a query.
const SHORTEST_QUERY: usize = 2;
const LONGEST_QUERY: usize = 100;
/// Of a response: it is cut behind the message that goes beyond it.
const RESPONSE_BYTES: usize = 1024 * 1024;

pub(super) async fn page(
    store: &Store,
    request: SearchMessagesRequest,
) -> Result<SearchMessagesResponse, Error> {
    let SearchMessagesRequest { user_id, query, peer_id, limit, page_token } = request;
    let user_id = parse::user_id("user_id", &user_id)?;
    let peer_id = peer_id.map(|id| parse::user_id("peer_id", &id)).transpose()?;
    if !(SHORTEST_QUERY..=LONGEST_QUERY).contains(&query.chars().count()) {
        return Err(Error::InvalidField { field: "query", problem: "not 2 to 100 characters" });
    }
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Error::InvalidField { field: "limit", problem: "not from 1 to 200" });
    }
    let before = match page_token.is_empty() {
        true => MAX_ID + 1,
        false => parse::page_token(&page_token)?,
    };
    let user = acting(store, user_id).await?;
    let thread = match peer_id {
        None => None,
        Some(peer_id) => match thread_with(store, &user, peer_id).await? {
            Some(thread) => Some(thread),
            None => return Ok(SearchMessagesResponse::default()),
        },
    };
    let words = Words::of(&query);
    // Nothing but signs, say.
    if words.is_empty() {
        return Ok(SearchMessagesResponse::default());
    }
    let search = Arc::new(Search { key: user.key, user: user.id(), thread, words });
    let limit = usize::try_from(limit).unwrap_or_default();
    let found = store.search(&search, before, limit).await?;
    shown(store, &user, found).await
}

/// The thread of two users, if they have one.
async fn thread_with(store: &Store, user: &UserRow, peer_id: UserId) -> Result<Option<i64>, Error> {
    let peer = store.find_user(peer_id).await?;
    let peer = peer.filter(|_| peer_id != user.id()).ok_or(Error::UserUnknown)?;
    Ok(store.find_thread(user.key, peer.key).await?.map(|thread| thread.id))
}

async fn shown(
    store: &Store,
    user: &UserRow,
    found: Found,
) -> Result<SearchMessagesResponse, Error> {
    let threads: BTreeSet<_> =
        found.messages.iter().map(|(_, row)| row.message.thread_id).collect();
    let threads: Vec<_> = threads.into_iter().collect();
    let states = store.thread_states(user.key, &threads).await?;
    let seen_by_receiver = |participant, row: &ParticipantsRow| {
        let state = states.iter().find(|state| state.thread_id == row.message.thread_id);
        let seen_id = state.map(|state| match participant {
            Participant::Sender => state.peer_seen_id,
            Participant::Receiver => state.seen_id,
        });
        let is_shown = !row.message.attachment.is_held_back();
        is_shown && seen_id.is_some_and(|seen_id| row.message.id <= seen_id)
    };
    let mut response = SearchMessagesResponse::default();
    let (mut bytes, mut next) = (0, found.next);
    for (participant, row) in found.messages {
        if bytes > RESPONSE_BYTES {
            next = response.messages.last().map(|message: &v1::Message| message.id);
            break;
        }
        let seen = seen_by_receiver(participant, &row);
        let message = v1::Message { seen, ..row.into_wire(participant) };
        bytes += message.encoded_len();
        response.messages.push(message);
    }
    response.next_page_token = next.map(|id| id.to_string()).unwrap_or_default();
    Ok(response)
}
