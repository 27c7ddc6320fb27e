//! The REST side from outside: requests over real sockets to an edge whose core is a stub.

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
