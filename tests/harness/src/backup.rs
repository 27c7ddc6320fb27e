//! Databases that are copied, and that go back to their copy.

use std::{path::Path, process::Command};

use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{database::Database, engine::postgres_program};

/// Copies a SQLite database into a new file, as it is documented: with `vacuum into`, while it is used.
pub async fn copy_sqlite(from: &Path, to: &Path) {
    let options = SqliteConnectOptions::new().filename(from).read_only(true);
    let mut connection = SqliteConnection::connect_with(&options).await.expect("open a database");
    let to = to.to_str().expect("a path of text");
    let copied = sqlx::query("vacuum into ?").bind(to).execute(&mut connection).await;
    copied.expect("copy a database");
    connection.close().await.expect("close a database");
}

/// Puts a copy in the place of a SQLite database that nobody uses, as it is documented.
pub fn put_back_sqlite(copy: &Path, database: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let mut file = database.as_os_str().to_owned();
        file.push(suffix);
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                panic!("remove a database: {error}")
            }
            _ => {}
        }
    }
    std::fs::copy(copy, database).expect("put back a database");
}

impl Database {
    /// `pg_dump` into a new file, while it is used.
    pub fn dump(&self, to: &Path) {
        let mut dump = Command::new(postgres_program("pg_dump"));
        dump.args(["--format", "custom", "--file"]).arg(to).args(["--dbname", &self.url()]);
        run(dump);
    }

    /// `pg_restore` over what is there.
    pub fn restore(&self, from: &Path) {
        let mut restore = Command::new(postgres_program("pg_restore"));
        restore.args(["--clean", "--if-exists", "--exit-on-error", "--single-transaction"]);
        restore.args(["--dbname", &self.url()]).arg(from);
        run(restore);
    }

    /// Another database on the same server, copied file by file; nobody may use this one meanwhile.
    pub async fn copy_as(&self, name: &str) -> Self {
        self.administer(&format!("create database {name} template {}", self.name())).await;
        self.beside(name)
    }

    /// Each gets the name of the other, which is on the same server; nobody may use either.
    pub async fn exchange(&self, other: &Self) {
        let (one, other) = (self.name(), other.name());
        for (from, to) in [(one, "exchanged"), (other, one), ("exchanged", other)] {
            self.administer(&format!("alter database {from} rename to {to}")).await;
        }
    }

    /// Puts another database of the server in the place of this one; nobody may use either.
    pub async fn replace_by(&self, name: &str) {
        self.administer(&format!("drop database {}", self.name())).await;
        self.administer(&format!("alter database {name} rename to {}", self.name())).await;
    }
}

#[track_caller]
fn run(mut command: Command) {
    let ended = command.output().expect("run PostgreSQL");
    assert!(ended.status.success(), "{command:?}: {ended:?}");
}
