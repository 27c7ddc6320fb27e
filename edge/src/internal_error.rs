//! Defects: logged under an id, which is all that a user is told of them.

use std::fmt;

use netrox_proto::request_id::RequestId;

use crate::request;

/// Logs a defect, and gives the id that finds it in the log: that of the request, which the core's log has as well.
pub(crate) fn log_internal(error: impl fmt::Display) -> RequestId {
    let id = request::current();
    let trace_id = id.trace_id().map(tracing::field::display);
    tracing::error!(request_id = %id, trace_id, %error, "internal error {id}");
    id
}
