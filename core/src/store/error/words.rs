//! The words of an error, for the operator.

use std::fmt;

use sqlx::{migrate::MigrateError, postgres::PgDatabaseError};

/// Without the line of PostgreSQL's source, which the driver adds.
pub(crate) struct Words<'a>(pub(crate) &'a sqlx::Error);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let sqlx::Error::Database(database) = self.0
            && let Some(postgres) = database.try_downcast_ref::<PgDatabaseError>()
        {
            return write!(f, "error returned from database: {}", postgres.message());
        }
        fmt::Display::fmt(self.0, f)
    }
}

/// The same of a migration.
pub(super) struct MigrationWords<'a>(pub(super) &'a MigrateError);

impl fmt::Display for MigrationWords<'_> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "an enum of sqlx")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            MigrateError::Execute(error) => Words(error).fmt(f),
            MigrateError::ExecuteMigration(error, version) => {
                write!(f, "while executing migration {version}: {}", Words(error))
            }
            other => fmt::Display::fmt(other, f),
        }
    }
}
