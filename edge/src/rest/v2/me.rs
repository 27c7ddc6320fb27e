//! `GET /v2/me`: who the user is to others, what is unread, and what is allowed.

use axum::{extract::State, response::Response};
use http::StatusCode;
use netrox_proto::v1::{GetPresenceRequest, GetUsersRequest, Visibility};
use serde::Serialize;
use tonic::Code;

use super::{
    answer,
    thread::{Threads, ThreadsPlace},
    user::PageReader,
};
use crate::{
    edge::Edge,
    rest::listing::in_time,
    wire::v2::{limits::LimitsObject, object::UserObject, problem::Problem},
};

#[derive(Serialize)]
struct Me<'a> {
    user: UserObject<'a>,
    presence: &'static str,
    unread_total: i32,
    limits: LimitsObject,
}

pub(super) async fn me(
    State(edge): State<Edge>,
    PageReader { user_id, read: _read }: PageReader,
) -> Result<Response, Problem> {
    let request = GetUsersRequest { user_ids: vec![user_id.to_string()], ..Default::default() };
    let user = async {
        let found = edge.shared.core.directory.clone().get_users(request).await;
        let found = found.map_err(|status| edge.read_refused(user_id, &status))?.into_inner();
        found.users.into_iter().next().ok_or_else(|| {
            // Ensured by the next request, or found to be deleted.
            edge.shared.known_users.forget(user_id);
            Problem::unavailable()
        })
    };
    let presence = async {
        let request = GetPresenceRequest { user_id: user_id.to_string(), peer_ids: Vec::new() };
        let asked = edge.shared.core.chat.clone().get_presence(request).await;
        match asked {
            Ok(answer) => Ok(match answer.into_inner().visibility() {
                Visibility::Nobody => "nobody",
                Visibility::Peers | Visibility::Unspecified => "peers",
            }),
            // A core of before lets nobody hide.
            Err(status) if status.code() == Code::Unimplemented => Ok("peers"),
            Err(status) => Err(edge.read_refused(user_id, &status)),
        }
    };
    // The total comes with the first thread.
    let threads = Threads::read(&edge, user_id, ThreadsPlace::default(), 1);
    let (user, presence, threads) =
        in_time(async { tokio::try_join!(user, presence, threads) }).await?;
    let me = Me {
        user: UserObject::of(&user),
        presence,
        unread_total: threads.unread_total,
        limits: LimitsObject::of(&edge.shared.config.limits),
    };
    answer::value(StatusCode::OK, &me)
}
