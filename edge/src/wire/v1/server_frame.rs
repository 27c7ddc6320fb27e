//! What clients receive: each frame one JSON object, its keys in the documented order (PROTOCOL
//! section 3).

use std::borrow::Cow;

use netrox_proto::{file_size, time, v1::Message};
use serde::Serialize;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{
    format::{MEDIA_PREFIX, socket_timestamp},
    rejection::{ErrorCode, Rejection},
};

/// The frame that tells a client why its own was refused.
pub(crate) fn rejected(rejection: &Rejection) -> Utf8Bytes {
    render(&ErrorFrame { action: "error", code: rejection.code, message: &rejection.message })
}

/// The frame that brings a message to its receiver; `None` for what receivers are not shown: a
/// deleted message, one that they have hidden, and a file before it is dispatched.
pub(crate) fn received(message: &Message) -> Option<Utf8Bytes> {
    if message.deleted || message.hidden {
        return None;
    }
    let Some(attachment) = &message.attachment else {
        let created = message.created.as_ref()?;
        return Some(render(&TextFrame {
            message_body: &message.body,
            sender_id: &message.sender_id,
            receiver_id: &message.receiver_id,
            timestamp: socket_timestamp(time::micros(created)),
            created_msg_id: message.id,
            action: "re_message",
        }));
    };
    let dispatched = attachment.dispatched.as_ref()?;
    Some(render(&FileFrame {
        message_body: &message.body,
        attached_file_name: &attachment.file_name,
        attached_file_size: file_size::text(Some(attachment.size)),
        attached_file_url: format!("{}{}", MEDIA_PREFIX, attachment.path),
        sender_id: &message.sender_id,
        receiver_id: &message.receiver_id,
        timestamp: socket_timestamp(time::micros(dispatched)),
        created_msg_id: message.id,
        action: "re_message_file",
    }))
}

#[derive(Serialize)]
struct ErrorFrame<'a> {
    action: &'static str,
    code: ErrorCode,
    message: &'a str,
}

#[derive(Serialize)]
struct TextFrame<'a> {
    message_body: &'a str,
    sender_id: &'a str,
    receiver_id: &'a str,
    timestamp: String,
    created_msg_id: i64,
    action: &'static str,
}

#[derive(Serialize)]
struct FileFrame<'a> {
    message_body: &'a str,
    attached_file_name: &'a str,
    attached_file_size: Cow<'static, str>,
    attached_file_url: String,
    sender_id: &'a str,
    receiver_id: &'a str,
    timestamp: String,
    created_msg_id: i64,
    action: &'static str,
}

#[expect(clippy::expect_used, reason = "strings and integers can be written as JSON")]
fn render(frame: &impl Serialize) -> Utf8Bytes {
    serde_json::to_string(frame).expect("strings and integers can be serialised").into()
}

#[cfg(test)]
mod tests {
    use netrox_proto::v1::{Attachment, ErrorReason, Failure};

    use super::*;

    /// 2024-06-17T12:48:28.228342Z
    const TEXT_CREATED: i64 = 1_718_628_508_228_342;
    /// 2024-06-17T13:49:46.229768Z
    const FILE_DISPATCHED: i64 = 1_718_632_186_229_768;

    fn text_message() -> Message {
        Message {
            id: 34,
            thread_id: 1,
            sender_id: "96bf0d3f-720d-4620-8dee-0f59f997cb51".into(),
            receiver_id: "87c8b8e2-3efc-4a4a-b667-1f9c0d7e8437".into(),
            body: "hello".into(),
            created: Some(time::timestamp(TEXT_CREATED)),
            updated: Some(time::timestamp(TEXT_CREATED)),
            ..Default::default()
        }
    }

    fn file_message() -> Message {
        Message {
            id: 35,
            thread_id: 1,
            sender_id: "87c8b8e2-3efc-4a4a-b667-1f9c0d7e8437".into(),
            receiver_id: "96bf0d3f-720d-4620-8dee-0f59f997cb51".into(),
            body: "Hello, this is my message".into(),
            created: Some(time::timestamp(TEXT_CREATED)),
            updated: Some(time::timestamp(TEXT_CREATED)),
            attachment: Some(Box::new(Attachment {
                path: "attachments/2024/26/17/37f67ff8-f5b8-4761-996c-04b0acf50bb9.jpg".into(),
                file_name: "pexels-nappy-936119.jpg".into(),
                size: 88_812,
                content_type: "image/jpeg".into(),
                dispatched: Some(time::timestamp(FILE_DISPATCHED)),
            })),
            ..Default::default()
        }
    }

    /// A documented example without the white space between its tokens.
    fn compact(documented: &str) -> String {
        documented.lines().map(|line| line.trim().replacen("\": ", "\":", 1)).collect()
    }

    #[test]
    fn a_text_message_is_the_documented_frame() {
        let documented = r#"{
          "message_body": "hello",
          "sender_id": "96bf0d3f-720d-4620-8dee-0f59f997cb51",
          "receiver_id": "87c8b8e2-3efc-4a4a-b667-1f9c0d7e8437",
          "timestamp": "2024-06-17T12:48:28.228342+00:00",
          "created_msg_id": 34,
          "action": "re_message"
        }"#;
        let frame = received(&text_message()).expect("a frame");
        assert_eq!(frame.as_str(), compact(documented));
    }

    #[test]
    fn a_file_message_is_the_documented_frame() {
        let documented = r#"{
          "message_body": "Hello, this is my message",
          "attached_file_name": "pexels-nappy-936119.jpg",
          "attached_file_size": "86.73KB",
          "attached_file_url": "/mediafiles/attachments/2024/26/17/37f67ff8-f5b8-4761-996c-04b0acf50bb9.jpg",
          "sender_id": "87c8b8e2-3efc-4a4a-b667-1f9c0d7e8437",
          "receiver_id": "96bf0d3f-720d-4620-8dee-0f59f997cb51",
          "timestamp": "2024-06-17T13:49:46.229768+00:00",
          "created_msg_id": 35,
          "action": "re_message_file"
        }"#;
        let frame = received(&file_message()).expect("a frame");
        assert_eq!(frame.as_str(), compact(documented));
    }

    #[test]
    fn a_receiver_is_not_shown_what_is_deleted_or_not_dispatched() {
        assert_eq!(received(&Message { deleted: true, ..text_message() }), None);
        let mut message = file_message();
        message.attachment.as_mut().expect("a file").dispatched = None;
        assert_eq!(received(&message), None);
    }

    #[test]
    fn text_is_escaped_as_json_and_kept_otherwise() {
        let body = "\"\\/\u{1}\u{7f}\u{2028}é😀\n";
        let frame = received(&Message { body: body.into(), ..text_message() }).expect("a frame");
        let json: serde_json::Value = serde_json::from_str(&frame).expect("JSON");
        assert_eq!(json["message_body"], body);
    }

    #[test]
    fn an_error_frame_names_the_field_in_public_terms() {
        let rejection = Rejection::from(Failure::invalid_field("body", "must not be empty"));
        assert_eq!(
            rejected(&rejection).as_str(),
            r#"{"action":"error","code":"invalid_field","message":"message_body: must not be empty"}"#
        );
    }

    #[test]
    fn what_may_be_stored_is_the_documented_frame() {
        let rejection = Rejection::from(Failure::new(ErrorReason::OutcomeUnknown, "why"));
        assert_eq!(
            rejected(&rejection).as_str(),
            r#"{"action":"error","code":"outcome_unknown","message":"it may be stored: the history tells"}"#
        );
    }
}
