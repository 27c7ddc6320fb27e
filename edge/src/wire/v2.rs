//! The second generation (PROTOCOL-2), for clients that ask for it.
//!
//! * [`client_frame`], [`server_frame`]: what comes and goes over a WebSocket; [`echo`]: what answers repeat.
//! * [`body`]: the JSON bodies of requests; [`query`]: what stands behind the path; [`page`]: where a list goes on.
//! * [`field`]: what clients say, field by field; [`refusal`]: why a frame is refused; [`problem`]: why a request is.
//! * [`object`]: messages, threads and users, as frames and answers have them alike; [`limits`]: what a client may rely on.
//! * [`cursor`]: how a client names a position.

/// What an id may be: the greatest integer that every client has.
pub(crate) const MAX_ID: i64 = (1 << 53) - 1;

pub(crate) mod body;
pub(crate) mod client_frame;
pub(crate) mod cursor;
pub(crate) mod echo;
pub(crate) mod field;
pub(crate) mod limits;
pub(crate) mod object;
pub(crate) mod page;
pub(crate) mod problem;
pub(crate) mod query;
pub(crate) mod refusal;
pub(crate) mod server_frame;
