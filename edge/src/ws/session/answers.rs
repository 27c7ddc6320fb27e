//! What a client's frames led to, told in the order of the frames, but for tokens that are shown: these wait for nothing else.

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

use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::Session;
use crate::{
    auth::Identity,
    revocation::TokenMark,
    sends::{Marks, PendingSend, Sent},
    wire::{Echo, Refused},
    ws::{close::CloseReason, queue::Push},
};

/// What a client's frame led to.
pub(super) enum Reply {
    Refused(Echo, Refused),
    Sent(Echo, PendingSend),
    /// It took effect, or was a question.
    Told(Utf8Bytes),
    /// The core does not know the sender, who is being provisioned anew.
    Provisioning(Echo, Pin<Box<dyn Future<Output = Refused> + Send>>),
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
                Reply::Sent(echo, pending) => match Pin::new(&mut *pending).poll(cx) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(sent)) => {
                        note_sent(self.connection.user(), pending.request_id(), &sent);
                        self.connection.outgoing.generation().sent(echo, &sent).map(Reply::Told)
                    }
                    Poll::Ready(Err(failure)) => {
                        let (id, echo) = (pending.request_id().clone(), std::mem::take(echo));
                        match self.refusal(failure, echo, &id) {
                            Some(next) => Some(next),
                            None => return true,
                        }
                    }
                },
                Reply::Provisioning(echo, done) => match done.as_mut().poll(cx) {
                    Poll::Pending => break,
                    Poll::Ready(refused) => Some(Reply::Refused(std::mem::take(echo), refused)),
                },
                Reply::Refused(echo, refused) => {
                    // It waits like any frame, and with it what comes after.
                    if self.connection.outgoing.push_answer(refused.frame(echo)) != Push::Done {
                        break;
                    }
                    self.context.metrics.refusals.frame(refused.code());
                    self.errors.charge(Instant::now());
                    None
                }
                Reply::Told(frame) => {
                    if self.connection.outgoing.push_answer(frame.clone()) != Push::Done {
                        break;
                    }
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

    /// Tells what need not wait for the answers to frames before it. Gives whether it is told already.
    pub(super) fn tell(&mut self, frame: Utf8Bytes) -> bool {
        let is_told = self.connection.outgoing.push_answer(frame.clone()) == Push::Done;
        if !is_told {
            self.answers.push_back(Reply::Told(frame));
        }
        is_told
    }

    /// What follows from the failure of a command; nothing where it ends the session.
    fn refusal(&mut self, failure: Failure, echo: Echo, id: &RequestId) -> Option<Reply> {
        let (user, generation) = (self.connection.user(), self.generation());
        let known_users = Arc::clone(&self.context.known_users);
        match failure.reason() {
            ErrorReason::UserDeleted => {
                known_users.forget(user);
                self.begin_close(CloseReason::UserDeleted);
                None
            }
            // Which of the two is not said: the user's own entry is made sure of by the next connection.
            ErrorReason::UserUnknown if echo.names_a_peer() => {
                known_users.forget(user);
                let refused = id.sync_scope(|| generation.failed(failure));
                Some(Reply::Refused(echo, refused))
            }
            ErrorReason::UserUnknown => {
                let provisioned = async move {
                    known_users.forget(user);
                    let identity = Identity {
                        user_id: user,
                        external_id: None,
                        expires_at: 0,
                        issued_at: None,
                        email: None,
                        profile_json: None,
                        token: TokenMark::default(),
                    };
                    match known_users.ensure(&identity).await {
                        // It was not stored, and will be if it is sent again.
                        Ok(()) => generation.unavailable(),
                        // What is unknown is whether the user is known now.
                        Err(failure) if failure.reason() == ErrorReason::OutcomeUnknown => {
                            generation.unavailable()
                        }
                        Err(failure) => generation.failed(failure),
                    }
                };
                Some(Reply::Provisioning(echo, Box::pin(id.clone().scope(provisioned))))
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
            | ErrorReason::ScopeMissing
            | ErrorReason::RateLimited
            | ErrorReason::StorageQuotaExceeded
            | ErrorReason::TooManyRevocations
            | ErrorReason::TicketUnknown
            | ErrorReason::TicketExpired
            | ErrorReason::NotEnabled
            | ErrorReason::Internal => {
                let span = tracing::info_span!("session", user.id = %user);
                let refused = || id.sync_scope(|| generation.failed(failure));
                Some(Reply::Refused(echo, span.in_scope(refused)))
            }
        }
    }
}

pub(super) fn note_sent(user: UserId, request_id: &RequestId, sent: &Sent) {
    let trace_id = request_id.trace_id().map(tracing::field::display);
    match sent {
        Sent::Message(SendMessageResponse { message_id, thread_id, created, .. }) => {
            tracing::debug!(
                user.id = %user,
                %request_id,
                trace_id,
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
                trace_id,
                dispatched_micros = dispatched.as_ref().map(time::micros),
                already_dispatched,
                "a file is delivered"
            );
        }
        Sent::Edit(updated) => tracing::debug!(
            user.id = %user,
            %request_id,
            trace_id,
            updated_micros = updated.as_ref().map(time::micros),
            "a message is edited"
        ),
        Sent::Delete => {
            tracing::debug!(user.id = %user, %request_id, trace_id, "a message is deleted");
        }
        Sent::Block => {
            tracing::debug!(
                user.id = %user,
                %request_id,
                trace_id,
                "a user is blocked, or no longer"
            );
        }
        Sent::Mark(Marks { seen_id, delivered_id, unread, .. }) => tracing::debug!(
            user.id = %user,
            %request_id,
            trace_id,
            seen.id = seen_id,
            delivered.id = delivered_id,
            unread,
            "a thread is marked"
        ),
    }
}
