//! `GET /v2/search`: messages with all words of a query.

use axum::{
    extract::{Request, State},
    response::Response,
};
use netrox_proto::{ids::UserId, v1::SearchMessagesRequest};
use serde::{Deserialize, Serialize};

use super::{answer::Items, user::PageReader};
use crate::{
    edge::Edge,
    rest::listing::in_time,
    wire::v2::{
        object::MessageObject,
        page::{self, Place},
        problem::Problem,
        query::Query,
    },
};

/// Characters of a query.
const SHORTEST_QUERY: usize = 2;
const LONGEST_QUERY: usize = 100;

/// What is searched for, and where a page left off: the core's token, empty for the first.
#[derive(Clone, Serialize, Deserialize)]
struct SearchPlace {
    query: String,
    peer_id: Option<String>,
    page_token: String,
}

impl Place for SearchPlace {
    const LIST: &'static str = "search";
}

pub(super) async fn search(
    State(edge): State<Edge>,
    PageReader { user_id, read }: PageReader,
    request: Request,
) -> Result<Response, Problem> {
    if !edge.shared.config.limits.search {
        return Err(Problem::not_enabled());
    }
    let query = Query::parse(request.uri().query());
    let limit = query.limit()?;
    let place = place(&query, user_id)?;
    edge.shared.limiter.search(user_id)?;
    let request = SearchMessagesRequest {
        user_id: user_id.to_string(),
        query: place.query.clone(),
        peer_id: place.peer_id.clone(),
        limit: limit.into(),
        page_token: place.page_token.clone(),
    };
    let found = in_time(async {
        let found = edge.shared.core.chat.clone().search_messages(request).await;
        found.map_err(|status| edge.peer_refused(user_id, &status))
    });
    let found = found.await?.into_inner();
    let (mut items, mut next, mut last_id) = (Items::default(), found.next_page_token, None);
    for message in &found.messages {
        if !items.push(&MessageObject::of(message, user_id))? {
            // The contract takes the id of a message for a token.
            next = last_id.map(|id: i64| id.to_string()).unwrap_or_default();
            break;
        }
        last_id = Some(message.id);
    }
    let next = (!next.is_empty()).then_some(SearchPlace { page_token: next, ..place });
    let next = next.map(|next| page::encode(next, user_id)).transpose();
    items.page("messages", &Rest { next: next.map_err(Problem::internal)? }, read)
}

/// What follows the messages of a page.
#[derive(Serialize)]
struct Rest {
    next: Option<String>,
}

fn place(query: &Query, user_id: UserId) -> Result<SearchPlace, Problem> {
    if let Some(next) = query.get("next")? {
        return page::parse(next, user_id);
    }
    let words = query.get("q")?.unwrap_or_default();
    if !(SHORTEST_QUERY..=LONGEST_QUERY).contains(&words.chars().count()) {
        return Err(Problem::invalid_field("q", "must be 2 to 100 characters"));
    }
    let peer_id = match query.get("peer_id")? {
        None => None,
        Some(text) => {
            let peer = text.parse().ok().filter(|peer: &UserId| *peer != user_id);
            Some(peer.ok_or_else(Problem::not_found)?.to_string())
        }
    };
    Ok(SearchPlace { query: words.to_owned(), peer_id, page_token: String::new() })
}
