//! How much of what is kept a user may take. Off unless an operator sets it.

use std::time::Duration;

use netrox_audit::{Audit, Name, Refused};
use netrox_metrics::{By, Word as _};
use netrox_proto::{ids::UserId, request_id::RequestId};

use prometheus_client::metrics::counter::Counter;

use crate::{error::Error, metrics::Quota};

/// What an operator can set of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Absent for no limit.
    pub new_conversations: Option<NewConversations>,
    /// Bytes of the files that a user has sent and that are still there. Absent for no limit.
    pub storage_bytes: Option<u64>,
}

/// How many conversations a user may begin in any time as long as `period`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewConversations {
    pub count: u32,
    pub period: Duration,
}

impl NewConversations {
    /// In microseconds.
    pub(crate) fn period_micros(self) -> i64 {
        i64::try_from(self.period.as_micros()).unwrap_or(i64::MAX)
    }
}

/// Tells the operator who is refused for a quota.
#[derive(Debug, Clone)]
pub(crate) struct QuotaTeller {
    pub(crate) refused: By<Quota, Counter>,
    pub(crate) audit: Audit,
}

impl QuotaTeller {
    /// Counts an error, if it is such a refusal.
    pub(crate) fn tell(&self, user: UserId, error: &Error, request: Option<&RequestId>) {
        let quota = match error {
            Error::ConversationsLimited { .. } => Quota::NewConversations,
            Error::StorageExceeded { .. } => Quota::Storage,
            Error::InvalidField { .. }
            | Error::BodyTooLarge { .. }
            | Error::AttachmentTooLarge { .. }
            | Error::ReceiverUnknown
            | Error::ReceiverIsSender
            | Error::UserUnknown
            | Error::UserDeleted
            | Error::MessageNotFound
            | Error::AttachmentNotFound
            | Error::RangeNotSatisfiable
            | Error::Overloaded
            | Error::StoreUnavailable
            | Error::HandedBack
            | Error::ShuttingDown
            | Error::OutcomeUnknown
            | Error::Overtaken
            | Error::EpochChanged
            | Error::MessageNotAllowed
            | Error::TooLate
            | Error::ThreadNotFound
            | Error::ScopeMissing(_)
            | Error::TooManyRevocations { .. }
            | Error::TicketUnknown
            | Error::TicketExpired
            | Error::NotEnabled
            | Error::Internal => return,
        };
        self.refused.count(quota);
        let user = user.to_string();
        let refused = Refused {
            name: Name::QuotaExceeded,
            reason: quota.word(),
            actor: None,
            target: Some(&user),
            method: None,
            peer: None,
        };
        self.audit.refused(refused, |event| event.request_id(request));
    }
}
