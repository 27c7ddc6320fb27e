//! The web client below `/demo/`, and whose it is.

use std::{fmt, sync::Arc};

/// A client to try the service with, and tokens of its two users for who shows its key.
#[derive(Clone)]
pub struct Demo {
    /// Of this start alone; in no log of an edge.
    pub key: String,
    pub users: [DemoUser; 2],
    pub mint: Mint,
}

/// Makes an access token of a user. May block.
pub type Mint = Arc<dyn Fn(&DemoUser) -> Result<String, String> + Send + Sync>;

/// One of the two who write to each other.
#[derive(Debug, Clone)]
pub struct DemoUser {
    /// As the page asks for them.
    pub word: &'static str,
    /// As people are shown them.
    pub name: &'static str,
    /// What tokens call them.
    pub user_id: &'static str,
    /// What they are called here.
    pub id: String,
}

/// Keys stay out of logs.
impl fmt::Debug for Demo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Demo").field("users", &self.users).finish_non_exhaustive()
    }
}
