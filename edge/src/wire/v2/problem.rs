//! Why a request is refused: RFC 9457, with a `code` for programs (PROTOCOL-2 sections 3 and 5).

use std::{borrow::Cow, fmt, time::Duration};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use netrox_proto::v1::{ErrorReason, Failure};
use serde::Serialize;

use super::{
    cursor::Reset,
    refusal::{Code, Refusal},
};
use crate::{
    error::{PublicError, RETRY_AFTER, explain},
    internal_error::log_internal,
    limits::{Full, TooMuch},
    wire::v1::rest,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProblemCode {
    InvalidJson,
    InvalidField,
    InvalidToken,
    UserDeleted,
    NotAllowed,
    NotFound,
    InvalidReceiver,
    MethodNotAllowed,
    TooLate,
    Reset,
    NotEnabled,
    MessageTooLarge,
    UnsupportedMediaType,
    RateLimited,
    Internal,
    Unavailable,
    OutcomeUnknown,
}

impl ProblemCode {
    fn status(self) -> StatusCode {
        match self {
            Self::InvalidJson | Self::InvalidField => StatusCode::BAD_REQUEST,
            Self::InvalidToken => StatusCode::UNAUTHORIZED,
            Self::UserDeleted | Self::NotAllowed => StatusCode::FORBIDDEN,
            Self::NotFound | Self::InvalidReceiver | Self::NotEnabled => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLate => StatusCode::CONFLICT,
            Self::Reset => StatusCode::GONE,
            Self::MessageTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable | Self::OutcomeUnknown => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// A refusal of the second generation.
#[derive(Debug)]
pub(crate) struct Problem {
    code: ProblemCode,
    status: StatusCode,
    detail: Cow<'static, str>,
    reset: Option<Reset>,
    retry_after: Duration,
}

impl Problem {
    pub(crate) fn new(code: ProblemCode, detail: impl Into<Cow<'static, str>>) -> Self {
        let (status, detail) = (code.status(), detail.into());
        Self { code, status, detail, reset: None, retry_after: RETRY_AFTER }
    }

    pub(crate) fn invalid_field(field: &str, problem: impl fmt::Display) -> Self {
        Self::new(ProblemCode::InvalidField, format!("{field}: {problem}"))
    }

    pub(crate) fn not_found() -> Self {
        Self::new(ProblemCode::NotFound, "Not there, or not for this user")
    }

    pub(crate) fn invalid_receiver() -> Self {
        Self::new(ProblemCode::InvalidReceiver, "Nobody who could receive it")
    }

    pub(crate) fn invalid_token() -> Self {
        Self::new(ProblemCode::InvalidToken, "The access token is missing, or not valid")
    }

    pub(crate) fn of_token(refusal: crate::auth::Refusal) -> Self {
        if refusal.is_temporary() { Self::unavailable() } else { Self::invalid_token() }
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(ProblemCode::MethodNotAllowed, "The resource has no such method")
    }

    pub(crate) fn reset(reset: Reset) -> Self {
        let problem = Self::new(ProblemCode::Reset, "No place to go on from: take a snapshot");
        Self { reset: Some(reset), ..problem }
    }

    pub(crate) fn not_enabled() -> Self {
        Self::new(ProblemCode::NotEnabled, "Search is not turned on")
    }

    pub(crate) fn unavailable() -> Self {
        Self::new(ProblemCode::Unavailable, "Temporarily unavailable, try again")
    }

    /// Logs why.
    pub(crate) fn outcome_unknown(cause: impl fmt::Display) -> Self {
        tracing::warn!(error = %cause, "whether a request took effect could not be found out");
        Self::new(ProblemCode::OutcomeUnknown, "It may have taken effect: repeat it as it was")
    }

    /// Logs `error` and gives the answer that refers to the log.
    pub(crate) fn internal(error: impl fmt::Display) -> Self {
        let id = log_internal(error);
        Self::new(ProblemCode::Internal, format!("Internal error {id}"))
    }

    #[cfg(test)]
    pub(crate) fn code(&self) -> ProblemCode {
        self.code
    }

    /// The core's refusal of what changes nothing, so that an outcome that is unknown is none.
    pub(crate) fn of_read(failure: Failure) -> Self {
        let is_unknown = failure.reason() == ErrorReason::OutcomeUnknown;
        if is_unknown { Self::unavailable() } else { Self::of_write(failure) }
    }

    /// The core's refusal of what may have taken effect.
    pub(crate) fn of_write(failure: Failure) -> Self {
        if failure.reason() == ErrorReason::NotEnabled {
            return Self::not_enabled();
        }
        // A core of the last version, while others are upgraded.
        if failure.code == i32::from(tonic::Code::Unimplemented) {
            return Self::unavailable();
        }
        match failure.reason() {
            ErrorReason::InvalidField if failure.field.is_empty() => {
                Self::new(ProblemCode::InvalidField, failure.message)
            }
            ErrorReason::InvalidField => {
                Self::invalid_field(public_name(&failure.field), failure.message)
            }
            ErrorReason::BodyTooLarge
            | ErrorReason::AttachmentTooLarge
            | ErrorReason::StorageQuotaExceeded => {
                Self::new(ProblemCode::MessageTooLarge, failure.message)
            }
            ErrorReason::RateLimited => {
                let retry_after = failure.wait().unwrap_or(RETRY_AFTER);
                let problem = Self::new(ProblemCode::RateLimited, "Too many new conversations");
                Self { retry_after, ..problem }
            }
            ErrorReason::ReceiverUnknown | ErrorReason::ReceiverIsSender => {
                Self::invalid_receiver()
            }
            ErrorReason::UserDeleted => {
                Self::new(ProblemCode::UserDeleted, "The user of the token was deleted")
            }
            ErrorReason::MessageNotFound
            | ErrorReason::AttachmentNotFound
            | ErrorReason::ThreadNotFound => Self::not_found(),
            ErrorReason::MessageNotAllowed => {
                Self::new(ProblemCode::NotAllowed, "The message is another's")
            }
            ErrorReason::TooLate => {
                Self::new(ProblemCode::TooLate, "The message was deleted, or is too old for it")
            }
            // The acting user is ensured anew by the next request.
            ErrorReason::UserUnknown
            | ErrorReason::Overloaded
            | ErrorReason::StoreUnavailable
            | ErrorReason::HandedBack
            | ErrorReason::ShuttingDown
            | ErrorReason::EpochChanged
            | ErrorReason::Overtaken => Self::unavailable(),
            ErrorReason::OutcomeUnknown => Self::outcome_unknown(failure.message),
            ErrorReason::Unspecified
            | ErrorReason::RangeNotSatisfiable
            | ErrorReason::ScopeMissing
            | ErrorReason::TooManyRevocations
            | ErrorReason::TicketUnknown
            | ErrorReason::TicketExpired
            | ErrorReason::NotEnabled
            | ErrorReason::Internal => Self::internal(failure.message),
        }
    }
}

/// What the public API calls a field of the contract.
fn public_name(field: &str) -> &str {
    match field {
        "body" => "message_body",
        "meta_json" => "meta",
        "reply_to_id" => "reply_to",
        "up_to_id" => "up_to",
        "page_token" => "next",
        "query" => "q",
        "before_id" => "before",
        "after_id" => "after",
        "file_name" => "attached_file",
        field => field,
    }
}

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: ProblemCode,
    #[serde(skip_serializing_if = "Option::is_none")]
    reset: Option<&'static str>,
}

const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Body {
            r#type: "about:blank",
            // RFC 9457 section 4.2.1: that of the status.
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code,
            reset: self.reset.map(Reset::word),
        };
        // A struct of strings: writing it to memory cannot fail.
        let json = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = rest::respond(self.status, json);
        response.headers_mut().insert(header::CONTENT_TYPE, PROBLEM_JSON);
        explain(&mut response, self.retry_after);
        response
    }
}

impl From<Full> for Problem {
    fn from(_: Full) -> Self {
        Self::new(ProblemCode::RateLimited, "Too many requests at a time")
    }
}

impl From<TooMuch> for Problem {
    fn from(TooMuch { wait }: TooMuch) -> Self {
        let problem = Self::new(ProblemCode::RateLimited, "Too much in too short a time");
        Self { retry_after: wait, ..problem }
    }
}

/// Of a field that frames have, too.
impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal.code {
            Code::InvalidJson => ProblemCode::InvalidJson,
            Code::UnknownAction | Code::InvalidField => ProblemCode::InvalidField,
            Code::MessageTooLarge => ProblemCode::MessageTooLarge,
            Code::InvalidReceiver => ProblemCode::InvalidReceiver,
            Code::NotFound => ProblemCode::NotFound,
            Code::NotAllowed => ProblemCode::NotAllowed,
            Code::TooLate => ProblemCode::TooLate,
            Code::RateLimited => ProblemCode::RateLimited,
            Code::Unavailable => ProblemCode::Unavailable,
            Code::OutcomeUnknown => ProblemCode::OutcomeUnknown,
            Code::Internal => ProblemCode::Internal,
            Code::InvalidToken => ProblemCode::InvalidToken,
            Code::UserDeleted => ProblemCode::UserDeleted,
        };
        let problem = Self::new(code, refusal.message);
        Self { retry_after: refusal.retry_after.unwrap_or(RETRY_AFTER), ..problem }
    }
}

/// A refusal of a part that both generations have.
impl From<PublicError> for Problem {
    fn from(error: PublicError) -> Self {
        let code = match error.status() {
            StatusCode::UNAUTHORIZED => ProblemCode::InvalidToken,
            StatusCode::NOT_FOUND => ProblemCode::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => ProblemCode::MethodNotAllowed,
            StatusCode::PAYLOAD_TOO_LARGE => ProblemCode::MessageTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => ProblemCode::UnsupportedMediaType,
            StatusCode::TOO_MANY_REQUESTS => ProblemCode::RateLimited,
            StatusCode::REQUEST_TIMEOUT | StatusCode::SERVICE_UNAVAILABLE => {
                ProblemCode::Unavailable
            }
            status if status.is_server_error() => ProblemCode::Internal,
            _ => ProblemCode::InvalidField,
        };
        let (status, retry_after) = (error.status(), error.retry_after());
        Self { status, retry_after, ..Self::new(code, error.message().clone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(problem: Problem) -> (StatusCode, String) {
        let response = problem.into_response();
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a body");
        (status, String::from_utf8(body.into()).expect("UTF-8"))
    }

    #[tokio::test]
    async fn a_problem_has_its_keys_in_order() {
        let (status, json) = told(Problem::invalid_field("limit", "must be 1 to 200")).await;
        assert_eq!(status, 400);
        assert_eq!(
            json,
            concat!(
                r#"{"type":"about:blank","title":"Bad Request","status":400,"#,
                r#""detail":"limit: must be 1 to 200","code":"invalid_field"}"#,
            )
        );
        let (status, json) = told(Problem::reset(Reset::Epoch)).await;
        assert_eq!(status, 410);
        assert!(json.ends_with(r#""code":"reset","reset":"epoch"}"#), "{json}");
    }

    #[test]
    fn every_reason_of_the_core_has_its_code() {
        use ErrorReason as R;
        use ProblemCode as P;
        for (reason, written, read) in [
            (R::InvalidField, P::InvalidField, P::InvalidField),
            (R::BodyTooLarge, P::MessageTooLarge, P::MessageTooLarge),
            (R::AttachmentTooLarge, P::MessageTooLarge, P::MessageTooLarge),
            (R::ReceiverUnknown, P::InvalidReceiver, P::InvalidReceiver),
            (R::ReceiverIsSender, P::InvalidReceiver, P::InvalidReceiver),
            (R::UserUnknown, P::Unavailable, P::Unavailable),
            (R::UserDeleted, P::UserDeleted, P::UserDeleted),
            (R::MessageNotFound, P::NotFound, P::NotFound),
            (R::ThreadNotFound, P::NotFound, P::NotFound),
            (R::MessageNotAllowed, P::NotAllowed, P::NotAllowed),
            (R::TooLate, P::TooLate, P::TooLate),
            (R::RateLimited, P::RateLimited, P::RateLimited),
            (R::StorageQuotaExceeded, P::MessageTooLarge, P::MessageTooLarge),
            (R::Overloaded, P::Unavailable, P::Unavailable),
            (R::StoreUnavailable, P::Unavailable, P::Unavailable),
            (R::ShuttingDown, P::Unavailable, P::Unavailable),
            (R::OutcomeUnknown, P::OutcomeUnknown, P::Unavailable),
            (R::NotEnabled, P::NotEnabled, P::NotEnabled),
            (R::Internal, P::Internal, P::Internal),
        ] {
            let failure = Failure { field: "body".into(), ..Failure::new(reason, "why") };
            assert_eq!(Problem::of_write(failure.clone()).code, written, "{reason:?}");
            assert_eq!(Problem::of_read(failure).code, read, "{reason:?}");
        }
        let failure = Failure::invalid_field("up_to_id", "beyond the last");
        assert_eq!(Problem::of_write(failure).detail, "up_to: beyond the last");
    }

    #[test]
    fn who_is_refused_is_told_what_helps() {
        let too_much = Problem::from(TooMuch { wait: Duration::from_millis(1_001) });
        for (problem, name, value) in [
            (too_much, header::RETRY_AFTER, "2"),
            (Problem::unavailable(), header::RETRY_AFTER, "1"),
            (Problem::outcome_unknown("why"), header::RETRY_AFTER, "1"),
            (Problem::invalid_token(), header::WWW_AUTHENTICATE, "Bearer"),
            (PublicError::request_timeout().into(), header::CONNECTION, "close"),
        ] {
            assert_eq!(problem.into_response().headers()[name], value);
        }
    }

    #[test]
    fn a_refusal_of_a_part_that_both_have_keeps_its_status() {
        for (error, code, status) in [
            (PublicError::unauthenticated(), ProblemCode::InvalidToken, 401),
            (PublicError::file_too_large(), ProblemCode::MessageTooLarge, 413),
            (PublicError::request_timeout(), ProblemCode::Unavailable, 408),
            (PublicError::bad_request("broken"), ProblemCode::InvalidField, 400),
            (PublicError::unavailable(), ProblemCode::Unavailable, 503),
            (PublicError::not_implemented("coded"), ProblemCode::Internal, 501),
        ] {
            let problem = Problem::from(error);
            assert_eq!((problem.code, problem.status.as_u16()), (code, status));
        }
    }
}
