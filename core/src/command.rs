//! What callers ask for, as data that was checked: [`parse`] is the way from the wire.

use netrox_proto::{
    external_id::ExternalId,
    ids::{ClientRef, UserId},
    v1,
};

use crate::store::erasure::Step;

pub(crate) mod parse;

/// Identifiers are JSON integers that every client can hold (PROTOCOL section 2).
pub(crate) const MAX_ID: i64 = (1 << 53) - 1;

/// A message to be stored; with an attachment it waits for its dispatch.
#[derive(Debug, Clone)]
pub(crate) struct NewMessage {
    pub(crate) sender: UserId,
    pub(crate) receiver: UserId,
    pub(crate) body: String,
    pub(crate) client_ref: Option<ClientRef>,
    /// It is refused rather than stored after a later one of the sender's.
    pub(crate) is_repetition: bool,
    /// The sender's own client chose the reference: it says nothing of an order.
    pub(crate) ref_from_client: bool,
    /// The message that it answers.
    pub(crate) reply_to: Option<i64>,
    /// A JSON object of the client's.
    pub(crate) meta: Option<String>,
    pub(crate) attachment: Option<NewAttachment>,
    /// Its file is dispatched when it is stored.
    pub(crate) dispatch: bool,
    /// Of an upload that a library may send again by itself.
    pub(crate) form: Option<SentForm>,
}

impl NewMessage {
    /// With nothing but its text.
    pub(crate) fn text(sender: UserId, receiver: UserId, body: String) -> Self {
        Self {
            sender,
            receiver,
            body,
            client_ref: None,
            is_repetition: false,
            ref_from_client: false,
            reply_to: None,
            meta: None,
            attachment: None,
            dispatch: false,
            form: None,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct NewAttachment {
    pub(crate) path: String,
    pub(crate) file_name: String,
    pub(crate) size: i64,
    pub(crate) content_type: String,
}

impl NewAttachment {
    /// As it is on the wire until it is dispatched.
    pub(crate) fn undispatched(&self) -> v1::Attachment {
        v1::Attachment {
            path: self.path.clone(),
            file_name: self.file_name.clone(),
            size: self.size,
            content_type: self.content_type.clone(),
            dispatched: None,
        }
    }
}

/// The beginning of a digest: as much as tells one thing from all others.
pub(crate) type Digest = [u8; 16];

/// A form that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SentForm {
    pub(crate) boundary: Digest,
    /// Of who sent it and of all its bytes.
    pub(crate) content: Digest,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Dispatch {
    pub(crate) sender: UserId,
    pub(crate) message_id: i64,
}

/// A message that its sender changes.
#[derive(Debug, Clone)]
pub(crate) struct Edit {
    pub(crate) user: UserId,
    pub(crate) message_id: i64,
    /// Empty of a message with a file only.
    pub(crate) body: String,
    /// `Some(None)` removes what there is.
    pub(crate) meta: Option<Option<String>>,
    /// How old the message may be, in microseconds.
    pub(crate) window: Option<i64>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Deletion {
    pub(crate) user: UserId,
    pub(crate) message_id: i64,
    /// For both users, not for the one alone.
    pub(crate) for_everyone: bool,
    /// How old the message may be then, in microseconds.
    pub(crate) window: Option<i64>,
}

/// Messages that a user has sent, to be erased for both, and how far that gets with them.
#[derive(Debug, Clone)]
pub(crate) struct Erase {
    pub(crate) user: UserId,
    pub(crate) messages: Vec<i64>,
    pub(crate) step: Step,
}

/// How far a user got in a thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    pub(crate) user: UserId,
    pub(crate) peer: UserId,
    pub(crate) up_to: i64,
    pub(crate) kind: MarkKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MarkKind {
    Delivered,
    /// Which it was delivered for.
    Seen,
}

/// Whether a user blocks another from now on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block {
    pub(crate) user: UserId,
    pub(crate) peer: UserId,
    pub(crate) blocks: bool,
}

/// An absent field leaves what is stored.
#[derive(Debug, Clone)]
pub(crate) struct UserChange {
    pub(crate) id: UserId,
    pub(crate) email: Option<String>,
    /// `Some(None)`: the profile becomes null.
    pub(crate) profile: Option<Option<String>>,
    pub(crate) external_id: Option<ExternalId>,
}

impl UserChange {
    /// Whether it has anything to store besides the user and what their issuer calls them.
    pub(crate) fn says_something(&self) -> bool {
        self.email.is_some() || self.profile.is_some()
    }

    /// Bytes of text.
    pub(crate) fn size(&self) -> usize {
        self.email.as_ref().map_or(0, String::len)
            + self.profile.iter().flatten().map(String::len).sum::<usize>()
            + self.external_id.as_ref().map_or(0, ExternalId::size)
    }
}

/// What a verified access token says of its user.
#[derive(Debug, Clone)]
pub(crate) struct Claims {
    pub(crate) change: UserChange,
    /// The `iat` of the token, in seconds since the epoch.
    pub(crate) issued: Option<i64>,
}
