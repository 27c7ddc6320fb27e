//! Who calls: the user of a valid token, who is in the directory by then.

use axum::extract::FromRequestParts;
use http::{Extensions, HeaderMap, Method, request::Parts};
use netrox_proto::{
    ids::UserId,
    v1::{ErrorReason, Failure},
};

use crate::{
    audit, auth::Identity, edge::Edge, error::PublicError, revocation::Patience, strangers::Visitor,
};

/// The user of a REST request, by its `Authorization` header. Extracted before the body is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller(pub(crate) UserId);

impl FromRequestParts<Edge> for Caller {
    type Rejection = PublicError;

    async fn from_request_parts(parts: &mut Parts, edge: &Edge) -> Result<Self, PublicError> {
        let patience = edge.patience(&parts.method);
        let identity = edge.identify(&parts.headers, None, &parts.extensions, patience).await?;
        Visitor::become_known(&parts.extensions);
        Ok(Self(identity.user_id))
    }
}

impl Edge {
    /// How long a request waits until it is known whether its token counts.
    pub(crate) fn patience(&self, method: &Method) -> Patience {
        Patience::of(method, self.shared.config.limits.store_wait)
    }

    /// Verifies the token of a request and provisions its user. The token of the query counts only
    /// where there is no `Authorization` header.
    pub(crate) async fn identify(
        &self,
        headers: &HeaderMap,
        query_token: Option<&str>,
        request: &Extensions,
        patience: Patience,
    ) -> Result<Identity, PublicError> {
        let shared = &self.shared;
        let doorkeeper = &shared.doorkeeper;
        let identity = doorkeeper.authenticate(headers, query_token, request, patience).await?;
        shared.known_users.ensure(&identity).await.inspect_err(|failure| {
            audit::user_refused(&shared.config.audit, failure, identity.user_id, request)
        })?;
        Ok(identity)
    }

    /// What the core's refusal of a user's call is to the user. Where it says that this edge's
    /// knowledge of the user is out of date, the next request asks anew.
    pub(crate) fn refusal(&self, user: UserId, status: &tonic::Status) -> PublicError {
        self.failure(user, status).into()
    }

    /// The same in the core's words.
    pub(crate) fn failure(&self, user: UserId, status: &tonic::Status) -> Failure {
        let failure = Failure::from(status);
        if matches!(failure.reason(), ErrorReason::UserUnknown | ErrorReason::UserDeleted) {
            self.shared.known_users.forget(user);
            audit::user_refused_later(&self.shared.config.audit, &failure, user);
        }
        failure
    }
}
