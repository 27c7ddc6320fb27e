//! `GET /chat/messages/<uid>/`: every message of a conversation, oldest first.

use axum::{
    extract::{Path, State, rejection::PathRejection},
    response::Response,
};
use http::StatusCode;
use netrox_proto::{
    ids::UserId,
    v1::{ErrorReason, Failure, ListMessagesRequest, ListMessagesResponse},
};

use super::listing::{self, ListError, Reader, in_time};
use crate::{
    edge::Edge,
    error::PublicError,
    wire::v1::rest::{self, List, Participants},
};

pub(super) async fn list(
    State(edge): State<Edge>,
    peer_id: Result<Path<String>, PathRejection>,
    Reader { user_id, read }: Reader,
) -> Result<Response, PublicError> {
    let peer_id: UserId = peer_id
        .ok()
        .and_then(|Path(uid)| uid.parse().ok())
        .ok_or_else(PublicError::invalid_receiver)?;
    // Nobody has a conversation with themselves.
    if peer_id == user_id {
        return Ok(rest::respond(StatusCode::OK, List::empty(rest::MESSAGES)));
    }
    let request = ListMessagesRequest {
        user_id: user_id.to_string(),
        peer_id: peer_id.to_string(),
        ..Default::default()
    };
    let refused = |status| {
        let refusal = edge.refusal(user_id, &status);
        // Of the two the peer is the unknown one, but the user is ensured anew all the same.
        let is_peer_unknown = Failure::from(&status).reason() == ErrorReason::UserUnknown;
        if is_peer_unknown { PublicError::invalid_receiver() } else { refusal }
    };
    let (first, responses) = in_time(async {
        let responses = edge.shared.core.lists.clone().list_messages(request).await;
        let mut responses = responses.map_err(refused)?.into_inner();
        Ok::<_, PublicError>((listing::next(&mut responses).await.map_err(refused)?, responses))
    })
    .await?;
    let first = first.ok_or_else(|| PublicError::internal("no response to ListMessages"))?;

    let render = renderer(&first).map_err(PublicError::internal)?;
    let body = listing::body(rest::MESSAGES, Some(first), responses, render, read);
    Ok(rest::respond(StatusCode::OK, body))
}

/// Writes messages of the two users of the first response.
pub(crate) fn renderer(
    first: &ListMessagesResponse,
) -> Result<impl FnMut(&ListMessagesResponse, &mut List) -> Result<(), ListError> + use<>, ListError>
{
    let [one, two] = first.users.as_slice() else {
        return Err(ListError::ForeignMessage);
    };
    let (from_one, from_two) = (Participants::new(one, two)?, Participants::new(two, one)?);
    let (one, two) = (one.id.clone(), two.id.clone());
    Ok(move |response: &ListMessagesResponse, list: &mut List| {
        for message in &response.messages {
            let participants = if message.sender_id == one && message.receiver_id == two {
                &from_one
            } else if message.sender_id == two && message.receiver_id == one {
                &from_two
            } else {
                return Err(ListError::ForeignMessage);
            };
            list.push_message(participants, message)?;
        }
        Ok(())
    })
}
