//! Frames of the second generation.

use serde_json::{Value, value::RawValue};

use crate::{ASYNCAPI, faults, resolve};

/// What clients are sent: beside what the operation `send` lists, the replies of `receive`.
const SENT: [&str; 2] = ["/operations/send/messages", "/operations/receive/reply/messages"];

/// Panics where a frame of the server is not as it is described.
#[track_caller]
pub fn check_frame(text: &str) {
    let Ok(frame) = serde_json::from_str::<Value>(text) else {
        // A client may put numbers into `meta` that few languages have. They come back as they are.
        let json: Result<&RawValue, _> = serde_json::from_str(text);
        assert!(json.is_ok(), "no JSON: {text}");
        return;
    };
    let action = frame["action"].as_str().unwrap_or_else(|| panic!("no action: {text}"));
    let lists = SENT.map(|list| ASYNCAPI.pointer(list).and_then(Value::as_array).expect("a list"));
    let messages = lists.into_iter().flatten();
    let mut messages = messages.map(|part| resolve(&ASYNCAPI, resolve(&ASYNCAPI, part)));
    let message = messages.find(|message| message["name"] == action);
    let message = message.unwrap_or_else(|| panic!("{action} is not described: {text}"));
    let faults = faults(&ASYNCAPI, format!("frame {action}"), &message["payload"], &frame);
    assert!(faults.is_empty(), "{action}: {faults:#?}\n{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_may_be_as_it_is_described() {
        check_frame(r#"{"action":"live","cursor":"x","unread_total":0}"#);
        check_frame(r#"{"action":"ack","ref":null,"time":"2026-11-29T08:23:17.746410Z"}"#);
    }

    #[test]
    #[should_panic(expected = "no JSON")]
    fn it_must_be_json() {
        check_frame(r#"{"action":"live""#);
    }

    #[test]
    #[should_panic(expected = "is greater than the maximum of 1000")]
    fn a_value_must_not_be_out_of_its_range() {
        check_frame(r#"{"action":"live","cursor":"x","unread_total":1001}"#);
    }

    #[test]
    #[should_panic(expected = "seen is not described")]
    fn what_clients_send_is_not_sent_to_them() {
        check_frame(r#"{"action":"seen","peer_id":"x","up_to":1}"#);
    }
}
