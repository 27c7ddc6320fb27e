//! PROTOCOL-2 section 5: REST. The harness holds each answer against `docs/openapi.yaml`.

mod attachment;
mod block;
mod change;
mod client;
mod compression;
mod documented;
mod every_way;
mod fault;
mod gone;
mod http_layer;
mod link;
mod mark;
mod message;
mod search;
mod send;
mod sync;
mod thread;
