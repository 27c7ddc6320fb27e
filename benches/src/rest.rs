//! Measurements of the REST routes.

pub(crate) mod history;
pub(crate) mod threads;
pub(crate) mod upload;
