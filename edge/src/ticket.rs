//! Tickets: what a client shows in the place of its access token (PROTOCOL-2 section 8). Cores make them, and tell whose they are.

use std::{fmt, ops::RangeInclusive};

use netrox_proto::{
    ids::UserId,
    time::{micros, timestamp},
    v1::{
        self, CreateTicketRequest, ErrorReason, Failure, RedeemTicketRequest, RedeemTicketResponse,
    },
};
use tonic::Status;

use crate::{
    auth::{Identity, Refusal},
    core_client::CoreClient,
    revocation::TokenMark,
};

const MICROS_A_SECOND: i64 = 1_000_000;
/// Of tickets, in characters.
const LENGTHS: RangeInclusive<usize> = 64..=511;

/// A ticket that is shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Ticket(pub(crate) String);

impl Ticket {
    /// Whether a core may have made it (`CreateTicketResponse.ticket`).
    pub(crate) fn is_well_formed(text: &str) -> bool {
        let is_of_ticket = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        LENGTHS.contains(&text.len()) && text.bytes().all(is_of_ticket)
    }
}

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

/// Spends a ticket. Of the identity no more is known than what the token that bought it is known by. It is asked for somebody of whom
/// nothing is known yet, as calls of chat are not.
pub(crate) async fn redeem(
    core: &CoreClient,
    Ticket(ticket): &Ticket,
) -> Result<Identity, Refusal> {
    let request = RedeemTicketRequest { ticket: ticket.clone(), path: None };
    let redeemed = core.links.clone().redeem_ticket(request).await;
    let redeemed = redeemed.map_err(|status| refusal(&status))?.into_inner();
    identity(redeemed).ok_or(Refusal::NoTickets)
}

/// Only what a core says of the ticket is held against who shows it. All else tells of a core: one that is away, or of the last
/// version. It may have spent the ticket all the same, and then says so next time.
fn refusal(status: &Status) -> Refusal {
    let failure = Failure::from(status);
    let reason = failure.reason();
    if reason == ErrorReason::TicketUnknown {
        return Refusal::Ticket;
    }
    if reason == ErrorReason::TicketExpired {
        return Refusal::TicketExpired;
    }
    tracing::debug!(error = failure.message, "what became of a ticket is not known");
    Refusal::NoTickets
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
    fn what_no_core_has_made_is_known_by_its_form() {
        for good in ["a".repeat(64), "Z-_9".repeat(30), "0".repeat(511)] {
            assert!(Ticket::is_well_formed(&good), "{good}");
        }
        for other in ["", "v4", &"a".repeat(63), &"a".repeat(512), &"a=".repeat(40)] {
            assert!(!Ticket::is_well_formed(other), "{other}");
        }
    }

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
    fn only_what_a_core_says_of_a_ticket_counts_against_it() {
        let of_core = |reason| refusal(&Failure::new(reason, "why").into());
        assert_eq!(of_core(ErrorReason::TicketUnknown), Refusal::Ticket);
        assert_eq!(of_core(ErrorReason::TicketExpired), Refusal::TicketExpired);
        for reason in [
            ErrorReason::StoreUnavailable,
            ErrorReason::ShuttingDown,
            ErrorReason::OutcomeUnknown,
            ErrorReason::Internal,
        ] {
            assert_eq!(of_core(reason), Refusal::NoTickets, "{reason:?}");
        }
        for status in [
            Status::unimplemented("older"),
            Status::unavailable("the connection broke"),
            Status::deadline_exceeded("late"),
        ] {
            assert_eq!(refusal(&status), Refusal::NoTickets);
        }
        // It is another ticket that is tried next, and nobody has guessed.
        assert!(Refusal::NoTickets.is_temporary() && !Refusal::NoTickets.is_of_a_guess());
        assert!(!Refusal::TicketExpired.is_temporary() && !Refusal::TicketExpired.is_of_a_guess());
        assert!(!Refusal::Ticket.is_temporary() && Refusal::Ticket.is_of_a_guess());
    }
}
