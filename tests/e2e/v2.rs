//! The second generation of the public API (PROTOCOL-2), from outside.

mod rest;
mod ws;
