//! A PostgreSQL server whose log is archived, and its recovery to a point in time.

use std::{fs::File, net::SocketAddr};

use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;

use super::{PostgresServer, postgres::give_away};
use crate::eventually;

/// A server, a base backup of it, and all that it has logged since.
///
/// Fields are dropped in this order.
#[derive(Debug)]
pub struct ArchivedPostgres {
    server: PostgresServer,
    backup: PostgresServer,
    archive: TempDir,
}

impl ArchivedPostgres {
    pub async fn start() -> Self {
        let archive = tempfile::tempdir().expect("a temporary directory");
        give_away(archive.path());
        let mut server = PostgresServer::init();
        let command = format!("archive_command=cp %p {}/%f", archive.path().display());
        server.start_with(&["archive_mode=on", &command]).await;
        let backup = server.back_up_by(server.address(), &[]);
        Self { server, backup, archive }
    }

    /// The server that takes writes until [`Self::recover`].
    pub fn server(&self) -> &PostgresServer {
        &self.server
    }

    /// Where the recovered server is.
    pub fn recovered_address(&self) -> SocketAddr {
        self.backup.address()
    }

    /// By its clock.
    pub async fn now(&self) -> String {
        self.ask("select clock_timestamp()::text").await
    }

    /// The server ends, and another is made of its backup and what it has committed up to an instant; returns when that
    /// takes writes.
    pub async fn recover(&mut self, until: &str) {
        let last = self.ask("select pg_walfile_name(pg_switch_wal())").await;
        eventually("the end of the log in the archive", async || {
            self.archive.path().join(&last).exists().then_some(())
        })
        .await;
        // Which waits for the archive.
        self.server.stop().await;
        let signal = self.backup.data().join("recovery.signal");
        File::create(&signal).expect("ask for a recovery");
        give_away(&signal);
        let restore = format!("restore_command=cp {}/%f %p", self.archive.path().display());
        let target = format!("recovery_target_time={until}");
        let action = "recovery_target_action=promote";
        self.backup.start_with(&[&restore, &target, action]).await;
        let mut recovered = connect(&self.backup).await;
        eventually("the end of the recovery", async || {
            let recovers = sqlx::query_scalar("select pg_is_in_recovery()");
            let recovers: bool = recovers.fetch_one(&mut recovered).await.expect("a state");
            (!recovers).then_some(())
        })
        .await;
    }

    async fn ask(&self, query: &'static str) -> String {
        let answer = sqlx::query_scalar(query).fetch_one(&mut connect(&self.server).await).await;
        answer.unwrap_or_else(|error| panic!("{query}: {error}"))
    }
}

async fn connect(postgres: &PostgresServer) -> PgConnection {
    let url = postgres.server().database("postgres");
    PgConnection::connect(&url).await.expect("connect to PostgreSQL")
}
