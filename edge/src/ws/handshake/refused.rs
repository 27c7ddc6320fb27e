//! Who is refused after the 101: a browser does not tell its page the status of a handshake that was refused before it
//! (PROTOCOL-2 section 1).

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use hyper_util::rt::TokioIo;
use netrox_proto::ids::UserId;
use quick_cache::unsync::Cache;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, timeout},
};
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

use super::{WebSockets, choose_websocket, offer::Offer};
use crate::{
    client_address::ClientAddress,
    error::PublicError,
    metrics::Close,
    strangers::Visitor,
    wire::Generation,
    ws::{close::CloseReason, session},
};

/// After so long without one, the next is the first again.
const MEMORY: Duration = Duration::from_secs(60);
/// Of the second in a row, and of those that follow; the last holds for all others.
const DELAYS: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];
/// Those who are not known any more count as the first.
const MAX_KNOWN: usize = 10_000;
/// Connections that wait to be told: beyond it they are told by the status.
const MAX_WAITING: usize = 1_000;

/// Whose handshakes are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Who {
    User(UserId),
    /// Where no user could be read.
    Address(Option<ClientAddress>),
}

/// Handshakes that were refused of late, on this edge.
pub(in crate::ws) struct RefusedHandshakes {
    recent: Mutex<Cache<Who, Recent>>,
    waiting: Arc<Semaphore>,
}

#[derive(Debug, Clone, Copy)]
struct Recent {
    last: Instant,
    in_a_row: usize,
}

impl Default for RefusedHandshakes {
    fn default() -> Self {
        Self {
            recent: Mutex::new(Cache::new(MAX_KNOWN)),
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
        }
    }
}

impl RefusedHandshakes {
    /// How long the next one waits to be told: what takes the 101 for a success would come again at once.
    fn delay(&self, who: Who, now: Instant) -> Duration {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let before = recent.get(&who).filter(|before| now - before.last < MEMORY);
        let in_a_row = before.map_or(0, |before| before.in_a_row + 1);
        recent.insert(who, Recent { last: now, in_a_row });
        let delay = in_a_row.checked_sub(1).map(|index| DELAYS[index.min(DELAYS.len() - 1)]);
        delay.unwrap_or_default()
    }

    fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.waiting).try_acquire_owned().ok()
    }
}

/// The 101 after which the client is told that it is refused. It holds no place among the connections.
pub(super) fn refuse(
    web_sockets: &Arc<WebSockets>,
    mut request: Request,
    offer: &Offer,
    who: Who,
    reason: CloseReason,
) -> Response {
    choose_websocket(request.headers_mut());
    let Ok(mut response) = create_response_with_body(&request, Body::empty) else {
        return PublicError::unauthenticated().into_response();
    };
    let Some(place) = web_sockets.refused.place() else {
        return PublicError::unauthenticated().into_response();
    };
    offer.accept(response.headers_mut());
    let context = &web_sockets.context;
    context.metrics.refusals.answered(StatusCode::UNAUTHORIZED);
    let close = reason.frame(Generation::V2);
    context.metrics.sockets.closed(Close::by_server(close.code.into(), reason.word()));
    let delay = web_sockets.refused.delay(who, Instant::now());
    let stay = Visitor::stay(request.extensions());
    let upgrade = hyper::upgrade::on(&mut request);
    let (handshake_timeout, draining) =
        (context.config.handshake_timeout, web_sockets.tasks.draining().clone());
    web_sockets.spawn(async move {
        let Ok(Ok(upgraded)) = timeout(handshake_timeout, upgrade).await else { return };
        let is_crowded = async {
            match &stay {
                Some(stay) => stay.is_over().await,
                None => std::future::pending().await,
            }
        };
        let tell = async {
            tokio::select! {
                () = sleep(delay) => {}
                () = draining.cancelled() => {}
            }
            session::refuse(TokioIo::new(upgraded), close).await;
        };
        tokio::select! {
            () = tell => {}
            () = is_crowded => {}
        }
        drop((stay, place));
    });
    response
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::stub_core::user;

    #[tokio::test(start_paused = true)]
    async fn the_first_in_a_minute_is_told_at_once_and_others_ever_later() {
        let refused = RefusedHandshakes::default();
        let delay = |number| refused.delay(Who::User(user(number)), Instant::now()).as_secs();
        assert_eq!([0; 7].map(|_| delay(1)), [0, 1, 2, 4, 8, 8, 8]);
        assert_eq!(delay(2), 0, "another user");
        assert_eq!(refused.delay(Who::Address(None), Instant::now()), Duration::ZERO);
        advance(Duration::from_secs(59)).await;
        assert_eq!(delay(1), 8);
        advance(MEMORY).await;
        assert_eq!([0; 3].map(|_| delay(1)), [0, 1, 2]);
    }

    #[test]
    fn what_is_known_of_them_is_bounded() {
        let refused = RefusedHandshakes::default();
        let now = Instant::now();
        for number in 0..50_000 {
            refused.delay(Who::User(user(number)), now);
        }
        let known = refused.recent.lock().expect("no panic").len();
        assert!(known <= MAX_KNOWN, "{known}");
        let places: Vec<_> = std::iter::from_fn(|| refused.place()).collect();
        assert_eq!(places.len(), MAX_WAITING);
        drop(places);
        assert!(refused.place().is_some());
    }
}
