//! The public wire formats: what clients send and are sent, as JSON. Nothing outside writes any.
//!
//! A generation of the public API has a folder, which only grows where its documents allow it: [`v1`] is what every client
//! gets today. The next one is `wire/v2/`, beside it.

pub(crate) mod v1;
