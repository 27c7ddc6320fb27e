//! Another token in the place of that by which the connection was opened (PROTOCOL-2 section 3).

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use netrox_proto::{ids::UserId, v1::ErrorReason};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::{Session, SessionContext, answers::Reply, expiry::Expiry};
use crate::{
    audit,
    auth::{self, Identity},
    revocation::Patience,
    wire::{Echo, Refused, ShownToken, v2::refusal::Refusal},
    ws::{admitted::Admitted, close::CloseReason},
};

/// A token of which it is looked whether it is good.
pub(super) struct Refreshing {
    echo: Echo,
    verified: Pin<Box<dyn Future<Output = Result<Identity, Refused>> + Send>>,
}

impl SessionContext {
    /// Verifies a token of the one whose connection it is, and provisions its user as any token does.
    async fn verify(
        &self,
        admitted: &Admitted,
        user: UserId,
        ShownToken(token): ShownToken,
    ) -> Result<Identity, Refused> {
        let patience = Patience::of_handshake(self.config.handshake_timeout);
        let verified = self.authenticator.verify_shown(&token, patience).await;
        let identity = verified.map_err(|refusal| {
            self.metrics.refusals.token(refusal);
            audit::refused_at(&self.audit, refusal, admitted.address);
            Refused::V2(refused(refusal))
        })?;
        if identity.user_id != user {
            return Err(Refused::V2(Refusal::invalid_token()));
        }
        self.known_users.ensure(&identity).await.map_err(|failure| {
            let reason = failure.reason();
            Refused::V2(if reason == ErrorReason::UserDeleted {
                Refusal::user_deleted()
            } else if reason == ErrorReason::OutcomeUnknown {
                // Nobody knows whether the user is known now: the token may be shown again.
                Refusal::unavailable()
            } else {
                failure.into()
            })
        })?;
        Ok(identity)
    }
}

fn refused(refusal: auth::Refusal) -> Refusal {
    if refusal.is_temporary() { Refusal::unavailable() } else { Refusal::invalid_token() }
}

impl<S> Session<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Begins to look whether the token is good.
    pub(super) fn refresh_token(&mut self, token: ShownToken, echo: Echo, now: Instant) {
        // It costs as much as what is refused, and more.
        self.errors.charge(now);
        let (context, user) = (Arc::clone(&self.context), self.connection.user());
        let admitted = self.connection.outgoing.admitted();
        let verified = async move { context.verify(&admitted, user, token).await };
        self.refreshing.push_back(Refreshing { echo, verified: Box::pin(verified) });
    }

    /// Goes on with tokens that are shown, whatever answers wait. Gives whether it is known of any now.
    pub(super) fn poll_refreshing(&mut self, cx: &mut Context<'_>) -> bool {
        if self.closing.is_some() {
            // Nothing goes on under it, and nobody is told so.
            self.refreshing = VecDeque::new();
            return false;
        }
        let mut progress = false;
        while let Some(first) = self.refreshing.front_mut()
            && let Poll::Ready(verified) = first.verified.as_mut().poll(cx)
        {
            let echo = std::mem::take(&mut first.echo);
            self.refreshing.pop_front();
            let answer = match verified {
                Ok(identity) => self.take_token(&identity, echo),
                Err(refused) => Some(Reply::Refused(echo, refused)),
            };
            // It waits for nobody's answer, and neither do these for it.
            if let Some(answer) = answer {
                self.answers.push_front(answer);
            }
            progress = true;
        }
        progress
    }

    /// Goes on under a token that is good. Gives the answer, if its client wants one.
    fn take_token(&mut self, identity: &Identity, echo: Echo) -> Option<Reply> {
        let (user, generation) = (self.connection.user(), self.generation());
        let outgoing = &self.connection.outgoing;
        let before = outgoing.admitted();
        outgoing.renew(identity.token, identity.expires_at);
        // From here on whatever is learned of it closes the connection. It may have been learned before.
        let revocations = self.context.authenticator.revocations();
        if revocations.mean(user, &identity.token) {
            outgoing.renew(before.token, before.expires_at);
            // The same of the other, which was not looked at meanwhile.
            if revocations.mean(user, &before.token) {
                outgoing.close(CloseReason::TokenRevoked);
            }
            return Some(Reply::Refused(echo, Refused::V2(Refusal::invalid_token())));
        }
        // What is sent from now on is of this one.
        self.sender = None;
        if self.context.close_on_token_expiry {
            self.expiry = Some(Box::new(Expiry::of(generation, identity.expires_at)));
            self.notices.expires_at = None;
        }
        generation.refreshed(&echo, identity.expires_at).map(Reply::Told)
    }
}
