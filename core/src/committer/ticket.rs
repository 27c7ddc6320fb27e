//! The writes of a batch that are about tickets: those that are used, and keys that they are signed with.

use std::collections::HashSet;

use super::{
    answer::{Answers, Written},
    write::{SessionWrite, Verb, Write},
};
use crate::{
    clock::CLOCKS_APART,
    store::{
        self,
        history::Start,
        ticket::{KeyRow, SpentRow},
        writer::WriteTransaction,
    },
};

/// A ticket is used, unless it was before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SpendTicket {
    pub(crate) ticket: SpentRow,
    /// In which it was made: in another one it may have been used, and nobody know.
    pub(crate) start: Start,
}

/// Whether it was not used before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spent(pub(crate) bool);

/// What tickets are signed with from now on.
#[derive(Debug)]
pub(crate) struct AddTicketKey {
    pub(crate) key: KeyRow,
    /// Older ones sign nothing any more that is good.
    pub(crate) forget_before: i64,
}

impl Verb for SpendTicket {
    type Answer = Spent;

    fn into_write(self) -> Write {
        Write::Session(SessionWrite::SpendTicket(self))
    }
}

impl Verb for AddTicketKey {
    type Answer = ();

    fn into_write(self) -> Write {
        Write::Session(SessionWrite::AddTicketKey(self))
    }
}

/// All of a batch, in one statement.
pub(super) async fn write(
    transaction: &mut WriteTransaction<'_>,
    writes: &[Write],
    now: i64,
    answers: &mut Answers,
) -> Result<(), store::Error> {
    let (mut asked, mut named, mut tickets) = (Vec::new(), HashSet::new(), Vec::new());
    for (index, write) in writes.iter().enumerate() {
        match write {
            Write::Session(SessionWrite::SpendTicket(SpendTicket { ticket, start })) => {
                // Of one that is named twice the first gets it.
                let may_be = *start == transaction.start() && named.insert(ticket.id);
                if may_be {
                    tickets.push(*ticket);
                }
                asked.push((index, may_be.then_some(ticket.id)));
            }
            Write::Session(SessionWrite::AddTicketKey(AddTicketKey { key, forget_before })) => {
                transaction.add_ticket_key(key, *forget_before).await?;
                answers.set(index, Ok(Written::Nothing));
            }
            Write::Session(
                SessionWrite::Notice(_)
                | SessionWrite::SeeEdges(_)
                | SessionWrite::ForgetEdges(_)
                | SessionWrite::Answer(_),
            )
            | Write::Chat(_)
            | Write::Directory(_)
            | Write::Upkeep(_) => {}
        }
    }
    if asked.is_empty() {
        return Ok(());
    }
    // It is known that one was used for as long as some clock would take it.
    let spent = transaction.spend_tickets(&tickets, now - CLOCKS_APART).await?;
    for (index, ticket) in asked {
        let is_first = ticket.is_some_and(|id| spent.contains(&id));
        answers.set(index, Ok(Written::Spent(Spent(is_first))));
    }
    Ok(())
}
