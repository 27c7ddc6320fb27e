//! Why access tokens are refused: for the operator alone, and without a word of the token.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use jsonwebtoken::errors::{Error, ErrorKind};
use netrox_metrics::Word;

/// Why a request has no user. Its caller is never told which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("no token was given")]
    Missing,
    #[error("there are several Authorization headers")]
    SeveralHeaders,
    #[error("the Authorization header is not of the scheme Bearer")]
    OtherScheme,
    #[error("the token is longer than 8 KiB")]
    TooLong,
    #[error("the token is not a JWT, or one of an unknown algorithm")]
    Malformed,
    #[error("the algorithm is not one of the configured keys")]
    Algorithm,
    #[error("the signature is not of a configured key")]
    Signature,
    #[error("the header has critical extensions")]
    Critical,
    #[error("there is no \"exp\", or it is no time")]
    NoExpiry,
    #[error("the token has expired")]
    Expired,
    #[error("the token is not valid yet (\"nbf\")")]
    NotYetValid,
    #[error("\"nbf\" is no time")]
    BadStart,
    #[error("the issuer (\"iss\") is not the configured one")]
    Issuer,
    #[error("the audience (\"aud\") is not the configured one")]
    Audience,
    #[error("the type of the token is not \"access\"")]
    Type,
    #[error("no claim holds the user's id, which is a UUID unless --jwt-user-ids is any")]
    NoUser,
    #[error(
        "the claim of the user's id holds neither 1 to 255 bytes of text without control characters nor a whole number"
    )]
    UserId,
    #[error("the user's UUID is of version 5, which only users of other issuers have")]
    UserOfAnother,
    #[error("no key has the name that the token gives (\"kid\")")]
    UnknownKey,
    #[error("no key is known that it could be signed with, and its issuer is away")]
    NoKeys,
    #[error("the token was revoked")]
    Revoked,
    #[error("no core tells which tokens are revoked")]
    RevocationsUnknown,
    #[error("the ticket is none of this deployment, or it was used")]
    Ticket,
    #[error("the time of the ticket is over")]
    TicketExpired,
    #[error("no core tells whose ticket it is")]
    NoTickets,
}

impl Refusal {
    const ALL: [Self; 25] = [
        Self::Missing,
        Self::SeveralHeaders,
        Self::OtherScheme,
        Self::TooLong,
        Self::Malformed,
        Self::Algorithm,
        Self::Signature,
        Self::Critical,
        Self::NoExpiry,
        Self::Expired,
        Self::NotYetValid,
        Self::BadStart,
        Self::Issuer,
        Self::Audience,
        Self::Type,
        Self::NoUser,
        Self::UserId,
        Self::UserOfAnother,
        Self::UnknownKey,
        Self::NoKeys,
        Self::Revoked,
        Self::RevocationsUnknown,
        Self::Ticket,
        Self::TicketExpired,
        Self::NoTickets,
    ];

    /// Whether the token may be somebody's guess: one that was good, or will be, is none, nor is what nobody can tell of.
    pub(crate) fn is_of_a_guess(self) -> bool {
        match self {
            Self::Missing
            | Self::Expired
            | Self::NotYetValid
            | Self::NoKeys
            | Self::Revoked
            | Self::RevocationsUnknown
            | Self::TicketExpired
            | Self::NoTickets => false,
            Self::SeveralHeaders
            | Self::OtherScheme
            | Self::TooLong
            | Self::Malformed
            | Self::Algorithm
            | Self::Signature
            | Self::Critical
            | Self::NoExpiry
            | Self::BadStart
            | Self::Issuer
            | Self::Audience
            | Self::Type
            | Self::NoUser
            | Self::UserId
            | Self::UserOfAnother
            | Self::UnknownKey
            | Self::Ticket => true,
        }
    }

    /// It says nothing of the token, which may be tried again.
    pub(crate) fn is_temporary(self) -> bool {
        matches!(self, Self::NoKeys | Self::RevocationsUnknown | Self::NoTickets)
    }
}

/// For metrics and the audit trail.
impl Word for Refusal {
    const ALL: &'static [Self] = &Refusal::ALL;

    fn word(self) -> &'static str {
        match self {
            Self::Missing => "no_token",
            Self::SeveralHeaders => "several_headers",
            Self::OtherScheme => "other_scheme",
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm",
            Self::Signature => "signature",
            Self::Critical => "critical",
            Self::NoExpiry => "no_expiry",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::BadStart => "bad_start",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Type => "type",
            Self::NoUser => "no_user",
            Self::UserId => "user_id",
            Self::UserOfAnother => "user_of_another",
            Self::UnknownKey => "unknown_key",
            Self::NoKeys => "no_keys",
            Self::Revoked => "revoked",
            Self::RevocationsUnknown => "revocations_unknown",
            Self::Ticket => "ticket",
            Self::TicketExpired => "ticket_expired",
            Self::NoTickets => "no_tickets",
        }
    }
}

impl From<Error> for Refusal {
    #[expect(clippy::wildcard_enum_match_arm, reason = "an enum of jsonwebtoken")]
    fn from(error: Error) -> Self {
        match error.kind() {
            ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm => Self::Algorithm,
            ErrorKind::InvalidIssuer => Self::Issuer,
            ErrorKind::InvalidAudience => Self::Audience,
            ErrorKind::MissingRequiredClaim(claim) => match claim.as_str() {
                "iss" => Self::Issuer,
                "aud" => Self::Audience,
                _ => Self::NoExpiry,
            },
            ErrorKind::InvalidToken
            | ErrorKind::InvalidAlgorithmName
            | ErrorKind::Base64(_)
            | ErrorKind::Json(_)
            | ErrorKind::Utf8(_) => Self::Malformed,
            _ => Self::Signature,
        }
    }
}

/// How many requests were taken and refused since the last look.
#[derive(Debug, Default)]
pub(super) struct Tally {
    accepted: AtomicU64,
    refused: [AtomicU64; Refusal::ALL.len()],
}

/// What became of the requests of a while.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RefusalCounts {
    accepted: u64,
    refused: Vec<(Refusal, u64)>,
}

impl Tally {
    pub(super) fn accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self, refusal: Refusal) {
        tracing::debug!("the token of a request is refused: {refusal}");
        self.refused[refusal as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Begins to count anew.
    pub(super) fn take(&self) -> RefusalCounts {
        let counts = self.refused.iter().map(|count| count.swap(0, Ordering::Relaxed));
        let refused = Refusal::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0);
        RefusalCounts {
            refused: refused.collect(),
            accepted: self.accepted.swap(0, Ordering::Relaxed),
        }
    }
}

impl RefusalCounts {
    /// Tells the operator where nobody was let in: then it is hardly the clients' fault.
    pub(super) fn tell(&self) {
        if self.refused.is_empty() {
            return;
        }
        if self.accepted == 0 {
            tracing::warn!(
                "all access tokens of the last minute were refused: {self}; if clients have good ones the key, the issuer, \
                 the audience or the clock here is wrong: netrox-chat token --check explains a token"
            );
        } else {
            tracing::debug!(
                accepted = self.accepted,
                "refused access tokens of the last minute: {self}"
            );
        }
    }
}

/// `3 times the token has expired, once no token was given`
impl fmt::Display for RefusalCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (refusal, count)) in self.refused.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            match count {
                1 => write!(f, "{comma}once {refusal}")?,
                _ => write!(f, "{comma}{count} times {refusal}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logs::Logs;

    #[test]
    fn each_reason_has_its_own_counter() {
        for (index, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, index, "{refusal:?}");
        }
    }

    #[test]
    fn the_operator_is_warned_where_all_are_refused_and_only_there() {
        let logs = Logs::capture();
        let tally = Tally::default();
        tally.take().tell();
        assert_eq!(logs.take(), "");

        tally.refused(Refusal::Signature);
        tally.refused(Refusal::Signature);
        tally.refused(Refusal::Expired);
        let lines = logs.take();
        assert!(lines.contains("DEBUG") && lines.contains("the token has expired"), "{lines}");
        assert!(!lines.contains("WARN"), "{lines}");
        tally.take().tell();
        let lines = logs.take();
        assert!(lines.contains("WARN"), "{lines}");
        let counts = "2 times the signature is not of a configured key, once the token has expired";
        assert!(lines.contains(counts), "{lines}");

        tally.refused(Refusal::Expired);
        tally.accepted();
        logs.take();
        tally.take().tell();
        let lines = logs.take();
        assert!(lines.contains("DEBUG") && !lines.contains("WARN"), "{lines}");
        tally.take().tell();
        assert_eq!(logs.take(), "");
    }
}
