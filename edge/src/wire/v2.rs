//! The second generation of the public API (PROTOCOL-2).
//!
//! * [`body`]: the JSON bodies of requests; [`query`]: what stands behind the path; [`page`]: where a list goes on.
//! * [`cursor`]: a place in a user's feed.
//! * [`problem`]: why a request is refused.
//! * [`object`]: messages, threads and users, as frames and answers have them alike.
//! * [`limits`]: what a client is told of the limits.
//! * [`meta`]: what a client attaches to a message.

/// What an id may be: the greatest integer that every client has.
pub(crate) const MAX_ID: i64 = (1 << 53) - 1;

pub(crate) mod body;
pub(crate) mod cursor;
pub(crate) mod limits;
pub(crate) mod meta;
pub(crate) mod object;
pub(crate) mod page;
pub(crate) mod problem;
pub(crate) mod query;
