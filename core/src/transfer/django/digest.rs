//! Whether messages are the same on both sides, by digests that add up: of some messages in any order.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use crate::{lines::MessageLine, original::SPAN_IDS};

/// By spans of ids: how many messages, and their digest.
#[derive(Debug, Default)]
pub(super) struct Digests(BTreeMap<i64, (u64, u128)>);

impl Digests {
    pub(super) fn add(&mut self, id: i64, digest: u128) {
        let (count, sum) = self.0.entry(id / SPAN_IDS).or_default();
        *count += 1;
        *sum = sum.wrapping_add(digest);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn spans(&self) -> impl Iterator<Item = (i64, (u64, u128))> {
        self.0.iter().map(|(span, of)| (*span, *of))
    }

    pub(super) fn of(&self, span: i64) -> (u64, u128) {
        self.0.get(&span).copied().unwrap_or_default()
    }
}

/// Of all that users are shown of a message. None of one that cannot be written down.
pub(super) fn of(line: &MessageLine) -> u128 {
    let file = line.attachment.as_ref().filter(|_| !line.deleted);
    let file = file.map(|file| (&file.path, &file.file_name, file.size, &file.content_type));
    let shown = (
        (line.id, line.thread_id, line.sender_id, line.receiver_id),
        (line.created.0, line.updated.unwrap_or(line.created).0, line.seen, line.deleted),
        (&line.body, file),
    );
    // Texts and numbers can be written as JSON.
    let text = serde_json::to_vec(&shown).unwrap_or_default();
    let digest = Sha256::digest(&text);
    digest.iter().take(16).fold(0, |sum, byte| sum << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(more: &str) -> MessageLine {
        let text = format!(
            "{{\"type\":\"message\",\"id\":7,\"thread_id\":1,\
            \"sender_id\":\"96bf0d3f-720d-4620-8dee-0f59f997cb51\",\
            \"receiver_id\":\"96bf0d3f-720d-4620-8dee-0f59f997cb52\",\
            \"created\":\"2026-01-02T00:00:00Z\"{more}}}"
        );
        serde_json::from_str(&text).expect("a line")
    }

    #[test]
    fn what_users_are_shown_makes_another_digest() {
        let file = |name: &str, more: &str| {
            format!(
                ",\"attachment\":{{\"path\":\"a\",\"file_name\":{name},\"size\":1,\"content_type\":\"x\"}}{more}"
            )
        };
        let lines = [
            String::new(),
            ",\"body\":\"a\"".to_owned(),
            ",\"body\":\"b\"".to_owned(),
            ",\"seen\":true".to_owned(),
            ",\"updated\":\"2026-01-02T00:00:00.000001Z\"".to_owned(),
            file("\"n\"", ""),
            file("\"m\"", ""),
            file("null", ",\"deleted\":true"),
        ];
        let digests: std::collections::BTreeSet<_> =
            lines.iter().map(|more| of(&line(more))).collect();
        assert_eq!(digests.len(), lines.len());
        // The same time, said otherwise, and what is left of a file that is gone.
        assert_eq!(of(&line(",\"updated\":\"2026-01-02T00:00:00Z\"")), of(&line("")));
        assert_eq!(of(&line(&file("null", ",\"deleted\":true"))), of(&line(",\"deleted\":true")));
    }

    #[test]
    fn digests_add_up_in_any_order() {
        let (mut one, mut two) = (Digests::default(), Digests::default());
        for (id, digest) in [(1, 5), (999, u128::MAX), (1_000, 7)] {
            one.add(id, digest);
        }
        for (id, digest) in [(1_000, 7), (999, u128::MAX), (1, 5)] {
            two.add(id, digest);
        }
        assert!(one.spans().eq(two.spans()));
        assert_eq!((one.of(0), one.of(1), one.of(2)), ((2, 4), (1, 7), (0, 0)));
    }
}
