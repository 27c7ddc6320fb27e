//! Actions as they are asked of a core.

use netrox_proto::v1::{
    BlockUserRequest, DeleteMessageRequest, DispatchAttachmentRequest, EditMessageRequest,
    ErrorReason, MarkDeliveredRequest, MarkSeenRequest, SendMessageRequest, UnblockUserRequest,
    send_messages_request::Request,
};
use tonic::Status;
use tonic_types::StatusExt as _;

use super::{Action, World, rules::edited};
use crate::{
    attachment::{dispatch, upload},
    running::text,
};

pub(super) fn reason(status: &Status) -> Option<ErrorReason> {
    let name = status.get_details_error_info()?.reason;
    ErrorReason::from_str_name(&format!("ERROR_REASON_{name}"))
}

impl World {
    pub(super) fn request(&self, action: &Action, place: Option<usize>, text_of: &str) -> Request {
        let Self { users, model, .. } = self;
        let message_id = place.map_or(0, |place| model.messages[place].id);
        match action {
            Action::Send { from, to, reply_to } => Request::Message(SendMessageRequest {
                reply_to_id: reply_to.as_ref().map(|_| message_id),
                ..text(&users[*from], &users[*to], text_of)
            }),
            Action::Upload { .. } | Action::Signal(_) => unreachable!("not sent in a pipeline"),
            Action::Dispatch { user, .. } => Request::Attachment(DispatchAttachmentRequest {
                sender_id: users[*user].clone(),
                message_id,
            }),
            Action::Edit { user, text, .. } => Request::Edit(EditMessageRequest {
                user_id: users[*user].clone(),
                message_id,
                body: edited(*text),
                meta_json: None,
            }),
            Action::Delete { user, for_everyone, .. } => Request::Delete(DeleteMessageRequest {
                user_id: users[*user].clone(),
                message_id,
                for_everyone: *for_everyone,
            }),
            Action::Mark { user, peer, is_seen: true, .. } => Request::Seen(MarkSeenRequest {
                user_id: users[*user].clone(),
                peer_id: users[*peer].clone(),
                up_to_id: message_id,
            }),
            Action::Block { user, peer, blocks } => {
                let (user_id, peer_id) = (users[*user].clone(), users[*peer].clone());
                if *blocks {
                    Request::Block(BlockUserRequest { user_id, peer_id })
                } else {
                    Request::Unblock(UnblockUserRequest { user_id, peer_id })
                }
            }
            Action::Mark { user, peer, is_seen: false, .. } => {
                Request::Delivered(MarkDeliveredRequest {
                    user_id: users[*user].clone(),
                    peer_id: users[*peer].clone(),
                    up_to_id: message_id,
                })
            }
        }
    }

    /// Gives the id of a new message.
    pub(super) async fn call(
        &mut self,
        action: &Action,
        place: Option<usize>,
    ) -> Result<i64, Status> {
        self.acted += 1;
        let (core, Self { users, model, .. }) = (self.core(), &*self);
        let named = place.map_or(0, |place| model.messages[place].id);
        match action {
            Action::Send { from, to, reply_to } => {
                let reply_to_id = reply_to.as_ref().map(|_| named);
                let text = text(&users[*from], &users[*to], &model.next_text());
                let request = SendMessageRequest { reply_to_id, ..text };
                return Ok(core.chat().send_message(request).await?.into_inner().message_id);
            }
            Action::Upload { from, to } => {
                let file = upload(core, &users[*from], &users[*to], "a.txt", b"text").await?;
                let path = file.attachment.expect("a file").path;
                let link = core.link(&users[*from], &path).await?;
                self.files.insert(file.id, (path, link));
                return Ok(file.id);
            }
            Action::Dispatch { user, .. } => drop(dispatch(core, &users[*user], named).await?),
            Action::Edit { user, text, .. } => {
                core.edit(&users[*user], named, &edited(*text)).await?;
            }
            Action::Delete { user, for_everyone, .. } => {
                core.delete(&users[*user], named, *for_everyone).await?;
            }
            Action::Mark { user, peer, is_seen, .. } => {
                let (one, two) = (&users[*user], &users[*peer]);
                let (seen, delivered) = model.marks(*user, *peer);
                let state = if *is_seen {
                    let state = core.seen(one, two, named).await?;
                    assert_eq!(state.seen_id, seen.max(named));
                    state
                } else {
                    core.delivered(one, two, named).await?
                };
                assert_eq!(state.delivered_id, delivered.max(named));
            }
            Action::Block { user, peer, blocks: true } => {
                core.block(&users[*user], &users[*peer]).await?;
            }
            Action::Block { user, peer, blocks: false } => {
                core.unblock(&users[*user], &users[*peer]).await?;
            }
            Action::Signal(signal) => self.signal(signal).await?,
        }
        Ok(0)
    }
}
