//! The frames of the second generation, as far as the load needs them, read by their order of keys.

use uuid::Uuid;

use super::{
    frame,
    message::{self, Received},
};
use crate::Result;

/// What a connection was sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sent<'a> {
    Hello {
        cursor: &'a str,
        resumed: bool,
    },
    Live {
        cursor: &'a str,
    },
    Message(Received),
    /// Of the threads that marks change.
    Thread,
}

/// Reads a frame; one that tells of an error is an error.
pub(crate) fn sent(payload: &[u8]) -> Result<Sent<'_>> {
    parse(payload).ok_or_else(|| {
        let text = String::from_utf8_lossy(payload);
        format!("no frame of this load: {text:.300}").into()
    })
}

fn parse(payload: &[u8]) -> Option<Sent<'_>> {
    let rest = payload.strip_prefix(br#"{"action":""#)?;
    if let Some(rest) = rest.strip_prefix(br#"message","cursor":""#) {
        let object = after(rest, br#""message":{"id":"#)?;
        let id = number(object)?;
        let stamp = message::stamp(after(object, br#","message":""#)?)?;
        return Some(Sent::Message(Received { id, stamp }));
    }
    if rest.starts_with(b"thread\"") {
        return Some(Sent::Thread);
    }
    if let Some(rest) = rest.strip_prefix(br#"live","cursor":""#) {
        return Some(Sent::Live { cursor: quoted(rest)? });
    }
    let rest = rest.strip_prefix(br#"hello",""#)?;
    let cursor = quoted(after(rest, br#""cursor":""#)?)?;
    Some(Sent::Hello { cursor, resumed: after(rest, br#""resumed":true"#).is_some() })
}

fn after<'a>(payload: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let at = payload.windows(key.len()).position(|window| window == key)?;
    payload.get(at + key.len()..)
}

fn number(payload: &[u8]) -> Option<u64> {
    let digits = payload.iter().take_while(|byte| byte.is_ascii_digit()).count();
    str::from_utf8(&payload[..digits]).ok()?.parse().ok()
}

fn quoted(payload: &[u8]) -> Option<&str> {
    let end = payload.iter().position(|byte| *byte == b'"')?;
    str::from_utf8(&payload[..end]).ok()
}

/// The frame that marks all that a peer sent as seen, up to a message.
pub(crate) fn seen(peer: Uuid, up_to: u64) -> Vec<u8> {
    frame::text(format!(r#"{{"action":"seen","peer_id":"{peer}","up_to":{up_to}}}"#).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::message::Stamp;

    #[test]
    fn frames_are_told_apart() {
        let hello = br#"{"action":"hello","user_id":"u","session_id":"s","cursor":"c1","resumed":true,"reset":null}"#;
        assert_eq!(sent(hello).unwrap(), Sent::Hello { cursor: "c1", resumed: true });
        let fresh =
            br#"{"action":"hello","user_id":"u","session_id":"s","cursor":"c","resumed":false}"#;
        assert_eq!(sent(fresh).unwrap(), Sent::Hello { cursor: "c", resumed: false });
        let live = br#"{"action":"live","cursor":"c2","unread_total":3}"#;
        assert_eq!(sent(live).unwrap(), Sent::Live { cursor: "c2" });
        let thread = br#"{"action":"thread","cursor":"c","thread":{"id":1}}"#;
        assert_eq!(sent(thread).unwrap(), Sent::Thread);
        let message = br#"{"action":"message","cursor":"c","new":true,"message":{"id":34,"thread":1,"sender_id":"a","receiver_id":"b","message":"000000010000000200000000000000ffxx","created":"t"}}"#;
        let stamp = Stamp { sender: 1, number: 2, nanos: 255 };
        assert_eq!(sent(message).unwrap(), Sent::Message(Received { id: 34, stamp }));
    }

    #[test]
    fn an_error_is_an_error() {
        assert!(sent(br#"{"action":"error","ref":null,"code":"not_found"}"#).is_err());
    }
}
