//! `GET /chat/get-user-threads/`: the caller's threads, the most recently active first.

use axum::{extract::State, response::Response};
use http::StatusCode;
use netrox_proto::v1::{ListThreadsRequest, ListThreadsResponse};

use super::listing::{self, Items};
use crate::{
    Edge,
    caller::Caller,
    error::PublicError,
    json::{self, Thread},
};

pub(super) async fn list(
    State(edge): State<Edge>,
    Caller(user_id): Caller,
) -> Result<Response, PublicError> {
    let limits = &edge.shared.limits;
    let permit = limits.history_reads(user_id).ok_or_else(PublicError::too_many_requests)?;

    let request = ListThreadsRequest { user_id: user_id.to_string() };
    let refused = |status| edge.refusal(user_id, &status);
    let responses = edge.shared.core.lists.clone().list_threads(request).await;
    let mut responses = responses.map_err(refused)?.into_inner();
    let first = listing::next(&mut responses).await.map_err(refused)?;

    let render = |response: &ListThreadsResponse, items: &mut Items| {
        response.threads.iter().try_for_each(|thread| {
            items.push(|json| serde_json::to_writer(json, &Thread::from(thread)))
        })
    };
    let body = listing::body(json::THREADS, first, responses, render, permit);
    Ok(json::respond(StatusCode::OK, body))
}
