//! The second generation of the public API (PROTOCOL-2), from outside.

pub(crate) mod client;
pub(crate) mod model;
mod rest;
mod ws;
