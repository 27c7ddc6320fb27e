//! A database of SQLite, beside a server that has it open or without one.

use std::{fs, io, path::Path, time::Duration};

use netrox_diagnosis::{Report, Subject};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{
    super::{Expected, OpenError, sqlite},
    remedy,
};

/// For whoever has the database locked.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
const HAS_SCHEMA: &str = "\
    select exists (select 1 from sqlite_schema where type = 'table' and name = '_sqlx_migrations')";
const SCHEMA: &str = "select max(version) from _sqlx_migrations where success";
const SQLITE: &str = "select sqlite_version()";

/// A server may begin or end meanwhile.
const MOST_LOOKS: usize = 3;

/// Of a file that is there, and can be written.
pub(crate) async fn examine(
    path: &Path,
    expected: Expected,
    require_data: bool,
    report: &mut Report,
) {
    let name = path.display();
    let looked = match look_in_any_manner(path).await {
        Ok(Some(looked)) => looked,
        Ok(None) => {
            let text = "its schema: it has a log from before, which the next start applies";
            return report.skip(Subject::Database, format!("{name}, {text}"));
        }
        Err(error) => {
            let remedy = "look at the owner and mode of its directory";
            return report.find(Subject::Database, format!("{name}: {error}"), remedy);
        }
    };
    let of_start = match looked {
        // Of a first start that was cut off.
        Err(OpenError::OtherFile) if expected == Expected::File => match require_data {
            true => Err(OpenError::NoData),
            false => Ok(format!("{name}: the first start makes its tables")),
        },
        Ok((version, schema)) => {
            let newest = sqlite::newest_schema();
            let update = match schema < newest {
                true => format!(", which the next start brings to {newest}"),
                false => String::new(),
            };
            Ok(format!("SQLite {version}, {name} has schema {schema}{update}"))
        }
        Err(error) => Err(error),
    };
    match of_start {
        Ok(text) => report.note(Subject::Database, text),
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

type Looked = Result<(String, i64), OpenError>;

/// What is found while nobody changes in which manner it is to be read; nothing where it is not to be read. What a server
/// writes meanwhile, one that was told that all stays as it is may take for damage: so it looks again.
async fn look_in_any_manner(path: &Path) -> io::Result<Option<Looked>> {
    let mut looks = 1;
    loop {
        let manner = Manner::of(path)?;
        if manner == Manner::NotAtAll {
            return Ok(None);
        }
        let looked = look(path, manner).await;
        let is_certain = match manner {
            Manner::WithLog => true,
            Manner::AsItStands | Manner::NotAtAll => looked.is_ok() || looks > 1,
        };
        if looks == MOST_LOOKS || is_certain && Manner::of(path)? == manner {
            return Ok(Some(looked));
        }
        looks += 1;
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

/// The version of SQLite, and that of the schema.
async fn look(path: &Path, manner: Manner) -> Looked {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_of_a_first_start_that_was_cut_off_is_well_and_one_that_was_in_use_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("chat.db");
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql("create table begun (a)").execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        for (expected, require_data, findings) in
            [(Expected::File, false, 0), (Expected::File, true, 1), (Expected::Database, false, 1)]
        {
            let mut report = Report::default();
            examine(&path, expected, require_data, &mut report).await;
            assert_eq!(report.findings.len(), findings, "{expected:?}: {report:?}");
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
