//! What an operator does where nothing else can tell that the database has gone back.

use crate::{
    config::Database,
    lifecycle::{self, OpenError},
    store,
};

/// Begins a new history: no position from before is good, and streams and sockets that hold one end. Cores may run meanwhile;
/// what they are sent is refused while the feeds of all users are written. Gives the name of the new history.
///
/// The database must exist, with the schema of this program.
pub async fn renew_epoch(database: &Database) -> Result<String, OpenError> {
    if let Database::Sqlite(path) = database {
        lifecycle::check_existing(path)?;
    }
    let renewed = store::renew_history(database).await;
    renewed.map_err(|error| OpenError::Database { database: database.clone(), error })
}
