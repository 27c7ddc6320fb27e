//! Whoever has shown no good token, by where they come from (PROTOCOL section 5).
//!
//! Nobody with a good token is locked out by others behind the same address: what comes beyond a rate is answered late and with
//! 429 in the place of what it would have been refused with. So a flood on one connection is as slow as these answers, and the
//! connections of strangers are few ([`crate::strangers`]). While an address is over its rate of failed tokens, few whose
//! signature costs more than a digest are verified at a time: only where too many wait for that, a good one that was never
//! seen here may be told 429 too.

use std::{sync::Arc, time::Duration};

use axum::response::{IntoResponse, Response};
use http::{Extensions, HeaderMap, StatusCode, header};
use netrox_audit::Audit;
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    audit,
    auth::{Authenticator, Identity, Refusal},
    client_address::ClientAddress,
    config::Config,
    core_client::CoreClient,
    error::PublicError,
    limits::{AddressRates, PATIENCE, Place, Places, TooMuch},
    metrics::{AddressLimit, Metrics, RefusalMetrics},
    notice::Notice,
    revocation::Patience,
    strangers::Visitor,
    ticket::Ticket,
    wire::v2::problem::Problem,
};

/// How late an answer beyond a rate comes.
const DELAY: Duration = Duration::from_secs(1);
/// Tokens of an address over its rate that are verified at a time, and that wait for it.
const VERIFYING: usize = 2;
const MAX_WAITING: usize = 64;

const CORS_PREFIX: &str = "access-control-";

pub(crate) struct Doorkeeper {
    authenticator: Arc<Authenticator>,
    /// Absent for no limit.
    failed_tokens: Option<AddressRates>,
    verifying: Places<ClientAddress>,
    /// Absent for no limit.
    unauthenticated: Option<AddressRates>,
    audit: Audit,
    metrics: RefusalMetrics,
    failed_tokens_told: Notice,
    unauthenticated_told: Notice,
}

/// Why nobody is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TurnedAway {
    Refused(Refusal),
    /// Too many before, from the same address.
    TooMany(TooMuch),
}

impl From<TurnedAway> for PublicError {
    fn from(turned_away: TurnedAway) -> Self {
        match turned_away {
            TurnedAway::Refused(refusal) => refusal.into(),
            TurnedAway::TooMany(too_much) => too_much.into(),
        }
    }
}

impl From<TurnedAway> for Problem {
    fn from(turned_away: TurnedAway) -> Self {
        match turned_away {
            TurnedAway::Refused(refusal) => Self::of_token(refusal),
            TurnedAway::TooMany(too_much) => too_much.into(),
        }
    }
}

impl Doorkeeper {
    pub(crate) fn new(
        config: &Config,
        authenticator: &Arc<Authenticator>,
        metrics: &Metrics,
    ) -> Self {
        let limits = &config.limits;
        Self {
            authenticator: Arc::clone(authenticator),
            failed_tokens: limits.failed_tokens_per_address.map(AddressRates::new),
            verifying: Places::new(VERIFYING, MAX_WAITING),
            unauthenticated: limits.unauthenticated_requests_per_address.map(AddressRates::new),
            audit: config.audit.clone(),
            metrics: metrics.refusals.clone(),
            failed_tokens_told: Notice::default(),
            unauthenticated_told: Notice::default(),
        }
    }

    /// The user of a request, as [`Authenticator::authenticate`] gives it. Tells who is refused.
    pub(crate) async fn authenticate(
        &self,
        headers: &HeaderMap,
        query_token: Option<&str>,
        request: &Extensions,
        patience: Patience,
    ) -> Result<Identity, TurnedAway> {
        let authenticator = &self.authenticator;
        let is_cheap = || authenticator.is_cheap(headers, query_token);
        // Who waits may wait for long.
        let is_somebodys = || Visitor::become_known(request);
        let verify =
            |place| authenticator.authenticate(headers, query_token, patience, place, is_somebodys);
        self.admit(request, is_cheap, verify).await
    }

    /// The user of a ticket, which is spent by that. It costs a call of a core.
    pub(crate) async fn redeem(
        &self,
        core: &CoreClient,
        ticket: &Ticket,
        request: &Extensions,
        patience: Patience,
    ) -> Result<Identity, TurnedAway> {
        let redeem = |place| async move {
            let is_somebodys = || Visitor::become_known(request);
            let redeemed = self.authenticator.redeem(core, ticket, patience, is_somebodys).await;
            drop(place);
            redeemed
        };
        self.admit(request, || false, redeem).await
    }

    /// Lets one in whom `verify` lets in, which is given a place where there are few.
    async fn admit<F>(
        &self,
        request: &Extensions,
        is_cheap: impl FnOnce() -> bool,
        verify: impl FnOnce(Option<Place<ClientAddress>>) -> F,
    ) -> Result<Identity, TurnedAway>
    where
        F: Future<Output = Result<Identity, Refusal>>,
    {
        let limit = self.failed_tokens.as_ref().zip(Visitor::address(request));
        let used_up = limit.and_then(|(rates, address)| {
            rates.is_used_up(address).map(|too_much| (address, too_much))
        });
        let place = match used_up {
            Some((address, too_much)) if !is_cheap() => {
                let begun = Instant::now();
                let place = self.verifying.take(address, None, begun + PATIENCE).await;
                let Ok(place) = place else {
                    sleep_until(begun + DELAY).await;
                    return Err(self.too_many_failed(address, too_much));
                };
                Some(place)
            }
            Some(_) | None => None,
        };
        let refusal = match verify(place).await {
            Ok(identity) => return Ok(identity),
            Err(refusal) => refusal,
        };
        self.metrics.token(refusal);
        if refusal == Refusal::NoKeys {
            Visitor::is_of_unknown_key(request);
        }
        if let Some((rates, address)) = limit
            && refusal.is_of_a_guess()
            && let Err(too_much) = rates.count(address)
        {
            sleep(DELAY).await;
            return Err(self.too_many_failed(address, too_much));
        }
        if refusal != Refusal::NoTickets {
            // That is about a core.
            audit::refused(&self.audit, refusal, request);
        }
        Err(TurnedAway::Refused(refusal))
    }

    fn too_many_failed(&self, address: ClientAddress, too_much: TooMuch) -> TurnedAway {
        self.metrics.address(AddressLimit::FailedTokens);
        audit::too_many(&self.audit, "too_many_failed_tokens", Some(address));
        if let Some(untold) = self.failed_tokens_told.happened() {
            tracing::warn!(
                untold,
                peer = %address.ip(),
                "tokens that fail are answered with 429: more than --failed-tokens-per-address"
            );
        }
        TurnedAway::TooMany(too_much)
    }

    /// What is answered to a request. One that was refused to nobody known counts, and where it is one too many that is
    /// said in the place of why it was refused, after a while.
    pub(crate) async fn instead(
        &self,
        response: Response,
        visitor: &Visitor,
        is_second: bool,
    ) -> Response {
        let Some(too_much) = self.count(&response, visitor) else { return response };
        sleep(DELAY).await;
        let mut instead = if is_second {
            Problem::from(too_much).into_response()
        } else {
            PublicError::from(too_much).into_response()
        };
        for (name, value) in response.headers() {
            // Else a page in a browser could not read it.
            let is_for_pages = name.as_str().starts_with(CORS_PREFIX) || *name == header::VARY;
            // Where the next request begins may not be known.
            if is_for_pages || *name == header::CONNECTION {
                instead.headers_mut().append(name.clone(), value.clone());
            }
        }
        instead
    }

    fn count(&self, response: &Response, visitor: &Visitor) -> Option<TooMuch> {
        let rates = self.unauthenticated.as_ref()?;
        if visitor.is_known() || !is_for_nobody(response.status(), visitor) {
            return None;
        }
        let address = visitor.address?;
        let too_much = rates.count(address).err()?;
        self.metrics.address(AddressLimit::Unauthenticated);
        audit::too_many(&self.audit, "too_many_requests", Some(address));
        if let Some(untold) = self.unauthenticated_told.happened() {
            tracing::warn!(
                untold,
                peer = %address.ip(),
                "requests without a good token are answered with 429: more than --unauthenticated-requests-per-address"
            );
        }
        Some(too_much)
    }
}

/// Whether it is the answer to a request that led nowhere. What says 429 or 408 was counted elsewhere.
fn is_for_nobody(status: StatusCode, visitor: &Visitor) -> bool {
    // Anybody can name a key that nobody has. So it may be for a good token whose key is new, which is no failed one.
    let is_of_unknown_key = status == StatusCode::SERVICE_UNAVAILABLE && visitor.has_unknown_key();
    let led_nowhere = matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::UPGRADE_REQUIRED
    );
    led_nowhere || is_of_unknown_key
}

#[cfg(test)]
mod tests;
