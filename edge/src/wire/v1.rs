//! The documented API (PROTOCOL sections 2 and 3), frozen: field names, their order and their spelling ("craeted",
//! "retreived", "receipient") are the contract; nothing here may be corrected.
//!
//! * [`rest`]: the envelopes of REST answers and what is in them.
//! * [`client_frame`], [`server_frame`]: what comes and goes over a WebSocket.
//! * [`rejection`]: why a frame is refused.
//! * `format`: times, sizes and addresses of files, which both have.

pub(crate) mod client_frame;
pub(in crate::wire) mod format;
pub(crate) mod rejection;
pub(crate) mod rest;
pub(crate) mod server_frame;

pub(crate) use format::{MEDIA_PREFIX, RestTimestamp};
