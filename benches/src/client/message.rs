//! The messages of the load: what is sent, and how it is known again.

use std::ops::Range;

use uuid::Uuid;

use super::frame;
use crate::Result;

/// The shortest body that has room for a [`Stamp`].
pub(crate) const MIN_BODY_BYTES: usize = STAMP_BYTES;
const STAMP_BYTES: usize = 32;

/// What the body of a message says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Which of the receiver's senders.
    pub(crate) sender: u32,
    /// Which of the sender's messages.
    pub(crate) number: u32,
    /// When it was to be sent, in nanoseconds of the run.
    pub(crate) nanos: u64,
}

impl Stamp {
    pub(crate) fn digits(self) -> String {
        format!("{:032x}", self.value())
    }

    fn value(self) -> u128 {
        let Self { sender, number, nanos } = self;
        u128::from(sender) << 96 | u128::from(number) << 64 | u128::from(nanos)
    }
}

/// The frame of a sender's messages, made once.
#[derive(Debug)]
pub(crate) struct Template {
    frame: Vec<u8>,
    stamp: Range<usize>,
}

impl Template {
    pub(crate) fn new(receiver: Uuid, body_bytes: usize) -> Self {
        let body = "x".repeat(body_bytes.max(MIN_BODY_BYTES));
        let head = r#"{"action":"chat_message","message_body":""#;
        let payload = format!(r#"{head}{body}","receiver_id":"{receiver}"}}"#);
        let frame = frame::text(payload.as_bytes());
        let start = frame.len() - payload.len() + head.len();
        Self { frame, stamp: start..start + STAMP_BYTES }
    }

    /// The frame of one message, until the next.
    pub(crate) fn stamped(&mut self, stamp: Stamp) -> &[u8] {
        let value = stamp.value();
        for (at, digit) in self.frame[self.stamp.clone()].iter_mut().enumerate() {
            let nibble = (value >> (4 * (STAMP_BYTES - 1 - at))) as u8 & 0xf;
            *digit = b"0123456789abcdef"[usize::from(nibble)];
        }
        &self.frame
    }
}

/// A message that arrived.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) id: u64,
    pub(crate) stamp: Stamp,
}

/// Reads a documented `re_message` frame of the load by its documented order of keys.
pub(crate) fn received(payload: &[u8]) -> Result<Received> {
    parse(payload).ok_or_else(|| {
        let text = String::from_utf8_lossy(payload);
        format!("not a message of this load: {text:.300}").into()
    })
}

/// What a body says at its beginning.
pub(super) fn stamp(body: &[u8]) -> Option<Stamp> {
    let mut value = 0;
    for digit in body.get(..STAMP_BYTES)? {
        value = value << 4 | u128::from((*digit as char).to_digit(16)?);
    }
    Some(Stamp { sender: (value >> 96) as u32, number: (value >> 64) as u32, nanos: value as u64 })
}

fn parse(payload: &[u8]) -> Option<Received> {
    let stamp = stamp(payload.strip_prefix(br#"{"message_body":""#)?)?;
    let rest = payload.strip_suffix(br#","action":"re_message"}"#)?;
    let digits = rest.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (head, id) = rest.split_at(rest.len() - digits);
    head.ends_with(br#","created_msg_id":"#).then_some(())?;
    let id = str::from_utf8(id).ok()?.parse().ok()?;
    Some(Received { id, stamp })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { sender: 499, number: 70_000, nanos: 12_345_678_901 };

    #[test]
    fn a_stamp_comes_back() {
        let mut template = Template::new(Uuid::nil(), 64);
        let sent = String::from_utf8_lossy(template.stamped(STAMP)).into_owned();
        let body = sent.split(r#""message_body":""#).nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(body.len(), 64);
        let frame = format!(
            r#"{{"message_body":"{body}","sender_id":"a","receiver_id":"b","timestamp":"c","created_msg_id":34,"action":"re_message"}}"#
        );
        assert_eq!(received(frame.as_bytes()).unwrap(), Received { id: 34, stamp: STAMP });
    }

    #[test]
    fn anything_else_is_refused() {
        assert!(received(br#"{"action":"error","code":"unavailable","message":"x"}"#).is_err());
        assert!(
            received(br#"{"message_body":"hello","created_msg_id":1,"action":"re_message"}"#)
                .is_err()
        );
    }
}
