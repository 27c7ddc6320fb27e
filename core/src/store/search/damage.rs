//! Whether the index is sound. Where SQLite finds that its own is not, nothing else is lost: what is written is written without it,
//! and the next start makes it anew.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::store::{Error, error::Words};

#[derive(Debug, Clone, Default)]
pub(crate) struct Damage(Arc<AtomicBool>);

impl Damage {
    /// Whether an index is not used any more.
    pub(crate) fn is_found(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Learns from an error of a statement that may have touched the index.
    pub(crate) fn learn(&self, error: Error) -> Error {
        if error.is_of_index() {
            self.find(&error);
        }
        error
    }

    /// The same of what writes nothing but the index: what SQLite refuses there, it refuses since the index is not as it was left.
    pub(crate) fn learn_of_index(&self, error: Error) -> Error {
        match error {
            Error::Rejected(cause) => {
                self.find(&Words(&cause));
                Error::Conflict(cause)
            }
            Error::Unavailable(_) | Error::Conflict(_) | Error::Damaged(_) => self.learn(error),
        }
    }

    pub(in crate::store) fn find(&self, error: &dyn std::fmt::Display) {
        if !self.0.swap(true, Ordering::Relaxed) {
            tracing::error!(
                %error,
                "the index for search is damaged: nothing is found until it is made anew, by the next start with --search; all else \
                 goes on"
            );
        }
    }

    /// What a search is answered meanwhile.
    pub(super) fn refuse(&self) -> Result<(), Error> {
        if self.is_found() {
            let cause = "the index for search is damaged";
            return Err(Error::Unavailable(sqlx::Error::Protocol(cause.to_owned())));
        }
        Ok(())
    }
}
