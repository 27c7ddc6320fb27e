//! `PUT /v2/threads/{peer_id}/seen` and `…/delivered`: how far the user has read a thread, and how far it has come.

mod waiting;

use axum::{
    extract::{Request, State},
    response::Response,
};
use http::StatusCode;
use netrox_proto::{ids::UserId, v1::ErrorReason};

pub(crate) use self::waiting::WaitingMarks;
use super::{
    answer, json_body,
    user::{Actor, PathText, peer},
};
use crate::{
    edge::Edge,
    sends::{Mark, MarkKind},
    wire::v2::{body, object::ThreadStateObject, problem::Problem},
};

pub(super) async fn seen(
    State(edge): State<Edge>,
    Actor(user_id): Actor,
    path: PathText,
    request: Request,
) -> Result<Response, Problem> {
    mark(&edge, user_id, MarkKind::Seen, path, request).await
}

pub(super) async fn delivered(
    State(edge): State<Edge>,
    Actor(user_id): Actor,
    path: PathText,
    request: Request,
) -> Result<Response, Problem> {
    mark(&edge, user_id, MarkKind::Delivered, path, request).await
}

async fn mark(
    edge: &Edge,
    user: UserId,
    kind: MarkKind,
    path: PathText,
    request: Request,
) -> Result<Response, Problem> {
    let peer = peer(path, user).ok_or_else(Problem::not_found)?;
    let json = json_body::read(request, edge.shared.config.limits.max_frame_bytes).await?;
    let mark = Mark { kind, peer, up_to: body::up_to(&json)? };
    let state = waiting::mark(edge, user, mark).await.map_err(|status| {
        let problem = edge.write_refused(user, &status);
        // It is not said which of the two is.
        let is_unknown = edge.failure(user, &status).reason() == ErrorReason::UserUnknown;
        if is_unknown { Problem::not_found() } else { problem }
    })?;
    let state = state.ok_or_else(|| Problem::internal("no thread state in an answer"))?;
    answer::value(StatusCode::OK, &ThreadStateObject::of(&state))
}
