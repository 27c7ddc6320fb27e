//! What exports read and imports write, on either engine: rows as lines, and lines as rows.
//!
//! * [`snapshot`]: one instant of a database, page by page.
//! * [`intake`]: a database that no core uses meanwhile.

pub(crate) mod intake;
pub(crate) mod snapshot;

/// Rows read, or lines written, at a time.
pub(crate) const PAGE_ROWS: usize = 1_000;

/// `select_in!(connection, "select … where column", values)`: rows whose column is one of the values, of which there is one at
/// least.
macro_rules! select_in {
    ($connection:expr, $head:literal, $values:expr) => {
        match $connection {
            $crate::store::engine::Connection::Sqlite(connection) => {
                let mut query = sqlx::QueryBuilder::<sqlx::Sqlite>::new(concat!($head, " in ("));
                let mut list = query.separated(", ");
                for value in $values {
                    list.push_bind(value);
                }
                query.push(")");
                query.build_query_as().fetch_all(connection).await
            }
            $crate::store::engine::Connection::Postgres(connection) => {
                let mut query = sqlx::QueryBuilder::<sqlx::Postgres>::new(concat!($head, " in ("));
                let mut list = query.separated(", ");
                for value in $values {
                    list.push_bind(value);
                }
                query.push(")");
                query.build_query_as().fetch_all(connection).await
            }
        }
    };
}
use select_in;
