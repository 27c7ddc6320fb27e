//! The gRPC contract (`proto/netrox/chat/v1/*.proto`), tried from outside on a running core; here on
//! SQLite, in `postgres.rs` on PostgreSQL.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by a panic")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test fails at all else")]

use netrox_harness::Store;

/// Where the cores of these tests keep their data.
const STORE: Store = Store::Sqlite;

mod admin;
mod attachment;
mod authentication;
mod block;
mod client_ref;
mod crowd;
mod deletion;
mod directory;
mod download;
mod drain;
mod edit;
mod erasure;
mod external_id;
mod hanging_disk;
mod history;
mod isolation;
mod marks;
mod model;
mod pipeline;
mod presence;
mod protoc;
mod protocol;
mod python;
mod quotas;
mod raw_call;
mod reflection;
mod refusal;
mod released;
mod repetition;
mod request_id;
mod retention;
mod running;
mod scopes;
mod search;
mod search_damage;
mod search_index;
mod search_recall;
mod send;
mod sessions;
mod shape;
mod shown_once;
mod subscribe;
mod tickets;
mod transport;
mod typing;
mod unavailable;
mod unreadable;
mod verbs;
mod wait;
