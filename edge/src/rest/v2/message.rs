//! `/v2/messages/{id}`: one message, its edit, its deletion, and the dispatch of its file.

use axum::{
    extract::{Path, Request, State},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use netrox_proto::{
    ids::UserId,
    v1::{
        DeleteMessageRequest, DispatchAttachmentRequest, EditMessageRequest, GetMessageRequest,
        Message,
    },
};

use super::{
    answer, json_body,
    user::{Actor, PageReader, PathText},
};
use crate::{
    edge::Edge,
    sends::MetaChange,
    wire::v2::{
        body,
        problem::Problem,
        query::{self, Query},
    },
};

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

pub(super) async fn one(
    State(edge): State<Edge>,
    PageReader { user_id, read: _read }: PageReader,
    path: PathText,
) -> Result<Response, Problem> {
    let message = find(&edge, user_id, message_id(path)?).await?;
    answer::message(StatusCode::OK, Some(&message), user_id)
}

pub(super) async fn edit(
    State(edge): State<Edge>,
    Actor(user_id): Actor,
    path: PathText,
    request: Request,
) -> Result<Response, Problem> {
    let message_id = message_id(path)?;
    let limits = &edge.shared.config.limits;
    let json = json_body::read(request, limits.max_frame_bytes).await?;
    let edit = body::Edit::parse(&json, limits.max_body_bytes)?;
    edge.shared.limiter.send_in_turn(user_id).await?;
    let request = EditMessageRequest {
        user_id: user_id.to_string(),
        message_id,
        body: edit.body,
        meta_json: match edit.meta {
            MetaChange::Stays => None,
            MetaChange::Removed => Some(String::new()),
            MetaChange::Set(meta) => Some(meta),
        },
    };
    let edited = edge.shared.core.chat.clone().edit_message(request).await;
    let edited = edited.map_err(|status| edge.write_refused(user_id, &status))?.into_inner();
    answer::message(StatusCode::OK, edited.message.as_ref(), user_id)
}

pub(super) async fn delete(
    State(edge): State<Edge>,
    Actor(user_id): Actor,
    path: PathText,
    request: Request,
) -> Result<Response, Problem> {
    let message_id = message_id(path)?;
    let query = Query::parse(request.uri().query());
    let for_everyone = query.choice("for", &[("everyone", true), ("me", false)])?;
    let for_everyone =
        for_everyone.ok_or_else(|| Problem::invalid_field("for", "must be everyone or me"))?;
    edge.shared.limiter.send_in_turn(user_id).await?;
    let request = DeleteMessageRequest { user_id: user_id.to_string(), message_id, for_everyone };
    let deleted = edge.shared.core.chat.clone().delete_message(request).await;
    deleted.map_err(|status| edge.write_refused(user_id, &status))?;
    Ok((StatusCode::NO_CONTENT, [(header::CACHE_CONTROL, NO_STORE)]).into_response())
}

pub(super) async fn dispatch(
    State(edge): State<Edge>,
    Actor(user_id): Actor,
    path: PathText,
) -> Result<Response, Problem> {
    let message_id = message_id(path)?;
    edge.shared.limiter.send_in_turn(user_id).await?;
    let request = DispatchAttachmentRequest { sender_id: user_id.to_string(), message_id };
    let dispatched = edge.shared.core.attachments.clone().dispatch_attachment(request).await;
    dispatched.map_err(|status| edge.write_refused(user_id, &status))?;
    let message = find(&edge, user_id, message_id).await?;
    answer::message(StatusCode::OK, Some(&message), user_id)
}

/// Whatever is no id names no message.
fn message_id(path: PathText) -> Result<i64, Problem> {
    let id = path.ok().and_then(|Path(text)| query::message_id(&text));
    id.ok_or_else(Problem::not_found)
}

/// A message that is visible to the user.
async fn find(edge: &Edge, user: UserId, message_id: i64) -> Result<Message, Problem> {
    let request = GetMessageRequest { user_id: user.to_string(), message_id };
    let found = edge.shared.core.chat.clone().get_message(request).await;
    let found = found.map_err(|status| edge.read_refused(user, &status))?.into_inner();
    let message = found.message.ok_or_else(|| Problem::internal("no message in an answer"))?;
    if !is_visible(&message, user) {
        return Err(Problem::not_found());
    }
    Ok(message)
}

/// Documented services are shown files that are not dispatched, too. These have no place in the feed of their receiver.
fn is_visible(message: &Message, user: UserId) -> bool {
    !message.hidden && (message.rev > 0 || message.sender_id.parse() == Ok(user))
}
