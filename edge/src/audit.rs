//! Who was refused, for the audit trail.

use http::Extensions;
use netrox_audit::{Audit, Name, Refused};
use netrox_proto::{
    ids::UserId,
    request_id::RequestId,
    v1::{ErrorReason, Failure},
};

use crate::{auth::Refusal, strangers::Visitor};

/// A request showed no token, or none that counts.
pub(crate) fn refused(audit: &Audit, refusal: Refusal, request: &Extensions) {
    let refused = Refused {
        name: Name::AuthenticationRefused,
        reason: refusal.word(),
        actor: None,
        method: None,
        peer: Visitor::address(request).map(|address| address.ip()),
    };
    audit.refused(refused, |event| event.request_id(RequestId::current()));
}

/// A token counts, but its user was deleted. Other failures say nothing of who asks.
pub(crate) fn user_refused(audit: &Audit, failure: &Failure, user: UserId, request: &Extensions) {
    if failure.reason() != ErrorReason::UserDeleted {
        return;
    }
    let refused = Refused {
        name: Name::AuthenticationRefused,
        reason: "user_deleted",
        actor: None,
        method: None,
        peer: Visitor::address(request).map(|address| address.ip()),
    };
    audit.refused(refused, |event| event.request_id(RequestId::current()).target(user.to_string()));
}
