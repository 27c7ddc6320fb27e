//! The public wire format, in one place: what clients that know only the documented API read.
//!
//! Field names, their order and their spelling ("craeted", "retreived", "receipient") are the
//! contract; nothing here may be corrected.

use std::{borrow::Cow, ops::Range};

use axum::{body::Body, response::Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use jiff::{Timestamp, tz::Offset};
use netrox_proto::{time, v1};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

mod message;

pub(crate) use self::message::Participants;

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * 1024.0;

/// Where the core's attachment paths are served.
pub(crate) const MEDIA_PREFIX: &str = "/mediafiles/";

/// The wrapper of every REST answer.
#[derive(Serialize)]
struct Envelope<'a, T> {
    status: &'static str,
    entity: Option<T>,
    message: Option<&'a str>,
    success: bool,
}

/// The envelope of a success.
pub(crate) fn success<T: Serialize>(
    status: StatusCode,
    entity: Option<T>,
    message: Option<&str>,
) -> Result<Response, serde_json::Error> {
    let envelope = Envelope { status: "success", entity, message, success: true };
    Ok(respond(status, serde_json::to_vec(&envelope)?))
}

/// The envelope of a refusal.
pub(crate) fn failure(status: StatusCode, message: &str) -> Response {
    let envelope =
        Envelope::<()> { status: "failure", entity: None, message: Some(message), success: false };
    // A struct of strings: writing it to memory cannot fail.
    respond(status, serde_json::to_vec(&envelope).unwrap_or_default())
}

/// What the browser may do with an answer of the API: nothing.
const JSON_HEADERS: [(HeaderName, HeaderValue); 5] = [
    (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
];

/// An answer whose body is JSON already.
pub(crate) fn respond(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().extend(JSON_HEADERS);
    response
}

/// An envelope around a list that is written item by item, so that it need not be held in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListEnvelope {
    pub(crate) open: &'static str,
    pub(crate) close: &'static str,
}

pub(crate) const MESSAGES: ListEnvelope = ListEnvelope {
    open: r#"{"status":"success","entity":{"messages":["#,
    close: r#"]},"message":"Messages retreived successfully","success":true}"#,
};

pub(crate) const THREADS: ListEnvelope = ListEnvelope {
    open: r#"{"status":"success","entity":["#,
    close: r#"],"message":null,"success":true}"#,
};

/// The message of the answer to an upload.
pub(crate) const UPLOADED: &str = "File uploaded and chat created successfully";

/// The entity of the answer to an upload.
#[derive(Serialize)]
pub(crate) struct Uploaded {
    pub(crate) message: Box<RawValue>,
}

/// `{"id": …, "email": …, "profile": …}`
#[derive(Serialize)]
pub(crate) struct User<'a> {
    id: &'a str,
    email: &'a str,
    profile: Option<&'a RawValue>,
}

impl<'a> From<&'a v1::User> for User<'a> {
    fn from(user: &'a v1::User) -> Self {
        // The directory takes only JSON; anything else must not break the whole answer.
        let profile = user.profile_json.as_deref().and_then(|text| serde_json::from_str(text).ok());
        Self { id: &user.id, email: &user.email, profile }
    }
}

#[derive(Serialize)]
pub(crate) struct Thread<'a> {
    id: i64,
    user_one: Option<User<'a>>,
    user_two: Option<User<'a>>,
    craeted: RestTimestamp,
}

impl<'a> From<&'a v1::Thread> for Thread<'a> {
    fn from(thread: &'a v1::Thread) -> Self {
        Self {
            id: thread.id,
            user_one: thread.user_one.as_ref().map(User::from),
            user_two: thread.user_two.as_ref().map(User::from),
            craeted: thread.created.as_ref().into(),
        }
    }
}

/// `2024-06-17T11:28:21.902531Z`, as in REST answers.
#[derive(Clone, Copy)]
struct RestTimestamp([u8; REST_TIMESTAMP.len()]);

const REST_TIMESTAMP: &[u8; 27] = b"0000-00-00T00:00:00.000000Z";

impl RestTimestamp {
    /// Written digit by digit: two of them are half the work of a message's JSON otherwise.
    fn new(micros: i64) -> Self {
        // Later years than 9999 have no such form, and nothing was sent before 1970.
        let instant = Timestamp::from_microsecond(micros.max(0)).unwrap_or(Timestamp::MAX);
        let time = Offset::UTC.to_datetime(instant);
        let mut text = *REST_TIMESTAMP;
        let mut write = |range: Range<usize>, mut value: u32| {
            for digit in text[range].iter_mut().rev() {
                *digit = b'0' + (value % 10) as u8;
                value /= 10;
            }
        };
        write(0..4, time.year().unsigned_abs().into());
        write(5..7, time.month().unsigned_abs().into());
        write(8..10, time.day().unsigned_abs().into());
        write(11..13, time.hour().unsigned_abs().into());
        write(14..16, time.minute().unsigned_abs().into());
        write(17..19, time.second().unsigned_abs().into());
        write(20..26, time.subsec_nanosecond().unsigned_abs() / 1000);
        Self(text)
    }

    fn as_str(&self) -> &str {
        // ASCII throughout.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl From<Option<&prost_types::Timestamp>> for RestTimestamp {
    fn from(timestamp: Option<&prost_types::Timestamp>) -> Self {
        Self::new(timestamp.map(time::micros).unwrap_or_default())
    }
}

impl Serialize for RestTimestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// `2024-06-17T12:48:28.228342+00:00`, as in WebSocket frames.
pub(crate) fn socket_timestamp(micros: i64) -> String {
    let text = RestTimestamp::new(micros);
    [text.as_str().trim_end_matches('Z'), "+00:00"].concat()
}

/// `attached_file_size` of a message: `0kb` without a file.
pub(crate) fn attached_file_size(bytes: Option<i64>) -> Cow<'static, str> {
    match bytes {
        None => "0kb".into(),
        Some(bytes) if bytes as f64 / MIB > 1.0 => format!("{:.2}MB", bytes as f64 / MIB).into(),
        Some(bytes) => format!("{:.2}KB", bytes as f64 / KIB).into(),
    }
}

#[cfg(test)]
mod tests;
