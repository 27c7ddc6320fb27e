//! The frames of the second generation, as far as the load needs them, read by their order of keys.

use uuid::Uuid;

use super::{
    frame,
    message::{self, Received, Stamp},
    user::User,
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
    Ack,
    Typing,
    Presence {
        online: bool,
    },
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
    if rest.starts_with(b"ack\"") {
        return Some(Sent::Ack);
    }
    if rest.starts_with(b"typing\"") {
        return Some(Sent::Typing);
    }
    if rest.starts_with(b"presence\"") {
        return Some(Sent::Presence { online: after(rest, br#""online":true"#).is_some() });
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

/// The frame that says that its sender types.
pub(crate) fn typing(peer: Uuid) -> Vec<u8> {
    frame::text(format!(r#"{{"action":"typing","peer_id":"{peer}","typing":true}}"#).as_bytes())
}

/// The frame that asks to be told of the presence of these peers.
pub(crate) fn watch(peers: &[User]) -> Vec<u8> {
    let ids: Vec<_> = peers.iter().map(|peer| format!(r#""{}""#, peer.id)).collect();
    let ids = ids.join(",");
    frame::text(format!(r#"{{"action":"presence_watch","ref":"w","peer_ids":[{ids}]}}"#).as_bytes())
}

/// The frame of a message that is stored, with a reference of its own.
pub(crate) fn chat_message(peer: Uuid, stamp: Stamp) -> Vec<u8> {
    let (body, client_ref) = (stamp.digits(), Uuid::new_v4());
    let head = r#"{"action":"chat_message","message_body":""#;
    let payload =
        format!(r#"{head}{body}{body}","receiver_id":"{peer}","client_ref":"{client_ref}"}}"#);
    frame::text(payload.as_bytes())
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
        let offline = br#"{"action":"presence","peer_id":"p","online":false,"last_seen":null}"#;
        assert_eq!(sent(offline).unwrap(), Sent::Presence { online: false });
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
