//! The public side of netrox-chat: authenticates end users and translates the documented REST
//! routes and WebSocket actions (PROTOCOL sections 1-5) into calls of the gRPC contract.
//!
//! * [`config`]: what an operator can set.
//! * [`core_client`]: the way to the core, over the network or in process.
//! * [`json`]: the public wire format, in one place.

pub mod config;
pub mod core_client;
mod json;

pub use config::Config;
pub use core_client::CoreTransport;
