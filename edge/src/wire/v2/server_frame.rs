//! What clients receive: each frame one JSON object, its keys in the order of PROTOCOL-2 section 4.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use netrox_proto::{
    ids::UserId,
    v1::{Message, Presence, ThreadState, User},
};
use serde::Serialize;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{
    cursor::Reset,
    echo::{Echo, Subject},
    limits::LimitsObject,
    object::{MessageObject, ThreadStateObject, UserObject},
    refusal::{Code, Refusal},
};
use crate::{sends::Sent, wire::v1::format::RestTimestamp};

const MICROS_A_SECOND: i64 = 1_000_000;

/// What `hello` says.
pub(crate) struct Hello<'a> {
    pub(crate) user: UserId,
    pub(crate) session_id: &'a str,
    pub(crate) cursor: &'a str,
    pub(crate) resumed: bool,
    pub(crate) reset: Option<Reset>,
    /// How many changes were missed at most.
    pub(crate) behind: u64,
    pub(crate) limits: LimitsObject,
}

/// The first frame of a connection.
pub(crate) fn hello(hello: &Hello<'_>) -> Utf8Bytes {
    render(&HelloFrame {
        action: "hello",
        user_id: hello.user.to_string(),
        session_id: hello.session_id,
        cursor: hello.cursor,
        resumed: hello.resumed,
        reset: hello.reset.map(Reset::word),
        behind: hello.behind,
        time: now(),
        limits: &hello.limits,
    })
}

/// What was missed is through.
pub(crate) fn live(cursor: &str, unread_total: i32) -> Utf8Bytes {
    render(&LiveFrame { action: "live", cursor, unread_total })
}

/// A message that is new or has changed, as `viewer` sees it.
pub(crate) fn message(cursor: &str, new: bool, message: &Message, viewer: UserId) -> Utf8Bytes {
    let message = MessageObject::of(message, viewer);
    render(&MessageFrame { action: "message", cursor, new, message })
}

/// A thread whose state has changed.
pub(crate) fn thread(cursor: &str, thread: &ThreadState) -> Utf8Bytes {
    render(&ThreadFrame { action: "thread", cursor, thread: ThreadStateObject::of(thread) })
}

/// A watched peer came or left.
pub(crate) fn presence(presence: &Presence) -> Utf8Bytes {
    render(&PresenceFrame { action: "presence", presence: PresenceObject::of(presence) })
}

/// The email or profile of a watched peer has changed.
pub(crate) fn user(user: &User) -> Utf8Bytes {
    render(&UserFrame { action: "user", user: UserObject::of(user) })
}

/// A peer types, or no longer does.
pub(crate) fn typing(peer: UserId, typing: bool) -> Utf8Bytes {
    render(&TypingFrame { action: "typing", peer_id: peer.to_string(), typing })
}

/// The answer to what took effect; `None` where its client wants none.
pub(crate) fn sent(echo: &Echo, sent: &Sent) -> Option<Utf8Bytes> {
    if !echo.wants_ack() {
        return None;
    }
    let (action, reference) = ("ack", echo.reference.as_deref());
    Some(match sent {
        Sent::Message(sent) => render(&MessageAck {
            action,
            reference,
            client_ref: echo.client_ref().map(|client_ref| client_ref.to_string()),
            message_id: sent.message_id,
            thread: sent.thread_id,
            created: sent.created.as_ref().into(),
            repeated: sent.repeated,
        }),
        Sent::Dispatch(sent) => render(&DispatchAck {
            action,
            reference,
            message_id: echo.message_id(),
            dispatched: sent.dispatched.as_ref().into(),
            repeated: sent.already_dispatched,
        }),
        Sent::Edit(updated) => render(&EditAck {
            action,
            reference,
            message_id: echo.message_id(),
            updated: updated.as_ref().into(),
        }),
        Sent::Delete => render(&DeleteAck { action, reference, message_id: echo.message_id() }),
        Sent::Block => render(&PlainAck { action, reference }),
        Sent::Mark(marks) => render(&MarkAck {
            action,
            reference,
            peer_id: echo.peer().map(|peer| peer.to_string()),
            marks: match echo.subject {
                Subject::Delivered(_) => {
                    MarksObject::Delivered { delivered_id: marks.delivered_id }
                }
                Subject::Seen(_)
                | Subject::Nothing
                | Subject::Message(_)
                | Subject::Dispatch(_)
                | Subject::Edit(_)
                | Subject::Delete(_)
                | Subject::Block(_)
                | Subject::Unblock(_)
                | Subject::TokenRefresh
                | Subject::Typing(_)
                | Subject::Ping => MarksObject::Seen {
                    seen_id: marks.seen_id,
                    unread: marks.unread,
                    last_id: marks.last_id,
                },
            },
        }),
    })
}

/// The answer to what took effect and has no more to tell; `None` where its client wants none.
pub(crate) fn acknowledged(echo: &Echo) -> Option<Utf8Bytes> {
    let reference = echo.reference.as_deref();
    echo.wants_ack().then(|| render(&PlainAck { action: "ack", reference }))
}

/// The answer to a list of those whom the client watches: how they are, in the order asked.
pub(crate) fn watched(echo: &Echo, presences: &[Presence]) -> Option<Utf8Bytes> {
    let (action, reference) = ("ack", echo.reference.as_deref());
    let states = presences.iter().map(PresenceObject::of).collect();
    echo.wants_ack().then(|| render(&WatchAck { action, reference, states }))
}

/// The answer to a `ping`.
pub(crate) fn pong(echo: &Echo) -> Utf8Bytes {
    render(&PingAck { action: "ack", reference: echo.reference.as_deref(), time: now() })
}

/// The answer to a `token_refresh`, if its client wants one. `expires_at` is in seconds since the epoch.
pub(crate) fn refreshed(echo: &Echo, expires_at: i64) -> Option<Utf8Bytes> {
    let expires = RestTimestamp::new(expires_at.saturating_mul(MICROS_A_SECOND));
    let reference = Some(echo.reference.as_deref()?);
    Some(render(&RefreshAck { action: "ack", reference, expires }))
}

/// The token of a connection expires soon, and with it the connection.
pub(crate) fn token_expiring(in_s: u64) -> Utf8Bytes {
    render(&TokenExpiringFrame { action: "token_expiring", in_s })
}

/// This edge will be gone: when its client is to open another connection.
pub(crate) fn reconnect(after: Duration) -> Utf8Bytes {
    render(&ReconnectFrame { action: "reconnect", after_ms: milliseconds(after) })
}

/// The frame that tells a client why its own was refused.
pub(crate) fn refused(echo: &Echo, refusal: &Refusal) -> Utf8Bytes {
    render(&ErrorFrame {
        action: "error",
        reference: echo.reference.as_deref(),
        client_ref: echo.client_ref().map(|client_ref| client_ref.to_string()),
        code: refusal.code,
        message: &refusal.message,
        retry_after_ms: refusal.retry_after.map(milliseconds),
    })
}

/// Never less than it takes.
fn milliseconds(wait: Duration) -> u64 {
    u64::try_from(wait.as_micros().div_ceil(1_000)).unwrap_or(u64::MAX)
}

#[expect(clippy::disallowed_methods, reason = "what clients set their own clock against")]
fn now() -> RestTimestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    RestTimestamp::new(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

#[derive(Serialize)]
struct HelloFrame<'a> {
    action: &'static str,
    user_id: String,
    session_id: &'a str,
    cursor: &'a str,
    resumed: bool,
    reset: Option<&'static str>,
    behind: u64,
    time: RestTimestamp,
    limits: &'a LimitsObject,
}

#[derive(Serialize)]
struct LiveFrame<'a> {
    action: &'static str,
    cursor: &'a str,
    unread_total: i32,
}

#[derive(Serialize)]
struct MessageFrame<'a, M> {
    action: &'static str,
    cursor: &'a str,
    new: bool,
    message: M,
}

#[derive(Serialize)]
struct ThreadFrame<'a, T> {
    action: &'static str,
    cursor: &'a str,
    thread: T,
}

#[derive(Serialize)]
struct PresenceFrame<'a> {
    action: &'static str,
    #[serde(flatten)]
    presence: PresenceObject<'a>,
}

#[derive(Serialize)]
struct UserFrame<'a> {
    action: &'static str,
    user: UserObject<'a>,
}

#[derive(Serialize)]
struct WatchAck<'a> {
    action: &'static str,
    #[serde(rename = "ref")]
    reference: Option<&'a str>,
    states: Vec<PresenceObject<'a>>,
}

#[derive(Serialize)]
struct PresenceObject<'a> {
    peer_id: &'a str,
    online: bool,
    last_seen: Option<RestTimestamp>,
}

impl<'a> PresenceObject<'a> {
    fn of(presence: &'a Presence) -> Self {
        let last_seen = presence.last_seen.as_ref().map(|at| Some(at).into());
        Self { peer_id: &presence.peer_id, online: presence.online, last_seen }
    }
}

#[derive(Serialize)]
struct TypingFrame {
    action: &'static str,
    peer_id: String,
    typing: bool,
}

#[derive(Serialize)]
struct MessageAck<'a> {
    action: &'static str,
    #[serde(rename = "ref")]
    reference: Option<&'a str>,
    client_ref: Option<String>,
    message_id: i64,
    thread: i64,
    created: RestTimestamp,
    repeated: bool,
}

#[derive(Serialize)]
struct DispatchAck<'a> {
    action: &'static str,
    #[serde(rename = "ref")]
    reference: Option<&'a str>,
    message_id: Option<i64>,
    dispatched: RestTimestamp,
    repeated: bool,
}

#[derive(Serialize)]
struct EditAck<'a> {
    action: &'static str,
    #[serde(rename = "ref")]
    reference: Option<&'a str>,
    message_id: Option<i64>,
    updated: RestTimestamp,
}

#[derive(Serialize)]
struct DeleteAck<'a> {
    action: &'static str,
    #[serde(rename = "ref")]
    reference: Option<&'a str>,
    message_id: Option<i64>,
}

#[derive(Serialize)]
struct PlainAck<'a> {
    action: &'static str,
    #[serde(rename = "ref")]
    reference: Option<&'a str>,
}

#[derive(Serialize)]
struct MarkAck<'a> {
    action: &'static str,
    #[serde(rename = "ref")]
    reference: Option<&'a str>,
    peer_id: Option<String>,
    #[serde(flatten)]
    marks: MarksObject,
}

#[derive(Serialize)]
#[serde(untagged)]
enum MarksObject {
    Seen { seen_id: i64, unread: i32, last_id: i64 },
    Delivered { delivered_id: i64 },
}

#[derive(Serialize)]
struct PingAck<'a> {
    action: &'static str,
    #[serde(rename = "ref")]
    reference: Option<&'a str>,
    time: RestTimestamp,
}

#[derive(Serialize)]
struct RefreshAck<'a> {
    action: &'static str,
    #[serde(rename = "ref")]
    reference: Option<&'a str>,
    expires: RestTimestamp,
}

#[derive(Serialize)]
struct TokenExpiringFrame {
    action: &'static str,
    in_s: u64,
}

#[derive(Serialize)]
struct ReconnectFrame {
    action: &'static str,
    after_ms: u64,
}

#[derive(Serialize)]
struct ErrorFrame<'a> {
    action: &'static str,
    #[serde(rename = "ref")]
    reference: Option<&'a str>,
    client_ref: Option<String>,
    code: Code,
    message: &'a str,
    retry_after_ms: Option<u64>,
}

#[expect(clippy::expect_used, reason = "strings, numbers and JSON can be written as JSON")]
fn render(frame: &impl Serialize) -> Utf8Bytes {
    serde_json::to_string(frame).expect("strings, numbers and JSON can be serialised").into()
}

#[cfg(test)]
mod tests;
