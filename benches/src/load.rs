//! Loads of WebSocket clients. Every run checks that each message arrived exactly once and in order.

pub(crate) mod closed;
mod crowd;
pub(crate) mod idle;
pub(crate) mod open;
pub(crate) mod pace;
pub(crate) mod party;
pub(crate) mod scrape;
pub(crate) mod storm;
