//! Access tokens, good and bad.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Map, Value};
use uuid::Uuid;

/// The claims of a token to be.
#[derive(Debug, Clone)]
pub struct Claims(Map<String, Value>);

impl Claims {
    /// What Django SimpleJWT issues: an access token, good for an hour.
    pub fn access(user_id: &str) -> Self {
        Self(Map::new())
            .claim("token_type", "access")
            .claim("exp", now() + 3600)
            .claim("iat", now())
            .claim("jti", Uuid::new_v4().simple().to_string())
            .claim("user_id", user_id)
    }

    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.0.remove(name);
        self
    }

    /// Signs with HS256.
    pub fn sign(&self, secret: &str) -> String {
        self.sign_with(Algorithm::HS256, &EncodingKey::from_secret(secret.as_bytes()))
    }

    /// With the name of the key in its header.
    pub fn sign_named(&self, name: &str, algorithm: Algorithm, key: &EncodingKey) -> String {
        let header = Header { kid: Some(name.to_owned()), ..Header::new(algorithm) };
        encode(&header, &self.0, key).expect("sign a token")
    }

    pub fn sign_with(&self, algorithm: Algorithm, key: &EncodingKey) -> String {
        encode(&Header::new(algorithm), &self.0, key).expect("sign a token")
    }
}

/// Seconds since the epoch.
#[expect(clippy::disallowed_methods, reason = "tokens expire by the wall clock")]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock past 1970").as_secs()
}
