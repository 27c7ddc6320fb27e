//! What the operator is told of sends that were refused here, and of what they hold.

use netrox_proto::v1::{ErrorReason, Failure};

use crate::{
    metrics::{RefusedSends, SendRefusal},
    notice::Notice,
};

#[derive(Debug, Default)]
pub(super) struct Tally {
    refused: RefusedSends,
    notice: Notice,
}

impl Tally {
    pub(super) fn new(refused: RefusedSends) -> Self {
        Self { refused, notice: Notice::default() }
    }

    /// Too many wait, here or at the core: nothing is away.
    pub(super) fn refused(&self, failure: &Failure) {
        let refusal = match failure.reason() {
            ErrorReason::Overloaded => SendRefusal::Overloaded,
            ErrorReason::OutcomeUnknown => SendRefusal::OutcomeUnknown,
            ErrorReason::StoreUnavailable => SendRefusal::Unavailable,
            // Of single messages, or of this edge that ends.
            _ => return,
        };
        self.refused.count(refusal);
        if refusal == SendRefusal::Overloaded && self.notice.is_due() {
            tracing::warn!(
                cause = failure.message,
                "sends are refused: more are under way than may be, or than the core stores in time"
            );
        }
    }
}
