//! `GET /v2/threads`, `GET /v2/threads/{peer_id}`: who the user writes with, and how far both have read.

use axum::{
    extract::{Request, State},
    response::Response,
};
use http::StatusCode;
use netrox_proto::{
    ids::UserId,
    v1::{ErrorReason, GetThreadRequest, ListThreadsRequest, ListThreadsResponse, Thread},
};
use serde::{Deserialize, Serialize};
use tonic::Streaming;

use super::{
    answer::{self, Items},
    user::{PageReader, PathText, peer},
};
use crate::{
    edge::Edge,
    rest::listing::{self, in_time},
    wire::v2::{
        object::ThreadObject,
        page::{self, Place},
        problem::Problem,
        query::Query,
    },
};

/// What the core gives of a list at most.
const MAX_LIMIT: u16 = 200;

pub(super) async fn one(
    State(edge): State<Edge>,
    PageReader { user_id, read: _read }: PageReader,
    path: PathText,
) -> Result<Response, Problem> {
    let peer_id = peer(path, user_id).ok_or_else(Problem::not_found)?;
    let request = GetThreadRequest { user_id: user_id.to_string(), peer_id: peer_id.to_string() };
    let found = edge.shared.core.chat.clone().get_thread(request).await;
    let found = found.map_err(|status| edge.peer_refused(user_id, &status))?.into_inner();
    let thread =
        found.thread.as_ref().ok_or_else(|| Problem::internal("no thread in an answer"))?;
    answer::value(StatusCode::OK, &object(thread, user_id)?)
}

pub(super) async fn list(
    State(edge): State<Edge>,
    PageReader { user_id, read }: PageReader,
    request: Request,
) -> Result<Response, Problem> {
    let query = Query::parse(request.uri().query());
    let limit = query.limit()?;
    let place = match query.get("next")? {
        Some(next) => page::parse(next, user_id)?,
        None => ThreadsPlace::default(),
    };
    let threads = Threads::read(&edge, user_id, place, limit).await?;
    let rest = Rest { next: threads.next, unread_total: threads.unread_total };
    threads.items.page("threads", &rest, read)
}

/// What follows the threads of a page.
#[derive(Serialize)]
struct Rest {
    next: Option<String>,
    unread_total: i32,
}

/// Where the list of threads goes on.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct ThreadsPlace {
    /// The core's, of a page of its list; empty for the first.
    token: String,
    /// In that page: behind the thread with this `last_id`, by which the list is ordered.
    below: Option<i64>,
}

impl Place for ThreadsPlace {
    const LIST: &'static str = "threads";
}

/// A page of the list of threads.
#[derive(Default)]
pub(super) struct Threads {
    pub(super) items: Items,
    pub(super) next: Option<String>,
    pub(super) unread_total: i32,
    /// Where the user's feed ended before anything was read.
    pub(super) last_seq: u64,
    /// Empty from a core that does not tell.
    pub(super) epoch: String,
}

impl Threads {
    pub(super) async fn read(
        edge: &Edge,
        user: UserId,
        mut place: ThreadsPlace,
        limit: u16,
    ) -> Result<Self, Problem> {
        let mut page: Option<Self> = None;
        loop {
            // What was given of this page of the core's may have been any part of it.
            let wanted = if place.below.is_some() { MAX_LIMIT } else { limit };
            let (first, mut rest) = in_time(open(edge, user, &place.token, wanted)).await?;
            let page = page.get_or_insert_with(|| Self {
                items: Items::default(),
                next: None,
                unread_total: first.unread_total,
                last_seq: first.last_seq,
                epoch: first.epoch.clone(),
            });
            let mut response = first;
            let next_token = loop {
                for thread in &response.threads {
                    let last_id = thread.state.as_ref().map_or(0, |state| state.last_id);
                    if place.below.is_some_and(|below| last_id >= below) {
                        continue;
                    }
                    let is_full = page.items.count >= limit.into();
                    if is_full || !page.items.push(&object(thread, user)?)? {
                        page.next = Some(encode(place, user)?);
                        return Ok(std::mem::take(page));
                    }
                    place.below = Some(last_id);
                }
                let next = listing::next(&mut rest).await;
                match next.map_err(|status| edge.read_refused(user, &status))? {
                    Some(next) => response = next,
                    None => break response.next_page_token,
                }
            };
            if next_token.is_empty() {
                return Ok(std::mem::take(page));
            }
            place = ThreadsPlace { token: next_token, below: None };
            if page.items.count > 0 {
                page.next = Some(encode(place, user)?);
                return Ok(std::mem::take(page));
            }
        }
    }
}

async fn open(
    edge: &Edge,
    user: UserId,
    token: &str,
    limit: u16,
) -> Result<(ListThreadsResponse, Streaming<ListThreadsResponse>), Problem> {
    let request = ListThreadsRequest {
        user_id: user.to_string(),
        limit: Some(limit.into()),
        page_token: token.to_owned(),
    };
    let refused = |status| edge.read_refused(user, &status);
    let responses = edge.shared.core.lists.clone().list_threads(request).await;
    let mut responses = responses.map_err(refused)?.into_inner();
    match listing::next(&mut responses).await.map_err(refused)? {
        Some(first) => Ok((first, responses)),
        None => Err(of_another_version()),
    }
}

fn encode(place: ThreadsPlace, user: UserId) -> Result<String, Problem> {
    page::encode(place, user).map_err(Problem::internal)
}

fn object(thread: &Thread, user: UserId) -> Result<ThreadObject<'_>, Problem> {
    ThreadObject::of(thread, user).ok_or_else(of_another_version)
}

/// What a core of the last version lacks, while others are upgraded.
pub(super) fn of_another_version() -> Problem {
    tracing::warn!("a core does not know the second generation of the public API yet");
    Problem::unavailable()
}

impl Edge {
    /// As [`Edge::read_refused`], where it is not said which of the two users is unknown: the one who asks is ensured anew all
    /// the same.
    pub(super) fn peer_refused(&self, user: UserId, status: &tonic::Status) -> Problem {
        let failure = self.failure(user, status);
        let is_unknown = failure.reason() == ErrorReason::UserUnknown;
        if is_unknown { Problem::not_found() } else { Problem::of_read(failure) }
    }
}
