//! Who was refused, for the audit trail.

use std::net::IpAddr;

use http::Extensions;
use netrox_audit::{Audit, Name, Refused};
use netrox_metrics::Word as _;
use netrox_proto::{
    ids::UserId,
    request_id::RequestId,
    v1::{ErrorReason, Failure},
};

use crate::{auth::Refusal, client_address::ClientAddress, strangers::Visitor};

/// A request showed no token, or none that counts.
pub(crate) fn refused(audit: &Audit, refusal: Refusal, request: &Extensions) {
    let peer = Visitor::address(request).map(ClientAddress::ip);
    refused_at(audit, refusal, peer);
}

/// The same on a connection.
pub(crate) fn refused_at(audit: &Audit, refusal: Refusal, peer: Option<IpAddr>) {
    let refused = Refused {
        name: Name::AuthenticationRefused,
        reason: refusal.word(),
        actor: None,
        target: None,
        method: None,
        peer,
    };
    audit.refused(refused, |event| event.request_id(RequestId::current()));
}

/// More came from an address than may come without a good token.
pub(crate) fn too_many(audit: &Audit, reason: &'static str, address: Option<ClientAddress>) {
    let refused = Refused {
        name: Name::AuthenticationRefused,
        reason,
        actor: None,
        target: None,
        method: None,
        peer: address.map(ClientAddress::ip),
    };
    audit.refused(refused, |event| event.request_id(RequestId::current()));
}

/// A token counts, but its user was deleted. Other failures say nothing of who asks.
pub(crate) fn user_refused(audit: &Audit, failure: &Failure, user: UserId, request: &Extensions) {
    let address = Visitor::address(request);
    user_refused_at(audit, failure, user, address);
}

/// The same where the core finds it out while the edge still takes the user for one of the directory.
pub(crate) fn user_refused_later(audit: &Audit, failure: &Failure, user: UserId) {
    user_refused_at(audit, failure, user, None);
}

fn user_refused_at(audit: &Audit, failure: &Failure, user: UserId, address: Option<ClientAddress>) {
    if failure.reason() != ErrorReason::UserDeleted {
        return;
    }
    let refused = Refused {
        name: Name::AuthenticationRefused,
        reason: "user_deleted",
        actor: None,
        target: None,
        method: None,
        peer: address.map(|address| address.ip()),
    };
    audit.refused(refused, |event| event.request_id(RequestId::current()).target(user.to_string()));
}
