//! Forms that an HTTP library may send again by itself, when its connection ends before the answer: byte for byte the
//! same, with the boundary that it drew at random (PROTOCOL section 2).
//!
//! What was stored first counts, whichever copy that is: the later ones are answered with it, in whatever core they
//! arrive, also when they began before it. So none has to wait for another that may never end.
//!
//! A boundary that came with other bytes, or from another user, is a fixed one of somebody's code. Its row is never removed,
//! therefore; the message is forgotten. What is left is a digest of who sent the form and of all its bytes, the boundary
//! among them: nobody can guess it who does not know the boundary, of which there is a digest alone.

use std::{collections::HashMap, sync::Arc};

use netrox_proto::v1;

use crate::{
    command::{Digest, SentForm},
    store::message::{Participant, ParticipantsRow},
};

/// How long a form is taken for the same, in microseconds.
pub(super) const SAME_FOR: i64 = 600 * 1_000_000;
/// How many older ones forget their message where others are added.
pub(super) const FORGOTTEN_FORMS: i64 = 1_024;

/// Boundary, content, message and time.
pub(super) type Columns = (Vec<u8>, Vec<u8>, Option<i64>, i64);

/// A form that was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FormRow {
    pub(crate) form: SentForm,
    /// Forgotten after [`SAME_FOR`], when another is stored.
    pub(crate) message_id: Option<i64>,
    /// Microseconds since the epoch.
    pub(crate) sent: i64,
}

/// With its message, where that still counts.
type Known = (FormRow, Option<Arc<v1::Message>>);

/// Those with the boundaries of a batch.
#[derive(Debug, Default)]
pub(crate) struct Forms(HashMap<Digest, Vec<Known>>);

/// The messages that rows name.
pub(super) fn message_ids(rows: &[Columns]) -> Vec<i64> {
    rows.iter().filter_map(|(_, _, message_id, _)| *message_id).collect()
}

impl Forms {
    pub(super) fn take(&mut self, rows: Vec<Columns>, messages: Vec<ParticipantsRow>) {
        let wire = |row: ParticipantsRow| (row.message.id, Arc::new(as_first_answered(row)));
        let messages: HashMap<_, _> = messages.into_iter().map(wire).collect();
        for (boundary, content, message_id, sent) in rows {
            if let (Ok(boundary), Ok(content)) = (boundary.try_into(), content.try_into()) {
                let row = FormRow { form: SentForm { boundary, content }, message_id, sent };
                let message = message_id.and_then(|id| messages.get(&id).cloned());
                self.add(row, message);
            }
        }
    }

    fn add(&mut self, row: FormRow, message: Option<Arc<v1::Message>>) {
        self.0.entry(row.form.boundary).or_default().push((row, message));
    }

    /// The message that a form is, if it was sent before.
    pub(crate) fn find(&self, form: &SentForm, now: i64) -> Option<Arc<v1::Message>> {
        match self.0.get(&form.boundary)?.as_slice() {
            [(only, message)] if only.form == *form && now - only.sent <= SAME_FOR => {
                message.clone()
            }
            _ => None,
        }
    }

    /// Gives the row back where it has to be stored: two of a boundary show that it is a fixed one.
    pub(crate) fn keep(&mut self, row: FormRow, message: &Arc<v1::Message>) -> Option<FormRow> {
        let rows = self.0.entry(row.form.boundary).or_default();
        let sent = (row, Some(Arc::clone(message)));
        match rows.as_mut_slice() {
            [only] if only.0.form == row.form => *only = sent,
            [] | [_] => rows.push(sent),
            _ => return None,
        }
        Some(row)
    }
}

/// What was said of a message when its file was uploaded.
fn as_first_answered(row: ParticipantsRow) -> v1::Message {
    let rev = row.sender_first_seq();
    let mut message = v1::Message { rev, ..row.into_wire(Participant::Sender) };
    message.updated = message.created;
    if let Some(attachment) = &mut message.attachment {
        attachment.dispatched = None;
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(content: u8, message_id: i64, sent: i64) -> FormRow {
        let form = SentForm { boundary: [1; 16], content: [content; 16] };
        FormRow { form, message_id: Some(message_id), sent }
    }

    fn find(forms: &Forms, content: u8, now: i64) -> Option<i64> {
        forms.find(&row(content, 0, 0).form, now).map(|message| message.id)
    }

    fn message(id: i64) -> Arc<v1::Message> {
        Arc::new(v1::Message { id, ..v1::Message::default() })
    }

    fn keep(forms: &mut Forms, row: FormRow) -> Option<FormRow> {
        forms.keep(row, &message(row.message_id.expect("a message")))
    }

    #[test]
    fn a_form_is_the_same_for_ten_minutes() {
        let mut forms = Forms::default();
        assert_eq!(find(&forms, 1, 0), None);
        assert_eq!(keep(&mut forms, row(1, 7, 100)), Some(row(1, 7, 100)));
        assert_eq!(find(&forms, 1, 100), Some(7));
        // Also where the clock went back.
        assert_eq!(find(&forms, 1, 0), Some(7));
        assert_eq!(find(&forms, 1, 100 + SAME_FOR), Some(7));
        assert_eq!(find(&forms, 1, 101 + SAME_FOR), None);
        // One that is sent again later begins anew.
        assert!(keep(&mut forms, row(1, 8, 101 + SAME_FOR)).is_some());
        assert_eq!(find(&forms, 1, 102 + SAME_FOR), Some(8));
    }

    #[test]
    fn a_boundary_with_other_bytes_counts_for_nothing_from_then_on() {
        let mut forms = Forms::default();
        forms.add(row(1, 7, 0), Some(message(7)));
        assert_eq!(find(&forms, 2, 0), None);
        assert!(keep(&mut forms, row(2, 8, 0)).is_some());
        for content in [1, 2, 3] {
            assert_eq!(find(&forms, content, 0), None);
        }
        assert_eq!(keep(&mut forms, row(3, 9, 0)), None);
    }
}
