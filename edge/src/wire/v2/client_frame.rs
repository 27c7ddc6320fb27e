//! What clients send: one JSON object a frame (PROTOCOL-2 section 3).
//!
//! A frame is judged in this order, and the first fault found is the one reported:
//!
//! 1. `invalid_json`, as in the first generation: here more keys are known, none of which may be there twice.
//! 2. `ref`.
//! 3. `unknown_action`.
//! 4. The fields of the action, in the order of the table in PROTOCOL-2.
//!
//! Keys that the action does not use are not looked at.

use std::fmt;

use netrox_proto::ids::UserId;
use serde::{
    Deserialize,
    de::{self, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    echo::{Echo, Subject},
    field,
    refusal::{Code, Refusal},
};
use crate::{
    sends::{Block, Mark, MarkKind, NamedMessage, SendCommand},
    wire::{
        Request, ShownToken, Typing,
        json::{object, string},
    },
};

const MAX_REFERENCE_BYTES: usize = 64;

/// What `user` asks for with a text frame, and what the answer repeats of it. Takes time and memory linear in the length of
/// `text`.
pub(crate) fn parse(
    text: &str,
    user: UserId,
    max_body_bytes: usize,
) -> (Echo, Result<Request, Refusal>) {
    let Some(fields) = fields(text) else {
        let message =
            "the frame must be one JSON object without repeated keys, nested at most 32 deep";
        return (Echo::nothing(), Err(Refusal::new(Code::InvalidJson, message)));
    };
    let reference = match reference(fields.reference) {
        Ok(reference) => reference,
        // The send that it is about is told all the same.
        Err(refusal) => {
            let subject = fields.subject();
            return (Echo { reference: None, subject }, Err(refusal));
        }
    };
    let mut subject = fields.subject();
    let request = fields.request(user, max_body_bytes, &mut subject);
    (Echo { reference, subject }, request)
}

/// The refusal of a frame that is not text.
pub(crate) fn binary() -> Refusal {
    Refusal::new(Code::InvalidJson, "the frame must be text, not binary")
}

fn reference(raw: Option<&RawValue>) -> Result<Option<String>, Refusal> {
    let Some(raw) = raw.filter(|raw| raw.get() != "null") else { return Ok(None) };
    let reference = string(raw).filter(|reference| reference.len() <= MAX_REFERENCE_BYTES);
    let problem = "must be a string of at most 64 bytes";
    reference.map(Some).ok_or_else(|| Refusal::invalid_field("ref", problem))
}

/// The known keys of an object, unparsed; what else is in it is checked and skipped.
#[derive(Default)]
struct Fields<'a> {
    action: Option<&'a RawValue>,
    reference: Option<&'a RawValue>,
    client_ref: Option<&'a RawValue>,
    message_body: Option<&'a RawValue>,
    receiver_id: Option<&'a RawValue>,
    reply_to: Option<&'a RawValue>,
    meta: Option<&'a RawValue>,
    chat_id: Option<&'a RawValue>,
    message_id: Option<&'a RawValue>,
    for_whom: Option<&'a RawValue>,
    peer_id: Option<&'a RawValue>,
    up_to: Option<&'a RawValue>,
    token: Option<&'a RawValue>,
    typing: Option<&'a RawValue>,
    peer_ids: Option<&'a RawValue>,
    presence: Option<&'a RawValue>,
}

impl Fields<'_> {
    fn action(&self) -> Option<String> {
        self.action.and_then(string)
    }

    /// What is known of it before anything else is looked at.
    fn subject(&self) -> Subject {
        match self.action().as_deref() {
            Some("chat_message") => Subject::Message(field::client_ref(self.client_ref).ok()),
            Some("ping") => Subject::Ping,
            _ => Subject::Nothing,
        }
    }

    fn request(
        &self,
        user: UserId,
        max_body_bytes: usize,
        subject: &mut Subject,
    ) -> Result<Request, Refusal> {
        let command = match self.action().as_deref() {
            Some("chat_message") => {
                let body = field::body(self.message_body, max_body_bytes)?;
                let receiver = field::receiver(self.receiver_id, user)?;
                let client_ref = field::client_ref(self.client_ref)?;
                let reply_to = field::optional_id(self.reply_to, "reply_to")?;
                let meta = field::meta(self.meta)?;
                let message = NamedMessage { receiver, body, client_ref, reply_to, meta };
                SendCommand::NamedMessage(Box::new(message))
            }
            Some("chat_message_file") => {
                let message_id = field::chat_id(self.chat_id)?;
                *subject = Subject::Dispatch(message_id);
                SendCommand::Dispatch { message_id }
            }
            Some("message_edit") => {
                let message_id = field::id(self.message_id, "message_id")?;
                *subject = Subject::Edit(message_id);
                let body = field::changed_body(self.message_body, max_body_bytes)?;
                let meta = field::changed_meta(self.meta)?;
                SendCommand::Edit { message_id, body, meta }
            }
            Some("message_delete") => {
                let message_id = field::id(self.message_id, "message_id")?;
                *subject = Subject::Delete(message_id);
                let for_everyone = field::for_everyone(self.for_whom)?;
                SendCommand::Delete { message_id, for_everyone }
            }
            Some("seen") => return self.mark(MarkKind::Seen, user, subject),
            Some("delivered") => return self.mark(MarkKind::Delivered, user, subject),
            Some("block") => {
                let peer = field::other_user(self.peer_id, user)?;
                *subject = Subject::Block(peer);
                SendCommand::Block(Block { peer, blocks: true })
            }
            Some("unblock") => {
                let peer = field::other_user(self.peer_id, user)?;
                *subject = Subject::Unblock(peer);
                SendCommand::Block(Block { peer, blocks: false })
            }
            Some("token_refresh") => {
                *subject = Subject::TokenRefresh;
                return Ok(Request::TokenRefresh(ShownToken(field::token(self.token)?)));
            }
            Some("typing") => {
                let peer = field::other_user(self.peer_id, user)?;
                *subject = Subject::Typing(peer);
                let typing = field::boolean(self.typing, "typing")?;
                return Ok(Request::Typing(Typing { peer, typing }));
            }
            Some("presence_watch") => return Ok(Request::Watch(field::peers(self.peer_ids)?)),
            Some("presence_set") => return Ok(Request::Hide(field::hides(self.presence)?)),
            Some("ping") => return Ok(Request::Ping),
            _ => {
                let message = "action: must be one that this server knows";
                return Err(Refusal::new(Code::UnknownAction, message));
            }
        };
        Ok(Request::Command(command))
    }

    fn mark(
        &self,
        kind: MarkKind,
        user: UserId,
        subject: &mut Subject,
    ) -> Result<Request, Refusal> {
        let peer = field::peer(self.peer_id, user)?;
        *subject = match kind {
            MarkKind::Seen => Subject::Seen(peer),
            MarkKind::Delivered => Subject::Delivered(peer),
        };
        Ok(Request::Mark(Mark { kind, peer, up_to: field::id(self.up_to, "up_to")? }))
    }
}

fn fields(text: &str) -> Option<Fields<'_>> {
    object(text, FieldsVisitor)
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields::default();
        while let Some(key) = map.next_key()? {
            let field = match key {
                Key::Action => &mut fields.action,
                Key::Ref => &mut fields.reference,
                Key::ClientRef => &mut fields.client_ref,
                Key::MessageBody => &mut fields.message_body,
                Key::ReceiverId => &mut fields.receiver_id,
                Key::ReplyTo => &mut fields.reply_to,
                Key::Meta => &mut fields.meta,
                Key::ChatId => &mut fields.chat_id,
                Key::MessageId => &mut fields.message_id,
                Key::For => &mut fields.for_whom,
                Key::PeerId => &mut fields.peer_id,
                Key::UpTo => &mut fields.up_to,
                Key::Token => &mut fields.token,
                Key::Typing => &mut fields.typing,
                Key::PeerIds => &mut fields.peer_ids,
                Key::Presence => &mut fields.presence,
                Key::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if field.replace(map.next_value()?).is_some() {
                return Err(de::Error::custom("a key is there twice"));
            }
        }
        Ok(fields)
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Key {
    Action,
    Ref,
    ClientRef,
    MessageBody,
    ReceiverId,
    ReplyTo,
    Meta,
    ChatId,
    MessageId,
    For,
    PeerId,
    UpTo,
    Token,
    Typing,
    PeerIds,
    Presence,
    #[serde(other)]
    Unknown,
}

#[cfg(test)]
mod tests;
