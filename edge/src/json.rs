//! The public wire format, in one place: what clients that know only the documented API read.
//!
//! Field names, their order and their spelling ("craeted", "retreived", "receipient") are the
//! contract; nothing here may be corrected.

use std::fmt::Write as _;

use axum::{body::Body, response::Response};
use http::{HeaderValue, StatusCode, header};
use jiff::Timestamp;
use serde::Serialize;

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * 1024.0;

/// Where the core's attachment paths are served.
pub(crate) const MEDIA_PREFIX: &str = "/mediafiles/";

/// `2024-06-17T11:28:21.902531Z`, as in REST answers.
pub(crate) fn rest_timestamp(micros: i64) -> String {
    timestamp(micros, "Z")
}

/// `2024-06-17T12:48:28.228342+00:00`, as in WebSocket frames.
pub(crate) fn socket_timestamp(micros: i64) -> String {
    timestamp(micros, "+00:00")
}

fn timestamp(micros: i64, zone: &str) -> String {
    let instant = Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX);
    let mut text = String::with_capacity(32);
    // Writing to a String cannot fail; jiff ends an instant in "Z".
    let _ = write!(text, "{instant:.6}");
    text.truncate(text.len() - 1);
    text.push_str(zone);
    text
}

/// `attached_file_size` of a message: `0kb` without a file.
pub(crate) fn attached_file_size(bytes: Option<i64>) -> String {
    match bytes {
        None => "0kb".to_owned(),
        Some(bytes) if bytes as f64 / MIB > 1.0 => format!("{:.2}MB", bytes as f64 / MIB),
        Some(bytes) => format!("{:.2}KB", bytes as f64 / KIB),
    }
}

/// The wrapper of every REST answer.
#[derive(Debug, Serialize)]
struct Envelope<'a, T> {
    status: &'static str,
    entity: Option<T>,
    message: Option<&'a str>,
    success: bool,
}

/// The envelope of a refusal.
pub(crate) fn failure(status: StatusCode, message: &str) -> Response {
    let envelope =
        Envelope::<()> { status: "failure", entity: None, message: Some(message), success: false };
    // Of strings, so it cannot fail.
    let body = serde_json::to_vec(&envelope).unwrap_or_default();
    respond(status, body)
}

fn respond(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
