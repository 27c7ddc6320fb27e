//! Who asks, by the token of a request.

use axum::extract::{FromRequestParts, Path, rejection::PathRejection};
use http::request::Parts;
use netrox_proto::ids::UserId;
use tonic::Status;

use crate::{
    audit,
    auth::Identity,
    edge::Edge,
    rest::{
        attachment::is_certain,
        listing::{self, Read},
    },
    strangers::Visitor,
    wire::v2::problem::Problem,
};

/// The user of a request. Extracted before the body is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Actor(pub(super) UserId);

impl FromRequestParts<Edge> for Actor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, Problem> {
        let Bearer(identity) = Bearer::from_request_parts(parts, edge).await?;
        Ok(Self(identity.user_id))
    }
}

/// The same with what the token says.
pub(super) struct Bearer(pub(super) Identity);

impl FromRequestParts<Edge> for Bearer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, Problem> {
        let shared = &edge.shared;
        let (headers, request) = (&parts.headers, &parts.extensions);
        let patience = edge.patience(&parts.method);
        let identity = shared.doorkeeper.authenticate(headers, None, request, patience).await?;
        let ensured = shared.known_users.ensure(&identity).await.inspect_err(|failure| {
            let (audit, user) = (&shared.config.audit, identity.user_id);
            audit::user_refused(audit, failure, user, &parts.extensions)
        });
        ensured.map_err(Problem::of_read)?;
        Visitor::become_known(&parts.extensions);
        Ok(Self(identity))
    }
}

/// Who reads a page, with a place among their reads.
pub(super) struct PageReader {
    pub(super) user_id: UserId,
    pub(super) read: Read,
}

impl FromRequestParts<Edge> for PageReader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, Problem> {
        let Actor(user_id) = listing::in_time(Actor::from_request_parts(parts, edge)).await?;
        let read = Read::begin(edge, user_id, &parts.extensions).await?;
        Ok(Self { user_id, read })
    }
}

/// The one variable of a path, where it can be read.
pub(super) type PathText = Result<Path<String>, PathRejection>;

/// The other user that a path names; nothing where it names none, or the one who asks.
pub(super) fn peer(path: PathText, user: UserId) -> Option<UserId> {
    let Path(text) = path.ok()?;
    text.parse().ok().filter(|peer| *peer != user)
}

impl Edge {
    /// What the core's refusal is to who only asked.
    pub(super) fn read_refused(&self, user: UserId, status: &Status) -> Problem {
        Problem::of_read(self.failure(user, status))
    }

    /// What the core's refusal is to who wanted something changed. Whatever is not said by a core does not tell what it
    /// did.
    pub(super) fn write_refused(&self, user: UserId, status: &Status) -> Problem {
        let failure = self.failure(user, status);
        let is_open = !is_certain(status) && status.code() != tonic::Code::Unimplemented;
        if is_open { Problem::outcome_unknown(failure.message) } else { Problem::of_write(failure) }
    }
}
