//! What the answer to a frame repeats of it.

use netrox_proto::ids::{ClientRef, UserId};

/// Kept from a frame until its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Echo {
    /// `ref`: at most 64 bytes.
    pub(crate) reference: Option<String>,
    pub(crate) subject: Subject,
}

/// What the frame was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// It could not be found out.
    Nothing,
    /// `None` where it could not be read.
    Message(Option<ClientRef>),
    Dispatch(i64),
    Edit(i64),
    Delete(i64),
    Seen(UserId),
    Delivered(UserId),
    Block(UserId),
    Unblock(UserId),
    TokenRefresh,
    Typing(UserId),
    Ping,
}

impl Echo {
    /// Of what could not be read.
    pub(crate) fn nothing() -> Self {
        Self { reference: None, subject: Subject::Nothing }
    }

    /// Whether a success is told, too.
    pub(crate) fn wants_ack(&self) -> bool {
        self.reference.is_some() || matches!(self.subject, Subject::Message(_) | Subject::Ping)
    }

    pub(crate) fn client_ref(&self) -> Option<ClientRef> {
        match self.subject {
            Subject::Message(client_ref) => client_ref,
            Subject::Nothing
            | Subject::Dispatch(_)
            | Subject::Edit(_)
            | Subject::Delete(_)
            | Subject::Seen(_)
            | Subject::Delivered(_)
            | Subject::Block(_)
            | Subject::Unblock(_)
            | Subject::TokenRefresh
            | Subject::Typing(_)
            | Subject::Ping => None,
        }
    }

    /// Of what was about a message that was there before.
    pub(crate) fn message_id(&self) -> Option<i64> {
        match self.subject {
            Subject::Dispatch(id) | Subject::Edit(id) | Subject::Delete(id) => Some(id),
            Subject::Nothing
            | Subject::Message(_)
            | Subject::Seen(_)
            | Subject::Delivered(_)
            | Subject::Block(_)
            | Subject::Unblock(_)
            | Subject::TokenRefresh
            | Subject::Typing(_)
            | Subject::Ping => None,
        }
    }

    /// Of a mark, a block, or a word of typing.
    pub(crate) fn peer(&self) -> Option<UserId> {
        match self.subject {
            Subject::Seen(peer)
            | Subject::Delivered(peer)
            | Subject::Block(peer)
            | Subject::Unblock(peer)
            | Subject::Typing(peer) => Some(peer),
            Subject::Nothing
            | Subject::Message(_)
            | Subject::Dispatch(_)
            | Subject::Edit(_)
            | Subject::Delete(_)
            | Subject::TokenRefresh
            | Subject::Ping => None,
        }
    }
}
