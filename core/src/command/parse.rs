//! Requests as commands: what is checked here is not checked again behind it.

use std::{collections::HashSet, time::Duration};

use netrox_proto::{
    external_id::{ExternalId, InvalidExternalId},
    ids::{ClientRef, UserId},
    json,
    limits::{MAX_META_BYTES, MAX_META_DEPTH},
    v1,
};
use sha2::{Digest as _, Sha256};

use super::{
    Block, Claims, Deletion, Digest, Dispatch, Edit, MAX_ID, Mark, MarkKind, NewMessage, SentForm,
    UserChange,
};
use crate::error::Error;

/// RFC 2046 section 5.1.1.
const MAX_BOUNDARY_BYTES: usize = 70;
const MAX_EMAIL_BYTES: usize = 320;
const MAX_PROFILE_BYTES: usize = 16_384;
/// How far the clock of an issuer may be ahead of ours.
const MAX_AHEAD_SECONDS: i64 = 24 * 3_600;
/// Users in one request.
pub(crate) const MAX_USERS: usize = 1_000;

pub(crate) fn user_id(field: &'static str, text: &str) -> Result<UserId, Error> {
    text.parse().map_err(|_| Error::InvalidField { field, problem: "not a hyphenated UUID" })
}

/// The text of a message; only one with an attachment may be empty.
pub(crate) fn body(text: String, max_bytes: usize, may_be_empty: bool) -> Result<String, Error> {
    if text.len() > max_bytes {
        return Err(Error::BodyTooLarge { limit: max_bytes });
    }
    if text.is_empty() && !may_be_empty {
        return Err(Error::InvalidField { field: "body", problem: "empty" });
    }
    if text.contains('\0') {
        return Err(Error::InvalidField { field: "body", problem: "contains NUL" });
    }
    Ok(text)
}

impl NewMessage {
    pub(crate) fn parse(request: v1::SendMessageRequest, max_bytes: usize) -> Result<Self, Error> {
        let sender = user_id("sender_id", &request.sender_id)?;
        let receiver = user_id("receiver_id", &request.receiver_id)?;
        let client_ref = request.client_ref.as_deref().map(client_ref).transpose()?;
        let body = body(request.body, max_bytes, false)?;
        Ok(Self {
            client_ref,
            ref_from_client: request.from_client,
            reply_to: request.reply_to_id.map(|id| message_id("reply_to_id", id)).transpose()?,
            meta: request.meta_json.map(meta).transpose()?,
            ..Self::text(sender, receiver, body)
        })
    }
}

pub(crate) fn client_ref(text: &str) -> Result<ClientRef, Error> {
    let problem = "not a hyphenated UUID";
    text.parse().map_err(|_| Error::InvalidField { field: "client_ref", problem })
}

pub(crate) fn message_id(field: &'static str, id: i64) -> Result<i64, Error> {
    let problem = "not from 1 to 2^53 - 1";
    if (1..=MAX_ID).contains(&id) { Ok(id) } else { Err(Error::InvalidField { field, problem }) }
}

/// Where a page of threads goes on.
pub(crate) fn page_token(token: &str) -> Result<i64, Error> {
    let id = token.parse().ok().filter(|id| (1..=MAX_ID).contains(id));
    id.ok_or(Error::InvalidField { field: "page_token", problem: "not one of ours" })
}

/// Where a page of blocks goes on: behind this peer.
pub(crate) fn block_token(token: &str) -> Result<UserId, Error> {
    let problem = "not one of ours";
    token.parse().map_err(|_| Error::InvalidField { field: "page_token", problem })
}

/// A JSON object, kept as it was sent.
pub(crate) fn meta(text: String) -> Result<String, Error> {
    let invalid = |problem| Error::InvalidField { field: "meta_json", problem };
    if text.len() > MAX_META_BYTES {
        return Err(invalid("longer than 4096 bytes"));
    }
    if json::is_deeper_than(&text, MAX_META_DEPTH) {
        return Err(invalid("nested deeper than 8"));
    }
    // Not parsed into values: numbers may be greater than any that we could hold.
    let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
    if !is_json || !text.starts_with('{') || json::has_lone_surrogate(&text) {
        return Err(invalid("not a JSON object"));
    }
    Ok(text)
}

/// What a window of time is in microseconds.
fn micros(window: Option<Duration>) -> Option<i64> {
    window.map(|window| i64::try_from(window.as_micros()).unwrap_or(i64::MAX))
}

impl Edit {
    pub(crate) fn parse(
        request: v1::EditMessageRequest,
        max_bytes: usize,
        window: Option<Duration>,
    ) -> Result<Self, Error> {
        let meta = match request.meta_json {
            None => None,
            Some(text) if text.is_empty() => Some(None),
            Some(text) => Some(Some(meta(text)?)),
        };
        Ok(Self {
            user: user_id("user_id", &request.user_id)?,
            message_id: request.message_id,
            body: body(request.body, max_bytes, true)?,
            meta,
            window: micros(window),
        })
    }
}

impl Deletion {
    pub(crate) fn parse(
        request: &v1::DeleteMessageRequest,
        window: Option<Duration>,
    ) -> Result<Self, Error> {
        Ok(Self {
            user: user_id("user_id", &request.user_id)?,
            message_id: request.message_id,
            for_everyone: request.for_everyone,
            window: micros(window),
        })
    }
}

impl Mark {
    pub(crate) fn parse(user: &str, peer: &str, up_to: i64, kind: MarkKind) -> Result<Self, Error> {
        let (user, peer) = (user_id("user_id", user)?, user_id("peer_id", peer)?);
        if user == peer {
            return Err(Error::UserUnknown);
        }
        Ok(Self { user, peer, up_to: message_id("up_to_id", up_to)?, kind })
    }
}

impl Block {
    pub(crate) fn parse(user: &str, peer: &str, blocks: bool) -> Result<Self, Error> {
        let (user, peer) = (user_id("user_id", user)?, user_id("peer_id", peer)?);
        if user == peer { Err(Error::UserUnknown) } else { Ok(Self { user, peer, blocks }) }
    }
}

impl TryFrom<v1::DispatchAttachmentRequest> for Dispatch {
    type Error = Error;

    fn try_from(request: v1::DispatchAttachmentRequest) -> Result<Self, Error> {
        let sender = user_id("sender_id", &request.sender_id)?;
        Ok(Self { sender, message_id: request.message_id })
    }
}

impl SentForm {
    /// Whoever reads the form takes a digest that is fast. It is one that can be turned back into what it is of, as the
    /// boundary can be read: nothing of both is stored.
    pub(crate) fn parse(form: &v1::SentForm, sender: UserId) -> Result<Self, Error> {
        let invalid = |problem| Error::InvalidField { field: "form", problem };
        if form.boundary.is_empty() || form.boundary.len() > MAX_BOUNDARY_BYTES {
            return Err(invalid("a boundary has 1 to 70 characters"));
        }
        let digest = Digest::try_from(&*form.digest).map_err(|_| invalid("not of 16 bytes"))?;
        let boundary = form.boundary.as_bytes();
        Ok(Self {
            boundary: beginning_of_sha256(&[boundary]),
            content: beginning_of_sha256(&[sender.0.as_bytes(), &digest, boundary]),
        })
    }
}

fn beginning_of_sha256(parts: &[&[u8]]) -> Digest {
    let hash = parts.iter().fold(Sha256::new(), Sha256::chain_update).finalize();
    std::array::from_fn(|index| hash[index])
}

impl Claims {
    /// `now` is in microseconds since the epoch.
    pub(crate) fn parse(request: v1::EnsureUserRequest, now: i64) -> Result<Self, Error> {
        let missing = Error::InvalidField { field: "user", problem: "missing" };
        let change = request.user.ok_or(missing)?.try_into()?;
        // One that no clock tells, as in milliseconds, would be newer than all that come after it is mended.
        let latest = (now / 1_000_000).saturating_add(MAX_AHEAD_SECONDS);
        let issued = request.issued_at.filter(|at| *at <= latest);
        Ok(Self { change, issued })
    }
}

impl TryFrom<v1::UserChange> for UserChange {
    type Error = Error;

    fn try_from(change: v1::UserChange) -> Result<Self, Error> {
        let id = user_id("id", &change.id)?;
        if let Some(email) = &change.email {
            if email.len() > MAX_EMAIL_BYTES {
                return Err(Error::InvalidField {
                    field: "email",
                    problem: "longer than 320 bytes",
                });
            }
            if email.contains('\0') {
                return Err(Error::InvalidField { field: "email", problem: "contains NUL" });
            }
        }
        let profile = change.profile_json.as_deref().map(profile).transpose()?;
        let external_id =
            change.external_id.map(|id| external_id("external_id", id)).transpose()?;
        Ok(Self { id, email: change.email, profile, external_id })
    }
}

pub(crate) fn external_id(field: &'static str, id: v1::ExternalId) -> Result<ExternalId, Error> {
    ExternalId::new(id.issuer, id.subject).map_err(|invalid| {
        let problem = match invalid {
            InvalidExternalId::Issuer => "an issuer over 1024 bytes, or with control characters",
            InvalidExternalId::Subject => {
                "a subject that has not 1 to 255 bytes, or has control characters"
            }
        };
        Error::InvalidField { field, problem }
    })
}

fn profile(text: &str) -> Result<Option<String>, Error> {
    let invalid = |problem| Error::InvalidField { field: "profile_json", problem };
    if text.len() > MAX_PROFILE_BYTES {
        return Err(invalid("longer than 16384 bytes"));
    }
    if json::is_too_deep(text) {
        return Err(invalid("nested deeper than 32"));
    }
    // Parsed in full: in strings that are skipped, lone surrogates would pass.
    serde_json::from_str::<serde_json::Value>(text).map_err(|_| invalid("not a JSON text"))?;
    let text = text.trim_ascii();
    Ok((text != "null").then(|| text.to_owned()))
}

/// The users of one request; each at most once.
pub(crate) fn user_changes(users: Vec<v1::UserChange>) -> Result<Vec<UserChange>, Error> {
    const FIELD: &str = "users";
    if users.is_empty() || users.len() > MAX_USERS {
        return Err(Error::InvalidField { field: FIELD, problem: "not 1 to 1000 users" });
    }
    let changes =
        users.into_iter().map(TryInto::try_into).collect::<Result<Vec<UserChange>, _>>()?;
    let mut ids: Vec<_> = changes.iter().map(|change| change.id).collect();
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Error::InvalidField { field: FIELD, problem: "a user twice" });
    }
    let mut external_ids = HashSet::new();
    if !changes
        .iter()
        .filter_map(|change| change.external_id.as_ref())
        .all(|id| external_ids.insert(id))
    {
        return Err(Error::InvalidField { field: FIELD, problem: "an external id twice" });
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(profile_json: &str) -> Result<UserChange, Error> {
        let id = "96bf0d3f-720d-4620-8dee-0f59f997cb51".to_owned();
        v1::UserChange { id, profile_json: Some(profile_json.into()), ..Default::default() }
            .try_into()
    }

    #[test]
    fn a_profile_is_any_json_text_within_the_limits() {
        for text in ["{}", "[1, 2.50, 10000000000000000000000]", "\"[[\\\"[\"", "true"] {
            let profile = change(text).expect("valid").profile;
            assert_eq!(profile, Some(Some(text.to_owned())));
        }
        assert_eq!(change(" null ").expect("valid").profile, Some(None));
        assert!(change(&format!("{}1{}", "[".repeat(32), "]".repeat(32))).is_ok());
        for text in ["", "{", "{} {}", "nul", "{\"a\":}"] {
            assert!(change(text).is_err(), "{text}");
        }
        assert!(change(&format!("{}1{}", "[".repeat(33), "]".repeat(33))).is_err());
        assert!(change(&format!("\"{}\"", "x".repeat(MAX_PROFILE_BYTES - 1))).is_err());
    }

    #[test]
    fn a_body_is_kept_as_it_is_or_refused() {
        assert_eq!(body(" ü\n".into(), 4, false).expect("valid"), " ü\n");
        assert!(matches!(body("12345".into(), 4, false), Err(Error::BodyTooLarge { limit: 4 })));
        assert!(body(String::new(), 4, false).is_err());
        assert!(body(String::new(), 4, true).is_ok());
        assert!(body("a\0".into(), 4, true).is_err());
    }
}
