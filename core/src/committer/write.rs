//! What can be written, by who decides what becomes of it.

use netrox_proto::ids::UserId;
use uuid::Uuid;

use super::{
    answer::Answer,
    directory::DeleteUser,
    session::AnswerQuestion,
    ticket::{AddTicketKey, SpendTicket},
};
use crate::{
    change::Signal,
    command::{Block, Claims, Deletion, Dispatch, Edit, Erase, Mark, NewMessage, UserChange},
    store::{
        retention::Due,
        session::{NewNotice, NoticeKind},
    },
};

/// The cost of a write besides its text (PROTOCOL section 5, `--store-wait`).
pub(super) const WRITE_OVERHEAD_BYTES: usize = 512;

#[derive(Debug)]
pub(crate) enum Write {
    /// Takes places in feeds; decided by [`plan`](super::plan).
    Chat(ChatWrite),
    /// Done by [`directory`](super::directory).
    Directory(DirectoryWrite),
    /// Done by [`session`](super::session).
    Session(SessionWrite),
    /// Done by [`upkeep`](super::upkeep).
    Upkeep(UpkeepWrite),
}

#[derive(Debug)]
pub(crate) enum ChatWrite {
    Message(NewMessage),
    Dispatch(Dispatch),
    Edit(Edit),
    Delete(Deletion),
    Mark(Mark),
    Block(Block),
    /// How far it gets is noted by [`upkeep`](super::upkeep).
    Erase(Erase),
}

#[derive(Debug)]
pub(crate) enum DirectoryWrite {
    UpsertUsers(Vec<UserChange>),
    /// As an upsert, but of what a token says: a deleted user stays deleted, and what is newer stays.
    EnsureUser(Claims),
    DeleteUser(DeleteUser),
    /// Whether a user is online to nobody.
    Hide {
        user: UserId,
        hides: bool,
    },
}

/// What edges learn.
#[derive(Debug)]
pub(crate) enum SessionWrite {
    Notice(NewNotice),
    SeeEdges(Vec<String>),
    ForgetEdges(Vec<String>),
    Answer(AnswerQuestion),
    /// Done by [`ticket`](super::ticket), as is the next.
    SpendTicket(SpendTicket),
    AddTicketKey(AddTicketKey),
}

/// What nobody sees.
#[derive(Debug)]
pub(crate) enum UpkeepWrite {
    /// Notes a file before it is begun.
    BeginUpload(String),
    /// Forgets a file that was removed.
    EndUpload(String),
    /// Begins to count what the files of a user take, who has none counted yet; decided by [`plan`](super::plan).
    CountFiles(UserId),
    /// At most so many of those that are not indexed; in a batch of its own.
    IndexMessages(usize),
    /// Some of those that are too old; in a batch of its own.
    RemoveMessages(Due),
    /// When users were last seen, in minutes since the epoch.
    NoteSeen(Vec<(UserId, i64)>),
    /// Who is online with this core, where that is not as it was.
    KeepRoll {
        core: Uuid,
        users: Option<Vec<u8>>,
    },
    Probe,
    /// Needs more room than a batch; what it took is given back by the next.
    TakeRoom,
    GiveRoomBack,
}

/// What is asked of the committer, with the type of its answer.
pub(crate) trait Verb {
    type Answer: Answer;

    fn into_write(self) -> Write;
}

impl Write {
    /// What is told of it besides changes.
    pub(super) fn signal(&self) -> Option<Signal> {
        match self {
            Self::Directory(DirectoryWrite::DeleteUser(DeleteUser { user, .. })) => {
                Some(Signal::UserDeleted(*user))
            }
            Self::Directory(DirectoryWrite::Hide { user, .. }) => Some(Signal::Hidden(*user)),
            Self::Chat(ChatWrite::Block(Block { user, peer, blocks })) => {
                Some(Signal::Block { blocker: *user, blocked: *peer, blocks: *blocks })
            }
            Self::Directory(DirectoryWrite::UpsertUsers(_) | DirectoryWrite::EnsureUser(_))
            | Self::Chat(
                ChatWrite::Message(_)
                | ChatWrite::Dispatch(_)
                | ChatWrite::Edit(_)
                | ChatWrite::Delete(_)
                | ChatWrite::Mark(_)
                | ChatWrite::Erase(_),
            )
            | Self::Session(_)
            | Self::Upkeep(_) => None,
        }
    }

    /// Whether it is written in a transaction of its own: what it locks others lock in another order, and it may fail where they
    /// would not.
    pub(super) fn is_alone(&self) -> bool {
        matches!(self, Self::Upkeep(UpkeepWrite::IndexMessages(_) | UpkeepWrite::RemoveMessages(_)))
    }

    /// Whether it begins to erase what a user has sent.
    pub(super) fn begins_erasure(&self) -> bool {
        matches!(self, Self::Directory(DirectoryWrite::DeleteUser(it)) if it.erases_messages)
    }

    /// Whether it waits for a database that is away. Whoever calls meanwhile is looked up, and told at once; so is who has a ticket.
    /// What is said of edges says nothing later.
    pub(super) fn may_wait(&self) -> bool {
        match self {
            Self::Directory(DirectoryWrite::EnsureUser(_))
            | Self::Session(
                SessionWrite::SeeEdges(_)
                | SessionWrite::ForgetEdges(_)
                | SessionWrite::Answer(_)
                | SessionWrite::SpendTicket(_)
                | SessionWrite::AddTicketKey(_),
            ) => false,
            Self::Session(SessionWrite::Notice(notice)) => notice.kind != NoticeKind::Question,
            // It says nothing later.
            Self::Upkeep(UpkeepWrite::KeepRoll { .. }) => false,
            Self::Directory(
                DirectoryWrite::UpsertUsers(_)
                | DirectoryWrite::DeleteUser(_)
                | DirectoryWrite::Hide { .. },
            )
            | Self::Chat(_)
            | Self::Upkeep(_) => true,
        }
    }

    /// Whether it goes in a batch of its own, after whatever waits with it: messages alone are stored in one call, and nobody's
    /// message waits for what nobody sees.
    pub(super) fn goes_last(&self) -> bool {
        match self {
            Self::Upkeep(UpkeepWrite::NoteSeen(_) | UpkeepWrite::KeepRoll { .. }) => true,
            Self::Upkeep(
                UpkeepWrite::BeginUpload(_)
                | UpkeepWrite::EndUpload(_)
                | UpkeepWrite::CountFiles(_)
                | UpkeepWrite::IndexMessages(_)
                | UpkeepWrite::RemoveMessages(_)
                | UpkeepWrite::Probe
                | UpkeepWrite::TakeRoom
                | UpkeepWrite::GiveRoomBack,
            )
            | Self::Chat(_)
            | Self::Directory(_)
            | Self::Session(_) => false,
        }
    }

    /// Whose room it takes while it waits.
    pub(super) fn sender(&self) -> Option<UserId> {
        match self {
            Self::Chat(ChatWrite::Message(message)) => Some(message.sender),
            Self::Chat(ChatWrite::Dispatch(dispatch)) => Some(dispatch.sender),
            Self::Chat(ChatWrite::Edit(edit)) => Some(edit.user),
            Self::Chat(ChatWrite::Delete(deletion)) => Some(deletion.user),
            Self::Chat(ChatWrite::Mark(mark)) => Some(mark.user),
            Self::Chat(ChatWrite::Block(block)) => Some(block.user),
            // Nobody waits for it.
            Self::Chat(ChatWrite::Erase(_))
            | Self::Directory(_)
            | Self::Session(_)
            | Self::Upkeep(_) => None,
        }
    }

    /// What it takes in memory, in bytes.
    pub(super) fn size(&self) -> usize {
        let text = match self {
            Self::Chat(ChatWrite::Message(message)) => {
                message.body.len() + message.meta.as_ref().map_or(0, String::len)
            }
            Self::Chat(ChatWrite::Edit(edit)) => {
                edit.body.len() + edit.meta.iter().flatten().map(String::len).sum::<usize>()
            }
            Self::Chat(
                ChatWrite::Dispatch(_)
                | ChatWrite::Delete(_)
                | ChatWrite::Mark(_)
                | ChatWrite::Block(_),
            ) => 0,
            Self::Chat(ChatWrite::Erase(erase)) => size_of_val(&erase.messages[..]),
            Self::Directory(DirectoryWrite::EnsureUser(claims)) => claims.change.size(),
            Self::Directory(DirectoryWrite::UpsertUsers(changes)) => {
                changes.iter().map(|change| change.size() + WRITE_OVERHEAD_BYTES).sum()
            }
            Self::Directory(DirectoryWrite::DeleteUser(_) | DirectoryWrite::Hide { .. }) => 0,
            Self::Session(SessionWrite::Notice(notice)) => notice.key.len(),
            Self::Session(SessionWrite::SeeEdges(edges) | SessionWrite::ForgetEdges(edges)) => {
                edges.iter().map(|edge| size_of::<String>() + edge.len()).sum()
            }
            Self::Session(SessionWrite::Answer(AnswerQuestion { edge, sessions, .. })) => {
                edge.len() + sessions.len()
            }
            Self::Session(SessionWrite::SpendTicket(_) | SessionWrite::AddTicketKey(_)) => 0,
            Self::Upkeep(UpkeepWrite::BeginUpload(path) | UpkeepWrite::EndUpload(path)) => {
                path.len()
            }
            Self::Upkeep(UpkeepWrite::NoteSeen(seen)) => size_of_val(&seen[..]),
            Self::Upkeep(UpkeepWrite::KeepRoll { users, .. }) => users.as_ref().map_or(0, Vec::len),
            Self::Upkeep(
                UpkeepWrite::CountFiles(_)
                | UpkeepWrite::IndexMessages(_)
                | UpkeepWrite::RemoveMessages(_)
                | UpkeepWrite::Probe
                | UpkeepWrite::TakeRoom
                | UpkeepWrite::GiveRoomBack,
            ) => 0,
        };
        WRITE_OVERHEAD_BYTES + text
    }
}
