//! `GET /v2/sync`: what has changed since a cursor, or, without one, a snapshot to begin with.

use axum::{
    extract::{Request, State},
    response::Response,
};
use netrox_proto::{
    ids::UserId,
    v1::{ErrorReason, Event, EventKind, SubscribeRequest, SubscribeResponse, event::Change},
};
use serde::Serialize;
use tonic::{Status, Streaming};

use super::{
    answer::Items,
    thread::{Threads, ThreadsPlace, of_another_version},
    user::PageReader,
};
use crate::{
    edge::Edge,
    error::PublicError,
    rest::listing::{self, Read, in_time},
    wire::v2::{
        cursor::{Cursor, Epoch, Reset},
        object::{MessageObject, ThreadStateObject},
        problem::Problem,
        query::Query,
    },
};

pub(super) async fn sync(
    State(edge): State<Edge>,
    PageReader { user_id, read }: PageReader,
    request: Request,
) -> Result<Response, Problem> {
    let query = Query::parse(request.uri().query());
    let limit = query.limit()?;
    match query.get("after")? {
        Some(after) => {
            let after = Cursor::parse(after, user_id);
            let after = after.ok_or_else(|| Problem::reset(Reset::Unknown))?;
            changes(&edge, user_id, after, limit, read).await
        }
        None => snapshot(&edge, user_id, limit, read).await,
    }
}

/// The cursor is read before the threads: they may be newer than it, never older.
async fn snapshot(edge: &Edge, user: UserId, limit: u16, read: Read) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Rest {
        next: Option<String>,
        cursor: String,
        unread_total: i32,
    }
    let threads = Threads::read(edge, user, ThreadsPlace::default(), limit).await?;
    let (epoch, seq) = (epoch(&threads.epoch)?, threads.last_seq);
    let cursor = Cursor { epoch, seq, began: seq }.encode(user);
    let rest = Rest { next: threads.next, cursor, unread_total: threads.unread_total };
    threads.items.page("threads", &rest, read)
}

async fn changes(
    edge: &Edge,
    user: UserId,
    after: Cursor,
    limit: u16,
    read: Read,
) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Rest {
        cursor: String,
        more: bool,
        unread_total: i32,
    }
    // The total comes with the first thread, and what the database is now.
    let total = Threads::read(edge, user, ThreadsPlace::default(), 1);
    let (feed, total) = tokio::join!(Feed::read(edge, user, after, limit), total);
    let total = total?;
    let feed = match feed {
        Ok(feed) => feed,
        Err(NoFeed::AnotherHistory) => {
            let reset = Reset::of(after.epoch, epoch(&total.epoch)?);
            return Err(Problem::reset(reset));
        }
        Err(NoFeed::Refused(problem)) => return Err(problem),
    };
    let rest = Rest {
        cursor: feed.reached.encode(user),
        more: feed.more,
        unread_total: total.unread_total,
    };
    feed.items.page("changes", &rest, read)
}

fn epoch(text: &str) -> Result<Epoch, Problem> {
    text.parse().map_err(|_| of_another_version())
}

/// Why no feed is read.
enum NoFeed {
    /// The position is no part of the history that the database has now.
    AnotherHistory,
    Refused(Problem),
}

impl From<Problem> for NoFeed {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

/// The head of an answer that comes too late.
impl From<PublicError> for NoFeed {
    fn from(error: PublicError) -> Self {
        Self::Refused(error.into())
    }
}

/// A page of a user's feed.
struct Feed {
    items: Items,
    reached: Cursor,
    more: bool,
}

impl Feed {
    /// Reads up to `limit` changes, or until the user is up to date.
    ///
    /// What changes while it is read leaves its place and stands behind the end, and the user may never have been shown it. So
    /// they are up to date at an end up to which no place was left out since it was asked for; else it is asked for again.
    async fn read(edge: &Edge, user: UserId, after: Cursor, limit: u16) -> Result<Self, NoFeed> {
        let mut feed = Self { items: Items::default(), reached: after, more: true };
        while feed.more && feed.items.count < limit.into() {
            let (begin, before) = (feed.reached.seq, feed.items.count);
            let end = feed.read_to_end(edge, user, limit).await?;
            if feed.reached.seq < end {
                break;
            }
            let places = feed.reached.seq - begin;
            feed.more = places != (feed.items.count - before) as u64;
        }
        if !feed.more {
            feed.reached.began = feed.reached.seq;
        }
        Ok(feed)
    }

    /// Reads what there is room for, up to where the feed ends now, and gives that.
    async fn read_to_end(&mut self, edge: &Edge, user: UserId, limit: u16) -> Result<u64, NoFeed> {
        let (first, mut responses) = in_time(open(edge, user, &self.reached)).await?;
        let end = first.end_seq.ok_or_else(of_another_version)?;
        let began = self.reached.began;
        self.reached.epoch = epoch(&first.epoch)?;
        while self.reached.seq < end && self.items.count < limit.into() {
            let response = listing::next(&mut responses).await;
            let response = response.map_err(|status| refusal(edge, user, &status))?;
            // Only a break of the link ends it.
            let Some(response) = response else { return Err(Problem::unavailable().into()) };
            // It is of all that the response brings.
            if !response.epoch.is_empty() {
                self.reached.epoch = epoch(&response.epoch)?;
            }
            for event in &response.events {
                let has_room = self.items.count < limit.into();
                if !has_room || !push(&mut self.items, event, began, user)? {
                    return Ok(end);
                }
                self.reached.seq = event.seq;
            }
            self.reached.seq = self.reached.seq.max(response.last_seq);
        }
        Ok(end)
    }
}

async fn open(
    edge: &Edge,
    user: UserId,
    after: &Cursor,
) -> Result<(SubscribeResponse, Streaming<SubscribeResponse>), NoFeed> {
    let request = SubscribeRequest {
        user_id: user.to_string(),
        after_seq: Some(after.seq),
        received_only: false,
        epoch: Some(after.epoch.to_string()),
        kinds: vec![EventKind::Thread.into()],
        ..Default::default()
    };
    let refused = |status| refusal(edge, user, &status);
    let responses = edge.shared.core.lists.clone().subscribe(request).await;
    let mut responses = responses.map_err(refused)?.into_inner();
    match listing::next(&mut responses).await.map_err(refused)? {
        Some(first) => Ok((first, responses)),
        None => Err(Problem::unavailable().into()),
    }
}

fn refusal(edge: &Edge, user: UserId, status: &Status) -> NoFeed {
    let failure = edge.failure(user, status);
    // A place that the database has not, or not any more.
    let is_lost = matches!(failure.reason(), ErrorReason::EpochChanged | ErrorReason::InvalidField);
    if is_lost { NoFeed::AnotherHistory } else { NoFeed::Refused(Problem::of_read(failure)) }
}

/// A change, as its frame is without a cursor.
#[derive(Serialize)]
#[serde(tag = "action", rename_all = "snake_case")]
enum ChangeObject<'a> {
    Message { new: bool, message: MessageObject<'a> },
    Thread { thread: ThreadStateObject<'a> },
}

/// Adds a change; false where there is no room for it. One that is not known is passed over.
fn push(items: &mut Items, event: &Event, began: u64, user: UserId) -> Result<bool, Problem> {
    let change = match &event.change {
        Some(Change::Message(message)) => ChangeObject::Message {
            new: event.first_seq > began,
            message: MessageObject::of(message, user),
        },
        Some(Change::Thread(state)) => {
            ChangeObject::Thread { thread: ThreadStateObject::of(state) }
        }
        Some(Change::Typing(_) | Change::Presence(_) | Change::User(_)) | None => return Ok(true),
    };
    items.push(&change)
}
