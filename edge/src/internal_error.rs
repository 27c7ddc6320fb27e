//! Defects: logged under an id, which is all that a user is told of them.

use std::fmt;

use uuid::Uuid;

/// Logs a defect, and gives the id that finds it in the log.
pub(crate) fn log_internal(error: impl fmt::Display) -> Uuid {
    let id = Uuid::new_v4();
    tracing::error!(error.id = %id, "internal error {id}: {error}");
    id
}
