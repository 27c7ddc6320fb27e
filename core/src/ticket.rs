//! Tickets: what a client shows in the place of its access token. One opens a WebSocket, once in the whole deployment; another is
//! the signature of a link to a file, good any number of times until its end.
//!
//! A ticket says all there is to know of it, so that making one stores nothing. One that opens a WebSocket is spent by a commit,
//! which finds out whether it was before. It names the start of the history that it was made in: where the database has gone back
//! since, nobody knows any more whether it was used.
//!
//! * [`seal`]: what a ticket says, as text, and its signature.
//! * [`keys`]: what it is signed with.

use std::time::Duration;

use netrox_metrics::By;
use netrox_proto::{
    attachment_path,
    ids::UserId,
    time::{micros, timestamp},
    v1,
};
use prometheus_client::metrics::counter::Counter;

mod keys;
mod seal;

use self::{
    keys::Keys,
    seal::{Purpose, Sealed, Ticket, TokenMark},
};
use crate::{
    clock::{CLOCKS_APART, now_micros},
    command::parse,
    committer::{Committer, SpendTicket, Spent},
    error::Error,
    metrics::TicketUse,
    store::{Store, ticket::SpentRow},
};

/// How long a WebSocket may be opened by one.
const LIFETIME: Duration = Duration::from_secs(30);
/// A link may outlive the token that bought it, and has to find what revoked that: a revocation is kept from the end of its
/// tokens on for as long (`EXPIRY_LEEWAY_SECONDS` of sessions).
pub const LONGEST_LINK: Duration = Duration::from_secs(3_600);
const MICROS_A_SECOND: i64 = 1_000_000;
/// Of a digest of a token's name.
const NAME_BYTES: usize = 16;

#[derive(Debug, Clone)]
pub(crate) struct Tickets {
    store: Store,
    committer: Committer,
    keys: Keys,
    link_ttl: Duration,
    metrics: By<TicketUse, Counter>,
}

impl Tickets {
    pub(crate) fn new(
        store: &Store,
        committer: &Committer,
        link_ttl: Duration,
        metrics: By<TicketUse, Counter>,
    ) -> Self {
        let keys = Keys::new(store, committer);
        Self { store: store.clone(), committer: committer.clone(), keys, link_ttl, metrics }
    }

    pub(crate) async fn create(
        &self,
        request: v1::CreateTicketRequest,
    ) -> Result<v1::CreateTicketResponse, Error> {
        let v1::CreateTicketRequest { user_id, token_expires, path, token } = request;
        let user = parse::user_id("user_id", &user_id)?;
        let missing = Error::InvalidField { field: "token_expires", problem: "missing" };
        let token_expires = token_expires.as_ref().map(micros).ok_or(missing)?;
        let now = now_micros();
        let token = token_mark(token, now)?;
        let found = self.store.find_user(user).await?.ok_or(Error::UserUnknown)?;
        if found.deleted {
            return Err(Error::UserDeleted);
        }
        let (purpose, lifetime, used) = match &path {
            None => {
                let start = self.store.history().start();
                let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
                (Purpose::Socket { id, start }, LIFETIME, TicketUse::Made)
            }
            Some(path) => {
                self.look(path, user).await?;
                (Purpose::Link, self.link_ttl, TicketUse::LinkMade)
            }
        };
        let expires = now.saturating_add(micros_of(lifetime));
        let ticket = Ticket { purpose, user, expires, token_expires, token };
        let key = self.keys.current().await?;
        let ticket = ticket.seal(&key, path.as_deref().unwrap_or_default())?;
        self.metrics.count(used);
        Ok(v1::CreateTicketResponse {
            ticket,
            expires: Some(timestamp(expires)),
            expires_in_s: i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX),
        })
    }

    pub(crate) async fn redeem(
        &self,
        request: v1::RedeemTicketRequest,
    ) -> Result<v1::RedeemTicketResponse, Error> {
        let is_link = request.path.is_some();
        let redeemed = self.try_redeem(request).await;
        self.metrics.count(match (&redeemed, is_link) {
            (Ok(_), false) => TicketUse::Spent,
            (Err(_), false) => TicketUse::Refused,
            (Ok(_), true) => TicketUse::LinkUsed,
            (Err(_), true) => TicketUse::LinkRefused,
        });
        redeemed
    }

    async fn try_redeem(
        &self,
        v1::RedeemTicketRequest { ticket, path }: v1::RedeemTicketRequest,
    ) -> Result<v1::RedeemTicketResponse, Error> {
        let sealed = Sealed::parse(&ticket).ok_or(Error::TicketUnknown)?;
        let key = self.keys.find(sealed.key_id()).await?.ok_or(Error::TicketUnknown)?;
        let ticket = sealed.open(&key, path.as_deref().unwrap_or_default());
        let Ticket { purpose, user, expires, token_expires, token } =
            ticket.ok_or(Error::TicketUnknown)?;
        let longest = match &purpose {
            Purpose::Socket { .. } => LIFETIME,
            Purpose::Link => LONGEST_LINK,
        };
        match (purpose, path) {
            (Purpose::Socket { id, start }, None) => {
                check_time(expires, now_micros(), longest)?;
                // A commit for each time that it is shown would be much.
                if self.store.is_ticket_spent(id).await? {
                    return Err(Error::TicketUnknown);
                }
                let spend = SpendTicket { ticket: SpentRow { id, expires }, start };
                let Spent(is_first) = self.committer.submit(spend)?.answer().await?;
                if !is_first {
                    return Err(Error::TicketUnknown);
                }
            }
            (Purpose::Link, Some(path)) => {
                check_time(expires, now_micros(), longest)?;
                self.look(&path, user).await?;
                if self.store.is_deleted(user).await? {
                    return Err(Error::UserDeleted);
                }
            }
            (Purpose::Socket { .. }, Some(_)) | (Purpose::Link, None) => {
                return Err(Error::TicketUnknown);
            }
        }
        Ok(v1::RedeemTicketResponse {
            user_id: user.to_string(),
            token_expires: Some(timestamp(token_expires)),
            token: Some(token.into()),
        })
    }

    /// Whether a user is shown a file.
    async fn look(&self, path: &str, user: UserId) -> Result<(), Error> {
        if !attachment_path::is_valid(path) {
            return Err(Error::AttachmentNotFound);
        }
        let found = self.store.find_attachment(path).await?;
        let shown = found.filter(|row| !row.message.deleted && row.is_visible_to(user));
        shown.map(drop).ok_or(Error::AttachmentNotFound)
    }
}

fn micros_of(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// Whether a ticket is good now. One that is good for longer than any that is made was signed by who had the key and is no core,
/// or by a clock that is far ahead.
fn check_time(expires: i64, now: i64, longest: Duration) -> Result<(), Error> {
    let left = expires.saturating_sub(now);
    if left > micros_of(longest).saturating_add(CLOCKS_APART) {
        return Err(Error::TicketUnknown);
    }
    if left <= 0 { Err(Error::TicketExpired) } else { Ok(()) }
}

/// Of no token there is what revokes those of now.
fn token_mark(token: Option<v1::TokenMark>, now: i64) -> Result<TokenMark, Error> {
    let Some(v1::TokenMark { issued_at, names }) = token else {
        let issued_at = Some(now.div_euclid(MICROS_A_SECOND));
        return Ok(TokenMark { issued_at, names: None });
    };
    let wrong =
        Error::InvalidField { field: "token.names", problem: "not two of 16 bytes, or none" };
    let names = match &names[..] {
        [] => None,
        [of_any, own] => {
            let name = |name: &[u8]| <[u8; NAME_BYTES]>::try_from(name).map_err(|_| wrong.clone());
            Some([name(of_any)?, name(own)?])
        }
        _ => return Err(wrong),
    };
    Ok(TokenMark { issued_at, names })
}

impl From<TokenMark> for v1::TokenMark {
    fn from(TokenMark { issued_at, names }: TokenMark) -> Self {
        let names = names.iter().flatten().map(|name| name.to_vec()).collect();
        Self { issued_at, names }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_has_an_end_that_is_near() {
        let now = 1_800_000_000_000_000;
        let check = |left: i64| check_time(now + left, now, LIFETIME);
        let longest = 30_000_000 + CLOCKS_APART;
        for good in [1, 30_000_000, longest] {
            assert!(check(good).is_ok(), "{good}");
        }
        for over in [0, -1, -now, i64::MIN + now] {
            assert!(matches!(check(over), Err(Error::TicketExpired)), "{over}");
        }
        for far in [longest + 1, i64::MAX - now] {
            assert!(matches!(check(far), Err(Error::TicketUnknown)), "{far}");
        }
        let extremes = [i64::MIN, i64::MAX].map(|expires| check_time(expires, now, LONGEST_LINK));
        assert!(matches!(extremes, [Err(Error::TicketExpired), Err(Error::TicketUnknown)]));
    }
}
