//! What a device has under way: one send, and one of all else, each until it is answered for good.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{notes::Notes, plan::Verb};

/// Between an answer and the next send, and the next of all else: a few among what others send: a
/// batch with anything but new messages is a slow one.
pub(super) const RESTS: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(300)];
/// Before what was refused is repeated.
const BACKOFF: Duration = Duration::from_millis(80);

/// One request at a time.
#[derive(Debug)]
pub(super) struct Lane {
    open: Option<Verb>,
    /// Whether it was sent on this connection.
    is_sent: bool,
    not_before: Instant,
    rest: Duration,
}

impl Lane {
    pub(super) fn new(rest: Duration) -> Self {
        Self { open: None, is_sent: false, not_before: Instant::now(), rest }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.open.is_none()
    }

    /// The connection ended: what is not done is sent on the next.
    pub(super) fn breaks(&mut self) {
        self.is_sent = false;
    }
}

impl Notes {
    /// The requests that are due, and when the next may be.
    pub(super) fn due(&mut self, now: Instant, is_over: bool) -> (Vec<Value>, Option<Instant>) {
        let (mut frames, mut next) = (Vec::new(), None::<Instant>);
        for index in 0..self.lanes.len() {
            if self.lanes[index].is_sent || self.lanes[index].open.is_none() && is_over {
                continue;
            }
            if self.lanes[index].not_before <= now {
                let verb = match self.lanes[index].open.take() {
                    Some(verb) => Some(verb),
                    None if index == 0 => Some(self.next_send()),
                    None => self.next_change(),
                };
                if let Some(verb) = verb {
                    frames.push(self.ask(&verb));
                    self.lanes[index].open = Some(verb);
                    self.lanes[index].is_sent = true;
                    continue;
                }
                self.lanes[index].not_before = now + self.lanes[index].rest;
            }
            let not_before = self.lanes[index].not_before;
            next = Some(next.map_or(not_before, |next| next.min(not_before)));
        }
        (frames, next)
    }

    fn ask(&mut self, verb: &Verb) -> Value {
        let mut frame = self.frame(verb);
        self.next_ref += 1;
        let reference = self.next_ref.to_string();
        frame["ref"] = json!(reference);
        self.pending.insert(reference, verb.clone());
        frame
    }

    /// The next of its kind may begin.
    pub(super) fn done(&mut self, verb: &Verb) {
        if let Some(lane) = self.lane_of(verb) {
            *lane = Lane { not_before: Instant::now() + lane.rest, ..Lane::new(lane.rest) };
        }
    }

    /// The same again, a little later.
    pub(super) fn repeat(&mut self, verb: &Verb) {
        if let Some(lane) = self.lane_of(verb) {
            lane.is_sent = false;
            lane.not_before = Instant::now() + BACKOFF;
        }
    }

    /// None where it is done.
    fn lane_of(&mut self, verb: &Verb) -> Option<&mut Lane> {
        self.lanes.iter_mut().find(|lane| lane.open.as_ref() == Some(verb))
    }

    /// It may take effect still, whatever else is asked for meanwhile.
    pub(super) fn doubt(&mut self, verb: &Verb) {
        if let Verb::Edit { number, text } = verb {
            self.sent[*number].doubtful.push(text.clone());
        }
    }
}
