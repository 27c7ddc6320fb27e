//! The envelopes of REST answers and what is in them (PROTOCOL section 2).

use axum::{body::Body, response::Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use netrox_proto::v1;
use serde::Serialize;
use serde_json::value::RawValue;

use super::format::RestTimestamp;

mod list;
mod message;

pub(crate) use self::{
    list::{List, ListEnvelope, MESSAGES, THREADS},
    message::Participants,
};

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

/// An answer whose body is JSON already; of the second generation, too.
pub(crate) fn respond(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().extend(JSON_HEADERS);
    response
}

/// The message of the answer to an upload.
pub(crate) const UPLOADED: &str = "File uploaded and chat created successfully";

/// The entity of the answer to an upload.
#[derive(Serialize)]
pub(crate) struct Uploaded {
    pub(crate) message: Box<RawValue>,
}

/// `{"id": …, "email": …, "profile": …}`
#[derive(Serialize)]
struct User<'a> {
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
struct Thread<'a> {
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

#[cfg(test)]
mod tests;
