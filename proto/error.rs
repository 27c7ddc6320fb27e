//! Why a call was refused: the reasons of `error.proto` in the details of a gRPC status.

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status, metadata::MetadataValue};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{
    request_id::RequestId,
    v1::{ErrorReason, Failure},
};

/// The `domain` of every `google.rpc.ErrorInfo`.
pub const DOMAIN: &str = "netrox.chat.v1";
/// What the `metadata` of a `google.rpc.ErrorInfo` calls the id of the request.
const REQUEST_ID_KEY: &str = "request_id";
/// What every UNAVAILABLE advises to wait before the next try.
pub const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The trailer that retry policies obey (gRFC A6): milliseconds to wait before the next try, or -1 for no other.
pub const RETRY_PUSHBACK: &str = "grpc-retry-pushback-ms";
/// Its value where a repetition cannot help.
pub const NO_RETRY: i32 = -1;

/// Of every `google.rpc.QuotaFailure`: whose quota it is.
const QUOTA_SUBJECT: &str = "user";

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
            | Self::AttachmentNotFound
            | Self::ThreadNotFound
            | Self::TicketUnknown
            | Self::TicketExpired => Code::NotFound,
            Self::MessageNotAllowed | Self::ScopeMissing => Code::PermissionDenied,
            Self::UserDeleted | Self::TooLate => Code::FailedPrecondition,
            Self::RangeNotSatisfiable | Self::EpochChanged => Code::OutOfRange,
            Self::Overloaded | Self::StoreUnavailable | Self::HandedBack | Self::ShuttingDown => {
                Code::Unavailable
            }
            Self::Unspecified | Self::OutcomeUnknown => Code::Unknown,
            Self::Internal => Code::Internal,
            Self::NotEnabled => Code::Unimplemented,
            Self::Overtaken => Code::Aborted,
            Self::RateLimited | Self::StorageQuotaExceeded | Self::TooManyRevocations => {
                Code::ResourceExhausted
            }
        }
    }

    /// What [`RETRY_PUSHBACK`] says. Nothing where the outcome is unknown: whether to repeat depends on the request.
    fn retry_pushback(self) -> Option<i32> {
        match self {
            // Another core takes it at once; RetryInfo is for who has but this one.
            Self::ShuttingDown => Some(0),
            Self::Overloaded | Self::StoreUnavailable | Self::HandedBack => {
                i32::try_from(RETRY_DELAY.as_millis()).ok()
            }
            Self::Unspecified | Self::OutcomeUnknown | Self::Internal => None,
            Self::InvalidField
            | Self::BodyTooLarge
            | Self::AttachmentTooLarge
            | Self::ReceiverUnknown
            | Self::ReceiverIsSender
            | Self::UserUnknown
            | Self::UserDeleted
            | Self::MessageNotFound
            | Self::AttachmentNotFound
            | Self::RangeNotSatisfiable
            | Self::Overtaken
            | Self::EpochChanged
            | Self::MessageNotAllowed
            | Self::TooLate
            | Self::ThreadNotFound
            | Self::ScopeMissing
            // It may be hours, for which a library would sleep within the call until its deadline: RetryInfo tells the time.
            | Self::RateLimited
            | Self::StorageQuotaExceeded
            | Self::TooManyRevocations
            | Self::TicketUnknown
            | Self::TicketExpired
            | Self::NotEnabled => Some(NO_RETRY),
        }
    }
}

/// [`RETRY_PUSHBACK`] of a status without a reason, which gRPC itself gave.
pub fn retry_pushback(code: Code) -> Option<i32> {
    match code {
        Code::InvalidArgument
        | Code::NotFound
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::Unimplemented
        | Code::ResourceExhausted => Some(NO_RETRY),
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::AlreadyExists
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => None,
    }
}

impl Failure {
    pub fn new(reason: ErrorReason, message: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            message: message.into(),
            field: String::new(),
            code: reason.code().into(),
            retry_after_ms: 0,
        }
    }

    /// With the time after which the same may be taken, up to whole milliseconds.
    pub fn retry_after(self, wait: Duration) -> Self {
        let millis = wait.as_nanos().div_ceil(1_000_000);
        Self { retry_after_ms: i64::try_from(millis).unwrap_or(i64::MAX), ..self }
    }

    /// The time after which the same may be taken, where it is known.
    pub fn wait(&self) -> Option<Duration> {
        let millis = u64::try_from(self.retry_after_ms).ok().filter(|millis| *millis > 0)?;
        Some(Duration::from_millis(millis))
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
        let (wait, pushback) = (failure.wait(), reason.retry_pushback());
        let name = reason.as_str_name().trim_start_matches(REASON_PREFIX);
        let mut details = ErrorDetails::new();
        let request = RequestId::current();
        let request = request.map(|id| (REQUEST_ID_KEY.to_owned(), id.to_string()));
        details.set_error_info(name, DOMAIN, HashMap::from_iter(request));
        if !failure.field.is_empty() {
            details.add_bad_request_violation(failure.field, failure.message.as_str());
        }
        if code == Code::Unavailable {
            details.set_retry_info(Some(RETRY_DELAY));
        }
        if code == Code::ResourceExhausted {
            if wait.is_some() {
                details.set_retry_info(wait);
            }
            details.add_quota_failure_violation(QUOTA_SUBJECT, failure.message.as_str());
        }
        let mut status = Status::with_error_details(code, failure.message, details);
        if let Some(milliseconds) = pushback {
            let value = MetadataValue::from(milliseconds);
            status.metadata_mut().insert(RETRY_PUSHBACK, value);
        }
        status
    }
}

impl ErrorReason {
    /// What a status code says where the reason itself is not known here (error.proto): never more than
    /// the code does, so that "nothing was stored" and "try again" are promised only where it says so.
    fn nearest(code: Code) -> Self {
        match code {
            Code::Unavailable => Self::StoreUnavailable,
            Code::ResourceExhausted => Self::Overloaded,
            Code::InvalidArgument | Code::OutOfRange => Self::InvalidField,
            Code::NotFound => Self::MessageNotFound,
            Code::FailedPrecondition
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss => Self::Internal,
            // 0 is of a failure that has no code: a core that does not tell.
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::AlreadyExists
            | Code::Aborted => Self::OutcomeUnknown,
        }
    }
}

impl Failure {
    /// The failure as whoever receives it can understand it: with the nearest reason of its code in place
    /// of one that is not known here. To be called before [`Failure::reason`] is asked.
    pub fn understood(self) -> Self {
        let reason = match ErrorReason::try_from(self.reason) {
            Ok(reason) if reason != ErrorReason::Unspecified => reason,
            _ => ErrorReason::nearest(Code::from(self.code)),
        };
        Self { reason: reason.into(), ..self }
    }
}

/// The reason that a status carries, or the nearest one of its code where it is not known here.
///
/// The core always gives a reason for what it refuses itself. A status without one is of gRPC, of the transport, or of something
/// between, whose codes for a connection that broke say nothing of what was stored.
impl From<&Status> for Failure {
    #[expect(clippy::wildcard_enum_match_arm, reason = "an enum of tonic")]
    fn from(status: &Status) -> Self {
        let details = status.get_error_details();
        let reason = match details.error_info().filter(|info| info.domain == DOMAIN) {
            Some(info) => ErrorReason::from_str_name(&format!("{REASON_PREFIX}{}", info.reason))
                .unwrap_or_else(|| ErrorReason::nearest(status.code())),
            None => match status.code() {
                Code::Unavailable | Code::ResourceExhausted | Code::Internal => {
                    ErrorReason::OutcomeUnknown
                }
                code => ErrorReason::nearest(code),
            },
        };
        let field = details
            .bad_request()
            .and_then(|bad_request| bad_request.field_violations.first())
            .map(|violation| violation.field.clone())
            .unwrap_or_default();
        let failure = Self {
            reason: reason.into(),
            message: status.message().to_owned(),
            field,
            code: status.code().into(),
            retry_after_ms: 0,
        };
        match details.retry_info().and_then(|info| info.retry_delay) {
            Some(wait) if failure.reason() == ErrorReason::RateLimited => failure.retry_after(wait),
            Some(_) | None => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_reasons() -> impl Iterator<Item = ErrorReason> {
        // Not all numbers are given.
        (0..1_000).filter_map(|number| ErrorReason::try_from(number).ok())
    }

    #[test]
    fn every_reason_survives_the_way_through_a_status() {
        for reason in all_reasons() {
            let failure = Failure { field: "body".into(), ..Failure::new(reason, "why") };
            let status = Status::from(failure.clone());
            assert_eq!(failure.code, i32::from(reason.code()), "told inside a stream, too");
            assert_eq!(status.code(), reason.code());
            assert_eq!(Failure::from(&status), failure);
        }
        assert_eq!(all_reasons().count(), 29);
    }

    #[test]
    fn unavailable_advises_when_to_retry() {
        let status = Status::from(Failure::new(ErrorReason::Overloaded, "busy"));
        let retry = status.get_details_retry_info().expect("retry info");
        assert_eq!(retry.retry_delay, Some(RETRY_DELAY));
    }

    #[test]
    fn who_is_over_a_rate_is_told_for_how_long() {
        let wait = Duration::from_micros(90_061_000_001);
        let failure = Failure::new(ErrorReason::RateLimited, "why").retry_after(wait);
        assert_eq!(failure.wait(), Some(Duration::from_millis(90_061_001)));
        let status = Status::from(failure.clone());
        let retry = status.get_details_retry_info().expect("retry info");
        assert_eq!(retry.retry_delay, failure.wait());
        let told = status.metadata().get(RETRY_PUSHBACK).expect("a pushback");
        assert_eq!(told, "-1");
        let quota = status.get_details_quota_failure().expect("a quota");
        assert_eq!(quota.violations[0].subject, QUOTA_SUBJECT);
        assert_eq!(Failure::from(&status), failure);

        let status = Status::from(Failure::new(ErrorReason::StorageQuotaExceeded, "why"));
        assert!(status.get_details_retry_info().is_none());
        assert!(status.get_details_quota_failure().is_some());
    }

    #[test]
    fn a_status_of_the_transport_promises_no_more_than_its_code() {
        let reason = |code| Failure::from(&Status::new(code, "")).reason();
        assert_eq!(reason(Code::Unauthenticated), ErrorReason::Internal);
        for code in BROKEN {
            assert_eq!(reason(code), ErrorReason::OutcomeUnknown, "{code:?}");
        }
    }

    /// What libraries call a connection that broke.
    const BROKEN: [Code; 6] = [
        Code::Unavailable,
        Code::ResourceExhausted,
        Code::Internal,
        Code::Unknown,
        Code::Cancelled,
        Code::DeadlineExceeded,
    ];

    #[test]
    fn the_details_of_another_domain_are_none() {
        for code in BROKEN {
            let mut details = ErrorDetails::new();
            details.set_error_info("OVERLOADED", "proxy.example.com", []);
            let status = Status::with_error_details(code, "why", details);
            assert_eq!(Failure::from(&status).reason(), ErrorReason::OutcomeUnknown, "{code:?}");
        }
    }

    #[test]
    fn retry_policies_are_told_what_the_reason_says() {
        for reason in all_reasons() {
            let status = Status::from(Failure::new(reason, "why"));
            let told = status.metadata().get(RETRY_PUSHBACK);
            let told = told.map(|value| value.to_str().expect("a number"));
            let expected = match reason {
                ErrorReason::Overloaded
                | ErrorReason::StoreUnavailable
                | ErrorReason::HandedBack => Some("1000"),
                ErrorReason::ShuttingDown => Some("0"),
                ErrorReason::Unspecified | ErrorReason::OutcomeUnknown | ErrorReason::Internal => {
                    None
                }
                _ => Some("-1"),
            };
            assert_eq!(told, expected, "{reason:?}");
        }
    }

    /// What a reason of a later version is taken for.
    const NEAREST: [(Code, ErrorReason); 9] = [
        (Code::Unavailable, ErrorReason::StoreUnavailable),
        (Code::PermissionDenied, ErrorReason::Internal),
        (Code::FailedPrecondition, ErrorReason::Internal),
        (Code::InvalidArgument, ErrorReason::InvalidField),
        (Code::OutOfRange, ErrorReason::InvalidField),
        (Code::NotFound, ErrorReason::MessageNotFound),
        (Code::Aborted, ErrorReason::OutcomeUnknown),
        (Code::Unknown, ErrorReason::OutcomeUnknown),
        (Code::Internal, ErrorReason::Internal),
    ];

    #[test]
    fn a_reason_of_a_later_version_is_understood_by_its_code() {
        for (code, reason) in NEAREST {
            let mut details = ErrorDetails::new();
            details.set_error_info("A_LATER_REASON", DOMAIN, []);
            let status = Status::with_error_details(code, "why", details);
            assert_eq!(Failure::from(&status).reason(), reason, "{code:?}");

            let failure = Failure { reason: 4_711, code: code.into(), ..Failure::default() };
            assert_eq!(failure.understood().reason(), reason, "{code:?}");
        }
    }

    #[test]
    fn a_failure_of_a_core_that_gives_no_code_is_understood_by_its_reason() {
        for reason in all_reasons().filter(|reason| *reason != ErrorReason::Unspecified) {
            let failure = Failure { code: 0, ..Failure::new(reason, "why") };
            assert_eq!(failure.understood().reason(), reason);
        }
        for reason in [0, 4_711] {
            let failure = Failure { reason, ..Failure::default() };
            assert_eq!(failure.understood().reason(), ErrorReason::OutcomeUnknown);
        }
    }
}
