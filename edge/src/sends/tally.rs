//! What the operator is told of sends that were answered or refused here.

use netrox_proto::v1::{ErrorReason, Failure};

use super::{Sent, commands::Entry};
use crate::{
    metrics::{SendKind, SendMetrics, SendRefusal},
    notice::Notice,
};

#[derive(Debug, Default)]
pub(super) struct Tally {
    metrics: SendMetrics,
    notice: Notice,
}

impl Tally {
    pub(super) fn new(metrics: SendMetrics) -> Self {
        Self { metrics, notice: Notice::default() }
    }

    /// Counts what took effect.
    pub(super) fn answered(&self, sent: &Sent, entry: &Entry) {
        let kind = match sent {
            Sent::Message(_) => SendKind::Message,
            Sent::Dispatch(_) => SendKind::Attachment,
            Sent::Edit(_) => SendKind::Edit,
            Sent::Delete => SendKind::Delete,
            Sent::Mark(_) => SendKind::Mark,
            Sent::Block => SendKind::Block,
        };
        self.metrics.answered(kind, entry.submitted.elapsed(), &entry.request_id);
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
            | R::TicketUnknown
            | R::TicketExpired
            | R::NotEnabled
            | R::Internal => return,
        };
        self.metrics.refused(refusal);
        if refusal == SendRefusal::Overloaded
            && let Some(untold) = self.notice.happened()
        {
            tracing::warn!(
                untold,
                error = failure.message,
                "sends are refused: more are under way than may be, or than the core stores in time"
            );
        }
    }
}
