//! A batch of nothing but new messages, of which nothing is to be decided: where the database can, it stores it in one call,
//! and says what it numbered it by. A batch of anything else goes its way step by step, as does one that turns out to be.

use std::collections::BTreeSet;

use netrox_proto::{
    ids::{ClientRef, UserId},
    request_id::RequestId,
};
use tokio::time::Instant;

use super::{
    answer::Answers,
    plan::Plan,
    transaction::{Committed, TransactionError},
    watchdog::{Phase, Progress},
    write::{ChatWrite, Write},
};
use crate::{
    command::NewMessage,
    store::{Writer, batch::Sends, writer::CommitError},
};

fn message(write: &Write) -> Option<&NewMessage> {
    match write {
        Write::Chat(ChatWrite::Message(message)) => Some(message),
        Write::Chat(
            ChatWrite::Dispatch(_)
            | ChatWrite::Edit(_)
            | ChatWrite::Delete(_)
            | ChatWrite::Mark(_)
            | ChatWrite::Block(_)
            | ChatWrite::Erase(_),
        )
        | Write::Directory(_)
        | Write::Session(_)
        | Write::Upkeep(_) => None,
    }
}

/// Who sends and who receives.
pub(super) fn participants(writes: &[Write]) -> BTreeSet<UserId> {
    writes.iter().filter_map(message).flat_map(|sent| [sent.sender, sent.receiver]).collect()
}

/// Gives those a reference that have none, by which it is found what became of them. At random: it tells no order.
pub(super) fn name(writes: &mut [Write]) {
    for write in writes {
        if let Write::Chat(ChatWrite::Message(message)) = write
            && message.attachment.is_none()
        {
            message.client_ref.get_or_insert_with(|| ClientRef(random_uuid()));
        }
    }
}

fn random_uuid() -> uuid::Uuid {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid()
}

/// `None` where nothing was stored yet, and the batch goes step by step.
pub(super) async fn run(
    writer: &mut Writer,
    writes: &[Write],
    requests: &[Option<RequestId>],
    progress: &Progress,
    now: i64,
    deadline: Option<Instant>,
) -> Result<Option<Committed>, TransactionError> {
    let Some(messages) = writes.iter().map(message).collect::<Option<Vec<_>>>() else {
        return Ok(None);
    };
    let Some(sends) = Sends::of(messages).filter(|_| !writes.is_empty()) else { return Ok(None) };
    let Some(call) = writer.at_once(deadline).await? else { return Ok(None) };
    let start = call.start();
    progress.enter(Phase::Committing);
    let found = match call.store(&sends, now).await {
        Ok(Some(found)) => found,
        Ok(None) => {
            progress.begin_otherwise();
            return Ok(None);
        }
        Err(CommitError::NotStored(cause)) => return Err(TransactionError::NotStored(cause)),
        Err(CommitError::InDoubt(cause, trace)) => {
            let committed = Committed::default();
            return Err(TransactionError::InDoubt { committed, trace, cause });
        }
    };
    let mut answers = Answers::to(writes.len());
    let mut plan = Plan::new(found, now, start);
    plan.decide_all(writes, requests, &mut answers);
    let (answers, changes) = (answers.into_vec(), plan.changes);
    Ok(Some(Committed { answers, changes, ..Committed::default() }))
}
