//! What the page at `/demo/` is told. It comes with the server, and no other client may count on it.

use serde::Serialize;

use crate::config::DemoUser;

/// The answer to `POST /demo/token/{word}`.
#[derive(Serialize)]
pub(crate) struct DemoToken<'a> {
    token: &'a str,
    user: Person<'a>,
    /// The other of the two.
    peer: Person<'a>,
    /// The page has a search, too.
    search: bool,
}

#[derive(Serialize)]
struct Person<'a> {
    id: &'a str,
    word: &'a str,
    name: &'a str,
}

impl<'a> DemoToken<'a> {
    pub(crate) fn new(
        token: &'a str,
        user: &'a DemoUser,
        peer: &'a DemoUser,
        search: bool,
    ) -> Self {
        Self { token, user: user.into(), peer: peer.into(), search }
    }
}

impl<'a> From<&'a DemoUser> for Person<'a> {
    fn from(user: &'a DemoUser) -> Self {
        Self { id: &user.id, word: user.word, name: user.name }
    }
}
