//! How far a stream of the second generation is, and what its client is told of that. No I/O in here.

use netrox_proto::v1::{ErrorReason, Event, Failure, SubscribeResponse, event::Change};

use crate::wire::v2::cursor::{Cursor, Epoch};

/// A position that only moves forward.
///
/// Who reads what was missed gets each message once, at the place of its last change. So a message that the client has
/// never been shown may stand behind others that it has. Until it is up to date, cursors remember where it was last, and what
/// first appeared after that is new. A place that is left out was that of a change before the last: of something that stands
/// further on, up to where the feed ends by then. So the client is up to date at an end up to which nothing was left out
/// since that end was asked for. That holds in a catch-up, after a break of the stream, and where the core itself had
/// to read from the store.
#[derive(Debug)]
pub(super) struct Progress {
    epoch: Epoch,
    seq: u64,
    /// Where the client was last up to date.
    began: u64,
    end: End,
    /// Places were left out since the end was asked for.
    has_gap: bool,
    is_live: bool,
    /// The client has taken all that it had missed.
    is_caught_up: bool,
}

/// Where the client is up to date again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It is.
    Here,
    At(u64),
    /// Where the feed ends by now is to be asked for.
    Unknown,
}

impl Progress {
    /// At the end of the feed.
    pub(super) fn at_end(first: &SubscribeResponse) -> Result<Self, Failure> {
        let (epoch, seq) = (parse(&first.epoch)?, first.last_seq);
        let (end, is_caught_up) = (End::Here, true);
        Ok(Self { epoch, seq, began: seq, end, has_gap: false, is_live: false, is_caught_up })
    }

    /// At a cursor of the client.
    pub(super) fn resumed(cursor: Cursor, first: &SubscribeResponse) -> Result<Self, Failure> {
        let Cursor { epoch, seq, began } = cursor;
        let (end, has_gap, is_live, is_caught_up) = (End::Unknown, false, false, false);
        let mut progress = Self { epoch, seq, began, end, has_gap, is_live, is_caught_up };
        progress.enter(&first.epoch)?;
        progress.set_end(end_of(first)?);
        progress.is_caught_up = progress.is_through();
        Ok(progress)
    }

    /// Whether the client was told that what it missed is through.
    pub(super) fn is_live(&self) -> bool {
        self.is_live
    }

    pub(super) fn go_live(&mut self) {
        self.is_live = true;
    }

    /// Whether the client still takes what it had missed, which may be for as long as it needs. `has_taken_all` that was
    /// given to it.
    pub(super) fn is_catching_up(&mut self, has_taken_all: bool) -> bool {
        self.is_caught_up |= self.is_live && has_taken_all;
        !self.is_caught_up
    }

    /// Whether what was missed is through. Some of it may have changed meanwhile, and is still to come.
    pub(super) fn is_through(&self) -> bool {
        match self.end {
            End::Here | End::Unknown => true,
            End::At(_) => false,
        }
    }

    /// Whether it is to be asked where the feed ends.
    pub(super) fn wants_end(&self) -> bool {
        self.end == End::Unknown
    }

    /// The feed ends there by now.
    pub(super) fn set_end(&mut self, end: u64) {
        self.has_gap = false;
        self.end = End::At(end);
        self.look_for_end();
    }

    /// Where the client is.
    pub(super) fn cursor(&self) -> Cursor {
        Cursor { epoch: self.epoch, seq: self.seq, began: self.began }
    }

    /// The epoch of what follows, if it is another one.
    pub(super) fn enter(&mut self, epoch: &str) -> Result<(), Failure> {
        if !epoch.is_empty() {
            self.epoch = parse(epoch)?;
        }
        Ok(())
    }

    /// Goes on to an event. Gives its cursor, and whether it is a message that is new to the client; nothing of an event that
    /// was shown before.
    pub(super) fn take(&mut self, event: &Event) -> Option<(Cursor, bool)> {
        if event.seq <= self.seq {
            return None;
        }
        let first_seq = if event.first_seq == 0 { event.seq } else { event.first_seq };
        let is_new = matches!(event.change, Some(Change::Message(_))) && first_seq > self.began;
        self.has_gap |= event.seq > self.seq + 1;
        self.move_to(event.seq);
        Some((self.cursor(), is_new))
    }

    /// Goes on to the end of a response.
    pub(super) fn reach(&mut self, seq: u64) {
        if seq > self.seq {
            self.has_gap = true;
            self.move_to(seq);
        }
    }

    fn move_to(&mut self, seq: u64) {
        self.seq = seq;
        self.look_for_end();
    }

    fn look_for_end(&mut self) {
        let is_through = match self.end {
            End::Here => true,
            End::At(end) => self.seq >= end,
            End::Unknown => false,
        };
        if is_through && self.has_gap {
            self.end = End::Unknown;
        } else if is_through {
            self.end = End::Here;
            self.began = self.seq;
        }
    }
}

fn parse(epoch: &str) -> Result<Epoch, Failure> {
    epoch.parse().map_err(|error| {
        let message = format!("the core names an epoch in a way that is not known here: {error}");
        Failure::new(ErrorReason::StoreUnavailable, message)
    })
}

/// Where the feed ended when the stream began.
pub(super) fn end_of(first: &SubscribeResponse) -> Result<u64, Failure> {
    first.end_seq.ok_or_else(older_core)
}

pub(super) fn older_core() -> Failure {
    let message = "the core is of a version that does not know the second generation";
    Failure::new(ErrorReason::StoreUnavailable, message)
}

#[cfg(test)]
mod tests;
