//! What both ways of the second generation show (PROTOCOL-2 section 2).

pub(crate) mod message;
pub(crate) mod thread;
