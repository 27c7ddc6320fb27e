//! `GET /v2/blocks`, `PUT` and `DELETE /v2/blocks/{peer_id}`: whom the user blocks.

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use netrox_proto::{
    ids::UserId,
    v1::{BlockUserRequest, ErrorReason, ListBlocksRequest, UnblockUserRequest},
};
use serde::{Deserialize, Serialize};
use tonic::Status;

use super::{
    answer::Items,
    user::{Actor, PageReader, PathText, peer},
};
use crate::{
    edge::Edge,
    wire::v2::{
        object::BlockObject,
        page::{self, Place},
        problem::Problem,
        query::Query,
    },
};

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

pub(super) async fn block(
    State(edge): State<Edge>,
    Actor(user_id): Actor,
    path: PathText,
) -> Result<Response, Problem> {
    let peer_id = peer(path, user_id).ok_or_else(Problem::not_found)?.to_string();
    edge.shared.limiter.send_in_turn(user_id).await?;
    let request = BlockUserRequest { user_id: user_id.to_string(), peer_id };
    let blocked = edge.shared.core.chat.clone().block_user(request).await;
    blocked.map_err(|status| edge.block_refused(user_id, &status))?;
    Ok(no_content())
}

pub(super) async fn unblock(
    State(edge): State<Edge>,
    Actor(user_id): Actor,
    path: PathText,
) -> Result<Response, Problem> {
    let peer_id = peer(path, user_id).ok_or_else(Problem::not_found)?.to_string();
    edge.shared.limiter.send_in_turn(user_id).await?;
    let request = UnblockUserRequest { user_id: user_id.to_string(), peer_id };
    let unblocked = edge.shared.core.chat.clone().unblock_user(request).await;
    unblocked.map_err(|status| edge.block_refused(user_id, &status))?;
    Ok(no_content())
}

fn no_content() -> Response {
    (StatusCode::NO_CONTENT, [(header::CACHE_CONTROL, NO_STORE)]).into_response()
}

pub(super) async fn list(
    State(edge): State<Edge>,
    PageReader { user_id, read }: PageReader,
    request: Request,
) -> Result<Response, Problem> {
    let query = Query::parse(request.uri().query());
    let limit = query.limit()?;
    let BlocksPlace(page_token) = match query.get("next")? {
        Some(next) => page::parse(next, user_id)?,
        None => BlocksPlace::default(),
    };
    let request =
        ListBlocksRequest { user_id: user_id.to_string(), limit: limit.into(), page_token };
    let listed = edge.shared.core.chat.clone().list_blocks(request).await;
    let listed = listed.map_err(|status| edge.read_refused(user_id, &status))?.into_inner();
    let mut items = Items::default();
    for block in &listed.blocks {
        // 200 of them are far below what a page may hold.
        items.push(&BlockObject::of(block))?;
    }
    let next = match listed.next_page_token {
        token if token.is_empty() => None,
        token => Some(page::encode(BlocksPlace(token), user_id).map_err(Problem::internal)?),
    };
    items.page("blocks", &Rest { next }, read)
}

/// What follows the blocks of a page.
#[derive(Serialize)]
struct Rest {
    next: Option<String>,
}

/// Where the list of blocks goes on: the core's token, empty for the first page.
#[derive(Default, Serialize, Deserialize)]
struct BlocksPlace(String);

impl Place for BlocksPlace {
    const LIST: &'static str = "blocks";
}

impl Edge {
    /// As [`Edge::write_refused`], where it is not said which of the two users is unknown: the one who asks is ensured anew all
    /// the same.
    fn block_refused(&self, user: UserId, status: &Status) -> Problem {
        let problem = self.write_refused(user, status);
        let is_unknown = self.failure(user, status).reason() == ErrorReason::UserUnknown;
        if is_unknown { Problem::not_found() } else { problem }
    }
}
