//! A batch as one transaction: load, plan, store, commit.

use netrox_proto::ids::UserId;

use super::{
    Answer, Write, Written,
    plan::{self, Plan},
};
use crate::{
    clock,
    error::Error,
    hub::LiveEvent,
    store::{
        self, Writer,
        batch::Loaded,
        writer::{CommitError, WriteTransaction},
    },
};

/// What a committed batch is answered, and what users learn of it.
pub(super) struct Committed {
    pub(super) answers: Vec<Answer>,
    pub(super) events: Vec<(UserId, LiveEvent)>,
}

pub(super) enum Failure {
    NotStored(store::Error),
    /// The commit itself failed. The batch is stored exactly if this message is, where there is one.
    InDoubt {
        committed: Committed,
        message_id: Option<i64>,
        cause: store::Error,
    },
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        Self::NotStored(error)
    }
}

pub(super) async fn run(writer: &mut Writer, writes: &[Write]) -> Result<Committed, Failure> {
    let now = clock::now_micros();
    let mut transaction = writer.begin().await?;
    // Messages look users up, so that what changes these goes first.
    let mut singly_written = Vec::new();
    for write in writes {
        singly_written.extend(write_singly(&mut transaction, write, now).await?);
    }
    let mut singly_written = singly_written.into_iter();

    let wanted = plan::wanted(writes);
    let loaded =
        if wanted.users.is_empty() { Loaded::default() } else { transaction.load(wanted).await? };
    let mut plan = Plan::new(loaded, transaction.last_ids(), now);
    let answers = writes
        .iter()
        .map(|write| match write {
            Write::Message(message) => plan.message(message),
            Write::Dispatch(dispatch) => plan.dispatch(dispatch),
            _ => singly_written.next().unwrap_or(Err(Error::Internal)),
        })
        .collect();
    plan.finish();
    transaction.store(&plan.rows).await?;

    let message_id = plan.rows.messages.last().map(|message| message.id);
    let last_ids = plan.last_ids;
    let committed = Committed { answers, events: plan.events };
    match transaction.commit(last_ids).await {
        Ok(()) => Ok(committed),
        Err(CommitError::NotStored(cause)) => Err(Failure::NotStored(cause)),
        Err(CommitError::InDoubt(cause)) => Err(Failure::InDoubt { committed, message_id, cause }),
    }
}

/// Writes what is too rare to be written in sets. `None` for what is.
async fn write_singly(
    transaction: &mut WriteTransaction<'_>,
    write: &Write,
    now: i64,
) -> Result<Option<Answer>, store::Error> {
    let answer = match write {
        Write::Message(_) | Write::Dispatch(_) => return Ok(None),
        Write::UpsertUsers(changes) => {
            let mut users = Vec::with_capacity(changes.len());
            for change in changes {
                users.push(transaction.upsert_user(change, now).await?);
            }
            Ok(Written::Users(users))
        }
        Write::EnsureUser(change) => match transaction.ensure_user(change, now).await? {
            Some(user) => Ok(Written::Users(vec![user])),
            None => Err(Error::UserDeleted),
        },
        Write::DeleteUser(user) => {
            let found = transaction.delete_user(*user, now).await?;
            if found { Ok(Written::Nothing) } else { Err(Error::UserUnknown) }
        }
        Write::BeginUpload(path) => {
            transaction.begin_upload(path).await?;
            Ok(Written::Nothing)
        }
        Write::EndUpload(path) => {
            transaction.end_upload(path).await?;
            Ok(Written::Nothing)
        }
        Write::Probe => {
            transaction.probe(now).await?;
            Ok(Written::Nothing)
        }
    };
    Ok(Some(answer))
}
