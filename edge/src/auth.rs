//! Access tokens: who calls (PROTOCOL section 1). The only user of `jsonwebtoken`.
//!
//! * [`issuer`]: whose tokens are taken, and what is demanded of them.
//! * [`source`]: where the keys of an issuer come from, and how they are kept up to date.
//! * [`key_set`]: which key a token may be signed with; [`jwks`], [`jwk`] and [`key`]: what is a key, and what for;
//!   [`der`]: what is not even read.
//! * [`presented`]: where a request has its token; [`unverified`]: what that says before anybody has verified it;
//!   [`mod@identity`]: what it says then.
//! * [`verified`]: tokens that were verified before.
//! * [`user`]: whose a token is.
//! * [`refusal`], [`explanation`], [`mod@examine`]: what an operator is told.

mod der;
mod examine;
mod explanation;
mod identity;
mod issuer;
mod jwk;
mod jwks;
mod key;
mod key_set;
mod presented;
mod refusal;
mod source;
mod unverified;
mod user;
mod verified;

use std::{
    pin::pin,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use http::HeaderMap;
use netrox_audit::Audit;
use netrox_proto::ids::UserId;
use serde_json::Value;
use tokio::select;

pub(crate) use self::{
    examine::{check, examine},
    identity::{Identity, accepted_until},
    presented::query_token,
};
pub use self::{
    explanation::{Explanation, explain},
    key::ConfigError,
    refusal::Refusal,
    source::{check_authorities, check_key_url},
};
use self::{
    identity::{check_times, identity},
    issuer::{Issuer, Signed, Unsigned},
    presented::token_of,
    refusal::Tally,
    source::{Cache, Fetcher, Reload, Remote, Source},
    verified::{Verified, VerifiedTokens},
};
use crate::{
    config::Jwt,
    core_client::CoreClient,
    metrics::KeyMetrics,
    revocation::{Patience, Revocations},
    tasks::Tasks,
    ticket::{self, Ticket},
};

const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// Tried after the configured claim.
const SUBJECT_CLAIM: &str = "sub";

/// Verifies access tokens, each by the keys of its issuer.
pub(crate) struct Authenticator {
    /// At least one.
    issuers: Vec<Issuer>,
    /// Where a signature may cost more than a digest.
    verified: Option<VerifiedTokens>,
    tally: Tally,
    sources: Vec<Arc<Source>>,
    fetcher: Option<Fetcher>,
    cache: Mutex<Option<Cache>>,
    reload: OnceLock<Reload>,
    revocations: Arc<Revocations>,
}

impl Authenticator {
    pub(crate) fn new(config: &Jwt) -> Result<Self, ConfigError> {
        let interval = config.fetching.refresh_interval;
        let mut sources = Vec::new();
        let (mut is_remote, mut needs_tls) = (false, false);
        let mut remote = |url: &str, is_issuer| {
            let remote = Remote::new(url, is_issuer, interval)?;
            is_remote = true;
            needs_tls |= remote.is_https();
            Ok(remote)
        };
        let mut keys = config.issuers.iter().flat_map(|issuer| &issuer.keys);
        let has_public_keys = keys.any(|key| !key.is_secret());
        let mut issuers = Vec::new();
        for issuer in &config.issuers {
            let with_name = |error: ConfigError| error.of_issuer(issuer.name.as_deref());
            let own = issuer.keys.iter().map(|key| Source::new(key, &mut remote).map(Arc::new));
            let own = own.collect::<Result<Vec<_>, _>>().map_err(with_name)?;
            sources.extend(own.iter().cloned());
            issuers.push(Issuer::new(issuer, own).map_err(with_name)?);
        }
        let urls = sources.iter().filter_map(|source: &Arc<Source>| source.url()).collect();
        let cache = config.fetching.cache.clone().map(|path| Cache::new(path, urls));
        let fetcher = is_remote.then(|| Fetcher::new(config.fetching.ca_pem.as_deref(), needs_tls));
        Ok(Self {
            issuers,
            verified: has_public_keys.then(VerifiedTokens::new),
            tally: Tally::default(),
            sources,
            fetcher: fetcher.transpose()?,
            cache: Mutex::new(cache),
            reload: OnceLock::new(),
            revocations: Arc::default(),
        })
    }

    /// Keeps the keys up to date until the drain. To be called once, in a runtime.
    pub(crate) fn keep_keys(&self, metrics: &KeyMetrics, audit: &Audit, tasks: &Tasks) {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner).take();
        let fetcher = self.fetcher.as_ref();
        self.reload
            .get_or_init(|| source::keep(&self.sources, fetcher, cache, (metrics, audit), tasks));
    }

    /// Reads all files of keys anew, and asks all URLs.
    pub(crate) fn reload_keys(&self) {
        if let Some(reload) = self.reload.get() {
            reload.now();
        }
    }

    /// Whether nobody can be let in, or it is not known yet who can be. One issuer that is away is no reason to let in
    /// nobody else.
    pub(crate) fn lacks_keys(&self) -> bool {
        let mut issuers = self.issuers.iter();
        !self.issuers.iter().all(Issuer::is_settled) || !issuers.any(Issuer::has_keys)
    }

    /// Tokens that were taken away.
    pub(crate) fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    /// The user of a request: by its `Authorization` header or, only where it has none, by the
    /// `token` of its query. A refusal is logged and counted. Waits for a key that is not there, for a short while; and until
    /// it is known whether the token was taken away, as long as the request has patience: whose it is, is known then. `held`
    /// is dropped before it waits.
    pub(crate) async fn authenticate(
        &self,
        headers: &HeaderMap,
        query_token: Option<&str>,
        patience: Patience,
        held: impl Send,
        is_somebodys: impl FnOnce(),
    ) -> Result<Identity, Refusal> {
        let verified = match token_of(headers, query_token) {
            Ok(token) => self.counting(token, patience, held, is_somebodys).await,
            Err(refusal) => Err(refusal),
        };
        self.tallied(verified)
    }

    /// The same of a token that is shown on a connection.
    pub(crate) async fn verify_shown(
        &self,
        token: &str,
        patience: Patience,
    ) -> Result<Identity, Refusal> {
        let verified = self.counting(token, patience, (), || ()).await;
        self.tallied(verified)
    }

    /// The same of a ticket. It is not spent before it is known which tokens count: while no core tells, none spends it either.
    pub(crate) async fn redeem(
        &self,
        core: &CoreClient,
        ticket: &Ticket,
        patience: Patience,
        is_somebodys: impl FnOnce(),
    ) -> Result<Identity, Refusal> {
        let redeemed = async {
            self.revocations.wait(patience).await?;
            let identity = ticket::redeem(core, ticket).await?;
            check_times(identity.expires_at, None, now())?;
            self.check_revoked(identity, patience, is_somebodys).await
        };
        let redeemed = redeemed.await;
        self.tallied(redeemed)
    }

    fn tallied(&self, verified: Result<Identity, Refusal>) -> Result<Identity, Refusal> {
        match &verified {
            Ok(_) => self.tally.accepted(),
            Err(refusal) => self.tally.refused(*refusal),
        }
        verified
    }

    /// Whether the token of a request costs no more than a digest: it was verified before, by a key that still counts, or
    /// its signature is a digest itself, or there is none to be verified.
    pub(crate) fn is_cheap(&self, headers: &HeaderMap, query_token: Option<&str>) -> bool {
        let (Some(tokens), Ok(token)) = (&self.verified, token_of(headers, query_token)) else {
            return true;
        };
        if token.len() > MAX_TOKEN_BYTES || issuer::is_by_secret(token) {
            return true;
        }
        let known = tokens.get(&VerifiedTokens::place(token));
        known.is_some_and(|known| self.has_key(&known))
    }

    /// Tells the operator what was refused since the last time. To be called once a minute.
    pub(crate) fn tell(&self) {
        self.tally.take().tell();
    }

    /// Of a token that is good, and was not taken away.
    async fn counting(
        &self,
        token: &str,
        patience: Patience,
        held: impl Send,
        is_somebodys: impl FnOnce(),
    ) -> Result<Identity, Refusal> {
        let identity = self.verify_holding(token, now(), held).await?;
        self.check_revoked(identity, patience, is_somebodys).await
    }

    async fn check_revoked(
        &self,
        identity: Identity,
        patience: Patience,
        is_somebodys: impl FnOnce(),
    ) -> Result<Identity, Refusal> {
        if self.revocations.mean(identity.user_id, &identity.token) {
            return Err(Refusal::Revoked);
        }
        if !self.revocations.is_known() {
            is_somebodys();
        }
        self.revocations.check(identity.user_id, &identity.token, patience).await?;
        Ok(identity)
    }

    /// `now` is in seconds since 1970.
    async fn verify(&self, token: &str, now: i64) -> Result<Identity, Refusal> {
        self.verify_holding(token, now, ()).await
    }

    async fn verify_holding(
        &self,
        token: &str,
        now: i64,
        held: impl Send,
    ) -> Result<Identity, Refusal> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Refusal::TooLong);
        }
        let Verified { identity, not_before, .. } = self.verified(token, now, held).await?;
        check_times(identity.expires_at, not_before, now)?;
        Ok(identity)
    }

    /// What was verified before counts while its key does.
    async fn verified(&self, token: &str, now: i64, held: impl Send) -> Result<Verified, Refusal> {
        let kept = self.verified.as_ref().map(|tokens| (tokens, VerifiedTokens::place(token)));
        let known = kept.as_ref().and_then(|(tokens, place)| tokens.get(place));
        if let Some(known) = known.filter(|known| self.has_key(known)) {
            return Ok(known);
        }
        let (index, issuer) = self.issuer_of(token)?;
        let changes = issuer.changes();
        let signed = issuer.signed(token);
        // Others need not wait until newer keys are there.
        drop(held);
        let signed = match signed {
            Err(unsigned) if unsigned.may_change => {
                // With any keys it would be refused.
                if !unverified::is_current(token, now) {
                    let is_open = unsigned.refusal.is_temporary();
                    return Err(if is_open { Refusal::Expired } else { unsigned.refusal });
                }
                signed_with_newer(issuer, token, unsigned, changes).await
            }
            signed => signed.map_err(|unsigned| unsigned.refusal),
        }?;
        let (key, is_by_secret) = (signed.key, signed.is_by_secret);
        let (identity, not_before) = identity(issuer, &signed, now)?;
        let verified = Verified { identity, not_before, issuer: index, key };
        if let Some((tokens, place)) = kept.filter(|_| !is_by_secret) {
            tokens.put(place, verified.clone());
        }
        Ok(verified)
    }

    fn has_key(&self, verified: &Verified) -> bool {
        self.issuers.get(verified.issuer).is_some_and(|issuer| issuer.has(&verified.key))
    }

    /// Who is to have issued a token. It is demanded of the token when that is verified.
    fn issuer_of(&self, token: &str) -> Result<(usize, &Issuer), Refusal> {
        if let [only] = &self.issuers[..] {
            return Ok((0, only));
        }
        let named = unverified::read(token).ok_or(Refusal::Malformed)?.iss;
        let named = named.as_ref().and_then(Value::as_str).ok_or(Refusal::Issuer)?;
        let issuers = self.issuers.iter().enumerate();
        let mut issuers = issuers.filter(|(_, issuer)| issuer.name.as_deref() == Some(named));
        issuers.next().ok_or(Refusal::Issuer)
    }

    /// Whose token it is that was refused, if it is signed as it should be.
    pub(crate) fn user_of_refused(
        &self,
        headers: &HeaderMap,
        query_token: Option<&str>,
    ) -> Option<UserId> {
        let token = token_of(headers, query_token).ok()?;
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let (_, issuer) = self.issuer_of(token).ok()?;
        issuer.bearer(&issuer.signed(token).ok()?.token.claims).ok().map(|bearer| bearer.id)
    }
}

/// Asks for newer keys, and holds a token against all that come. `changes` were there before it was found unsigned.
async fn signed_with_newer(
    issuer: &Issuer,
    token: &str,
    mut unsigned: Unsigned,
    mut changes: u64,
) -> Result<Signed, Refusal> {
    let mut inquiry = issuer.ask();
    let mut answered = pin!(inquiry.answered());
    let mut is_answered = false;
    loop {
        let latest = issuer.changes();
        if latest != changes {
            changes = latest;
            match issuer.signed(token) {
                Err(again) if again.may_change => unsigned = again,
                signed => return signed.map_err(|unsigned| unsigned.refusal),
            }
        }
        if is_answered {
            break;
        }
        select! {
            biased;
            () = &mut answered => is_answered = true,
            () = inquiry.news.changed() => {}
        }
    }
    // Without an answer of the issuer nobody knows what is not known here. So it is if none may be asked for.
    let is_too_soon = || inquiry.is_too_soon_for(unverified::issued_at(token));
    if issuer.is_away() || is_too_soon() { Err(Refusal::NoKeys) } else { Err(unsigned.refusal) }
}

/// In seconds since 1970; below zero where the clock is before.
#[expect(clippy::disallowed_methods, reason = "tokens expire by the wall clock")]
pub(crate) fn now() -> i64 {
    let seconds = |duration: std::time::Duration| i64::try_from(duration.as_secs());
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => seconds(since).unwrap_or(i64::MAX),
        Err(error) => seconds(error.duration()).map_or(i64::MIN, |before| -before),
    }
}

#[cfg(test)]
mod tests;
