//! Whether a database is as it has to be, for the operator. Nothing of the chat is written or locked, and nothing is left: cores
//! may be at work on it.
//!
//! * [`postgres`], [`sqlite`]: each engine; [`remedy`]: what to do about what is wrong; [`rights`]: of the role
//!   in PostgreSQL.

mod postgres;
mod remedy;
mod rights;
mod sqlite;

pub(crate) use self::{postgres::examine as examine_postgres, sqlite::examine as examine_sqlite};
