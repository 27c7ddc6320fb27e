//! What a device does next.

use serde_json::{Value, json};
use uuid::Uuid;

use super::notes::Notes;
use crate::v2::client::Held;

/// Of so many sends one answers a message that is not there.
const REFUSED_OF: usize = 16;
/// The greatest id, which no message has.
const NOBODY: i64 = (1 << 53) - 1;

/// What a frame asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verb {
    Send {
        number: usize,
    },
    Edit {
        number: usize,
        text: String,
    },
    Delete {
        number: usize,
        is_for_everyone: bool,
    },
    /// Of the peer.
    Hide {
        id: i64,
    },
    Mark {
        up_to: i64,
        is_seen: bool,
    },
}

/// A message of the device's own.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) client_ref: String,
    /// The newest that is acknowledged.
    pub(super) text: String,
    /// It can only be refused.
    pub(super) is_bad: bool,
    /// As soon as it is known to be stored.
    pub(super) id: Option<i64>,
    pub(super) is_refused: bool,
    /// Texts of edits that were asked for in vain once: they may be committed at any time.
    pub(super) doubtful: Vec<String>,
    /// When it was edited last.
    pub(super) updated: Option<String>,
    pub(super) is_deleted: bool,
    pub(super) is_hidden: bool,
}

impl Sent {
    fn new(device: usize, number: usize) -> Self {
        Self {
            client_ref: Uuid::new_v4().to_string(),
            text: format!("canary second {device} {number}"),
            is_bad: number % REFUSED_OF == REFUSED_OF - 1,
            ..Self::default()
        }
    }

    fn is_there(&self) -> bool {
        self.id.is_some() && !self.is_deleted && !self.is_hidden
    }
}

impl Notes {
    pub(super) fn next_send(&mut self) -> Verb {
        let number = self.sent.len();
        let sent = Sent::new(self.index, number);
        self.numbers.insert(sent.client_ref.clone(), number);
        self.sent.push(sent);
        Verb::Send { number }
    }

    /// One after the other: marks, edits, deletions.
    pub(super) fn next_change(&mut self) -> Option<Verb> {
        let step = self.steps;
        self.steps += 1;
        match step % 5 {
            0 => self.newest_of_peer().map(|up_to| Verb::Mark { up_to, is_seen: false }),
            1 | 3 => {
                let number = self.some_of_own(step)?;
                let text = format!("canary second {} {number} edited {step}", self.index);
                Some(Verb::Edit { number, text })
            }
            2 => self.newest_of_peer().map(|up_to| Verb::Mark { up_to, is_seen: true }),
            _ if step % 15 == 4 => self.newest_of_peer().map(|id| Verb::Hide { id }),
            _ => {
                let number = self.some_of_own(step)?;
                Some(Verb::Delete { number, is_for_everyone: step % 15 == 9 })
            }
        }
    }

    fn newest_of_peer(&self) -> Option<i64> {
        let Held { messages, .. } = &self.held;
        let of_peer = messages.iter().rev().find(|(_, it)| it["sender_id"] == self.peer.as_str());
        of_peer.map(|(id, _)| *id)
    }

    /// The number of one of the last messages of its own that are there.
    fn some_of_own(&self, step: usize) -> Option<usize> {
        let mut there = (0..self.sent.len()).rev().filter(|number| self.sent[*number].is_there());
        there.nth(step % 7)
    }

    pub(super) fn frame(&self, verb: &Verb) -> Value {
        let id = |number: &usize| self.sent[*number].id;
        match verb {
            Verb::Send { number } => {
                let Sent { client_ref, text, is_bad, .. } = &self.sent[*number];
                json!({
                    "action": "chat_message",
                    "message_body": text,
                    "receiver_id": self.peer,
                    "client_ref": client_ref,
                    "reply_to": is_bad.then_some(NOBODY),
                })
            }
            Verb::Edit { number, text } => {
                json!({"action": "message_edit", "message_id": id(number), "message_body": text})
            }
            Verb::Delete { number, is_for_everyone } => {
                let whom = if *is_for_everyone { "everyone" } else { "me" };
                json!({"action": "message_delete", "message_id": id(number), "for": whom})
            }
            Verb::Hide { id } => json!({"action": "message_delete", "message_id": id, "for": "me"}),
            Verb::Mark { up_to, is_seen } => {
                let action = if *is_seen { "seen" } else { "delivered" };
                json!({"action": action, "peer_id": self.peer, "up_to": up_to})
            }
        }
    }
}
