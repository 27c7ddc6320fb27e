//! The second generation of the public API (PROTOCOL-2).
//!
//! * [`object`]: messages, threads and users, as frames and answers have them alike.
//! * [`limits`]: what a client is told of the limits.
//! * [`meta`]: what a client attaches to a message.

pub(crate) mod limits;
pub(crate) mod meta;
pub(crate) mod object;
