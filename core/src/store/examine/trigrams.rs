//! What an index for search is made of in PostgreSQL.

use netrox_diagnosis::{Report, Subject};
use sqlx::{FromRow, PgConnection};

use super::super::OpenError;
use crate::config::PostgresDatabase;

const LOOK: &str = "\
    select exists (select 1 from pg_extension where extname = 'pg_trgm') as is_made,
        exists (select 1 from pg_available_extensions where name = 'pg_trgm') as is_available,
        has_database_privilege(current_database(), 'create') as may_make,
        (select datctype from pg_database where datname = current_database()) in ('C', 'POSIX') as is_ascii";

#[derive(FromRow)]
struct Trigrams {
    is_made: bool,
    is_available: bool,
    may_make: bool,
    /// Whether the locale of the database knows no other letters.
    is_ascii: bool,
}

pub(super) async fn look(
    database: &PostgresDatabase,
    connection: &mut PgConnection,
    report: &mut Report,
) -> Result<(), OpenError> {
    let Trigrams { is_made, is_available, may_make, is_ascii } =
        sqlx::query_as(LOOK).fetch_one(connection).await?;
    let missing = match (is_made, is_available, may_make) {
        (true, ..) | (false, true, true) => None,
        (false, false, _) => Some("the server does not have its files"),
        (false, true, false) => Some("the role may not make it"),
    };
    if let Some(cause) = missing {
        let cause = format!("{database}: --search needs the extension pg_trgm, and {cause}");
        let remedy = "install PostgreSQL's contrib package, and as the owner of the database or a superuser run: create \
                      extension pg_trgm; or take --search out";
        report.find(Subject::Database, cause, remedy);
    }
    if is_ascii {
        let text = "its locale is C: words of other letters than a to z are searched for in all messages of a user, which \
                    is slower";
        report.note(Subject::Database, format!("{database}: {text}"));
    }
    Ok(())
}
