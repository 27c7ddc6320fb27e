//! What the contract says about data, on PostgreSQL: the tests of `main.rs`, and what only several cores on
//! one database can show.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by a panic")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test fails at all else")]

use netrox_harness::Store;

/// Where the cores of these tests keep their data.
const STORE: Store = Store::Postgres;

mod admin;
mod at_once;
mod attachment;
mod authentication;
mod block;
mod block_races;
mod bus;
mod client_ref;
mod connections;
mod cores;
mod crowd;
mod deletion;
mod directory;
mod download;
mod drain;
mod durability;
mod edit;
mod erasure;
mod external_id;
mod external_id_races;
mod full_disk;
mod held_snapshot;
mod history;
mod in_doubt;
mod isolation;
mod marks;
mod model;
mod older;
mod pipeline;
mod presence;
mod presence_cores;
mod promise;
mod protocol;
mod python;
mod quota_races;
mod quotas;
mod raw_call;
mod reflection;
mod refusal;
mod released;
mod repetition;
mod request_id;
mod retention;
mod retention_cores;
mod role_limits;
mod running;
mod schema;
mod schema_choice;
mod search;
mod search_cores;
mod search_faults;
mod search_index;
mod search_recall;
mod send;
mod sequences;
mod sessions;
mod shape;
mod shown_once;
mod standstill;
mod subscribe;
mod ticket_races;
mod tickets;
mod transport;
mod typing;
mod typing_cores;
mod unreadable;
mod verbs;
mod wait;
