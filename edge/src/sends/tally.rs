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

    /// Counts a refusal, and warns where too many sends wait, here or at the core, and nothing is away.
    pub(super) fn refused(&self, failure: &Failure) {
        use ErrorReason as R;
        let refusal = match failure.reason() {
            R::Overloaded => SendRefusal::Overloaded,
            R::OutcomeUnknown => SendRefusal::OutcomeUnknown,
            R::StoreUnavailable => SendRefusal::Unavailable,
            // Of single messages, or of this edge that ends.
            R::Unspecified
            | R::InvalidField
            | R::BodyTooLarge
            | R::AttachmentTooLarge
            | R::ReceiverUnknown
            | R::ReceiverIsSender
            | R::UserUnknown
            | R::UserDeleted
            | R::MessageNotFound
            | R::AttachmentNotFound
            | R::RangeNotSatisfiable
            | R::HandedBack
            | R::ShuttingDown
            | R::EpochChanged
            | R::Overtaken
            | R::MessageNotAllowed
            | R::TooLate
            | R::ThreadNotFound
            | R::ScopeMissing
            | R::RateLimited
            | R::StorageQuotaExceeded
            | R::TooManyRevocations
            | R::Internal => return,
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
