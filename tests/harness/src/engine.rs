//! PostgreSQL and NATS servers: those that all tests share, and ones of a test's own, which it may
//! kill, stop and pause.

use std::path::PathBuf;

use crate::database::Server;

mod archive;
mod nats;
mod postgres;
mod process;
mod standby;

pub use self::{
    archive::ArchivedPostgres, nats::NatsServer, postgres::PostgresServer,
    standby::ReplicatedPostgres,
};

/// The shared PostgreSQL server.
pub(crate) fn shared_postgres() -> Server {
    Server::parse(&provided("NETROX_CHAT_TEST_POSTGRES_URL"))
}

/// The shared nats-server.
pub(crate) fn shared_nats() -> Server {
    Server::parse(&provided("NETROX_CHAT_TEST_NATS_URL"))
}

/// A variable that tests/run sets.
fn provided(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run the tests with tests/run, which starts PostgreSQL and NATS")
    })
}

/// One of PostgreSQL's programs.
pub(crate) fn postgres_program(name: &str) -> PathBuf {
    provided_path("NETROX_CHAT_TEST_POSTGRES_BIN").join(name)
}

fn provided_path(name: &str) -> PathBuf {
    provided(name).into()
}
