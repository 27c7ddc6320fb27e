//! Users and their access tokens.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
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

/// What access tokens are signed with.
#[derive(Debug, Clone)]
pub(crate) struct Signer {
    pub(crate) algorithm: Algorithm,
    pub(crate) key: EncodingKey,
}

impl Signer {
    /// HS256.
    pub(crate) fn by_secret(secret: &str) -> Self {
        let key = EncodingKey::from_secret(secret.as_bytes());
        Self { algorithm: Algorithm::HS256, key }
    }
}

impl User {
    /// Somebody new.
    pub(crate) fn new(signer: &Signer) -> Result<Self> {
        Self::known_as(Uuid::new_v4(), signer)
    }

    #[expect(clippy::disallowed_methods, reason = "tokens expire by the wall clock")]
    pub(crate) fn known_as(id: Uuid, signer: &Signer) -> Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let email = format!("{:08x}@example.com", id.as_fields().0);
        let claims = Claims { user_id: id, exp: now + TOKEN_SECONDS, email };
        let token = encode(&Header::new(signer.algorithm), &claims, &signer.key)?;
        Ok(Self { id, token })
    }
}
