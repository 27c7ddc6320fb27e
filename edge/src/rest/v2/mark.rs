//! `PUT /v2/threads/{peer_id}/seen` and `…/delivered`: how far the user has read a thread, and how far it has come.

use axum::{
    extract::{Request, State},
    response::Response,
};
use http::StatusCode;
use netrox_proto::{
    ids::UserId,
    v1::{ErrorReason, MarkDeliveredRequest, MarkSeenRequest, ThreadState},
};
use tonic::Status;

use super::{
    answer, json_body,
    user::{Actor, PathText, peer},
};
use crate::{
    edge::Edge,
    wire::v2::{body, object::ThreadStateObject, problem::Problem},
};

pub(super) async fn seen(
    State(edge): State<Edge>,
    Actor(user_id): Actor,
    path: PathText,
    request: Request,
) -> Result<Response, Problem> {
    let (peer_id, up_to_id) = mark(&edge, user_id, path, request).await?;
    let request = MarkSeenRequest { user_id: user_id.to_string(), peer_id, up_to_id };
    let marked = edge.shared.core.chat.clone().mark_seen(request).await;
    state(&edge, user_id, marked.map(|marked| marked.into_inner().state))
}

pub(super) async fn delivered(
    State(edge): State<Edge>,
    Actor(user_id): Actor,
    path: PathText,
    request: Request,
) -> Result<Response, Problem> {
    let (peer_id, up_to_id) = mark(&edge, user_id, path, request).await?;
    let request = MarkDeliveredRequest { user_id: user_id.to_string(), peer_id, up_to_id };
    let marked = edge.shared.core.chat.clone().mark_delivered(request).await;
    state(&edge, user_id, marked.map(|marked| marked.into_inner().state))
}

/// Whose messages are marked, and up to which.
async fn mark(
    edge: &Edge,
    user: UserId,
    path: PathText,
    request: Request,
) -> Result<(String, i64), Problem> {
    let peer_id = peer(path, user).ok_or_else(Problem::not_found)?;
    let json = json_body::read(request, edge.shared.config.limits.max_frame_bytes).await?;
    let up_to_id = body::up_to(&json)?;
    edge.shared.limiter.receipt_in_turn(user).await;
    Ok((peer_id.to_string(), up_to_id))
}

fn state(
    edge: &Edge,
    user: UserId,
    marked: Result<Option<ThreadState>, Status>,
) -> Result<Response, Problem> {
    let state = marked.map_err(|status| {
        let problem = edge.write_refused(user, &status);
        // It is not said which of the two is.
        let is_unknown = edge.failure(user, &status).reason() == ErrorReason::UserUnknown;
        if is_unknown { Problem::not_found() } else { problem }
    })?;
    let state = state.ok_or_else(|| Problem::internal("no thread state in an answer"))?;
    answer::value(StatusCode::OK, &ThreadStateObject::of(&state))
}
