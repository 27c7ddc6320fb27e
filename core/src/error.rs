//! Why the core refuses or fails, mapped once to the reasons of the contract.

use std::time::Duration;

use netrox_proto::v1::{ErrorReason, Failure};
use tonic::Status;

use crate::{media, store};

#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Error {
    #[error("{field}: {problem}")]
    InvalidField { field: &'static str, problem: &'static str },
    #[error("the body is longer than {limit} bytes")]
    BodyTooLarge { limit: usize },
    #[error("the file is longer than {limit} bytes")]
    AttachmentTooLarge { limit: u64 },
    #[error("no such receiver")]
    ReceiverUnknown,
    #[error("the receiver is the sender")]
    ReceiverIsSender,
    #[error("no such user")]
    UserUnknown,
    #[error("the user was deleted")]
    UserDeleted,
    #[error("no such message")]
    MessageNotFound,
    #[error("no such attachment")]
    AttachmentNotFound,
    #[error("the range begins past the end of the attachment")]
    RangeNotSatisfiable,
    #[error("too much work is waiting")]
    Overloaded,
    #[error("the store cannot take it now")]
    StoreUnavailable,
    #[error("the database is away: what was not begun is given back")]
    HandedBack,
    #[error("this core is shutting down")]
    ShuttingDown,
    #[error("whether it was stored could not be found out")]
    OutcomeUnknown,
    #[error("it was not stored, and a later message of the sender was")]
    Overtaken,
    #[error("the position is no part of the history that the database has now")]
    EpochChanged,
    #[error("the message is another's")]
    MessageNotAllowed,
    #[error("the message is too old, or was deleted")]
    TooLate,
    #[error("no such thread")]
    ThreadNotFound,
    #[error("the token of the service lacks the scope {0}")]
    ScopeMissing(&'static str),
    #[error("as many conversations were begun as may be in the time: the next in {} s", .wait.as_secs() + 1)]
    ConversationsLimited { wait: Duration },
    #[error("the files of the user would take more than {limit} bytes")]
    StorageExceeded { limit: u64 },
    #[error("as many revocations are kept as may be: {limit}")]
    TooManyRevocations { limit: i64 },
    #[error("no such ticket, or it was used")]
    TicketUnknown,
    #[error("the time of the ticket is over")]
    TicketExpired,
    #[error("search is not turned on")]
    NotEnabled,
    #[error("internal error")]
    Internal,
}

impl Error {
    pub(crate) fn reason(&self) -> ErrorReason {
        match self {
            Self::InvalidField { .. } => ErrorReason::InvalidField,
            Self::BodyTooLarge { .. } => ErrorReason::BodyTooLarge,
            Self::AttachmentTooLarge { .. } => ErrorReason::AttachmentTooLarge,
            Self::ReceiverUnknown => ErrorReason::ReceiverUnknown,
            Self::ReceiverIsSender => ErrorReason::ReceiverIsSender,
            Self::UserUnknown => ErrorReason::UserUnknown,
            Self::UserDeleted => ErrorReason::UserDeleted,
            Self::MessageNotFound => ErrorReason::MessageNotFound,
            Self::AttachmentNotFound => ErrorReason::AttachmentNotFound,
            Self::RangeNotSatisfiable => ErrorReason::RangeNotSatisfiable,
            Self::Overloaded => ErrorReason::Overloaded,
            Self::StoreUnavailable => ErrorReason::StoreUnavailable,
            Self::HandedBack => ErrorReason::HandedBack,
            Self::ShuttingDown => ErrorReason::ShuttingDown,
            Self::OutcomeUnknown => ErrorReason::OutcomeUnknown,
            Self::Overtaken => ErrorReason::Overtaken,
            Self::EpochChanged => ErrorReason::EpochChanged,
            Self::MessageNotAllowed => ErrorReason::MessageNotAllowed,
            Self::TooLate => ErrorReason::TooLate,
            Self::ThreadNotFound => ErrorReason::ThreadNotFound,
            Self::ScopeMissing(_) => ErrorReason::ScopeMissing,
            Self::ConversationsLimited { .. } => ErrorReason::RateLimited,
            Self::StorageExceeded { .. } => ErrorReason::StorageQuotaExceeded,
            Self::TooManyRevocations { .. } => ErrorReason::TooManyRevocations,
            Self::TicketUnknown => ErrorReason::TicketUnknown,
            Self::TicketExpired => ErrorReason::TicketExpired,
            Self::NotEnabled => ErrorReason::NotEnabled,
            Self::Internal => ErrorReason::Internal,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if let Error::InvalidField { field, problem } = error {
            return Self::invalid_field(field, problem);
        }
        let failure = Self::new(error.reason(), error.to_string());
        if let Error::ConversationsLimited { wait } = error {
            return failure.retry_after(wait);
        }
        failure
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        Failure::from(error).into()
    }
}

/// Of reads. Logged here, where the cause is dropped.
impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            _ if error.is_for_want_of_readers() => Self::Overloaded,
            // Said where it began.
            store::Error::Unavailable(_) => Self::StoreUnavailable,
            store::Error::Conflict(cause) => {
                tracing::warn!(error = %cause, "another transaction is in the way of a read");
                Self::StoreUnavailable
            }
            store::Error::Damaged(cause) => {
                tracing::error!(error = %cause, "the database is damaged");
                Self::StoreUnavailable
            }
            store::Error::Rejected(cause) => {
                tracing::error!(error = %cause, "the database rejected a statement");
                Self::Internal
            }
        }
    }
}

impl From<media::Error> for Error {
    fn from(error: media::Error) -> Self {
        match error {
            // Logged where its path is known.
            media::Error::NotFound | media::Error::Truncated => Self::AttachmentNotFound,
            media::Error::Unavailable(cause) => {
                tracing::warn!(error = %cause, "the media store is unavailable");
                Self::StoreUnavailable
            }
        }
    }
}
