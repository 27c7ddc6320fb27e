//! A PostgreSQL server and the standby that takes its place.

use std::net::SocketAddr;

use sqlx::{Connection as _, PgConnection};

use super::PostgresServer;
use crate::{
    eventually,
    proxy::{Network, Proxy},
};

/// A primary, a standby that follows it asynchronously, and the network between the two.
///
/// Fields are dropped in this order: whoever follows first.
#[derive(Debug)]
pub struct ReplicatedPostgres {
    standby: PostgresServer,
    link: Proxy,
    primary: PostgresServer,
}

impl ReplicatedPostgres {
    pub async fn start() -> Self {
        let primary = PostgresServer::start().await;
        let link = Proxy::start(primary.address());
        let standby = primary.start_standby_by(link.address()).await;
        Self { standby, link, primary }
    }

    /// The server that takes writes until [`Self::fail_over`].
    pub fn primary(&self) -> &PostgresServer {
        &self.primary
    }

    /// Where the standby is, and the server that takes writes after [`Self::fail_over`].
    pub fn standby_address(&self) -> SocketAddr {
        self.standby.address()
    }

    /// Waits until the standby has all that the primary has committed so far.
    pub async fn caught_up(&self) {
        let mut primary = connect(&self.primary).await;
        let mut standby = connect(&self.standby).await;
        let end: String = sqlx::query_scalar("select pg_current_wal_flush_lsn()::text")
            .fetch_one(&mut primary)
            .await
            .expect("the end of the log");
        eventually("the standby to catch up", async || {
            const CAUGHT_UP: &str = "select pg_last_wal_replay_lsn() >= $1::pg_lsn";
            let caught_up = sqlx::query_scalar(CAUGHT_UP).bind(&end).fetch_one(&mut standby).await;
            let caught_up: bool = caught_up.expect("how far the standby is");
            caught_up.then_some(())
        })
        .await;
    }

    /// What the primary commits from now on does not reach the standby.
    pub fn cut_off(&self) {
        self.link.set(Network::BlackHole);
    }

    /// The primary ends as a host does that loses its power, and the standby is promoted; returns when that takes
    /// writes.
    pub async fn fail_over(&mut self) {
        self.primary.kill();
        self.promote().await;
    }

    /// The same where it is meant: the primary ends when the standby has all that it has committed.
    pub async fn switch_over(&mut self) {
        self.primary.stop().await;
        self.promote().await;
    }

    async fn promote(&self) {
        let mut standby = connect(&self.standby).await;
        let promoted = sqlx::query_scalar("select pg_promote()").fetch_one(&mut standby).await;
        let promoted: bool = promoted.expect("a promotion");
        assert!(promoted, "the standby was not promoted");
    }

    /// The old primary starts again as the primary that it was, which nobody has told of the other.
    pub async fn start_old_primary(&mut self) {
        self.primary.start_again().await;
    }
}

async fn connect(postgres: &PostgresServer) -> PgConnection {
    let url = postgres.server().database("postgres");
    PgConnection::connect(&url).await.expect("connect to PostgreSQL")
}
