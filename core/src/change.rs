//! What users learn of: changes, which have a place in a feed and are never lost, and signals, which have none.

use std::sync::Arc;

use netrox_proto::{ids::UserId, request_id::RequestId, trace_context::TraceContext, v1};
use tracing::field::display;

use crate::store::history::{Position, Start};

/// What lands in the feed of a user.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) to: UserId,
    pub(crate) place: Position,
    /// The start that the place before it is in.
    pub(crate) prior: Start,
    /// Where its subject first appeared to the user.
    pub(crate) first_seq: u64,
    pub(crate) subject: Subject,
    /// What made it, where that is known.
    pub(crate) request: Option<RequestId>,
}

/// What has changed, as the user sees it.
#[derive(Debug, Clone)]
pub(crate) enum Subject {
    /// A message that somebody sent to the user.
    Received(Arc<v1::Message>),
    /// A message of the user's own.
    Sent(Arc<v1::Message>),
    /// The same, of which another core told no more: edges do not ask for it.
    SentElsewhere,
    /// The state of a thread, as far as it is known: it may have to be counted.
    Thread(ThreadSubject),
}

/// A thread whose state has changed.
#[derive(Debug, Clone)]
pub(crate) enum ThreadSubject {
    State(Arc<v1::ThreadState>),
    /// The key of one whose state the store has.
    InStore(i64),
    /// One of which another core told no more.
    Elsewhere,
}

impl Change {
    /// Shows the operator who asks for it that it comes by here.
    pub(crate) fn log(&self, event: &'static str) {
        let (seq, request) = (self.place.seq, self.request.as_ref());
        let trace_id = request.and_then(RequestId::trace_id).map(display);
        let request_id = request.map(display);
        tracing::debug!(user.id = %self.to, seq, request_id, trace_id, event, "a change");
    }

    /// The span that made it, or brought it here.
    pub(crate) fn trace(&self) -> Option<&TraceContext> {
        self.request.as_ref()?.trace().map(Arc::as_ref)
    }

    /// Whether its subject appears to the user for the first time.
    pub(crate) fn is_new(&self) -> bool {
        self.first_seq == self.place.seq
    }

    /// What it holds in memory besides itself, in bytes.
    pub(crate) fn text_len(&self) -> usize {
        match &self.subject {
            Subject::Received(message) | Subject::Sent(message) => {
                message.body.len() + message.meta_json.as_ref().map_or(0, String::len)
            }
            Subject::Thread(ThreadSubject::State(state)) => {
                size_of::<v1::ThreadState>() + state.peer_id.len()
            }
            Subject::SentElsewhere
            | Subject::Thread(ThreadSubject::InStore(_) | ThreadSubject::Elsewhere) => 0,
        }
    }

    /// `None` if only the store has it.
    pub(crate) fn to_wire(&self) -> Option<v1::Event> {
        let (seq, first_seq) = (self.place.seq, self.first_seq);
        let trace = self.trace().map(v1::TraceContext::from);
        let mut message = match &self.subject {
            Subject::Sent(message) => v1::Message::clone(message),
            Subject::Received(message) => {
                // It is shared with the sender, whose reference is nobody else's business.
                v1::Message { client_ref: None, ..v1::Message::clone(message) }
            }
            Subject::Thread(ThreadSubject::State(state)) => {
                let change = Some(v1::event::Change::Thread(v1::ThreadState::clone(state)));
                return Some(v1::Event { seq, change, first_seq, trace });
            }
            Subject::SentElsewhere
            | Subject::Thread(ThreadSubject::InStore(_) | ThreadSubject::Elsewhere) => return None,
        };
        message.rev = seq;
        let change = Some(v1::event::Change::Message(message));
        Some(v1::Event { seq, change, first_seq, trace })
    }
}

/// What of a feed is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FeedScope {
    /// Messages that are new to the user as their receiver, at the place where they first appeared.
    Received,
    /// All messages, at the place where they last changed.
    Messages,
    /// The same with states of threads.
    MessagesAndThreads,
}

/// What a subscription is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) scope: FeedScope,
    /// Who types to the user.
    pub(crate) typing: bool,
}

impl From<FeedScope> for Wanted {
    fn from(scope: FeedScope) -> Self {
        Self { scope, typing: false }
    }
}

/// What has no place in a feed: whoever misses it finds out otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    UserDeleted(UserId),
    /// One user blocks another, or no longer.
    Block {
        blocker: UserId,
        blocked: UserId,
        blocks: bool,
    },
    /// A user hides, or no longer does.
    Hidden(UserId),
}

/// That a user types to another, or no longer does: a signal that may be shed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Typing {
    pub(crate) from: UserId,
    pub(crate) to: UserId,
    pub(crate) typing: bool,
}

impl Typing {
    pub(crate) fn to_wire(self) -> v1::Event {
        let Self { from, typing, .. } = self;
        let typing = v1::Typing { peer_id: from.to_string(), typing };
        v1::Event { change: Some(v1::event::Change::Typing(typing)), ..Default::default() }
    }
}
