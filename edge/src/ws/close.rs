//! Why the server closes a connection (PROTOCOL section 3).

use tokio_tungstenite::tungstenite::{
    Error, Utf8Bytes,
    error::ProtocolError,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CloseReason {
    /// 1001.
    Draining,
    /// 1008: the user opened more connections than allowed, and this was silent longest.
    Replaced,
    /// 1008: the same, and this one did not answer a ping.
    ReplacedSilent,
    /// 1008, where the operator wants it.
    TokenExpired,
    /// 1008.
    UserDeleted,
    /// 1008: too many control frames, or too many fragments.
    Flood,
    /// 1001: the position in the user's events is lost, because the core's database was exchanged. The
    /// client has to connect anew and to load its history again.
    PositionLost,
    /// 1013.
    TooSlow,
    /// 1009.
    TooLarge,
    /// 1007.
    InvalidUtf8,
    /// 1002.
    ProtocolError,
}

impl CloseReason {
    /// Whether what is queued is sent before the close.
    pub(super) fn finishes_queue(self) -> bool {
        match self {
            Self::TooSlow | Self::UserDeleted => false,
            Self::Draining
            | Self::Replaced
            | Self::ReplacedSilent
            | Self::TokenExpired
            | Self::Flood
            | Self::PositionLost
            | Self::TooLarge
            | Self::InvalidUtf8
            | Self::ProtocolError => true,
        }
    }

    /// Whether another connection has its place already.
    pub(super) fn gives_up_place(self) -> bool {
        match self {
            Self::Replaced | Self::ReplacedSilent => true,
            Self::Draining
            | Self::TokenExpired
            | Self::UserDeleted
            | Self::Flood
            | Self::PositionLost
            | Self::TooSlow
            | Self::TooLarge
            | Self::InvalidUtf8
            | Self::ProtocolError => false,
        }
    }

    /// What to tell a peer whose bytes could not be read; `None` where it is gone.
    #[expect(clippy::wildcard_enum_match_arm, reason = "an enum of tungstenite")]
    pub(super) fn of_read_error(error: &Error) -> Option<Self> {
        match error {
            Error::Capacity(_) => Some(Self::TooLarge),
            Error::Utf8(_) => Some(Self::InvalidUtf8),
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
            Error::Protocol(_) => Some(Self::ProtocolError),
            _ => None,
        }
    }

    /// For metrics.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Draining => "draining",
            Self::Replaced => "replaced",
            Self::ReplacedSilent => "replaced_silent",
            Self::TokenExpired => "token_expired",
            Self::UserDeleted => "user_deleted",
            Self::Flood => "flood",
            Self::PositionLost => "position_lost",
            Self::TooSlow => "too_slow",
            Self::TooLarge => "too_large",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::ProtocolError => "protocol_error",
        }
    }

    pub(super) fn frame(self) -> CloseFrame {
        let (code, reason) = match self {
            Self::Draining => (CloseCode::Away, "the server is shutting down"),
            Self::Replaced => (CloseCode::Policy, "too many connections of this user"),
            Self::ReplacedSilent => {
                (CloseCode::Policy, "too many connections of this user, and this one is silent")
            }
            Self::TokenExpired => (CloseCode::Policy, "the token expired"),
            Self::UserDeleted => (CloseCode::Policy, "the user was deleted"),
            Self::Flood => (CloseCode::Policy, "too many control frames or fragments"),
            Self::PositionLost => (CloseCode::Away, "the position is lost, connect again"),
            Self::TooSlow => (CloseCode::Again, "the client reads too slowly"),
            Self::TooLarge => (CloseCode::Size, "the frame or message is too large"),
            Self::InvalidUtf8 => (CloseCode::Invalid, "the text is not UTF-8"),
            Self::ProtocolError => (CloseCode::Protocol, "protocol error"),
        };
        CloseFrame { code, reason: Utf8Bytes::from_static(reason) }
    }
}
