//! The second generation (PROTOCOL-2), for clients that ask for it.
//!
//! * [`client_frame`], [`server_frame`]: what comes and goes over a WebSocket; [`echo`]: what answers repeat.
//! * [`field`]: what clients say, field by field; [`refusal`]: why they are refused.
//! * [`object`]: messages and threads; [`limits`]: what a client may rely on.
//! * [`cursor`]: how a client names a position.

pub(crate) mod client_frame;
pub(crate) mod cursor;
pub(crate) mod echo;
pub(crate) mod field;
pub(crate) mod limits;
pub(crate) mod object;
pub(crate) mod refusal;
pub(crate) mod server_frame;
