//! The public side of netrox-chat: authenticates end users and translates the documented REST
//! routes and WebSocket actions (PROTOCOL sections 1-5) into calls of the gRPC contract.
//!
//! * [`config`]: what an operator can set.
//! * [`core_client`]: the way to the core, over the network or in process.
//! * `edge`: its parts, put together; `tasks`: what runs, and how it ends.
//! * `server`: the accept loop, its timeouts and the drain; `strangers`: connections on which nobody has shown a token.
//! * `rest`: the routes, one file per resource.
//! * `ws`: WebSockets, from their handshakes on; `sends`: the pipeline that their messages take to the core.
//! * `audit`: who was refused, for the audit trail.
//! * `caller`: who calls; by way of `auth` (the token) and `directory` (what the core knows).
//! * `revocation`: tokens that were taken away, as a core tells; `ticket`: what is shown in the place of a token.
//! * `limits`: how much a user may do at a time.
//! * `wire`: the public wire formats, which nothing else writes; `error`: the refusals of REST; `internal_error`: what is
//!   logged of defects.
//! * `doctor`: what is wrong with what an edge works on.
//! * `metrics`: what can be measured; `request`: what a request is called on its way; `trace`: the spans of those that
//!   are traced.
//! * `standstill`: whether the process was stopped or starved for a while.
//! * `backoff`: the delays between attempts to reach the core.
//!
//! Imports among these go one way.

#![cfg_attr(test, allow(clippy::wildcard_enum_match_arm, reason = "a test fails at all else"))]

mod audit;
mod auth;
mod backoff;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod caller;
mod client_address;
pub mod config;
pub mod core_client;
mod directory;
mod doctor;
mod doorkeeper;
mod edge;
mod error;
mod internal_error;
mod limits;
#[cfg(test)]
mod logs;
mod metrics;
mod notice;
mod presence;
mod request;
mod rest;
mod revocation;
mod sends;
mod server;
mod standstill;
mod strangers;
#[cfg(test)]
mod stub_core;
#[cfg(test)]
mod stub_edge;
mod tasks;
mod ticket;
mod trace;
mod typing;
#[cfg(test)]
mod unused_address;
mod wire;
mod written;
mod ws;

pub use auth::{ConfigError, Explanation, Refusal, check_authorities, check_key_url, explain};
pub use config::Config;
pub use core_client::CoreTransport;
pub use doctor::{check, examine, examine_cores};
pub use edge::Edge;
pub use metrics::Metrics;
