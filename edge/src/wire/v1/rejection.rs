//! Why a client's frame is refused (PROTOCOL section 3).

use std::borrow::Cow;

use netrox_proto::v1::{ErrorReason, Failure};
use serde::Serialize;

use crate::internal_error::log_internal;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(into = "&'static str")]
pub(crate) enum ErrorCode {
    InvalidJson,
    UnknownAction,
    InvalidField,
    InvalidReceiver,
    NotFound,
    MessageTooLarge,
    RateLimited,
    Unavailable,
    OutcomeUnknown,
    Internal,
}

impl From<ErrorCode> for &'static str {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::InvalidJson => "invalid_json",
            ErrorCode::UnknownAction => "unknown_action",
            ErrorCode::InvalidField => "invalid_field",
            ErrorCode::InvalidReceiver => "invalid_receiver",
            ErrorCode::NotFound => "not_found",
            ErrorCode::MessageTooLarge => "message_too_large",
            ErrorCode::RateLimited => "rate_limited",
            ErrorCode::Unavailable => "unavailable",
            ErrorCode::OutcomeUnknown => "outcome_unknown",
            ErrorCode::Internal => "internal",
        }
    }
}

/// Why a client's frame was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejection {
    pub(crate) code: ErrorCode,
    pub(crate) message: Cow<'static, str>,
}

impl Rejection {
    pub(crate) fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into() }
    }

    /// `problem` completes "FIELD ...".
    pub(crate) fn invalid_field(field: &str, problem: &str) -> Self {
        Self::new(ErrorCode::InvalidField, format!("{field}: {problem}"))
    }

    pub(crate) fn invalid_receiver(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::InvalidReceiver, message)
    }

    pub(crate) fn not_found() -> Self {
        Self::new(ErrorCode::NotFound, "chat_id: no such file message of this user")
    }

    pub(crate) fn rate_limited() -> Self {
        Self::new(ErrorCode::RateLimited, "too many messages, slow down")
    }

    pub(crate) fn unavailable() -> Self {
        Self::new(ErrorCode::Unavailable, "nothing was stored, try again")
    }

    pub(crate) fn outcome_unknown() -> Self {
        Self::new(ErrorCode::OutcomeUnknown, "it may be stored: the history tells")
    }
}

/// The refusal of the core in the terms of the client. Logs what the client cannot help.
impl From<Failure> for Rejection {
    fn from(failure: Failure) -> Self {
        match failure.reason() {
            ErrorReason::ReceiverUnknown => Self::invalid_receiver("receiver_id: no such user"),
            ErrorReason::ReceiverIsSender => {
                Self::invalid_receiver("receiver_id: must be another user")
            }
            ErrorReason::BodyTooLarge => Self::new(ErrorCode::MessageTooLarge, failure.message),
            ErrorReason::InvalidField => {
                let field = match failure.field.as_str() {
                    "body" => "message_body",
                    "message_id" => "chat_id",
                    field => field,
                };
                Self::invalid_field(field, &failure.message)
            }
            ErrorReason::MessageNotFound => Self::not_found(),
            ErrorReason::RateLimited => {
                Self::new(ErrorCode::RateLimited, "too many new conversations, try again later")
            }
            ErrorReason::StorageQuotaExceeded => {
                Self::new(ErrorCode::MessageTooLarge, failure.message)
            }
            ErrorReason::Overloaded
            | ErrorReason::StoreUnavailable
            | ErrorReason::HandedBack
            | ErrorReason::ShuttingDown
            | ErrorReason::EpochChanged
            | ErrorReason::Overtaken => Self::unavailable(),
            ErrorReason::OutcomeUnknown => Self::outcome_unknown(),
            ErrorReason::Unspecified
            | ErrorReason::AttachmentTooLarge
            | ErrorReason::UserUnknown
            | ErrorReason::UserDeleted
            | ErrorReason::AttachmentNotFound
            | ErrorReason::RangeNotSatisfiable
            | ErrorReason::MessageNotAllowed
            | ErrorReason::TooLate
            | ErrorReason::ThreadNotFound
            | ErrorReason::ScopeMissing
            | ErrorReason::TooManyRevocations
            | ErrorReason::TicketUnknown
            | ErrorReason::TicketExpired
            | ErrorReason::NotEnabled
            | ErrorReason::Internal => {
                let id = log_internal(format_args!(
                    "a send failed with {}: {}",
                    failure.reason().as_str_name(),
                    failure.message
                ));
                Self::new(ErrorCode::Internal, format!("internal error {id}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_of_the_core_has_its_code() {
        let code = |reason| Rejection::from(Failure::new(reason, "why")).code;
        assert_eq!(code(ErrorReason::ReceiverUnknown), ErrorCode::InvalidReceiver);
        assert_eq!(code(ErrorReason::ReceiverIsSender), ErrorCode::InvalidReceiver);
        assert_eq!(code(ErrorReason::BodyTooLarge), ErrorCode::MessageTooLarge);
        assert_eq!(code(ErrorReason::MessageNotFound), ErrorCode::NotFound);
        assert_eq!(code(ErrorReason::RateLimited), ErrorCode::RateLimited);
        assert_eq!(code(ErrorReason::StorageQuotaExceeded), ErrorCode::MessageTooLarge);
        assert_eq!(code(ErrorReason::Overloaded), ErrorCode::Unavailable);
        assert_eq!(code(ErrorReason::StoreUnavailable), ErrorCode::Unavailable);
        assert_eq!(code(ErrorReason::ShuttingDown), ErrorCode::Unavailable);
        assert_eq!(code(ErrorReason::Overtaken), ErrorCode::Unavailable);
        assert_eq!(code(ErrorReason::OutcomeUnknown), ErrorCode::OutcomeUnknown);
        assert_eq!(code(ErrorReason::Internal), ErrorCode::Internal);
    }

    #[test]
    fn an_internal_error_repeats_the_id_of_the_log() {
        let rejection = Rejection::from(Failure::new(ErrorReason::Internal, "secret"));
        let id = rejection.message.strip_prefix("internal error ").expect("an id");
        assert!(id.parse::<uuid::Uuid>().is_ok(), "{id}");
    }
}
