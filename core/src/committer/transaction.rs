//! A batch as one transaction: load, plan, store and commit.

use netrox_proto::request_id::RequestId;

use super::{
    answer::{Answers, Stored, WriteResult, Written},
    directory,
    plan::{self, Plan},
    sends, session, ticket, upkeep,
    watchdog::{Phase, Progress},
    write::Write,
};
use crate::{
    change::{Change, Signal},
    clock,
    store::{
        self, Writer,
        batch::{BatchData, StoredMessage},
        writer::{CommitError, Trace},
    },
};

/// What a committed batch is answered, and what users learn of it.
#[derive(Default)]
pub(super) struct Committed {
    pub(super) answers: Vec<WriteResult>,
    pub(super) changes: Vec<Change>,
    pub(super) signals: Vec<Signal>,
    /// Messages and files that their receiver is not shown.
    pub(super) swallowed: usize,
}

impl Committed {
    /// What is known of new messages whose numbers were not told.
    pub(super) fn found(messages: Vec<StoredMessage>) -> Self {
        let answer = |message| Ok(Written::Message(Stored::Now(message, 0)));
        Self { answers: messages.into_iter().map(answer).collect(), ..Self::default() }
    }
}

pub(super) enum TransactionError {
    NotStored(store::Error),
    /// The commit itself failed.
    InDoubt {
        committed: Committed,
        trace: Trace,
        cause: store::Error,
    },
}

impl From<store::Error> for TransactionError {
    fn from(error: store::Error) -> Self {
        Self::NotStored(error)
    }
}

/// Says how far it is. `requests` are what asked for the writes, beside them.
pub(super) async fn run(
    writer: &mut Writer,
    writes: &[Write],
    requests: &[Option<RequestId>],
    progress: &Progress,
) -> Result<Committed, TransactionError> {
    let now = clock::now_micros();
    let deadline = writer.deadline();
    if let Some(committed) = sends::run(writer, writes, requests, progress, now, deadline).await? {
        return Ok(committed);
    }
    let quotas = writer.quotas();
    let mut transaction = writer.begin_by(deadline).await?;
    progress.enter(Phase::Working);
    let mut answers = Answers::to(writes.len());
    // Messages look users up, so that what changes these goes first.
    directory::write(&mut transaction, writes, now, progress, &mut answers).await?;
    session::write(&mut transaction, writes, now, progress, &mut answers).await?;
    ticket::write(&mut transaction, writes, now, &mut answers).await?;
    let erasable = upkeep::write(&mut transaction, writes, now, &mut answers).await?;

    let query = plan::query(writes, &quotas, now);
    let data =
        if query.users.is_empty() { BatchData::default() } else { transaction.load(query).await? };
    let mut plan = Plan::new(data, now, transaction.start()).within(quotas).erasing(erasable);
    plan.decide_all(writes, requests, &mut answers);
    plan.finish();

    let signals = writes.iter().filter_map(Write::signal).collect();
    let swallowed = plan.swallowed;
    let committed =
        Committed { answers: answers.into_vec(), changes: plan.changes, signals, swallowed };
    progress.enter(Phase::Committing);
    match transaction.commit(&plan.rows).await {
        Ok(()) => Ok(committed),
        Err(CommitError::NotStored(cause)) => Err(TransactionError::NotStored(cause)),
        Err(CommitError::InDoubt(cause, trace)) => {
            Err(TransactionError::InDoubt { committed, trace, cause })
        }
    }
}
