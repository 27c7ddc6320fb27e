//! What the client says of its typing: it is told by [`Typists`](crate::typing::Typists), and answered here.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::{Stream, stream::FuturesUnordered};
use netrox_proto::{
    ids::UserId,
    request_id::RequestId,
    v1::{ErrorReason, Failure},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::oneshot,
};

use super::{Session, answers::Reply};
use crate::{
    typing::Said,
    wire::{Echo, Typing},
    ws::close::CloseReason,
};

/// Words that are not answered. Connections are many, and hardly any ever holds one.
#[derive(Default)]
pub(super) struct Words(Option<Box<FuturesUnordered<Word>>>);

struct Word {
    peer: UserId,
    echo: Echo,
    said: oneshot::Receiver<Said>,
}

impl Future for Word {
    type Output = (Echo, Said);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Poll::Ready(said) = Pin::new(&mut self.said).poll(cx) else { return Poll::Pending };
        let said =
            said.unwrap_or_else(|_| Err(Failure::new(ErrorReason::ShuttingDown, "this edge ends")));
        Poll::Ready((std::mem::take(&mut self.echo), said))
    }
}

impl Words {
    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |words| words.len())
    }

    /// Whether a word to the peer is under way that is told of an error alone, as all are whose client asks for no more.
    fn has_unnamed(&self, peer: UserId) -> bool {
        let mut words = self.0.iter().flat_map(|words| words.iter());
        words.any(|word| word.peer == peer && !word.echo.has_reference())
    }

    fn push(&mut self, word: Word) {
        self.0.get_or_insert_default().push(word);
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Option<(Echo, Said)> {
        let words = self.0.as_mut()?;
        match Pin::new(&mut **words).poll_next(cx) {
            Poll::Ready(Some(answered)) => Some(answered),
            Poll::Ready(None) => {
                self.0 = None;
                None
            }
            Poll::Pending => None,
        }
    }
}

impl<S> Session<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Takes a word in that was read.
    pub(super) fn take_in_typing(&mut self, Typing { peer, typing }: Typing, echo: Echo) {
        let pair = (self.connection.user(), peer);
        let token = self.connection.outgoing.admitted().token;
        let is_awaited = echo.has_reference() || !self.words.has_unnamed(peer);
        if let Some(said) = self.context.typists.say(pair, typing, token, is_awaited) {
            self.words.push(Word { peer, echo, said });
        }
    }

    /// Gives whether there was any answer.
    pub(super) fn poll_typing(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while let Some((echo, said)) = self.words.poll_next(cx) {
            progress = true;
            match said {
                Ok(()) => {
                    let frame = self.generation().acknowledged(&echo);
                    if frame.is_none_or(|frame| self.tell(frame)) {
                        self.note_answered();
                    }
                }
                Err(failure) => self.refuse_typing(echo, failure),
            }
        }
        progress
    }

    fn refuse_typing(&mut self, echo: Echo, failure: Failure) {
        let user = self.connection.user();
        let reason = failure.reason();
        if matches!(reason, ErrorReason::UserDeleted | ErrorReason::UserUnknown) {
            self.context.known_users.forget(user);
        }
        if reason == ErrorReason::UserDeleted {
            return self.begin_close(CloseReason::UserDeleted);
        }
        let span = tracing::info_span!("session", user.id = %user);
        let id = RequestId::draw();
        let refused = span.in_scope(|| id.sync_scope(|| self.generation().failed(failure)));
        self.answers.push_back(Reply::Refused(echo, refused));
    }
}
