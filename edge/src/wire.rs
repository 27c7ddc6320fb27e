//! The public wire formats: what clients send and are sent, as JSON. Nothing outside writes any.
//!
//! A generation of the public API has a folder: [`v1`] is what every client gets who asks for nothing else, and is frozen;
//! [`v2`] is for those that ask for it. A later one is a folder as well, and a variant of [`Generation`]: each place that
//! has to tell them apart does not compile without it. `json` is what both look at before they make anything of it. [`demo`]
//! is between the server and its own page.

pub(crate) mod demo;
mod json;
pub(crate) mod v1;
pub(crate) mod v2;

use std::{cell::OnceCell, time::Duration};

use netrox_metrics::Word;
use netrox_proto::{
    ids::UserId,
    v1::{self as proto, Failure},
};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::{
    limits::TooMuch,
    sends::{Mark, SendCommand, Sent},
};

/// Which public API a WebSocket speaks, from its handshake to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Generation {
    /// The documented one (PROTOCOL section 3).
    V1,
    /// PROTOCOL-2.
    V2,
}

impl Word for Generation {
    const ALL: &'static [Self] = &[Self::V1, Self::V2];

    fn word(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }
}

/// A frame of a client.
pub(crate) struct Frame {
    pub(crate) echo: Echo,
    pub(crate) request: Result<Request, Refused>,
}

/// What a client asks for with a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Command(SendCommand),
    /// It may wait, and become one with a later one.
    Mark(Mark),
    /// To go on under another token.
    TokenRefresh(ShownToken),
    /// The same.
    Typing(Typing),
    /// Be told of the presence of these, and of nobody else.
    Watch(Vec<UserId>),
    /// Be online to nobody, or to peers.
    Hide(bool),
    /// An answer.
    Ping,
}

/// An access token that a client shows on its connection.
#[derive(PartialEq, Eq)]
pub(crate) struct ShownToken(pub(crate) String);

/// Tokens stay out of logs.
impl std::fmt::Debug for ShownToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ShownToken")
    }
}

/// Whether the user types to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Typing {
    pub(crate) peer: UserId,
    pub(crate) typing: bool,
}

/// What the answer to a frame repeats of it. Nothing in the first generation.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Echo(Option<Box<v2::echo::Echo>>);

impl Echo {
    /// Whether it is asked to be told of a success by a name of its own.
    pub(crate) fn has_reference(&self) -> bool {
        self.0.as_ref().is_some_and(|echo| echo.reference.is_some())
    }

    /// Whether the frame named another user, who may be the one that is not known.
    pub(crate) fn names_a_peer(&self) -> bool {
        self.0.as_ref().is_some_and(|echo| echo.peer().is_some())
    }
}

/// Why a client's frame was refused, in the terms of its generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    V1(v1::rejection::Rejection),
    V2(v2::refusal::Refusal),
}

impl Refused {
    /// For metrics.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::V1(rejection) => rejection.code.into(),
            Self::V2(refusal) => refusal.code.into(),
        }
    }

    /// The frame that tells a client why its own was refused.
    pub(crate) fn frame(&self, echo: &Echo) -> Utf8Bytes {
        match self {
            Self::V1(rejection) => v1::server_frame::rejected(rejection),
            Self::V2(refusal) => match &echo.0 {
                Some(echo) => v2::server_frame::refused(echo, refusal),
                None => v2::server_frame::refused(&v2::echo::Echo::nothing(), refusal),
            },
        }
    }
}

impl Generation {
    /// What `user` asks for with a text frame.
    pub(crate) fn parse(self, text: &str, user: UserId, max_body_bytes: usize) -> Frame {
        match self {
            Self::V1 => {
                let command = v1::client_frame::parse(text, user, max_body_bytes);
                let request = command.map(Request::Command).map_err(Refused::V1);
                Frame { echo: Echo::default(), request }
            }
            Self::V2 => {
                let (echo, request) = v2::client_frame::parse(text, user, max_body_bytes);
                let echo = Echo(Some(Box::new(echo)));
                Frame { echo, request: request.map_err(Refused::V2) }
            }
        }
    }

    /// The refusal of a frame that is not text.
    pub(crate) fn not_text(self) -> Refused {
        match self {
            Self::V1 => Refused::V1(v1::client_frame::binary()),
            Self::V2 => Refused::V2(v2::client_frame::binary()),
        }
    }

    pub(crate) fn rate_limited(self, too_much: TooMuch) -> Refused {
        match self {
            Self::V1 => Refused::V1(v1::rejection::Rejection::rate_limited()),
            Self::V2 => Refused::V2(v2::refusal::Refusal::rate_limited(too_much)),
        }
    }

    /// Nothing was stored, and it may be if it is sent again.
    pub(crate) fn unavailable(self) -> Refused {
        match self {
            Self::V1 => Refused::V1(v1::rejection::Rejection::unavailable()),
            Self::V2 => Refused::V2(v2::refusal::Refusal::unavailable()),
        }
    }

    /// What a failure of the core is to a client. Logs what the client cannot help.
    pub(crate) fn failed(self, failure: Failure) -> Refused {
        match self {
            Self::V1 => Refused::V1(failure.into()),
            Self::V2 => Refused::V2(failure.into()),
        }
    }

    /// The frame that tells a client that its own took effect, if it is told.
    pub(crate) fn sent(self, echo: &Echo, sent: &Sent) -> Option<Utf8Bytes> {
        match self {
            // Documented clients are told of refusals alone.
            Self::V1 => None,
            Self::V2 => v2::server_frame::sent(echo.0.as_ref()?, sent),
        }
    }

    /// The frame that tells a client that it goes on under its new token, if it is told.
    pub(crate) fn refreshed(self, echo: &Echo, expires_at: i64) -> Option<Utf8Bytes> {
        match self {
            Self::V1 => None,
            Self::V2 => v2::server_frame::refreshed(echo.0.as_ref()?, expires_at),
        }
    }

    /// The frame that tells a client that its token expires, if it is told.
    pub(crate) fn token_expiring(self, in_s: u64) -> Option<Utf8Bytes> {
        match self {
            Self::V1 => None,
            Self::V2 => Some(v2::server_frame::token_expiring(in_s)),
        }
    }

    /// The frame that tells a client when to connect anew, if it is told.
    pub(crate) fn reconnect(self, after: Duration) -> Option<Utf8Bytes> {
        match self {
            Self::V1 => None,
            Self::V2 => Some(v2::server_frame::reconnect(after)),
        }
    }

    /// The same of what has no more to tell.
    pub(crate) fn acknowledged(self, echo: &Echo) -> Option<Utf8Bytes> {
        match self {
            Self::V1 => None,
            Self::V2 => v2::server_frame::acknowledged(echo.0.as_ref()?),
        }
    }

    /// The same of how those are whom the client watches from here on.
    pub(crate) fn watched(self, echo: &Echo, presences: &[proto::Presence]) -> Option<Utf8Bytes> {
        match self {
            Self::V1 => None,
            Self::V2 => v2::server_frame::watched(echo.0.as_ref()?, presences),
        }
    }

    /// The answer to a ping in a frame.
    pub(crate) fn pong(self, echo: &Echo) -> Option<Utf8Bytes> {
        match self {
            Self::V1 => None,
            Self::V2 => Some(v2::server_frame::pong(echo.0.as_ref()?)),
        }
    }
}

/// The frames that bring a message to its receiver's connections which share a feed: rendered once, when the first
/// asks.
pub(crate) struct MessageFrames<'a> {
    message: &'a proto::Message,
    v1: OnceCell<Option<Utf8Bytes>>,
}

impl<'a> MessageFrames<'a> {
    pub(crate) fn of(message: &'a proto::Message) -> Self {
        Self { message, v1: OnceCell::new() }
    }

    /// `None` for what receivers are not shown.
    pub(crate) fn get(&self, generation: Generation) -> Option<&Utf8Bytes> {
        match generation {
            Generation::V1 => {
                self.v1.get_or_init(|| v1::server_frame::received(self.message)).as_ref()
            }
            // These have a stream of their own, with a cursor in each frame.
            Generation::V2 => None,
        }
    }
}
