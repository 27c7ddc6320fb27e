//! The JSON body of a request, as bytes.

use std::error::Error;

use axum::{BoxError, extract::Request};
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tower_http::timeout::TimeoutError;

use crate::{
    error::PublicError,
    wire::v2::problem::{Problem, ProblemCode},
};

/// Reads a body of at most `max_bytes`, which must say of itself that it is JSON.
pub(super) async fn read(request: Request, max_bytes: usize) -> Result<Bytes, Problem> {
    check_type(request.headers())?;
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > max_bytes as u64) {
        return Err(too_large(max_bytes));
    }
    let body = Limited::new(request.into_body(), max_bytes).collect().await;
    body.map(|body| body.to_bytes()).map_err(|error| refusal(&error, max_bytes))
}

/// The same where there may be none. What is empty needs no type.
pub(super) async fn read_if_any(
    request: Request,
    max_bytes: usize,
) -> Result<Option<Bytes>, Problem> {
    let checked = check_type(request.headers());
    let body = Limited::new(request.into_body(), max_bytes).collect().await;
    let body = body.map_err(|error| refusal(&error, max_bytes))?.to_bytes();
    if body.is_empty() { Ok(None) } else { checked.map(|()| Some(body)) }
}

fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default();
    let is_json = content_type.trim().eq_ignore_ascii_case("application/json");
    if !is_json || headers.contains_key(header::CONTENT_ENCODING) {
        let detail = "The body must be application/json, without a Content-Encoding";
        return Err(Problem::new(ProblemCode::UnsupportedMediaType, detail));
    }
    Ok(())
}

fn too_large(max_bytes: usize) -> Problem {
    let detail = format!("The body must not be longer than {max_bytes} bytes");
    Problem::new(ProblemCode::MessageTooLarge, detail)
}

fn refusal(error: &BoxError, max_bytes: usize) -> Problem {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&**error);
    while let Some(error) = cause {
        if error.is::<LengthLimitError>() {
            return too_large(max_bytes);
        }
        if error.is::<TimeoutError>() {
            return PublicError::request_timeout().into();
        }
        cause = error.source();
    }
    Problem::new(ProblemCode::InvalidJson, "The body broke off")
}
