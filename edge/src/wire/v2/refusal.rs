//! Why what a client asks for is refused (PROTOCOL-2 section 3).

use std::{borrow::Cow, time::Duration};

use netrox_proto::v1::{ErrorReason, Failure};
use serde::Serialize;

use crate::{internal_error::log_internal, limits::TooMuch};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(into = "&'static str")]
pub(crate) enum Code {
    InvalidJson,
    UnknownAction,
    InvalidField,
    MessageTooLarge,
    InvalidReceiver,
    NotFound,
    NotAllowed,
    TooLate,
    RateLimited,
    Unavailable,
    OutcomeUnknown,
    Internal,
    InvalidToken,
    UserDeleted,
}

impl From<Code> for &'static str {
    fn from(code: Code) -> Self {
        match code {
            Code::InvalidJson => "invalid_json",
            Code::UnknownAction => "unknown_action",
            Code::InvalidField => "invalid_field",
            Code::MessageTooLarge => "message_too_large",
            Code::InvalidReceiver => "invalid_receiver",
            Code::NotFound => "not_found",
            Code::NotAllowed => "not_allowed",
            Code::TooLate => "too_late",
            Code::RateLimited => "rate_limited",
            Code::Unavailable => "unavailable",
            Code::OutcomeUnknown => "outcome_unknown",
            Code::Internal => "internal",
            Code::InvalidToken => "invalid_token",
            Code::UserDeleted => "user_deleted",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: Code,
    pub(crate) message: Cow<'static, str>,
    /// Where it is known when another try helps.
    pub(crate) retry_after: Option<Duration>,
}

impl Refusal {
    pub(crate) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), retry_after: None }
    }

    /// `problem` completes "FIELD ...".
    pub(crate) fn invalid_field(field: &str, problem: &str) -> Self {
        Self::new(Code::InvalidField, format!("{field}: {problem}"))
    }

    pub(crate) fn rate_limited(TooMuch { wait }: TooMuch) -> Self {
        let refusal = Self::new(Code::RateLimited, "too much in too short a time");
        Self { retry_after: Some(wait), ..refusal }
    }

    pub(crate) fn invalid_token() -> Self {
        Self::new(Code::InvalidToken, "the token is not valid, or of another user")
    }

    pub(crate) fn user_deleted() -> Self {
        Self::new(Code::UserDeleted, "the user of the token was deleted")
    }

    pub(crate) fn unavailable() -> Self {
        Self::new(Code::Unavailable, "temporarily unavailable, send the same again")
    }
}

/// The refusal of the core in the terms of the client. Logs what the client cannot help.
impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        match failure.reason() {
            // A core of the last version, while others are upgraded.
            ErrorReason::InvalidField if failure.field == "request" => Self::unavailable(),
            ErrorReason::InvalidField => {
                Self::invalid_field(public_name(&failure.field), &failure.message)
            }
            ErrorReason::BodyTooLarge | ErrorReason::StorageQuotaExceeded => {
                Self::new(Code::MessageTooLarge, failure.message)
            }
            ErrorReason::RateLimited => {
                let refusal = Self::new(Code::RateLimited, "too many new conversations");
                Self { retry_after: failure.wait(), ..refusal }
            }
            ErrorReason::ReceiverUnknown => Self::new(Code::InvalidReceiver, "no such user"),
            ErrorReason::ReceiverIsSender => {
                Self::new(Code::InvalidReceiver, "must be another user")
            }
            ErrorReason::MessageNotFound => Self::new(Code::NotFound, "no such message"),
            ErrorReason::ThreadNotFound => Self::new(Code::NotFound, "no such thread"),
            // Of a peer; the user's own is taken care of before.
            ErrorReason::UserUnknown => Self::new(Code::NotFound, "no such user"),
            ErrorReason::MessageNotAllowed => {
                Self::new(Code::NotAllowed, "only its sender may do that")
            }
            ErrorReason::TooLate => {
                Self::new(Code::TooLate, "the message is too old for that, or was deleted")
            }
            ErrorReason::Overloaded
            | ErrorReason::StoreUnavailable
            | ErrorReason::HandedBack
            | ErrorReason::ShuttingDown
            | ErrorReason::EpochChanged
            | ErrorReason::Overtaken => Self::unavailable(),
            ErrorReason::OutcomeUnknown => {
                Self::new(Code::OutcomeUnknown, "it may have taken effect, send the same again")
            }
            ErrorReason::Unspecified
            | ErrorReason::AttachmentTooLarge
            | ErrorReason::UserDeleted
            | ErrorReason::AttachmentNotFound
            | ErrorReason::RangeNotSatisfiable
            | ErrorReason::ScopeMissing
            | ErrorReason::TooManyRevocations
            | ErrorReason::TicketUnknown
            | ErrorReason::TicketExpired
            | ErrorReason::NotEnabled
            | ErrorReason::Internal => {
                let id = log_internal(format_args!(
                    "what a client asked for failed with {}: {}",
                    failure.reason().as_str_name(),
                    failure.message
                ));
                Self::new(Code::Internal, format!("internal error {id}"))
            }
        }
    }
}

/// What clients call a field of the contract.
fn public_name(field: &str) -> &str {
    match field {
        "body" => "message_body",
        "up_to_id" => "up_to",
        "reply_to_id" => "reply_to",
        "meta_json" => "meta",
        field => field,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_of_the_core_has_its_code() {
        use ErrorReason as R;
        let code = |reason| Refusal::from(Failure::new(reason, "why")).code;
        for (reason, expected) in [
            (R::InvalidField, Code::InvalidField),
            (R::BodyTooLarge, Code::MessageTooLarge),
            (R::ReceiverUnknown, Code::InvalidReceiver),
            (R::ReceiverIsSender, Code::InvalidReceiver),
            (R::MessageNotFound, Code::NotFound),
            (R::ThreadNotFound, Code::NotFound),
            (R::UserUnknown, Code::NotFound),
            (R::MessageNotAllowed, Code::NotAllowed),
            (R::TooLate, Code::TooLate),
            (R::RateLimited, Code::RateLimited),
            (R::StorageQuotaExceeded, Code::MessageTooLarge),
            (R::Overloaded, Code::Unavailable),
            (R::StoreUnavailable, Code::Unavailable),
            (R::HandedBack, Code::Unavailable),
            (R::ShuttingDown, Code::Unavailable),
            (R::Overtaken, Code::Unavailable),
            (R::OutcomeUnknown, Code::OutcomeUnknown),
            (R::Internal, Code::Internal),
        ] {
            assert_eq!(code(reason), expected, "{reason:?}");
        }
    }

    #[test]
    fn a_field_is_called_as_clients_call_it() {
        for (field, message) in [
            ("up_to_id", "up_to: why"),
            ("meta_json", "meta: why"),
            ("reply_to_id", "reply_to: why"),
            ("body", "message_body: why"),
            ("message_id", "message_id: why"),
        ] {
            let refusal = Refusal::from(Failure::invalid_field(field, "why"));
            assert_eq!(refusal.message, message);
        }
    }
}
