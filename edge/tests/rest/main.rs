//! The REST side from outside: requests over real sockets to an edge whose core is a stub.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by a panic")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test fails at all else")]

mod attachment;
mod auth;
mod client;
mod http_layer;
mod media;
mod message;
mod request_id;
mod server;
mod stub;
mod thread;
mod world;
