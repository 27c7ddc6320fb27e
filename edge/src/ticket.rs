//! Tickets: what a client shows in the place of its access token (PROTOCOL-2 section 8). Cores make them, and tell whose they are.

use std::fmt;

use netrox_proto::{
    ids::UserId,
    time::{micros, timestamp},
    v1::{
        self, CreateTicketRequest, ErrorReason, Failure, RedeemTicketRequest, RedeemTicketResponse,
    },
};
use tonic::{Code, Status};

use crate::{
    auth::{Identity, Refusal},
    core_client::CoreClient,
    revocation::TokenMark,
};

const MICROS_A_SECOND: i64 = 1_000_000;

/// A ticket that is shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Ticket(pub(crate) String);

/// Tickets stay out of logs.
impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket")
    }
}

/// What a core is asked to make for the user of a token: a ticket for a WebSocket, or the signature of a link to a file.
pub(crate) fn request(identity: &Identity, path: Option<String>) -> CreateTicketRequest {
    CreateTicketRequest {
        user_id: identity.user_id.to_string(),
        token_expires: Some(timestamp(identity.expires_at.saturating_mul(MICROS_A_SECOND))),
        path,
        token: Some(identity.token.into()),
    }
}

/// Spends a ticket. Of the identity no more is known than what the token that bought it is known by. Whatever does not say that
/// nothing was stored may have spent it, and counts as if it had.
pub(crate) async fn redeem(
    core: &CoreClient,
    Ticket(ticket): &Ticket,
) -> Result<Identity, Refusal> {
    let request = RedeemTicketRequest { ticket: ticket.clone(), path: None };
    let redeemed = core.sessions.clone().redeem_ticket(request).await;
    let redeemed = redeemed.map_err(|status| refusal(&status))?.into_inner();
    identity(redeemed).ok_or(Refusal::Ticket)
}

fn refusal(status: &Status) -> Refusal {
    let failure = Failure::from(status);
    let reason = failure.reason();
    // A core of the last version, while others are upgraded.
    let is_older = status.code() == Code::Unimplemented;
    let is_certain = matches!(
        reason,
        ErrorReason::StoreUnavailable
            | ErrorReason::Overloaded
            | ErrorReason::ShuttingDown
            | ErrorReason::HandedBack
    );
    if is_older || is_certain {
        return Refusal::NoTickets;
    }
    if reason != ErrorReason::TicketUnknown {
        tracing::debug!(error = failure.message, "what became of a ticket is not known");
    }
    Refusal::Ticket
}

/// Who asks by a link to a file, as it signed the path.
pub(crate) async fn redeem_link(
    core: &CoreClient,
    Ticket(ticket): &Ticket,
    path: &str,
) -> Result<Identity, Status> {
    let request = RedeemTicketRequest { ticket: ticket.clone(), path: Some(path.to_owned()) };
    let redeemed = core.links.clone().redeem_ticket(request).await?.into_inner();
    identity(redeemed).ok_or_else(|| Status::internal("a ticket of nobody"))
}

fn identity(redeemed: RedeemTicketResponse) -> Option<Identity> {
    let RedeemTicketResponse { user_id, token_expires, token } = redeemed;
    let user_id: UserId = user_id.parse().ok()?;
    Some(Identity {
        user_id,
        external_id: None,
        expires_at: micros(&token_expires?).div_euclid(MICROS_A_SECOND),
        issued_at: None,
        email: None,
        profile_json: None,
        token: TokenMark::try_from(token?).ok()?,
    })
}

impl From<TokenMark> for v1::TokenMark {
    fn from(mark: TokenMark) -> Self {
        let (issued_at, names) = mark.parts();
        Self { issued_at, names: names.iter().flatten().map(|name| name.to_vec()).collect() }
    }
}

/// Of a core. One that is not understood revokes nothing, and so is none.
impl TryFrom<v1::TokenMark> for TokenMark {
    type Error = ();

    fn try_from(v1::TokenMark { issued_at, names }: v1::TokenMark) -> Result<Self, ()> {
        let names = match &names[..] {
            [] => None,
            [of_any, own] => {
                let name = |name: &[u8]| name.try_into().map_err(drop);
                Some([name(of_any)?, name(own)?])
            }
            _ => return Err(()),
        };
        Ok(Self::of_parts(issued_at, names))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_goes_to_a_core_and_comes_back() {
        for mark in [
            TokenMark::default(),
            TokenMark::new(Some("there"), Some("a"), Some(7.5)),
            TokenMark::new(None, None, Some(-1.0)),
        ] {
            assert_eq!(TokenMark::try_from(v1::TokenMark::from(mark)), Ok(mark));
        }
        for names in [vec![vec![1; 16]], vec![vec![1; 16], vec![2; 15]], vec![vec![1; 16]; 3]] {
            assert!(TokenMark::try_from(v1::TokenMark { issued_at: None, names }).is_err());
        }
    }

    #[test]
    fn what_may_have_spent_a_ticket_has_spent_it() {
        let of_core = |reason| refusal(&Failure::new(reason, "why").into());
        for reason in [ErrorReason::StoreUnavailable, ErrorReason::ShuttingDown] {
            assert_eq!(of_core(reason), Refusal::NoTickets, "{reason:?}");
        }
        for reason in [ErrorReason::TicketUnknown, ErrorReason::OutcomeUnknown] {
            assert_eq!(of_core(reason), Refusal::Ticket, "{reason:?}");
        }
        assert_eq!(refusal(&Status::unimplemented("older")), Refusal::NoTickets);
        assert_eq!(refusal(&Status::unavailable("the connection broke")), Refusal::Ticket);
        assert_eq!(refusal(&Status::deadline_exceeded("late")), Refusal::Ticket);
    }
}
