//! A database of SQLite, beside a server that has it open or without one.

use std::{fs, io, path::Path, time::Duration};

use netrox_diagnosis::{Report, Subject};
use rustix::fs::{Access, access};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{
    super::{OpenError, sqlite},
    remedy,
};

/// For whoever has the database locked.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
const HAS_SCHEMA: &str = "\
    select exists (select 1 from sqlite_schema where type = 'table' and name = '_sqlx_migrations')";
const SCHEMA: &str = "select max(version) from _sqlx_migrations where success";
const SQLITE: &str = "select sqlite_version()";

/// Of a file that is there.
pub(crate) async fn examine(path: &Path, report: &mut Report) {
    let name = path.display();
    if let Err(error) = could_be_written(path) {
        let remedy = "look at its owner and mode, those of its directory, and at mount";
        return report.find(
            Subject::Database,
            format!("{name} cannot be written: {error}"),
            remedy,
        );
    }
    let manner = match Manner::of(path) {
        Ok(manner) => manner,
        Err(error) => {
            let remedy = "look at the owner and mode of its directory";
            return report.find(Subject::Database, format!("{name}: {error}"), remedy);
        }
    };
    if manner == Manner::NotAtAll {
        let text = "its schema: it has a log from before, which the next start applies";
        return report.skip(Subject::Database, format!("{name}, {text}"));
    }
    match look(path, manner).await {
        Ok((version, schema)) => {
            let newest = sqlite::newest_schema();
            let update = match schema < newest {
                true => format!(", which the next start brings to {newest}"),
                false => String::new(),
            };
            let text = format!("SQLite {version}, {name} has schema {schema}{update}");
            report.note(Subject::Database, text);
        }
        Err(error) => {
            let is_of_file = matches!(error, OpenError::Connect(_)) && !error.is_damage();
            let remedy = if is_of_file {
                "see whether another file is in its place, and who has it locked"
            } else {
                remedy::of(&error)
            };
            report.find(Subject::Database, format!("{name}: {error}"), remedy);
        }
    }
}

/// How it is read without leaving a file beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Its log and the index of that are there, as while a server runs.
    WithLog,
    /// Nobody has it open, and all is in the one file. SQLite is told that it stays so, else it would make the others.
    AsItStands,
    NotAtAll,
}

impl Manner {
    fn of(path: &Path) -> io::Result<Self> {
        let has = |suffix: &str| {
            let mut beside = path.canonicalize()?.into_os_string();
            beside.push(suffix);
            match fs::metadata(beside) {
                Ok(metadata) => Ok(metadata.len() > 0),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
                Err(error) => Err(error),
            }
        };
        Ok(match (has("-wal")?, has("-shm")?) {
            (_, true) => Self::WithLog,
            (false, false) => Self::AsItStands,
            (true, false) => Self::NotAtAll,
        })
    }
}

fn could_be_written(path: &Path) -> io::Result<()> {
    access(path, Access::READ_OK | Access::WRITE_OK)?;
    let directory = path.canonicalize()?;
    let directory = directory.parent().unwrap_or(Path::new("/"));
    Ok(access(directory, Access::WRITE_OK | Access::EXEC_OK)?)
}

/// The version of SQLite, and that of the schema.
async fn look(path: &Path, manner: Manner) -> Result<(String, i64), OpenError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .immutable(manner == Manner::AsItStands)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("trusted_schema", "OFF");
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let version = sqlx::query_scalar(SQLITE).fetch_one(&mut connection).await?;
    let has_schema: bool = sqlx::query_scalar(HAS_SCHEMA).fetch_one(&mut connection).await?;
    if !has_schema {
        return Err(OpenError::OtherFile);
    }
    let schema: Option<i64> = sqlx::query_scalar(SCHEMA).fetch_one(&mut connection).await?;
    connection.close().await?;
    let schema = schema.unwrap_or_default();
    if schema > sqlite::newest_schema() {
        Err(OpenError::NewerSchema(schema))
    } else {
        Ok((version, schema))
    }
}
