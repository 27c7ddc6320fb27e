//! The chat logic of netrox-chat, behind the gRPC contract.
//!
//! * [`chat`], [`attachment`], [`directory`]: the three services; they check and answer.
//! * [`command`]: requests as validated commands.
//! * [`committer`]: group commit, the one way to change anything.
//! * [`store`]: the database; [`media`]: the attachment bytes.
//! * [`hub`], [`subscribe`]: live delivery.
//! * [`auth`], [`server`], [`health`]: who may call, over which socket, and whether it makes sense.
//! * [`error`]: every failure, mapped once to the reasons of the contract.
//!
//! The services depend on the committer, store, hub and media; none of these knows gRPC's statuses or
//! each other, but for the committer, which writes the store and publishes to the hub.

mod attachment;
mod auth;
mod chat;
mod clock;
mod command;
mod committer;
mod config;
mod directory;
mod error;
mod health;
mod hub;
mod lifecycle;
mod media;
mod server;
mod store;
mod subscribe;

pub use config::Config;
pub use lifecycle::{Core, OpenError};
pub use store::OpenError as DatabaseError;
