//! A PostgreSQL server that may lose what it has acknowledged, or show it late, is refused at the start like any
//! other wrong setting.

use netrox_harness::{
    engine::PostgresServer,
    process::{self, Ended},
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::setting::{NO_VARIABLES, assert_names};

pub(super) async fn start_core_on(url: &str) -> Ended {
    let directory = tempfile::tempdir().expect("a directory");
    let arguments = ["core", "--grpc-addr", "127.0.0.1:0", "--database-url", url];
    process::run(directory.path(), arguments, NO_VARIABLES).await
}

async fn assert_refused(url: &str, setting: &str, value: &str) {
    let ended = start_core_on(url).await;
    assert_names(&ended, "--database-url");
    assert_names(&ended, &format!("{setting} is \"{value}\""));
}

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("connect to PostgreSQL")
}

async fn execute(url: &str, statement: &'static str) {
    let executed = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connect(url).await).await;
    executed.expect(statement);
}

#[tokio::test]
async fn a_server_that_may_lose_messages_is_refused() {
    let mut postgres = PostgresServer::start().await;
    let url = postgres.server().database("postgres");
    for (setting, name, value) in [
        ("fsync=off", "fsync", "off"),
        ("full_page_writes=off", "full_page_writes", "off"),
        ("synchronous_commit=off", "synchronous_commit", "off"),
        ("default_transaction_read_only=on", "transaction_read_only", "on"),
    ] {
        postgres.stop_immediately().await;
        postgres.start_with(&[setting]).await;
        assert_refused(&url, name, value).await;
    }
    postgres.stop_immediately().await;
    postgres.start_again().await;

    // Where the server is sound, what is set for a user or a database counts.
    execute(&url, "alter role postgres set synchronous_commit = off").await;
    assert_refused(&url, "synchronous_commit", "off").await;
    execute(&url, "alter role postgres reset all").await;
    execute(&url, "alter database postgres set synchronous_commit = off").await;
    assert_refused(&url, "synchronous_commit", "off").await;
    execute(&url, "create database latin encoding 'LATIN1' template template0").await;
    assert_refused(&postgres.server().database("latin"), "server_encoding", "LATIN1").await;

    // Nothing was made in a database that was refused.
    let tables = "select count(*) from pg_tables where schemaname = 'public'";
    let tables: i64 =
        sqlx::query_scalar(tables).fetch_one(&mut connect(&url).await).await.expect("a count");
    assert_eq!(tables, 0);
}

#[tokio::test]
async fn a_standby_is_refused() {
    let primary = PostgresServer::start().await;
    let standby = primary.start_standby().await;
    assert_refused(&standby.server().database("postgres"), "pg_is_in_recovery", "on").await;
}
