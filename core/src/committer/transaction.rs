//! A batch as one transaction: load, plan, store and commit.

use super::{
    Answer, Write, directory,
    plan::{self, Plan},
    watchdog::{Phase, Progress},
};
use crate::{
    change::{Change, Signal},
    clock,
    error::Error,
    store::{
        self, Writer,
        batch::Loaded,
        writer::{CommitError, Trace},
    },
};

/// What a committed batch is answered, and what users learn of it.
pub(super) struct Committed {
    pub(super) answers: Vec<Answer>,
    pub(super) changes: Vec<Change>,
    pub(super) signals: Vec<Signal>,
}

pub(super) enum Failure {
    NotStored(store::Error),
    /// The commit itself failed.
    InDoubt {
        committed: Committed,
        trace: Trace,
        cause: store::Error,
    },
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        Self::NotStored(error)
    }
}

/// Says how far it is.
pub(super) async fn run(
    writer: &mut Writer,
    writes: &[Write],
    progress: &Progress,
) -> Result<Committed, Failure> {
    let now = clock::now_micros();
    let mut transaction = writer.begin().await?;
    progress.enter(Phase::Working);
    // Messages look users up, so that what changes these goes first.
    let mut singly_written =
        directory::write(&mut transaction, writes, now, progress).await?.into_iter();

    let wanted = plan::wanted(writes);
    let loaded =
        if wanted.users.is_empty() { Loaded::default() } else { transaction.load(wanted).await? };
    let mut plan = Plan::new(loaded, now, transaction.start());
    let answers = writes
        .iter()
        .map(|write| match write {
            Write::Message(message) => plan.message(message),
            Write::Dispatch(dispatch) => plan.dispatch(dispatch),
            _ => singly_written.next().unwrap_or(Err(Error::Internal)),
        })
        .collect();
    plan.finish();

    let signals = writes.iter().filter_map(Write::signal).collect();
    let committed = Committed { answers, changes: plan.changes, signals };
    progress.enter(Phase::Committing);
    match transaction.commit(&plan.rows).await {
        Ok(()) => Ok(committed),
        Err(CommitError::NotStored(cause)) => Err(Failure::NotStored(cause)),
        Err(CommitError::InDoubt(cause, trace)) => {
            Err(Failure::InDoubt { committed, trace, cause })
        }
    }
}
