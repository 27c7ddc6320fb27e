//! `POST /v2/ticket`: what a client shows in the place of its token, in a URL: once for a WebSocket, or for a while for a file.

use axum::{
    extract::{Request, State},
    response::Response,
};
use http::StatusCode;
use netrox_proto::attachment_path;
use serde::Serialize;

use super::{answer, json_body, user::Bearer};
use crate::{
    edge::Edge,
    rest::listing::Read,
    ticket,
    wire::{
        v1::MEDIA_PREFIX,
        v2::{body, problem::Problem},
    },
};

#[derive(Serialize)]
struct TicketObject {
    ticket: String,
    expires_in_s: i64,
}

#[derive(Serialize)]
struct LinkObject {
    url: String,
    expires_in_s: i64,
}

pub(super) async fn create(
    State(edge): State<Edge>,
    Bearer(identity): Bearer,
    request: Request,
) -> Result<Response, Problem> {
    let user = identity.user_id;
    // As many at a time as histories.
    let _read = Read::begin(&edge, user, request.extensions()).await?;
    let max_bytes = edge.shared.config.limits.max_frame_bytes;
    let path = match json_body::read_if_any(request, max_bytes).await? {
        Some(json) => body::path(&json)?,
        None => None,
    };
    let file = match &path {
        Some(path) => Some(core_path(path).ok_or_else(Problem::not_found)?.to_owned()),
        None => None,
    };
    if file.is_none() {
        // It is taken from what its user has of handshakes, of which that with the ticket takes nothing.
        edge.shared.limiter.take_handshake(user)?;
    }
    let request = ticket::request(&identity, file);
    let created = edge.shared.core.sessions.clone().create_ticket(request).await;
    // Nothing is changed by one that nobody uses.
    let created = created.map_err(|status| edge.read_refused(user, &status))?.into_inner();
    let (ticket, expires_in_s) = (created.ticket, created.expires_in_s);
    match path {
        None => answer::value(StatusCode::OK, &TicketObject { ticket, expires_in_s }),
        Some(path) => {
            let url = format!("{path}?signature={ticket}");
            answer::value(StatusCode::OK, &LinkObject { url, expires_in_s })
        }
    }
}

/// That of the core in one as messages show it.
fn core_path(path: &str) -> Option<&str> {
    path.strip_prefix(MEDIA_PREFIX).filter(|path| attachment_path::is_valid(path))
}
