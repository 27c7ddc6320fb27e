//! The second generation of the public API (PROTOCOL-2), from outside.

mod client;
mod model;
mod rest;
mod ws;
