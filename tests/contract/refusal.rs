//! What the contract says of a refused call, checked whole: code, reason, field and advice.

use std::fmt::Debug;

use netrox_proto::v1::{ErrorReason, Failure};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

const DOMAIN: &str = "netrox.chat.v1";

/// As documented in `error.proto`, written down a second time on purpose.
fn documented_code(reason: ErrorReason) -> Code {
    match reason {
        ErrorReason::InvalidField
        | ErrorReason::BodyTooLarge
        | ErrorReason::AttachmentTooLarge
        | ErrorReason::ReceiverIsSender => Code::InvalidArgument,
        ErrorReason::ReceiverUnknown
        | ErrorReason::UserUnknown
        | ErrorReason::MessageNotFound
        | ErrorReason::AttachmentNotFound
        | ErrorReason::ThreadNotFound
        | ErrorReason::TicketUnknown
        | ErrorReason::TicketExpired => Code::NotFound,
        ErrorReason::MessageNotAllowed | ErrorReason::ScopeMissing => Code::PermissionDenied,
        ErrorReason::UserDeleted | ErrorReason::TooLate => Code::FailedPrecondition,
        ErrorReason::RangeNotSatisfiable | ErrorReason::EpochChanged => Code::OutOfRange,
        ErrorReason::Overloaded
        | ErrorReason::StoreUnavailable
        | ErrorReason::HandedBack
        | ErrorReason::ShuttingDown => Code::Unavailable,
        ErrorReason::OutcomeUnknown => Code::Unknown,
        ErrorReason::Internal => Code::Internal,
        ErrorReason::Overtaken => Code::Aborted,
        ErrorReason::NotEnabled => Code::Unimplemented,
        ErrorReason::RateLimited
        | ErrorReason::StorageQuotaExceeded
        | ErrorReason::TooManyRevocations => Code::ResourceExhausted,
        ErrorReason::Unspecified => panic!("no call is refused without a reason"),
    }
}

/// What retry policies are told, as documented.
fn documented_pushback(reason: ErrorReason) -> Option<&'static str> {
    match (reason, documented_code(reason)) {
        (ErrorReason::ShuttingDown, _) => Some("0"),
        (_, Code::Unavailable) => Some("1000"),
        (_, Code::Unknown | Code::Internal) => None,
        _ => Some("-1"),
    }
}

pub(crate) fn retry_pushback(status: &Status) -> Option<&str> {
    let value = status.metadata().get("grpc-retry-pushback-ms");
    value.map(|value| value.to_str().expect("a number"))
}

/// The call was refused for this reason, with all the details that belong to it.
#[track_caller]
pub(crate) fn assert_refused<T: Debug>(result: Result<T, Status>, reason: ErrorReason) {
    let status = result.expect_err("a refusal");
    assert_eq!(status.code(), documented_code(reason), "{status:?}");
    let info = status.get_details_error_info().unwrap_or_else(|| panic!("no info: {status:?}"));
    let name = reason.as_str_name().trim_start_matches("ERROR_REASON_");
    assert_eq!((info.reason.as_str(), info.domain.as_str()), (name, DOMAIN), "{status:?}");
    let retry = status.get_details_retry_info().and_then(|retry| retry.retry_delay);
    let is_rate = reason == ErrorReason::RateLimited;
    assert_eq!(retry.is_some(), status.code() == Code::Unavailable || is_rate, "{status:?}");
    assert_eq!(retry_pushback(&status), documented_pushback(reason), "{status:?}");
    let quota = status.get_details_quota_failure();
    assert_eq!(quota.is_some(), status.code() == Code::ResourceExhausted, "{status:?}");
    let names_a_field = status.get_details_bad_request().is_some();
    assert_eq!(names_a_field, reason == ErrorReason::InvalidField, "{status:?}");
    assert_for_people(status.message());
}

/// The call was refused because of this field.
#[track_caller]
pub(crate) fn assert_invalid<T: Debug>(result: Result<T, Status>, field: &str) {
    let fields = match &result {
        Ok(_) => vec![],
        Err(status) => violated_fields(status),
    };
    assert_refused(result, ErrorReason::InvalidField);
    assert_eq!(fields, [field]);
}

fn violated_fields(status: &Status) -> Vec<String> {
    let violations = status.get_details_bad_request().map(|found| found.field_violations);
    violations.into_iter().flatten().map(|violation| violation.field).collect()
}

/// The call was refused for want of the service credential, and says nothing more.
#[track_caller]
pub(crate) fn assert_unauthenticated<T: Debug>(result: Result<T, Status>) {
    let status = result.expect_err("a refusal");
    assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    assert!(status.details().is_empty(), "{status:?}");
    assert_eq!(retry_pushback(&status), Some("-1"), "{status:?}");
}

/// Two refusals that a caller cannot tell from each other.
#[track_caller]
pub(crate) fn assert_alike<T: Debug>(one: Result<T, Status>, other: Result<T, Status>) {
    let (one, other) = (one.expect_err("a refusal"), other.expect_err("a refusal"));
    assert_eq!(told(&one), told(&other));
}

/// All that a status tells its caller, but for the id of the call, which is another one each time.
pub(crate) fn told(status: &Status) -> String {
    let mut info = status.get_details_error_info();
    if let Some(info) = &mut info {
        info.metadata.remove("request_id");
    }
    let details = (info, status.get_details_bad_request(), status.get_details_retry_info());
    format!("{:?} {} {details:?}", status.code(), status.message())
}

/// One request of a stream was refused; the stream goes on.
#[track_caller]
pub(crate) fn assert_failure(failure: &Failure, reason: ErrorReason, field: &str) {
    assert_eq!(failure.reason(), reason, "{failure:?}");
    assert_eq!(failure.code, i32::from(documented_code(reason)), "{failure:?}");
    assert_eq!(failure.field, field, "{failure:?}");
    assert_for_people(&failure.message);
}

/// "For people: lower case, no full stop."
#[track_caller]
fn assert_for_people(message: &str) {
    assert!(!message.is_empty());
    assert!(!message.starts_with(|c: char| c.is_uppercase()), "{message:?}");
    assert!(!message.ends_with('.'), "{message:?}");
}
