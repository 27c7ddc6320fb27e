//! Measurements of the second generation.

pub(crate) mod feed;
pub(crate) mod lists;
mod page;
