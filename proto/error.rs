//! Why a call was refused: the reasons of `error.proto` in the details of a gRPC status.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::v1::{ErrorReason, Failure};

/// The `domain` of every `google.rpc.ErrorInfo`.
pub const DOMAIN: &str = "netrox.chat.v1";
/// What every UNAVAILABLE advises to wait before the next try.
pub const RETRY_DELAY: Duration = Duration::from_secs(1);

const REASON_PREFIX: &str = "ERROR_REASON_";

impl ErrorReason {
    /// The status code that the contract documents for this reason.
    pub fn code(self) -> Code {
        match self {
            Self::InvalidField
            | Self::BodyTooLarge
            | Self::AttachmentTooLarge
            | Self::ReceiverIsSender => Code::InvalidArgument,
            Self::ReceiverUnknown
            | Self::UserUnknown
            | Self::MessageNotFound
            | Self::AttachmentNotFound => Code::NotFound,
            Self::UserDeleted => Code::FailedPrecondition,
            Self::RangeNotSatisfiable | Self::EpochChanged => Code::OutOfRange,
            Self::Overloaded | Self::StoreUnavailable | Self::ShuttingDown => Code::Unavailable,
            Self::Unspecified | Self::OutcomeUnknown => Code::Unknown,
            Self::Internal => Code::Internal,
            Self::Overtaken => Code::Aborted,
        }
    }
}

impl Failure {
    pub fn new(reason: ErrorReason, message: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            message: message.into(),
            field: String::new(),
            code: reason.code().into(),
        }
    }

    pub fn invalid_field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), ..Self::new(ErrorReason::InvalidField, message) }
    }
}

/// The failure of one request as the status of a whole call.
impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let reason = failure.reason();
        let code = reason.code();
        let name = reason.as_str_name().trim_start_matches(REASON_PREFIX);
        let mut details = ErrorDetails::new();
        details.set_error_info(name, DOMAIN, []);
        if !failure.field.is_empty() {
            details.add_bad_request_violation(failure.field, failure.message.as_str());
        }
        if code == Code::Unavailable {
            details.set_retry_info(Some(RETRY_DELAY));
        }
        Status::with_error_details(code, failure.message, details)
    }
}

/// The reason that a status carries. One without details, such as the transport's own, or with a
/// reason that is not known here, stands for the nearest reason of its code.
impl From<&Status> for Failure {
    fn from(status: &Status) -> Self {
        let details = status.get_error_details();
        let named = details.error_info().filter(|info| info.domain == DOMAIN).and_then(|info| {
            ErrorReason::from_str_name(&format!("{REASON_PREFIX}{}", info.reason))
        });
        let reason = named.unwrap_or(match status.code() {
            Code::ResourceExhausted => ErrorReason::Overloaded,
            Code::InvalidArgument => ErrorReason::InvalidField,
            Code::PermissionDenied | Code::Unauthenticated | Code::Unimplemented => {
                ErrorReason::Internal
            }
            // What a broken connection looks like: the core itself always gives a reason.
            _ => ErrorReason::StoreUnavailable,
        });
        let field = details
            .bad_request()
            .and_then(|bad_request| bad_request.field_violations.first())
            .map(|violation| violation.field.clone())
            .unwrap_or_default();
        Self {
            reason: reason.into(),
            message: status.message().to_owned(),
            field,
            code: status.code().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_reasons() -> impl Iterator<Item = ErrorReason> {
        (0..).map_while(|number| ErrorReason::try_from(number).ok())
    }

    #[test]
    fn every_reason_survives_the_way_through_a_status() {
        for reason in all_reasons() {
            let failure = Failure { field: "body".into(), ..Failure::new(reason, "why") };
            let status = Status::from(failure.clone());
            assert_eq!(status.code(), reason.code());
            assert_eq!(Failure::from(&status), failure);
        }
        assert_eq!(all_reasons().count(), 18);
    }

    #[test]
    fn unavailable_advises_when_to_retry() {
        let status = Status::from(Failure::new(ErrorReason::Overloaded, "busy"));
        let retry = status.get_details_retry_info().expect("retry info");
        assert_eq!(retry.retry_delay, Some(RETRY_DELAY));
    }

    #[test]
    fn a_status_of_the_transport_stands_for_the_nearest_reason() {
        let reason = |code| Failure::from(&Status::new(code, "")).reason();
        assert_eq!(reason(Code::Unavailable), ErrorReason::StoreUnavailable);
        assert_eq!(reason(Code::DeadlineExceeded), ErrorReason::StoreUnavailable);
        assert_eq!(reason(Code::Unknown), ErrorReason::StoreUnavailable);
        assert_eq!(reason(Code::Unauthenticated), ErrorReason::Internal);
    }
}
