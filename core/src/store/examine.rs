//! Whether a database is as it has to be, for the operator. Nothing of the chat is written or locked, and nothing is left: cores
//! may be at work on it.
//!
//! * [`postgres`], [`sqlite`]: each engine; [`remedy`]: what to do about what is wrong; [`rights`]: of the role
//!   in PostgreSQL; [`trigrams`]: what search needs there.

mod postgres;
mod remedy;
mod rights;
mod sqlite;
mod trigrams;

/// What there has to be besides a server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Needs {
    /// Data of ours.
    pub(crate) data: bool,
    /// What an index for search is made of.
    pub(crate) search: bool,
}

pub(crate) use self::{postgres::examine as examine_postgres, sqlite::examine as examine_sqlite};
