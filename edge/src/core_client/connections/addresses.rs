//! Which addresses the name of a core stands for, and connections to each of them.
//!
//! A name may stand for several cores, and for others later: it is looked up again regularly and when a
//! connection breaks. A lookup that fails changes nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::lookup_host,
    sync::Notify,
    task::JoinSet,
    time::{Instant, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{CoreName, FirstAttempt, Pool, connection::Target};
use crate::core_client::reach::Trouble;

const LOOKUP_INTERVAL: Duration = Duration::from_secs(5);
/// Between two lookups, whatever breaks.
const MIN_LOOKUP_INTERVAL: Duration = Duration::from_secs(1);
/// Of one name; more cores than that are not used.
const MAX_ADDRESSES: usize = 64;

/// From a name to addresses.
pub(super) trait Lookup: Clone + Send + 'static {
    fn lookup(
        &self,
        host: &str,
        port: u16,
    ) -> impl Future<Output = io::Result<BTreeSet<SocketAddr>>> + Send;
}

/// That of the operating system.
#[derive(Debug, Clone, Copy)]
pub(super) struct SystemLookup;

impl Lookup for SystemLookup {
    async fn lookup(&self, host: &str, port: u16) -> io::Result<BTreeSet<SocketAddr>> {
        Ok(lookup_host((host, port)).await?.collect())
    }
}

impl Pool {
    /// A lookup failed, which matters only where nothing is known from an earlier one.
    fn is_not_found(&self, core: &CoreName, matters: bool, cause: impl std::fmt::Display) {
        if matters && self.link.is_told() {
            self.reach.fails(&core.authority, Trouble::Unreachable, cause);
        } else {
            tracing::debug!(core = %core.authority, error = %cause, "a core is not found");
        }
    }
}

/// Keeps connections to all that `core` stands for, for as long as it is polled.
pub(super) async fn follow(
    core: CoreName,
    lookup: impl Lookup,
    pool: Arc<Pool>,
    first_attempt: FirstAttempt,
) {
    let (host, port) = (core.host(), core.port());
    let is_address = host.parse::<IpAddr>().is_ok();
    let broken = Arc::new(Notify::new());
    let mut connections = JoinSet::new();
    // Cancelled when they are given up.
    let mut kept: BTreeMap<SocketAddr, CancellationToken> = BTreeMap::new();
    let mut first_attempt = Some(first_attempt);
    loop {
        let looked_up_at = Instant::now();
        match lookup.lookup(host, port).await {
            Ok(found) if found.is_empty() => {
                pool.is_not_found(&core, kept.is_empty(), "its name has no addresses");
            }
            Ok(found) => {
                if pool.link.is_told() {
                    pool.reach.works(&core.authority);
                }
                let found: BTreeSet<_> = found.into_iter().take(MAX_ADDRESSES).collect();
                kept.retain(|address, given_up| {
                    let stays = found.contains(address);
                    if !stays {
                        if pool.link.is_told() {
                            let core = &core.authority;
                            tracing::info!(%core, "the core {core} is no longer at {address}");
                        }
                        given_up.cancel();
                        pool.reach.forget(address);
                    }
                    stays
                });
                for address in found {
                    kept.entry(address).or_insert_with(|| {
                        let given_up = CancellationToken::new();
                        for _ in 0..pool.link.connections() {
                            let target = Target {
                                core: core.clone(),
                                address,
                                given_up: given_up.clone(),
                                broken: Arc::clone(&broken),
                                pool: Arc::clone(&pool),
                            };
                            connections.spawn(target.keep(first_attempt.clone()));
                        }
                        given_up
                    });
                }
            }
            Err(error) => {
                let cause = format_args!("its name cannot be looked up: {error}");
                pool.is_not_found(&core, kept.is_empty(), cause);
            }
        }
        first_attempt = None;
        while connections.try_join_next().is_some() {}
        if is_address && !kept.is_empty() {
            std::future::pending::<()>().await;
        }
        sleep_until(looked_up_at + MIN_LOOKUP_INTERVAL).await;
        // An error is the end of the time.
        let _ = timeout_at(looked_up_at + LOOKUP_INTERVAL, broken.notified()).await;
    }
}
