//! The writes of a batch that edges learn of: which tokens count no more, which sessions end, and what cores ask edges.

use uuid::Uuid;

use super::{
    answer::{Answers, Written},
    watchdog::{Phase, Progress},
    write::{SessionWrite, Verb, Write},
};
use crate::{
    error::Error,
    store::{
        self,
        session::{Kept, NewNotice, Noted, TooMany},
        writer::WriteTransaction,
    },
};

const MICROS_A_SECOND: i64 = 1_000_000;

/// Edges watch this core.
#[derive(Debug)]
pub(crate) struct SeeEdges(pub(crate) Vec<String>);

/// Edges have ended.
#[derive(Debug)]
pub(crate) struct ForgetEdges(pub(crate) Vec<String>);

/// What an edge answered to a question of another core.
#[derive(Debug)]
pub(crate) struct AnswerQuestion {
    pub(crate) question: Uuid,
    pub(crate) edge: String,
    /// A `SessionsOfUser`, encoded.
    pub(crate) sessions: Vec<u8>,
}

impl Verb for NewNotice {
    type Answer = Noted;

    fn into_write(self) -> Write {
        Write::Session(SessionWrite::Notice(self))
    }
}

impl Verb for SeeEdges {
    type Answer = ();

    fn into_write(self) -> Write {
        Write::Session(SessionWrite::SeeEdges(self.0))
    }
}

impl Verb for ForgetEdges {
    type Answer = ();

    fn into_write(self) -> Write {
        Write::Session(SessionWrite::ForgetEdges(self.0))
    }
}

impl Verb for AnswerQuestion {
    type Answer = ();

    fn into_write(self) -> Write {
        Write::Session(SessionWrite::Answer(self))
    }
}

/// Writes them in their order.
pub(super) async fn write(
    transaction: &mut WriteTransaction<'_>,
    writes: &[Write],
    now: i64,
    progress: &Progress,
    answers: &mut Answers,
) -> Result<(), store::Error> {
    let mut kept = Kept::default();
    for (index, write) in writes.iter().enumerate() {
        let write = match write {
            Write::Session(write) => write,
            Write::Chat(_) | Write::Directory(_) | Write::Upkeep(_) => continue,
        };
        let answer = match write {
            SessionWrite::Notice(notice) => {
                let noted = transaction.note(notice, now / MICROS_A_SECOND, &mut kept).await?;
                progress.enter(Phase::Working);
                noted
                    .map(Written::Noted)
                    .map_err(|TooMany(limit)| Error::TooManyRevocations { limit })
            }
            SessionWrite::SeeEdges(edges) => {
                transaction.see_edges(edges).await?;
                Ok(Written::Nothing)
            }
            SessionWrite::ForgetEdges(edges) => {
                transaction.forget_edges(edges).await?;
                Ok(Written::Nothing)
            }
            SessionWrite::Answer(AnswerQuestion { question, edge, sessions }) => {
                transaction.answer_question(*question, edge, sessions).await?;
                Ok(Written::Nothing)
            }
            SessionWrite::SpendTicket(_) | SessionWrite::AddTicketKey(_) => continue,
        };
        answers.set(index, answer);
    }
    Ok(())
}

/// Whether edges learn something by one of them.
pub(super) fn has_notice(writes: &[Write]) -> bool {
    writes.iter().any(|write| matches!(write, Write::Session(SessionWrite::Notice(_))))
}
