//! The second generation of the public API (PROTOCOL-2), from outside.

pub(crate) mod client;
mod model;
mod rest;
pub(crate) mod view;
mod ws;
