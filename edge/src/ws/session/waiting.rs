//! What was read and has yet to be acted upon: commands that wait for the user's rate or for room, and what came after
//! them.

use std::collections::VecDeque;

use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::{MAX_IN_FLIGHT, MAX_UNANSWERED, Session, answers::Reply};
use crate::{
    limits::{HeldMemory, TooMuch},
    sends::{SendCommand, Submission},
    wire::{Echo, Generation, Refused},
};

/// What one connection holds of it; beyond that it is not read.
const MAX_BYTES: usize = 128 * 1024;
/// Of a command besides its text.
const OVERHEAD_BYTES: usize = 512;

/// In the order of the frames. Connections are many, and hardly any ever holds one.
#[derive(Debug, Default)]
pub(super) struct Waiting(Option<Box<Frames>>);

#[derive(Debug, Default)]
struct Frames {
    frames: VecDeque<Frame>,
    bytes: usize,
    refusals: usize,
    /// A command found no room for what it holds here: nothing more is read before it.
    is_full: bool,
}

#[derive(Debug)]
enum Frame {
    Command {
        command: SendCommand,
        echo: Echo,
        /// When it came.
        since: Instant,
        /// By the rate; absent where it waits for room alone.
        due: Option<Instant>,
        /// Absent where there was no room to hold it, or nothing that waits for the rate.
        held: Option<HeldMemory>,
    },
    Refused(Echo, Refused),
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// When the next command is due by the rate, if that is what it waits for.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.0.as_ref()?.frames.front()? {
            Frame::Command { due, .. } => *due,
            Frame::Refused(..) => None,
        }
    }

    /// How many frames wait.
    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |waiting| waiting.frames.len())
    }

    /// How many refusals wait to be told.
    pub(super) fn refusals(&self) -> usize {
        self.0.as_ref().map_or(0, |waiting| waiting.refusals)
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.as_ref().is_some_and(|waiting| waiting.is_full || waiting.bytes >= MAX_BYTES)
    }

    fn push(&mut self, frame: Frame) {
        let waiting = self.0.get_or_insert_default();
        match &frame {
            Frame::Command { held: Some(held), .. } => waiting.bytes += held.bytes(),
            Frame::Command { held: None, .. } => waiting.is_full = true,
            Frame::Refused(..) => waiting.refusals += 1,
        }
        waiting.frames.push_back(frame);
    }

    fn push_front(&mut self, frame: Frame) {
        self.0.get_or_insert_default().frames.push_front(frame);
    }

    fn pop(&mut self) -> Option<Frame> {
        let waiting = self.0.as_mut()?;
        let frame = waiting.frames.pop_front();
        match &frame {
            Some(Frame::Command { held: Some(held), .. }) => waiting.bytes -= held.bytes(),
            Some(Frame::Refused(..)) => waiting.refusals -= 1,
            Some(Frame::Command { held: None, .. }) | None => {}
        }
        if waiting.frames.is_empty() {
            self.0 = None;
        }
        frame
    }
}

impl<S> Session<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Takes a command in that was read, unless more wait for the user's rate than may.
    pub(super) fn take_in(&mut self, command: SendCommand, echo: Echo, now: Instant) {
        let user = self.connection.user();
        let limiter = &self.context.limiter;
        // What could not be taken before for what is away counts from then.
        let due = match limiter.send(user, self.unread_since.unwrap_or(now)) {
            Ok(due) => due,
            Err(too_much @ TooMuch { .. }) => {
                return self.refuse(echo, self.generation().rate_limited(too_much));
            }
        };
        if let Some(peer) = command.receiver() {
            self.context.typists.wrote((user, peer));
        }
        // There is no time left to wait.
        let due = due.filter(|_| self.closing.is_none());
        if due.is_none() && self.waiting.is_empty() {
            self.submit(command, echo, now, None);
            return;
        }
        let held = limiter.hold(OVERHEAD_BYTES + command.text_bytes());
        self.waiting.push(Frame::Command { command, echo, since: now, due, held });
    }

    /// Refuses a frame that was read, after the answers to those before it.
    pub(super) fn refuse(&mut self, echo: Echo, refused: Refused) {
        if self.waiting.is_empty() {
            self.answers.push_back(Reply::Refused(echo, refused));
        } else {
            self.waiting.push(Frame::Refused(echo, refused));
        }
    }

    /// Acts upon what need not wait any more. Gives whether that is all but what waits for the rate.
    pub(super) fn submit_waiting(&mut self, now: Instant) -> bool {
        while !self.waiting.is_empty() {
            if self.closing.is_none() && self.waiting.due().is_some_and(|due| due > now) {
                return true;
            }
            match self.waiting.pop() {
                Some(Frame::Command { command, echo, since, due, held }) => {
                    let since = due.map_or(since, |due| due.max(since));
                    if !self.submit(command, echo, since, held) {
                        return false;
                    }
                }
                Some(Frame::Refused(echo, refused)) => {
                    self.answers.push_back(Reply::Refused(echo, refused));
                }
                None => {}
            }
        }
        true
    }

    /// Whether it was taken; else it is to be submitted again in a moment.
    fn submit(
        &mut self,
        command: SendCommand,
        echo: Echo,
        since: Instant,
        held: Option<HeldMemory>,
    ) -> bool {
        let sends = &self.context.sends;
        let sender = self.connection.sender(&mut self.sender, sends);
        match sends.submit(sender, command, since) {
            Submission::Accepted(pending) => {
                self.answers.push_back(Reply::Sent(echo, pending));
                true
            }
            Submission::NoRoom(command) => {
                let due = None;
                self.waiting.push_front(Frame::Command { command, echo, since, due, held });
                false
            }
        }
    }

    /// What was read takes effect, whatever becomes of the connection.
    pub(super) fn submit_last(&mut self) {
        while let Some(frame) = self.waiting.pop() {
            if let Frame::Command { command, since, .. } = frame {
                let sends = &self.context.sends;
                let sender = self.connection.sender(&mut self.sender, sends);
                sends.submit_last(sender, command, since);
            }
        }
    }

    /// Whether as many frames are without an answer as may be.
    pub(super) fn has_enough_in_flight(&self) -> bool {
        match self.generation() {
            Generation::V1 => self.answers.len() + self.waiting.refusals() >= MAX_IN_FLIGHT,
            Generation::V2 => {
                let waiting = self.waiting.len() + self.receipts.len() + self.words.len();
                let asked = self.answers.len() + self.presence.len() + self.refreshing.len();
                waiting + asked >= MAX_UNANSWERED
            }
        }
    }
}
