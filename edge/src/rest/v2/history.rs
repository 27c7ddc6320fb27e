//! `/v2/threads/{peer_id}/messages`: what two users wrote, page by page, and a new message.

use axum::{
    extract::{Request, State},
    response::Response,
};
use http::StatusCode;
use netrox_proto::{
    ids::UserId,
    v1::{ListMessagesRequest, Message, SendMessageRequest},
};
use serde::{Deserialize, Serialize};

use super::{
    answer::{self, Items},
    json_body, send,
    user::{Actor, PageReader, PathText, peer},
};
use crate::{
    edge::Edge,
    rest::listing::{self, in_time},
    wire::v2::{
        body,
        object::MessageObject,
        page::{self, Place},
        problem::Problem,
        query::Query,
    },
};

/// What is asked for, without how much of it; and where a page left off.
#[derive(Clone, Serialize, Deserialize)]
struct HistoryPlace {
    peer_id: String,
    newest_first: bool,
    before: Option<i64>,
    after: Option<i64>,
}

impl Place for HistoryPlace {
    const LIST: &'static str = "messages";
}

pub(super) async fn list(
    State(edge): State<Edge>,
    path: PathText,
    PageReader { user_id, read }: PageReader,
    request: Request,
) -> Result<Response, Problem> {
    let peer_id = peer(path, user_id).ok_or_else(Problem::not_found)?;
    let query = Query::parse(request.uri().query());
    let limit = query.limit()?;
    let place = place(&query, peer_id, user_id)?;
    let request = ListMessagesRequest {
        user_id: user_id.to_string(),
        peer_id: peer_id.to_string(),
        after_id: place.after,
        before_id: place.before,
        // One more tells whether there is a next page.
        limit: i32::from(limit) + 1,
        newest_first: place.newest_first,
        visible_only: true,
    };
    let (first, mut responses) = in_time(async {
        let refused = |status| edge.peer_refused(user_id, &status);
        let responses = edge.shared.core.lists.clone().list_messages(request).await;
        let mut responses = responses.map_err(refused)?.into_inner();
        Ok::<_, Problem>((listing::next(&mut responses).await.map_err(refused)?, responses))
    })
    .await?;
    let mut response =
        Some(first.ok_or_else(|| Problem::internal("a list without its first response"))?);
    let (mut items, mut last_id, mut next) = (Items::default(), None, None);
    'page: while let Some(messages) = response {
        for message in &messages.messages {
            let is_full = items.count >= limit.into();
            if is_full || !items.push(&MessageObject::of(message, user_id))? {
                next = Some(place.behind(last_id));
                break 'page;
            }
            last_id = Some(message.id);
        }
        let more = listing::next(&mut responses).await;
        response = more.map_err(|status| edge.read_refused(user_id, &status))?;
    }
    let next = next.map(|next| page::encode(next, user_id)).transpose();
    let rest = Rest { next: next.map_err(Problem::internal)? };
    items.page("messages", &rest, read)
}

/// What follows the messages of a page.
#[derive(Serialize)]
struct Rest {
    next: Option<String>,
}

fn place(query: &Query, peer_id: UserId, user_id: UserId) -> Result<HistoryPlace, Problem> {
    if let Some(next) = query.get("next")? {
        let place: HistoryPlace = page::parse(next, user_id)?;
        if place.peer_id.parse() != Ok(peer_id) {
            return Err(Problem::invalid_field("next", "must be that of a page of this list"));
        }
        return Ok(place);
    }
    let newest_first = query.choice("order", &[("newest", true), ("oldest", false)])?;
    Ok(HistoryPlace {
        peer_id: peer_id.to_string(),
        newest_first: newest_first.unwrap_or(true),
        before: query.id("before", 1)?,
        after: query.id("after", 0)?,
    })
}

impl HistoryPlace {
    fn behind(&self, last_id: Option<i64>) -> Self {
        let mut behind = self.clone();
        let bound = if self.newest_first { &mut behind.before } else { &mut behind.after };
        *bound = last_id.or(*bound);
        behind
    }
}

pub(super) async fn send(
    State(edge): State<Edge>,
    Actor(user_id): Actor,
    path: PathText,
    request: Request,
) -> Result<Response, Problem> {
    let receiver_id = peer(path, user_id).ok_or_else(Problem::invalid_receiver)?;
    let limits = &edge.shared.config.limits;
    let json = json_body::read(request, limits.max_frame_bytes).await?;
    let new = body::Send::parse(&json, limits.max_body_bytes)?;
    edge.shared.limiter.send_in_turn(user_id).await?;
    let client_ref = new.client_ref;
    let request = SendMessageRequest {
        sender_id: user_id.to_string(),
        receiver_id: receiver_id.to_string(),
        body: new.body,
        client_ref: Some(client_ref.to_string()),
        reply_to_id: new.reply_to,
        meta_json: new.meta,
        from_client: true,
    };
    let sent = edge.shared.core.chat.clone().send_message(request).await;
    let sent = sent.map_err(|status| edge.write_refused(user_id, &status))?.into_inner();
    let status = if sent.repeated { StatusCode::OK } else { StatusCode::CREATED };
    // It is stored, but who is not told so repeats it.
    let stored: Option<Message> =
        send::find(&edge, user_id, client_ref).await.map_err(|problem| {
            tracing::debug!(error = ?problem, "a message that is stored could not be read");
            Problem::outcome_unknown("a message that is stored could not be read")
        })?;
    answer::message(status, stored.as_ref(), user_id)
}
