//! Refusals as clients see them: the status, the headers and the envelope.

use std::{borrow::Cow, fmt, time::Duration};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use netrox_proto::v1::{ErrorReason, Failure};

use crate::{
    auth::Refusal,
    internal_error::log_internal,
    limits::{Full, TooMuch},
    wire::v1::rest,
};

/// How long a refused client is advised to wait.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);
const BEARER: HeaderValue = HeaderValue::from_static("Bearer");

/// A refusal on the REST side (PROTOCOL section 2).
#[derive(Debug)]
pub(crate) struct PublicError {
    status: StatusCode,
    message: Cow<'static, str>,
    /// Of what may be tried again.
    retry_after: Duration,
}

impl PublicError {
    fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, message: message.into(), retry_after: RETRY_AFTER }
    }

    /// One message for every reason, so that a refusal tells nothing.
    pub(crate) fn unauthenticated() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "Authentication credentials were not provided or are invalid",
        )
    }

    /// Of the page that a browser opens a WebSocket from.
    pub(crate) fn origin_not_allowed() -> Self {
        Self::new(StatusCode::FORBIDDEN, "Pages of this origin may not connect")
    }

    /// Of who does not have the address that the server printed.
    pub(crate) fn no_demo_key() -> Self {
        Self::new(StatusCode::FORBIDDEN, "The key of the demo is another")
    }

    /// The documented answer, with its spelling.
    pub(crate) fn invalid_receiver() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Invalid receipient")
    }

    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not found")
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed")
    }

    pub(crate) fn invalid_field(field: &str, problem: impl fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("{field}: {problem}"))
    }

    pub(crate) fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn request_timeout() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "The request body did not arrive in time")
    }

    pub(crate) fn file_too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "The file is too large")
    }

    /// It helps to delete files, and not to wait.
    pub(crate) fn storage_full() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "The storage of the user has no room for the file")
    }

    pub(crate) fn form_too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "The form is too large")
    }

    pub(crate) fn precondition_failed() -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "Precondition failed")
    }

    pub(crate) fn not_implemented(message: &'static str) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, message)
    }

    pub(crate) fn unsupported_media_type(message: &'static str) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message)
    }

    pub(crate) fn too_many_requests() -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests at a time")
    }

    pub(crate) fn unavailable() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "Temporarily unavailable, try again")
    }

    /// `reason` is a word.
    pub(crate) fn not_ready(reason: &'static str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, reason)
    }

    /// Logs why; without the advice to try again.
    pub(crate) fn outcome_unknown(cause: impl fmt::Display) -> Self {
        tracing::warn!(error = %cause, "whether an upload is stored could not be found out");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "It may be stored")
    }

    pub(crate) fn range_not_satisfiable() -> Self {
        Self::new(StatusCode::RANGE_NOT_SATISFIABLE, "Range not satisfiable")
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn message(&self) -> &Cow<'static, str> {
        &self.message
    }

    pub(crate) fn retry_after(&self) -> Duration {
        self.retry_after
    }

    pub(crate) fn is_unauthenticated(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }

    /// Logs `error` and gives the answer that refers to the log.
    pub(crate) fn internal(error: impl fmt::Display) -> Self {
        let id = log_internal(error);
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, format!("Internal error {id}"))
    }
}

impl IntoResponse for PublicError {
    fn into_response(self) -> Response {
        let mut response = rest::failure(self.status, &self.message);
        explain(&mut response, self.retry_after);
        response
    }
}

impl From<Refusal> for PublicError {
    fn from(refusal: Refusal) -> Self {
        if refusal.is_temporary() { Self::unavailable() } else { Self::unauthenticated() }
    }
}

/// Adds the headers of a refusal, in either generation.
pub(crate) fn explain(response: &mut Response, retry_after: Duration) {
    let status = response.status();
    let headers = response.headers_mut();
    match status {
        StatusCode::UNAUTHORIZED => {
            headers.insert(header::WWW_AUTHENTICATE, BEARER);
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            let begun = u64::from(retry_after.subsec_nanos() > 0);
            let seconds = retry_after.as_secs() + begun;
            headers.insert(header::RETRY_AFTER, seconds.max(1).into());
        }
        // The rest of the body, should it ever come, is not another request.
        StatusCode::REQUEST_TIMEOUT => {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        _ => {}
    }
}

impl From<Full> for PublicError {
    fn from(_: Full) -> Self {
        Self::too_many_requests()
    }
}

impl From<TooMuch> for PublicError {
    fn from(TooMuch { wait }: TooMuch) -> Self {
        let refusal = Self::new(StatusCode::TOO_MANY_REQUESTS, "Too much in too short a time");
        Self { retry_after: wait, ..refusal }
    }
}

/// Of what is safe to repeat: there an outcome that is unknown is as good as none. An upload is told apart by its
/// route.
impl From<Failure> for PublicError {
    fn from(failure: Failure) -> Self {
        match failure.reason() {
            ErrorReason::InvalidField if failure.field.is_empty() => {
                Self::bad_request(failure.message)
            }
            ErrorReason::InvalidField => Self::invalid_field(&failure.field, failure.message),
            ErrorReason::BodyTooLarge => Self::invalid_field("message", failure.message),
            ErrorReason::AttachmentTooLarge => Self::file_too_large(),
            ErrorReason::ReceiverUnknown => Self::invalid_receiver(),
            ErrorReason::ReceiverIsSender => {
                Self::invalid_field("receiver", "Must not be the sender")
            }
            ErrorReason::UserDeleted => Self::unauthenticated(),
            ErrorReason::MessageNotFound
            | ErrorReason::AttachmentNotFound
            | ErrorReason::ThreadNotFound => Self::not_found(),
            ErrorReason::MessageNotAllowed
            | ErrorReason::TooLate
            | ErrorReason::ScopeMissing
            | ErrorReason::TooManyRevocations
            | ErrorReason::TicketUnknown
            | ErrorReason::TicketExpired
            | ErrorReason::NotEnabled => Self::internal(failure.message),
            ErrorReason::RangeNotSatisfiable => Self::range_not_satisfiable(),
            ErrorReason::RateLimited => {
                TooMuch { wait: failure.wait().unwrap_or(RETRY_AFTER) }.into()
            }
            ErrorReason::StorageQuotaExceeded => Self::storage_full(),
            // The acting user is ensured anew by the next request.
            ErrorReason::UserUnknown
            | ErrorReason::Overloaded
            | ErrorReason::StoreUnavailable
            | ErrorReason::HandedBack
            | ErrorReason::ShuttingDown
            | ErrorReason::EpochChanged
            | ErrorReason::OutcomeUnknown
            | ErrorReason::Overtaken => Self::unavailable(),
            ErrorReason::Unspecified | ErrorReason::Internal => Self::internal(failure.message),
        }
    }
}

impl From<tonic::Status> for PublicError {
    fn from(status: tonic::Status) -> Self {
        Failure::from(&status).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::v2::{
        problem::Problem,
        refusal::{Code, Refusal},
    };

    #[test]
    fn every_reason_of_the_core_has_its_status() {
        use ErrorReason as R;
        for (reason, status, message) in [
            (R::InvalidField, 400, "body: why"),
            (R::BodyTooLarge, 400, "message: why"),
            (R::AttachmentTooLarge, 413, "The file is too large"),
            (R::ReceiverUnknown, 404, "Invalid receipient"),
            (R::ReceiverIsSender, 400, "receiver: Must not be the sender"),
            (R::UserUnknown, 503, "Temporarily unavailable, try again"),
            (R::MessageNotFound, 404, "Not found"),
            (R::AttachmentNotFound, 404, "Not found"),
            (R::RateLimited, 429, "Too much in too short a time"),
            (R::StorageQuotaExceeded, 413, "The storage of the user has no room for the file"),
            (R::RangeNotSatisfiable, 416, "Range not satisfiable"),
            (R::Overloaded, 503, "Temporarily unavailable, try again"),
            (R::StoreUnavailable, 503, "Temporarily unavailable, try again"),
            (R::ShuttingDown, 503, "Temporarily unavailable, try again"),
            (R::OutcomeUnknown, 503, "Temporarily unavailable, try again"),
        ] {
            let failure = Failure { field: "body".into(), ..Failure::new(reason, "why") };
            let error = PublicError::from(failure);
            assert_eq!((error.status.as_u16(), &*error.message), (status, message), "{reason:?}");
        }
        assert!(PublicError::from(Failure::new(R::UserDeleted, "why")).is_unauthenticated());
        for reason in [R::Unspecified, R::Internal] {
            let error = PublicError::from(Failure::new(reason, "a secret"));
            assert_eq!(error.status, StatusCode::INTERNAL_SERVER_ERROR);
            assert!(!error.message.contains("secret"), "{}", error.message);
        }
    }

    #[test]
    fn who_did_too_much_is_told_how_long_to_wait() {
        for (millis, expected) in
            [(0, "1"), (1, "1"), (1_000, "1"), (1_001, "2"), (3_600_000, "3600")]
        {
            let refusal = PublicError::from(TooMuch { wait: Duration::from_millis(millis) });
            let response = refusal.into_response();
            assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
            assert_eq!(response.headers()[header::RETRY_AFTER], expected);
        }
    }

    /// Of every reason that a core may give, in all forms that clients are told it.
    #[test]
    fn whoever_may_try_again_is_told_when_in_every_form() {
        let wait = Duration::from_millis(90_500);
        let reasons = (0..).map_while(|number| ErrorReason::try_from(number).ok());
        let reasons: Vec<_> = reasons.collect();
        assert!(reasons.contains(&ErrorReason::StorageQuotaExceeded));
        for reason in reasons {
            let failure = Failure::new(reason, "why");
            let is_rate = reason == ErrorReason::RateLimited;
            let failure = if is_rate { failure.retry_after(wait) } else { failure };
            let answers = [
                PublicError::from(failure.clone()).into_response(),
                Problem::of_read(failure.clone()).into_response(),
                Problem::of_write(failure.clone()).into_response(),
            ];
            for answer in answers {
                let status = answer.status().as_u16();
                let expected = match (status, is_rate) {
                    (429, true) => Some("91"),
                    (503, false) => Some("1"),
                    (429 | 503, _) => panic!("{reason:?}: {status}"),
                    _ => None,
                };
                let told = answer.headers().get(header::RETRY_AFTER);
                let told = told.map(|value| value.to_str().expect("a number"));
                assert_eq!(told, expected, "{reason:?}: {status}");
            }
            let refusal = Refusal::from(failure);
            assert_eq!(refusal.code == Code::RateLimited, is_rate, "{reason:?}");
            assert_eq!(refusal.retry_after, is_rate.then_some(wait), "{reason:?}");
        }
        let too_much = TooMuch { wait };
        assert_eq!(Refusal::rate_limited(too_much).retry_after, Some(wait));
        for answer in [
            PublicError::from(Full).into_response(),
            Problem::from(Full).into_response(),
            PublicError::not_ready("draining").into_response(),
            Problem::unavailable().into_response(),
        ] {
            assert_eq!(answer.headers()[header::RETRY_AFTER], "1");
        }
    }

    #[test]
    fn what_may_be_stored_is_not_to_be_tried_again() {
        let error = PublicError::outcome_unknown("why");
        assert_eq!(error.message, "It may be stored");
        let response = error.into_response();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!response.headers().contains_key(header::RETRY_AFTER));
    }
}
