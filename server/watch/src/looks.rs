//! When files are read, and when it is told that they cannot be used.

use std::time::Duration;

use tokio::time::Instant;

use crate::{Look, stamp::Stamp};

/// Between two lines about files that cannot be used, for as long as they stay so.
const REFUSAL_INTERVAL: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
pub(crate) struct Looks {
    /// When they were read last; nothing where that is not known.
    read: Option<Vec<Stamp>>,
    /// At the last look.
    seen: Option<Vec<Stamp>>,
    /// Why they could not be used when they were read last.
    refusal: Option<Refusal>,
}

#[derive(Debug, Clone)]
struct Refusal {
    cause: String,
    told_at: Instant,
}

impl Looks {
    pub(crate) fn since(read: Option<Vec<Stamp>>) -> Self {
        Self { seen: read.clone(), read, refusal: None }
    }

    /// Whether files are to be read: those that have changed, and those that could not be used. What kept them from it need
    /// not be seen from outside. Of files that are written one after the other, the first would be taken with the old second
    /// if one look was enough.
    pub(crate) fn are_due(&mut self, look: Look, stamps: Vec<Stamp>) -> bool {
        let stamps = Some(stamps);
        let is_still = stamps == self.seen;
        let has_changed = stamps != self.read;
        self.seen.clone_from(&stamps);
        let is_due = match look {
            Look::Asked => true,
            Look::InPassing => is_still && (has_changed || self.refusal.is_some()),
        };
        if is_due {
            self.read = stamps;
        }
        is_due
    }

    pub(crate) fn used(&mut self) {
        self.refusal = None;
    }

    /// Whether a refusal is to be told: at every try, it would be the same line again and again.
    pub(crate) fn is_to_be_told(&mut self, look: Look, cause: &str) -> bool {
        let is_known = self
            .refusal
            .as_ref()
            .is_some_and(|last| last.cause == cause && last.told_at.elapsed() < REFUSAL_INTERVAL);
        if is_known && look == Look::InPassing {
            return false;
        }
        self.refusal = Some(Refusal { cause: cause.to_owned(), told_at: Instant::now() });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_told_when_it_changes_or_once_a_minute() {
        let mut looks = Looks::since(None);
        let mut is_told = |cause: &str| looks.is_to_be_told(Look::InPassing, cause);
        assert!(is_told("one") && !is_told("one") && is_told("another") && is_told("one"));
        tokio::time::advance(REFUSAL_INTERVAL).await;
        assert!(is_told("one") && !is_told("one"));
        assert!(looks.is_to_be_told(Look::Asked, "one"), "who asks is told");
    }
}
