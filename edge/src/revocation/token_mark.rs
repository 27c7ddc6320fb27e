//! What an access token is known by when it is taken away. Small, because every socket keeps it.

use netrox_proto::token_name::{TokenKey, token_key};

/// Before all others.
const UNDATED: i64 = i64::MIN;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TokenMark {
    /// The second of its `iat`; before all others where it has none.
    pub(super) issued_at: i64,
    /// Of its `jti`, where it has one: as that of any issuer, and as that of its own.
    pub(super) names: Option<[TokenKey; 2]>,
}

impl TokenMark {
    /// By `iss`, `jti` and `iat`.
    pub(crate) fn new(issuer: Option<&str>, id: Option<&str>, issued_at: Option<f64>) -> Self {
        let names = id.map(|id| [token_key(None, id), token_key(issuer, id)]);
        let issued_at = issued_at.map_or(UNDATED, |seconds| seconds.floor() as i64);
        Self { issued_at, names }
    }

    /// Its time of issue in Unix seconds, and its names, as far as it has them.
    pub(crate) fn parts(self) -> (Option<i64>, Option<[TokenKey; 2]>) {
        (Some(self.issued_at).filter(|at| *at != UNDATED), self.names)
    }

    pub(crate) fn of_parts(issued_at: Option<i64>, names: Option<[TokenKey; 2]>) -> Self {
        Self { issued_at: issued_at.unwrap_or(UNDATED), names }
    }
}

/// Of a token that says nothing.
impl Default for TokenMark {
    fn default() -> Self {
        Self::new(None, None, None)
    }
}
