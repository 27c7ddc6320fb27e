//! What writes are answered.

use std::{marker::PhantomData, sync::Arc};

use netrox_proto::v1;
use tokio::sync::oneshot;

use super::{ticket::Spent, write::Verb};
use crate::{
    error::Error,
    store::{
        batch::StoredMessage,
        retention::Removed,
        search::Built,
        session::Noted,
        user::{UserKey, UserRow},
    },
};

pub(super) type WriteResult = Result<Written, Error>;

#[derive(Debug)]
pub(crate) enum Written {
    Message(Stored),
    Dispatched(Dispatched),
    /// As its sender sees it.
    Edited(Arc<v1::Message>),
    /// Whether a file is to be removed with it.
    Deleted {
        erases_file: bool,
    },
    Marked(Marked),
    Users(Vec<UserRow>),
    Noted(Noted),
    Built(Built),
    Removed(Removed),
    Erased(Erased),
    Spent(Spent),
    Nothing,
}

/// What a verb is answered.
pub(crate) trait Answer: Sized {
    /// `None` if another verb is answered so.
    fn from_written(written: Written) -> Option<Self>;
}

/// How far a user got in a thread, as it now stands.
#[derive(Debug)]
pub(crate) struct Marked {
    pub(crate) user: UserKey,
    pub(crate) thread_id: i64,
    /// `None` if it has to be counted.
    pub(crate) state: Option<Arc<v1::ThreadState>>,
}

/// What was erased of the messages of a deleted user, and how many files go with them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Erased {
    /// Whether the erasure was where the step had it. If not, nothing is erased: it was asked for again, or another core is at it.
    pub(crate) was_there: bool,
    pub(crate) messages: usize,
    pub(crate) files: usize,
}

/// Whether a message was stored for itself.
#[derive(Debug)]
pub(crate) enum Stored {
    /// With its place in the feed of its sender; 0 if that is not known.
    Now(StoredMessage, u64),
    /// An earlier copy has the same reference: it is this message.
    Again(StoredMessage),
    /// A form that the library of the client sent again: it is this message.
    Before(Arc<v1::Message>),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Dispatched {
    /// Microseconds since the epoch.
    pub(crate) at: i64,
    pub(crate) already: bool,
}

impl Answer for Stored {
    fn from_written(written: Written) -> Option<Self> {
        let Written::Message(stored) = written else { return None };
        Some(stored)
    }
}

impl Answer for Dispatched {
    fn from_written(written: Written) -> Option<Self> {
        let Written::Dispatched(dispatched) = written else { return None };
        Some(dispatched)
    }
}

/// A message that was edited.
impl Answer for Arc<v1::Message> {
    fn from_written(written: Written) -> Option<Self> {
        let Written::Edited(message) = written else { return None };
        Some(message)
    }
}

impl Answer for Marked {
    fn from_written(written: Written) -> Option<Self> {
        let Written::Marked(marked) = written else { return None };
        Some(marked)
    }
}

impl Answer for Vec<UserRow> {
    fn from_written(written: Written) -> Option<Self> {
        let Written::Users(users) = written else { return None };
        Some(users)
    }
}

impl Answer for UserRow {
    fn from_written(written: Written) -> Option<Self> {
        Vec::<UserRow>::from_written(written)?.into_iter().next()
    }
}

impl Answer for Noted {
    fn from_written(written: Written) -> Option<Self> {
        let Written::Noted(noted) = written else { return None };
        Some(noted)
    }
}

impl Answer for Built {
    fn from_written(written: Written) -> Option<Self> {
        let Written::Built(built) = written else { return None };
        Some(built)
    }
}

impl Answer for Removed {
    fn from_written(written: Written) -> Option<Self> {
        let Written::Removed(removed) = written else { return None };
        Some(removed)
    }
}

impl Answer for Erased {
    fn from_written(written: Written) -> Option<Self> {
        let Written::Erased(erased) = written else { return None };
        Some(erased)
    }
}

impl Answer for Spent {
    fn from_written(written: Written) -> Option<Self> {
        let Written::Spent(spent) = written else { return None };
        Some(spent)
    }
}

impl Answer for () {
    fn from_written(written: Written) -> Option<Self> {
        matches!(written, Written::Nothing | Written::Deleted { .. }).then_some(())
    }
}

impl Written {
    /// Whether files are to be removed now.
    pub(super) fn erases_files(&self) -> bool {
        match self {
            Self::Deleted { erases_file } => *erases_file,
            Self::Erased(erased) => erased.files > 0,
            Self::Removed(removed) => removed.files > 0,
            Self::Message(_)
            | Self::Dispatched(_)
            | Self::Edited(_)
            | Self::Marked(_)
            | Self::Users(_)
            | Self::Noted(_)
            | Self::Built(_)
            | Self::Spent(_)
            | Self::Nothing => false,
        }
    }
}

/// The answers to the writes of a batch, each beside its write.
#[derive(Debug)]
pub(super) struct Answers(Vec<Option<WriteResult>>);

impl Answers {
    pub(super) fn to(writes: usize) -> Self {
        Self(std::iter::repeat_with(|| None).take(writes).collect())
    }

    pub(super) fn set(&mut self, index: usize, answer: WriteResult) {
        if let Some(place) = self.0.get_mut(index) {
            *place = Some(answer);
        }
    }

    /// In the order of the writes.
    pub(super) fn into_vec(self) -> Vec<WriteResult> {
        self.0.into_iter().map(|answer| answer.unwrap_or(Err(Error::Internal))).collect()
    }
}

/// A write in the queue.
#[derive(Debug)]
pub(crate) struct Pending<V> {
    answer: oneshot::Receiver<WriteResult>,
    verb: PhantomData<fn() -> V>,
}

impl<V: Verb> Pending<V> {
    pub(super) fn new(answer: oneshot::Receiver<WriteResult>) -> Self {
        Self { answer, verb: PhantomData }
    }

    pub(crate) async fn answer(self) -> Result<V::Answer, Error> {
        // The task answers all that it has taken, unless it died.
        let written = self.answer.await.unwrap_or(Err(Error::OutcomeUnknown))?;
        V::Answer::from_written(written).ok_or(Error::Internal)
    }
}
