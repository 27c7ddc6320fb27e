//! What to do about what keeps a core from a database.

use super::super::{
    OpenError,
    error::{has_code, is_refused_for_now},
};

/// Of an error of either engine.
pub(super) fn of(error: &OpenError) -> &'static str {
    match error {
        _ if error.is_damage() => {
            "do not start on it: look at the disk and at dmesg, and restore a backup if it is not sound"
        }
        OpenError::Connect(error) => of_connection(error),
        OpenError::Unreadable(_) => "look at the log of the database",
        OpenError::NotWritable(_) => {
            "look at the owner and the mode of the file and its directory, at mount, or at the grants of the role"
        }
        OpenError::Migrate(_) => {
            "start the program that brought it up to date, or restore a backup of its own"
        }
        OpenError::OtherFile => "give the path of the right file in --database-url or --data-dir",
        OpenError::NoRoomForUpgrade { .. } => "make room on its disk",
        OpenError::NewerSchema(_) => {
            "start a program that is as new as the one that was last there"
        }
        OpenError::SqliteVersion(_) => "build the program with its own SQLite",
        OpenError::PostgresVersion(_) => {
            "upgrade PostgreSQL: see \"A new major version\" in docs/UPGRADING.md"
        }
        OpenError::OtherDeployment | OpenError::OldTimeline { .. } | OpenError::OtherHistory => {
            "look where the address leads: to an old primary, or to the database of others"
        }
        OpenError::OlderSchema { .. } => "start the cores again",
        OpenError::OtherSchema { .. } => "use the program of the server that runs on it",
        OpenError::SeveralSchemas(_)
        | OpenError::SchemaNotInPath { .. }
        | OpenError::MissingSchema { .. } => "name the schema that is meant with --database-schema",
        OpenError::NoSchema => {
            "as the owner of the database run: create schema chat authorization ROLE; and give --database-schema chat"
        }
        OpenError::NoTables | OpenError::NoData => {
            "look where --database-url leads; take --require-existing-data out for the first start alone"
        }
        OpenError::Copying => "wait for the end of netrox-chat migrate",
        OpenError::UnfinishedCopy => "run netrox-chat migrate again, to its end",
        OpenError::Setting { name, .. } => of_setting(name),
        OpenError::NoTrigrams(_) => {
            "as the owner of the database or a superuser run: create extension pg_trgm; or take --search out"
        }
        OpenError::SearchNotMade(_) => {
            "start a core with --search once as the owner of the tables, or give them to ROLE"
        }
        OpenError::SearchLocked { .. } => {
            "wait for the end of the transaction that it names, or end it with pg_terminate_backend"
        }
        OpenError::SessionSettings | OpenError::Pooler(_) => {
            "give the address of the server itself in --database-url, not that of a pooler"
        }
    }
}

fn of_setting(name: &str) -> &'static str {
    match name {
        "fsync" | "full_page_writes" => {
            "turn it on, reload PostgreSQL, run sync on its host, and checkpoint; --accept-database-setting only where the \
             storage is durable by other means"
        }
        "synchronous_commit" => {
            "set it to on for the server, the database and the role: look in pg_db_role_setting"
        }
        "pg_is_in_recovery" => "it is a standby: give the address of the primary",
        "transaction_read_only" => {
            "set default_transaction_read_only to off for the server, the database and the role"
        }
        "server_encoding" => "make a database with the encoding UTF8",
        "journal_mode" | "synchronous" => "move the file to a local file system that takes WAL",
        _ => "set it to what PostgreSQL has by default",
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "an enum of sqlx")]
fn of_connection(error: &sqlx::Error) -> &'static str {
    const WRONG_PASSWORD: [&str; 2] = ["28P01", "28000"];
    const NO_DATABASE: &str = "3D000";
    if WRONG_PASSWORD.iter().any(|code| has_code(error, code)) {
        return "mend user or password in --database-url, or pg_hba.conf of the server";
    }
    if has_code(error, NO_DATABASE) {
        return "make the database, or mend its name in --database-url";
    }
    if is_refused_for_now(error) {
        return "wait for its start, or look at max_connections, at the limit of the role, and at who has the connections";
    }
    match error {
        sqlx::Error::Tls(_) => {
            "look at sslmode and sslrootcert in --database-url, and at when the certificate of the server ends"
        }
        sqlx::Error::Io(_) => {
            "start the database, or mend host and port in --database-url; see whether a firewall is in between"
        }
        sqlx::Error::Database(_) => "look at the log of the database",
        _ => "mend --database-url, and look at the log of the database",
    }
}
