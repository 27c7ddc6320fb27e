//! A client of either generation of the protocol, built to leave the machine to the server.

pub(crate) mod door;
pub(crate) mod frame;
pub(crate) mod http;
pub(crate) mod message;
pub(crate) mod second;
pub(crate) mod socket;
pub(crate) mod stream;
pub(crate) mod user;

pub(crate) use self::{door::Door, http::Http, socket::Socket, user::User};
