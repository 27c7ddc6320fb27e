//! The documented behaviour, from outside: real processes, real sockets, each test in every
//! arrangement (`serve`, `split`, `cluster`).

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by a panic")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a test fails at all else")]

mod attachment;
mod audit;
mod backup;
mod bucket;
mod clients_python;
mod clients_typescript;
mod clients_web;
mod cluster;
mod crash;
mod crowd;
mod demo;
mod deploy;
mod doctor;
mod drain;
mod epoch;
mod faults;
mod flow;
mod golden;
mod hang;
mod health;
mod history;
mod hostile;
mod identity;
mod limits;
mod media;
mod memory;
mod metrics;
mod migrate;
mod migrating;
mod original;
mod people;
mod power_cut;
mod program;
mod promise;
mod proxies;
mod request_id;
mod rest;
mod restart;
mod sessions;
mod shadow;
mod tls;
mod traces;
mod transfer;
mod v2;
mod vanish;
mod wait;
mod ws;
