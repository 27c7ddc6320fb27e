//! Requests as notices, and notices as edges are told them.

use netrox_proto::{
    ids::UserId,
    time::micros,
    token_name::token_key,
    v1::{
        self, AllTokens, EndedSessions, RevokedTokens, SessionNotice, SessionQuestion,
        end_sessions_request, ended_sessions, revoke_tokens_request, revoked_tokens,
        session_notice::Notice,
    },
};
use uuid::Uuid;

use super::MICROS_A_SECOND;
use crate::{
    command::parse::user_id,
    error::Error,
    store::session::{NewNotice, NoticeKind, NoticeRow},
};

const MAX_NAME_BYTES: usize = 1_024;
const MAX_AHEAD_SECONDS: i64 = 24 * 3_600;
/// From the expiry of a token on, while some edge may still take it: their leeway, and clocks that differ. Links that it bought
/// may outlive it by as much (`LONGEST_LINK`).
const EXPIRY_LEEWAY_SECONDS: i64 = 3_600;
/// How long an edge may be cut off and still end the sessions.
const ENDS_KEPT_SECONDS: i64 = 24 * 3_600;
const QUESTIONS_KEPT_SECONDS: i64 = 60;

/// What a service asks for.
pub(super) struct Revocation {
    pub(super) notice: NewNotice,
    pub(super) user: Option<UserId>,
    /// Whether the time of issue counts.
    pub(super) is_dated: bool,
    /// For the audit trail, where no user is meant.
    pub(super) words: Option<String>,
}

/// `now` is in microseconds since the epoch.
pub(super) fn revocation(request: v1::RevokeTokensRequest, now: i64) -> Result<Revocation, Error> {
    use revoke_tokens_request::Tokens;
    let v1::RevokeTokensRequest { tokens, issued_before, expires_at } = request;
    let now = now.div_euclid(MICROS_A_SECOND);
    let seconds = |micros: i64| micros.div_euclid(MICROS_A_SECOND);
    let issued_before = issued_before.as_ref().map(micros).map(seconds);
    let invalid = |field, problem| Error::InvalidField { field, problem };
    if issued_before.is_some_and(|time| time > now.saturating_add(MAX_AHEAD_SECONDS)) {
        return Err(invalid("issued_before", "more than a day ahead"));
    }
    let expires = expires_at.as_ref().map(micros).map(seconds);
    if expires.is_some_and(|time| time < now) {
        return Err(invalid("expires_at", "in the past"));
    }
    let expires = expires.map(|time| time.saturating_add(EXPIRY_LEEWAY_SECONDS));
    let cutoff = issued_before.unwrap_or(now);
    let notice = |kind, key| NewNotice { kind, key, cutoff, expires };
    let revocation = |notice, user, words: Option<&str>| Revocation {
        notice,
        user,
        is_dated: true,
        words: words.map(str::to_owned),
    };
    match tokens {
        Some(Tokens::UserId(user)) => {
            let user = user_id("user_id", &user)?;
            let notice = notice(NoticeKind::TokensOfUser, user.0.as_bytes().to_vec());
            Ok(revocation(notice, Some(user), None))
        }
        Some(Tokens::Token(_)) if issued_before.is_some() => {
            Err(invalid("issued_before", "not of one token"))
        }
        Some(Tokens::Token(v1::TokenName { token_id, issuer })) => {
            if !(1..=MAX_NAME_BYTES).contains(&token_id.len()) {
                return Err(invalid("token.token_id", "not 1 to 1024 bytes"));
            }
            if issuer.as_ref().is_some_and(|issuer| issuer.len() > MAX_NAME_BYTES) {
                return Err(invalid("token.issuer", "longer than 1024 bytes"));
            }
            let key = token_key(issuer.as_deref(), &token_id).to_vec();
            let notice = NewNotice { cutoff: 0, ..notice(NoticeKind::Token, key) };
            // Who may write tokens may write anything there, a token too.
            let revocation = revocation(notice, None, Some("one token"));
            Ok(Revocation { is_dated: false, ..revocation })
        }
        Some(Tokens::All(AllTokens {})) => {
            Ok(revocation(notice(NoticeKind::AllTokens, Vec::new()), None, Some("all tokens")))
        }
        None => Err(invalid("tokens", "missing")),
    }
}

/// With the user, or what is told in the audit trail instead.
pub(super) fn ended(
    request: v1::EndSessionsRequest,
    now: i64,
) -> Result<(NewNotice, Option<UserId>, Option<String>), Error> {
    use end_sessions_request::Sessions;
    let expires = Some(now.div_euclid(MICROS_A_SECOND).saturating_add(ENDS_KEPT_SECONDS));
    let notice =
        |kind, id: Uuid| NewNotice { kind, key: id.as_bytes().to_vec(), cutoff: now, expires };
    match request.sessions {
        Some(Sessions::UserId(user)) => {
            let user = user_id("user_id", &user)?;
            Ok((notice(NoticeKind::SessionsOfUser, user.0), Some(user), None))
        }
        Some(Sessions::SessionId(session)) => {
            let problem = "not a UUID";
            let session = Uuid::try_parse(&session)
                .map_err(|_| Error::InvalidField { field: "session_id", problem })?;
            Ok((notice(NoticeKind::Session, session), None, Some(format!("session {session}"))))
        }
        None => Err(Error::InvalidField { field: "sessions", problem: "missing" }),
    }
}

/// To all edges of all cores.
pub(super) fn question(id: Uuid, user: Uuid, now: i64) -> NewNotice {
    NewNotice {
        kind: NoticeKind::Question,
        key: [&id.as_bytes()[..], &user.as_bytes()[..]].concat(),
        cutoff: now,
        expires: Some(now.div_euclid(MICROS_A_SECOND).saturating_add(QUESTIONS_KEPT_SECONDS)),
    }
}

/// What an edge is told of a notice.
pub(super) enum ForEdge {
    Notice(SessionNotice),
    Question(Uuid, Uuid),
    /// Of a later version.
    Nothing,
}

impl From<NoticeRow> for ForEdge {
    fn from(row: NoticeRow) -> Self {
        let NoticeRow { kind, key, cutoff, expires, .. } = row;
        let revoked = |tokens| {
            Notice::Revoked(RevokedTokens {
                tokens: Some(tokens),
                issued_until: cutoff,
                expires_at: expires,
            })
        };
        let ended =
            |sessions| Notice::Ended(EndedSessions { sessions: Some(sessions), ended_at: cutoff });
        let notice = match NoticeKind::of(kind) {
            Some(NoticeKind::AllTokens) => revoked(revoked_tokens::Tokens::All(AllTokens {})),
            Some(NoticeKind::TokensOfUser) => revoked(revoked_tokens::Tokens::UserId(key)),
            Some(NoticeKind::Token) => revoked(revoked_tokens::Tokens::Token(key)),
            Some(NoticeKind::SessionsOfUser) => ended(ended_sessions::Sessions::UserId(key)),
            Some(NoticeKind::Session) => ended(ended_sessions::Sessions::SessionId(key)),
            Some(NoticeKind::Question) => {
                let ids = key.split_at_checked(size_of::<Uuid>());
                let ids = ids.and_then(|(id, user)| {
                    Some((Uuid::from_slice(id).ok()?, Uuid::from_slice(user).ok()?))
                });
                return ids.map_or(Self::Nothing, |(id, user)| Self::Question(id, user));
            }
            None => return Self::Nothing,
        };
        Self::Notice(SessionNotice { notice: Some(notice) })
    }
}

pub(super) fn to_edge(id: Uuid, user: Uuid) -> SessionQuestion {
    SessionQuestion { question_id: id.as_bytes().to_vec(), user_id: user.as_bytes().to_vec() }
}
