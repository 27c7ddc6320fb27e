//! What is kept of who opened a connection, for as long as it is open.

use std::net::IpAddr;

use uuid::Uuid;

use crate::revocation::TokenMark;

/// Small, because connections are many.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Admitted {
    pub(super) session_id: Uuid,
    /// As far as it is known.
    pub(super) address: Option<IpAddr>,
    /// By which it goes on: in the second generation another may take its place.
    pub(super) token: TokenMark,
    /// Of the token, in Unix seconds.
    pub(super) expires_at: i64,
}
