//! What a client's frames led to, told in the order of the frames.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use netrox_proto::{
    ids::UserId,
    request_id::RequestId,
    time,
    v1::{DispatchAttachmentResponse, ErrorReason, Failure, SendMessageResponse},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::Session;
use crate::{
    auth::Identity,
    sends::{self, Sent},
    wire::Rejection,
    ws::{close::CloseReason, queue::Push},
};

/// What a client's frame led to.
pub(super) enum Reply {
    Refused(Rejection),
    Sent(sends::PendingSend),
    /// The core does not know the sender, who is being provisioned anew.
    Provisioning(Pin<Box<dyn Future<Output = Rejection> + Send>>),
}

impl<S> Session<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Gives whether there was any answer.
    pub(super) fn poll_answers(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while let Some(answer) = self.answers.front_mut() {
            let next = match answer {
                Reply::Sent(pending) => match Pin::new(&mut *pending).poll(cx) {
                    Poll::Pending => break,
                    // Documented clients are told of refusals alone.
                    Poll::Ready(Ok(sent)) => {
                        note_sent(self.connection.user(), pending.request_id(), &sent);
                        None
                    }
                    Poll::Ready(Err(failure)) => {
                        let id = pending.request_id().clone();
                        match self.refusal(failure, &id) {
                            Some(next) => Some(next),
                            None => return true,
                        }
                    }
                },
                Reply::Provisioning(done) => match done.as_mut().poll(cx) {
                    Poll::Pending => break,
                    Poll::Ready(rejection) => Some(Reply::Refused(rejection)),
                },
                Reply::Refused(rejection) => {
                    let frame = self.connection.outgoing.generation().rejected(rejection);
                    // It waits like any frame, and with it what comes after.
                    if self.connection.outgoing.push_answer(frame) != Push::Done {
                        break;
                    }
                    self.context.metrics.refused_frame(rejection.code.into());
                    self.errors.charge(Instant::now());
                    None
                }
            };
            progress = true;
            self.answers.pop_front();
            match next {
                Some(next) => self.answers.push_front(next),
                None => {
                    self.note_answered();
                    if self.answers.is_empty() {
                        self.answers = VecDeque::new();
                    }
                }
            }
        }
        progress
    }

    /// What follows from the failure of a command; nothing where it ends the session.
    fn refusal(&mut self, failure: Failure, id: &RequestId) -> Option<Reply> {
        let user = self.connection.user();
        let known_users = Arc::clone(&self.context.known_users);
        match failure.reason() {
            ErrorReason::UserDeleted => {
                known_users.forget(user);
                self.begin_close(CloseReason::UserDeleted);
                None
            }
            ErrorReason::UserUnknown => {
                Some(Reply::Provisioning(Box::pin(id.clone().scope(async move {
                    known_users.forget(user);
                    let identity = Identity {
                        user_id: user,
                        expires_at: 0,
                        issued_at: None,
                        email: None,
                        profile_json: None,
                    };
                    match known_users.ensure(&identity).await {
                        // It was not stored, and will be if it is sent again.
                        Ok(()) => Rejection::unavailable(),
                        // What is unknown is whether the user is known now.
                        Err(failure) if failure.reason() == ErrorReason::OutcomeUnknown => {
                            Rejection::unavailable()
                        }
                        Err(failure) => Rejection::from(failure),
                    }
                }))))
            }
            ErrorReason::Unspecified
            | ErrorReason::InvalidField
            | ErrorReason::BodyTooLarge
            | ErrorReason::AttachmentTooLarge
            | ErrorReason::ReceiverUnknown
            | ErrorReason::ReceiverIsSender
            | ErrorReason::MessageNotFound
            | ErrorReason::AttachmentNotFound
            | ErrorReason::RangeNotSatisfiable
            | ErrorReason::Overloaded
            | ErrorReason::StoreUnavailable
            | ErrorReason::HandedBack
            | ErrorReason::ShuttingDown
            | ErrorReason::EpochChanged
            | ErrorReason::OutcomeUnknown
            | ErrorReason::Overtaken
            | ErrorReason::MessageNotAllowed
            | ErrorReason::TooLate
            | ErrorReason::ThreadNotFound
            | ErrorReason::Internal => {
                let span = tracing::info_span!("session", user.id = %user);
                let rejection = || id.sync_scope(|| Rejection::from(failure));
                Some(Reply::Refused(span.in_scope(rejection)))
            }
        }
    }
}

fn note_sent(user: UserId, request_id: &RequestId, sent: &Sent) {
    match sent {
        Sent::Message(SendMessageResponse { message_id, thread_id, created, .. }) => {
            tracing::debug!(
                user.id = %user,
                %request_id,
                message.id = message_id,
                thread.id = thread_id,
                created_micros = created.as_ref().map(time::micros),
                "a message is stored"
            )
        }
        Sent::Dispatch(DispatchAttachmentResponse { dispatched, already_dispatched }) => {
            tracing::debug!(
                user.id = %user,
                %request_id,
                dispatched_micros = dispatched.as_ref().map(time::micros),
                already_dispatched,
                "a file is delivered"
            );
        }
    }
}
