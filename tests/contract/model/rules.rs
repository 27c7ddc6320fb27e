//! What the contract says of messages, marks and blocks.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use netrox_proto::v1::ErrorReason;
use proptest::sample::Index;

use super::{
    Action,
    stored::{Stored, stored},
    told::Told,
};

#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) messages: Vec<Stored>,
    /// Of a user and a peer: what was seen, and what was delivered.
    pub(super) marks: BTreeMap<(usize, usize), (i64, i64)>,
    /// What the peer is shown of it, where a block has held that up.
    pub(super) shown: BTreeMap<(usize, usize), (i64, i64)>,
    /// Who blocks whom.
    pub(super) blocks: BTreeSet<(usize, usize)>,
    pub(super) told: Told,
}

impl Model {
    pub(super) fn last_id(&self, user: usize, peer: usize) -> i64 {
        let known = self.messages.iter().filter(|it| it.is_between(user, peer));
        known.filter(|it| it.is_known_to(user)).map(|it| it.id).max().unwrap_or(0)
    }

    pub(super) fn marks(&self, user: usize, peer: usize) -> (i64, i64) {
        self.marks.get(&(user, peer)).copied().unwrap_or_default()
    }

    /// How far a user has got, as the peer is shown it.
    pub(super) fn shown_marks(&self, user: usize, peer: usize) -> (i64, i64) {
        self.shown.get(&(user, peer)).copied().unwrap_or_else(|| self.marks(user, peer))
    }

    pub(super) fn unread(&self, user: usize, peer: usize) -> usize {
        let above = self.messages.iter().filter(|it| (it.sender, it.receiver) == (peer, user));
        let (seen, _) = self.marks(user, peer);
        above.filter(|it| it.id > seen && it.is_visible_to(user) && !it.is_deleted).count()
    }

    /// The message that an action names, if it does: there has to be one.
    pub(super) fn place(&self, action: &Action) -> Option<usize> {
        match action {
            Action::Send { reply_to: None, .. }
            | Action::Upload { .. }
            | Action::Block { .. }
            | Action::Signal(_) => None,
            Action::Send { reply_to: Some(message), .. }
            | Action::Dispatch { message, .. }
            | Action::Edit { message, .. }
            | Action::Delete { message, .. }
            | Action::Mark { message, .. } => Some(message.index(self.messages.len())),
        }
    }

    pub(super) fn can_act(&self, action: &Action) -> bool {
        let needs_none = matches!(
            action,
            Action::Send { reply_to: None, .. }
                | Action::Upload { .. }
                | Action::Block { .. }
                | Action::Signal(_)
        );
        needs_none || !self.messages.is_empty()
    }

    /// What an action is refused with.
    pub(super) fn refusal(&self, action: &Action, place: Option<usize>) -> Option<ErrorReason> {
        let find = |_: &Index| place.map(|place| &self.messages[place]);
        match action {
            Action::Send { from, to, reply_to: Some(target) } => {
                let target = find(target)?;
                let fits = target.is_between(*from, *to) && target.is_visible_to(*from);
                (!fits).then_some(ErrorReason::MessageNotFound)
            }
            Action::Send { .. }
            | Action::Upload { .. }
            | Action::Block { .. }
            | Action::Signal(_) => None,
            Action::Dispatch { user, message } => {
                let it = find(message)?;
                let fits = it.sender == *user && it.is_file && !it.is_deleted && !it.hidden[*user];
                (!fits).then_some(ErrorReason::MessageNotFound)
            }
            Action::Edit { user, message, .. } => {
                let it = find(message)?;
                if !it.is_visible_to(*user) {
                    Some(ErrorReason::MessageNotFound)
                } else if it.sender != *user {
                    Some(ErrorReason::MessageNotAllowed)
                } else {
                    it.is_deleted.then_some(ErrorReason::TooLate)
                }
            }
            Action::Delete { user, message, for_everyone } => {
                let it = find(message)?;
                let is_done = if *for_everyone { it.is_deleted } else { it.hidden[*user] };
                if !it.is_known_to(*user) {
                    Some(ErrorReason::MessageNotFound)
                } else if is_done || !for_everyone {
                    None
                } else if it.hidden[*user] {
                    Some(ErrorReason::MessageNotFound)
                } else {
                    (it.sender != *user).then_some(ErrorReason::MessageNotAllowed)
                }
            }
            Action::Mark { user, peer, message, .. } => {
                let up_to = find(message)?.id;
                match self.last_id(*user, *peer) {
                    0 => Some(ErrorReason::ThreadNotFound),
                    last_id => (up_to > last_id).then_some(ErrorReason::InvalidField),
                }
            }
        }
    }

    /// What an action that was not refused has done; `id` is that of a new message.
    pub(super) fn apply(&mut self, action: &Action, place: Option<usize>, id: i64) {
        let place = place.unwrap_or_default();
        match action {
            Action::Send { from, to, .. } => {
                let body = self.next_text();
                let is_swallowed = self.blocks.contains(&(*to, *from));
                let message = stored(id, *from, *to, body, false);
                self.messages.push(Stored { is_swallowed, ..message });
            }
            Action::Upload { from, to } => {
                let is_swallowed = self.blocks.contains(&(*to, *from));
                let message = stored(id, *from, *to, "a file".into(), true);
                self.messages.push(Stored { is_swallowed, ..message });
            }
            Action::Dispatch { .. } => {
                let it = &mut self.messages[place];
                if !it.is_sent {
                    it.is_sent = true;
                    it.is_swallowed |= self.blocks.contains(&(it.receiver, it.sender));
                }
            }
            Action::Edit { text, .. } => {
                let it = &mut self.messages[place];
                let before = std::mem::replace(&mut it.body, edited(*text));
                if !self.blocks.contains(&(it.receiver, it.sender)) {
                    it.receiver_body = None;
                } else if before != it.body && !it.is_swallowed {
                    it.receiver_body.get_or_insert(before);
                }
            }
            Action::Delete { for_everyone: true, .. } => {
                let it = &mut self.messages[place];
                it.is_deleted = true;
                it.receiver_body = None;
            }
            Action::Delete { user, for_everyone: false, .. } => {
                self.messages[place].hidden[*user] = true;
            }
            Action::Mark { user, peer, is_seen, .. } => {
                let up_to = self.messages[place].id;
                let pair = (*user, *peer);
                let is_apart = self.blocks.contains(&pair) || self.blocks.contains(&(*peer, *user));
                let marks = self.marks.entry(pair).or_default();
                let before = *marks;
                marks.1 = up_to.max(marks.1);
                if *is_seen {
                    marks.0 = up_to.max(marks.0);
                }
                if !is_apart {
                    self.shown.remove(&pair);
                } else if *marks != before {
                    self.shown.entry(pair).or_insert(before);
                }
            }
            Action::Block { user, peer, blocks: true } => {
                self.blocks.insert((*user, *peer));
                self.told.blocked = Some(Instant::now());
            }
            Action::Block { user, peer, blocks: false } => {
                self.blocks.remove(&(*user, *peer));
            }
            Action::Signal(signal) => self.note(signal),
        }
    }

    pub(super) fn next_text(&self) -> String {
        format!("text {}", self.messages.len())
    }
}

pub(super) fn edited(text: u8) -> String {
    format!("edited {text}")
}
