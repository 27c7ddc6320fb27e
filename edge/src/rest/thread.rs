//! `GET /chat/get-user-threads/`: the caller's threads, the most recently active first.

use axum::{extract::State, response::Response};
use http::StatusCode;
use netrox_proto::v1::{ListThreadsRequest, ListThreadsResponse};

use super::listing::{self, ListError, Reader, in_time};
use crate::{
    edge::Edge,
    error::PublicError,
    wire::v1::rest::{self, List},
};

pub(super) async fn list(
    State(edge): State<Edge>,
    Reader { user_id, read }: Reader,
) -> Result<Response, PublicError> {
    let request = ListThreadsRequest { user_id: user_id.to_string(), ..Default::default() };
    let refused = |status| edge.refusal(user_id, &status);
    let (first, responses) = in_time(async {
        let responses = edge.shared.core.lists.clone().list_threads(request).await;
        let mut responses = responses.map_err(refused)?.into_inner();
        Ok::<_, PublicError>((listing::next(&mut responses).await.map_err(refused)?, responses))
    })
    .await?;

    let render = |response: &ListThreadsResponse, list: &mut List| {
        let pushed = response.threads.iter().try_for_each(|thread| list.push_thread(thread));
        pushed.map_err(ListError::from)
    };
    let body = listing::body(rest::THREADS, first, responses, render, read);
    Ok(rest::respond(StatusCode::OK, body))
}
