//! What a user's devices learn, for who helps the user: without what people write, unless that is asked for.

use netrox_proto::v1::{self, event::Change};

/// What the audit trail says of one that shows all.
pub(super) const WITH_BODIES: &str = "WITH_BODIES";

/// Without bodies, names of files, the paths by which files are had, and what clients put beside.
pub(super) fn redacted(mut response: v1::SubscribeResponse) -> v1::SubscribeResponse {
    for event in &mut response.events {
        match &mut event.change {
            Some(Change::Message(message)) => redact(message),
            Some(Change::Thread(_) | Change::Typing(_) | Change::Presence(_) | Change::User(_))
            | None => {}
        }
    }
    response
}

fn redact(message: &mut v1::Message) {
    message.body.clear();
    message.meta_json = None;
    if let Some(file) = &mut message.attachment {
        file.file_name.clear();
        file.path.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_not_shown_unless_it_is_asked_for() {
        let attachment = v1::Attachment {
            path: "attachments/2026/01/02/canary.txt".to_owned(),
            file_name: "canary.txt".to_owned(),
            size: 7,
            ..Default::default()
        };
        let message = v1::Message {
            id: 5,
            body: "canary".to_owned(),
            meta_json: Some("{\"canary\":1}".to_owned()),
            attachment: Some(Box::new(attachment)),
            ..Default::default()
        };
        let event =
            v1::Event { seq: 3, change: Some(Change::Message(message)), ..Default::default() };
        let response = v1::SubscribeResponse { events: vec![event], ..Default::default() };
        let shown = redacted(response);
        assert!(!format!("{shown:?}").contains("canary"), "{shown:?}");
        let Some(Change::Message(message)) = &shown.events[0].change else { panic!("{shown:?}") };
        assert_eq!((message.id, message.attachment.as_ref().expect("a file").size), (5, 7));
    }
}
