//! Files that messages refer to and that are not there as they were. To a caller there is no such attachment; the operator is
//! told once of each.

use std::sync::Arc;

use quick_cache::sync::Cache;

use crate::{error::Error, media};

/// Files that are remembered as told; beyond it some are told of again.
const CAPACITY: usize = 1_000;

#[derive(Debug, Clone)]
pub(crate) struct DamagedFiles {
    told: Arc<Cache<String, ()>>,
}

impl Default for DamagedFiles {
    fn default() -> Self {
        Self { told: Arc::new(Cache::new(CAPACITY)) }
    }
}

impl DamagedFiles {
    /// What a caller is answered whose file could not be read.
    pub(super) fn answer(&self, path: &str, error: media::Error) -> Error {
        self.tell(path, &error);
        error.into()
    }

    /// Tells the operator, if it is the file that is damaged.
    pub(crate) fn tell(&self, path: &str, error: &media::Error) {
        let is_damaged = matches!(error, media::Error::NotFound | media::Error::Truncated);
        if is_damaged && self.told.get(path).is_none() {
            self.told.insert(path.to_owned(), ());
            tracing::error!(path, %error, "an attachment is damaged");
        }
    }
}
