//! End users.

use uuid::Uuid;

use crate::token::Claims;

/// An end user with an access token.
#[derive(Debug, Clone)]
pub struct User {
    /// In lower case, as the program prints it.
    pub id: String,
    pub email: String,
    pub token: String,
}

impl User {
    /// Somebody new, with the email `<name>@example.com`.
    pub fn new(name: &str, jwt_secret: &str) -> Self {
        let id = Uuid::new_v4().to_string();
        Self::known_as(&id, &format!("{name}@example.com"), jwt_secret)
    }

    pub fn known_as(id: &str, email: &str, jwt_secret: &str) -> Self {
        let token = Claims::access(id).claim("email", email).sign(jwt_secret);
        Self { id: id.to_owned(), email: email.to_owned(), token }
    }

    /// The same user with another token.
    pub fn with_token(&self, token: String) -> Self {
        Self { token, ..self.clone() }
    }
}
