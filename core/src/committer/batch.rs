//! Writes of one transaction, and who waits for them.

use tokio::{
    sync::{OwnedSemaphorePermit, oneshot},
    time::Instant,
};

use super::{Answer, Queued, Write};
use crate::error::Error;

#[derive(Debug)]
pub(super) struct Batch {
    pub(super) writes: Vec<Write>,
    pub(super) callers: Callers,
    /// When the first of them was sent.
    pub(super) since: Instant,
}

/// In the order of their writes. None is left once they are told.
#[derive(Debug, Default)]
pub(super) struct Callers {
    answers: Vec<oneshot::Sender<Answer>>,
    /// What the writes hold in memory, also when their callers are told.
    rooms: Vec<OwnedSemaphorePermit>,
}

impl Batch {
    pub(super) fn new(queued: Vec<Queued>) -> Self {
        let mut batch = Self::own(Vec::with_capacity(queued.len()));
        for Queued { write, answer, sent, room, .. } in queued {
            batch.writes.push(write);
            batch.callers.answers.push(answer);
            batch.callers.rooms.push(room);
            batch.since = batch.since.min(sent);
        }
        batch
    }

    /// One that nobody waits for.
    pub(super) fn own(writes: Vec<Write>) -> Self {
        Self { writes, callers: Callers::default(), since: Instant::now() }
    }

    /// Each write on its own. To be called before anyone is told.
    pub(super) fn split(self) -> impl Iterator<Item = Self> {
        let Self { writes, callers: Callers { answers, rooms }, since } = self;
        writes.into_iter().zip(answers).zip(rooms).map(move |((write, answer), room)| {
            let callers = Callers { answers: vec![answer], rooms: vec![room] };
            Self { writes: vec![write], callers, since }
        })
    }

    pub(super) fn answer(&mut self, result: Result<Vec<Answer>, Error>) {
        match result {
            Ok(answers) => self.callers.tell(answers),
            Err(error) => self.callers.tell_all(&error),
        }
    }
}

impl Callers {
    /// Whether somebody still waits for an answer.
    pub(super) fn wait(&self) -> bool {
        !self.answers.is_empty()
    }

    pub(super) fn tell_all(&mut self, error: &Error) {
        self.tell(std::iter::repeat_with(|| Err(error.clone())));
    }

    fn tell(&mut self, answers: impl IntoIterator<Item = Answer>) {
        for (caller, answer) in self.answers.drain(..).zip(answers) {
            // A caller that went away does not want it.
            let _ = caller.send(answer);
        }
    }
}
