//! Why the server closes a connection (PROTOCOL section 3, PROTOCOL-2 section 4).

use tokio_tungstenite::tungstenite::{
    Error, Utf8Bytes,
    error::ProtocolError,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use crate::wire::Generation;

/// Of the second generation (PROTOCOL-2 section 4).
pub(crate) const UNAUTHENTICATED: u16 = 4401;
pub(crate) const USER_DELETED: u16 = 4403;
pub(crate) const REPLACED: u16 = 4409;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CloseReason {
    /// 1001.
    Draining,
    /// 1008, or 4409: the user opened more connections than allowed, and this was silent longest.
    Replaced,
    /// 1008, or 4409: the same, and this one did not answer a ping.
    ReplacedSilent,
    /// 1008, or 4401, where the operator wants it.
    TokenExpired,
    /// 1008, or 4403.
    UserDeleted,
    /// 1008, or 4401: the token was taken away.
    TokenRevoked,
    /// 1008, or 4403: a service ends the session.
    SessionEnded,
    /// 4401: there is no good token. Told in the second generation alone, in the place of HTTP 401.
    Unauthenticated,
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
            Self::TooSlow | Self::UserDeleted | Self::TokenRevoked | Self::SessionEnded => false,
            Self::Draining
            | Self::Replaced
            | Self::ReplacedSilent
            | Self::TokenExpired
            | Self::Unauthenticated
            | Self::Flood
            | Self::PositionLost
            | Self::TooLarge
            | Self::InvalidUtf8
            | Self::ProtocolError => true,
        }
    }

    /// Whether nothing is read any more, and nothing that was read is awaited.
    pub(super) fn is_at_once(self) -> bool {
        match self {
            Self::UserDeleted | Self::TokenRevoked | Self::SessionEnded => true,
            Self::Draining
            | Self::Replaced
            | Self::ReplacedSilent
            | Self::TokenExpired
            | Self::Unauthenticated
            | Self::Flood
            | Self::PositionLost
            | Self::TooSlow
            | Self::TooLarge
            | Self::InvalidUtf8
            | Self::ProtocolError => false,
        }
    }

    /// Whether another connection has its place already.
    pub(super) fn gives_up_place(self) -> bool {
        match self {
            Self::Replaced | Self::ReplacedSilent => true,
            Self::Draining
            | Self::TokenExpired
            | Self::UserDeleted
            | Self::TokenRevoked
            | Self::SessionEnded
            | Self::Unauthenticated
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
            Self::TokenRevoked => "token_revoked",
            Self::SessionEnded => "session_ended",
            Self::Unauthenticated => "unauthenticated",
            Self::Flood => "flood",
            Self::PositionLost => "position_lost",
            Self::TooSlow => "too_slow",
            Self::TooLarge => "too_large",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::ProtocolError => "protocol_error",
        }
    }

    /// What is told to a client of the generation.
    pub(super) fn frame(self, generation: Generation) -> CloseFrame {
        let reason = match self {
            Self::Draining => "the server is shutting down",
            Self::Replaced => "too many connections of this user",
            Self::ReplacedSilent => "too many connections of this user, and this one is silent",
            Self::TokenExpired => "the token expired",
            Self::UserDeleted => "the user was deleted",
            Self::TokenRevoked => "the token was revoked",
            Self::SessionEnded => "the session was ended",
            Self::Unauthenticated => "there is no valid token",
            Self::Flood => "too many control frames or fragments",
            Self::PositionLost => "the position is lost, connect again",
            Self::TooSlow => "the client reads too slowly",
            Self::TooLarge => "the frame or message is too large",
            Self::InvalidUtf8 => "the text is not UTF-8",
            Self::ProtocolError => "protocol error",
        };
        CloseFrame { code: self.code(generation), reason: Utf8Bytes::from_static(reason) }
    }

    fn code(self, generation: Generation) -> CloseCode {
        match self {
            Self::Draining | Self::PositionLost => CloseCode::Away,
            Self::Replaced | Self::ReplacedSilent => generation.code(REPLACED),
            Self::TokenExpired | Self::TokenRevoked | Self::Unauthenticated => {
                generation.code(UNAUTHENTICATED)
            }
            Self::UserDeleted | Self::SessionEnded => generation.code(USER_DELETED),
            Self::Flood => CloseCode::Policy,
            Self::TooSlow => CloseCode::Again,
            Self::TooLarge => CloseCode::Size,
            Self::InvalidUtf8 => CloseCode::Invalid,
            Self::ProtocolError => CloseCode::Protocol,
        }
    }
}

impl Generation {
    /// One of the second generation, in whose place the first has one for all.
    fn code(self, code: u16) -> CloseCode {
        match self {
            Self::V1 => CloseCode::Policy,
            Self::V2 => CloseCode::Library(code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Close;

    #[test]
    fn closes_that_somebody_is_woken_for_are_counted_from_the_beginning() {
        for reason in [CloseReason::PositionLost, CloseReason::TooSlow] {
            for generation in [Generation::V1, Generation::V2] {
                let code = reason.frame(generation).code.into();
                let close = Close::by_server(code, reason.word());
                assert!(Close::WATCHED.contains(&close), "{close:?}");
            }
        }
    }

    #[test]
    fn a_client_that_asked_for_it_is_told_more() {
        use CloseReason as R;
        for (reason, documented, second) in [
            (R::Draining, 1001, 1001),
            (R::PositionLost, 1001, 1001),
            (R::Replaced, 1008, 4409),
            (R::ReplacedSilent, 1008, 4409),
            (R::TokenExpired, 1008, 4401),
            (R::UserDeleted, 1008, 4403),
            (R::TokenRevoked, 1008, 4401),
            (R::SessionEnded, 1008, 4403),
            (R::Flood, 1008, 1008),
            (R::TooSlow, 1013, 1013),
            (R::TooLarge, 1009, 1009),
            (R::InvalidUtf8, 1007, 1007),
            (R::ProtocolError, 1002, 1002),
        ] {
            let code = |generation| u16::from(reason.frame(generation).code);
            assert_eq!(code(Generation::V1), documented, "{reason:?}");
            assert_eq!(code(Generation::V2), second, "{reason:?}");
        }
    }
}
