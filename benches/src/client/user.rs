//! Users and their access tokens.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header, encode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Result;

const TOKEN_SECONDS: u64 = 6 * 3600;

/// The claims of a token, as far as both sides of the bench need them.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) user_id: Uuid,
    pub(crate) exp: u64,
    pub(crate) email: String,
}

#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) id: Uuid,
    pub(crate) token: String,
}

impl User {
    /// Somebody new, with a token signed with HS256.
    pub(crate) fn new(jwt_secret: &str) -> Result<Self> {
        Self::known_as(Uuid::new_v4(), jwt_secret)
    }

    #[expect(clippy::disallowed_methods, reason = "tokens expire by the wall clock")]
    pub(crate) fn known_as(id: Uuid, jwt_secret: &str) -> Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let email = format!("{:08x}@example.com", id.as_fields().0);
        let claims = Claims { user_id: id, exp: now + TOKEN_SECONDS, email };
        let key = EncodingKey::from_secret(jwt_secret.as_bytes());
        Ok(Self { id, token: encode(&Header::default(), &claims, &key)? })
    }
}
