//! Who was refused, for the audit trail.

use http::Extensions;
use netrox_audit::{Audit, Name, Refused};
use netrox_proto::request_id::RequestId;

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
