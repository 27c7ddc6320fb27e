//! The public wire formats: what clients send and are sent, as JSON. Nothing outside writes any.
//!
//! A generation of the public API has a folder: [`v1`] is what every client gets today, and is frozen. The next one is
//! `wire/v2/`, and a variant of [`Generation`]: each place that has to tell them apart does not compile without it.

mod json;
pub(crate) mod v1;
pub(crate) mod v2;

use std::cell::OnceCell;

use netrox_proto::{ids::UserId, v1 as proto};
use tokio_tungstenite::tungstenite::Utf8Bytes;

pub(crate) use self::v1::rejection::Rejection;
use self::v1::{client_frame, server_frame};
use crate::sends::SendCommand;

/// Which public API a WebSocket speaks, from its handshake to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Generation {
    /// The documented one (PROTOCOL section 3).
    V1,
}

impl Generation {
    /// What `sender` asks for with a text frame.
    pub(crate) fn parse(
        self,
        text: &str,
        sender: UserId,
        max_body_bytes: usize,
    ) -> Result<SendCommand, Rejection> {
        match self {
            Self::V1 => client_frame::parse(text, sender, max_body_bytes),
        }
    }

    /// The refusal of a frame that is not text.
    pub(crate) fn not_text(self) -> Rejection {
        match self {
            Self::V1 => client_frame::binary(),
        }
    }

    /// The frame that tells a client why its own was refused.
    pub(crate) fn rejected(self, rejection: &Rejection) -> Utf8Bytes {
        match self {
            Self::V1 => server_frame::rejected(rejection),
        }
    }
}

/// The frames that bring a message to its receiver's connections: rendered once for each generation, when a connection of
/// that generation first asks.
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
            Generation::V1 => self.v1.get_or_init(|| server_frame::received(self.message)).as_ref(),
        }
    }
}
