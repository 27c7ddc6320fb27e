//! `GET /v2/sends/{client_ref}`: what became of a send.

use axum::{
    extract::{Path, State},
    response::Response,
};
use http::StatusCode;
use netrox_proto::{
    ids::{ClientRef, UserId},
    v1::{ErrorReason, GetSendRequest, Message},
};

use super::{
    answer,
    user::{PageReader, PathText},
};
use crate::{edge::Edge, wire::v2::problem::Problem};

pub(super) async fn one(
    State(edge): State<Edge>,
    PageReader { user_id, read: _read }: PageReader,
    path: PathText,
) -> Result<Response, Problem> {
    let client_ref = path.ok().and_then(|Path(text)| text.parse().ok());
    let client_ref = client_ref.ok_or_else(Problem::not_found)?;
    let found = find(&edge, user_id, client_ref).await?.ok_or_else(Problem::not_found)?;
    answer::message(StatusCode::OK, Some(&found), user_id)
}

/// The user's own message of this reference; nothing where none is stored so far.
pub(super) async fn find(
    edge: &Edge,
    user: UserId,
    client_ref: ClientRef,
) -> Result<Option<Message>, Problem> {
    let request = GetSendRequest { user_id: user.to_string(), client_ref: client_ref.to_string() };
    match edge.shared.core.chat.clone().get_send(request).await {
        Ok(found) => {
            let message = found.into_inner().message;
            message.map(Some).ok_or_else(|| Problem::internal("an answer without its message"))
        }
        Err(status) => {
            let failure = edge.failure(user, &status);
            let is_none = failure.reason() == ErrorReason::MessageNotFound;
            if is_none { Ok(None) } else { Err(Problem::of_read(failure)) }
        }
    }
}
