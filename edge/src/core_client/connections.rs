//! Connections to the cores behind one or more names, of which calls see only those that stand, and first those
//! whose core says that it serves.
//!
//! * [`addresses`]: which addresses a name stands for, now.
//! * [`answer`]: whether it is of a core.
//! * [`broken`]: what is known of a call that was not answered.
//! * [`connection`]: one connection to one of them, again whenever it breaks.
//! * [`health`]: what the core at its other end says of itself.
//! * [`link`]: which calls share connections, and how many at a time.
//! * [`hang_up`]: a caller that goes away before its answer is there.
//! * [`secured`]: a connection, in TLS or not.
//!
//! `tonic::transport::Channel::balance_list` is not used: it takes a core that refuses connections
//! for as good as any, and gives it its share of the calls.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{
    HeaderValue, Request, Response, Uri,
    uri::{Authority, PathAndQuery, Scheme},
};
use hyper::client::conn::http2::SendRequest;
use netrox_proto::v1::{ErrorReason, Failure};
use netrox_tls::ClientTls;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Status, body::Body};

use addresses::{Lookup, SystemLookup};
use hang_up::HangUps;
pub(super) use link::Link;

use self::{connection::CONNECT_TIMEOUT, health::FIRST_ANSWER_TIMEOUT};
use super::{CALL_DEADLINE, reach::Reach};

mod addresses;
mod answer;
mod broken;
mod connection;
mod hang_up;
mod health;
mod link;
mod secured;

/// How long a call waits for a connection of its own link where those of chat stand: an attempt, and its first answer.
pub(super) const FOLLOWS_CHAT_WITHIN: Duration =
    CONNECT_TIMEOUT.saturating_add(FIRST_ANSWER_TIMEOUT);
const _: () = assert!(
    FOLLOWS_CHAT_WITHIN.as_millis() < CALL_DEADLINE.as_millis(),
    "a call would end before it is told that no core is connected"
);

/// How many connections stand, and when that changes.
pub(super) type Count = Arc<watch::Sender<usize>>;

/// How connections are made.
pub(super) struct Manner {
    pub(super) link: Link,
    /// What each connection shows to its core, before any call.
    pub(super) authorization: HeaderValue,
    /// For cores by `https`.
    pub(super) tls: Option<ClientTls>,
}

/// A name of cores, and whether they are reached in TLS.
#[derive(Debug, Clone)]
pub(super) struct CoreName {
    authority: Authority,
    scheme: Scheme,
}

impl CoreName {
    pub(super) fn of(core: Uri) -> Option<Self> {
        let parts = core.into_parts();
        let scheme = parts.scheme.unwrap_or(Scheme::HTTP);
        Some(Self { authority: parts.authority?, scheme })
    }

    fn is_secured(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }

    pub(super) fn host(&self) -> &str {
        self.authority.host().trim_start_matches('[').trim_end_matches(']')
    }

    pub(super) fn port(&self) -> u16 {
        self.authority.port_u16().unwrap_or(if self.is_secured() { 443 } else { 80 })
    }

    /// What a request for it is called.
    fn uri(&self, path: PathAndQuery) -> Result<Uri, Status> {
        let uri = Uri::builder().scheme(self.scheme.clone()).authority(self.authority.clone());
        uri.path_and_query(path).build().map_err(|error| Status::internal(error.to_string()))
    }
}

/// Keeps the connections for as long as it lives.
pub(super) struct Connections {
    pool: Arc<Pool>,
    hang_ups: HangUps,
    /// Aborted when they are dropped.
    _tasks: JoinSet<()>,
}

/// The connections that can take calls.
struct Pool {
    link: Link,
    authorization: HeaderValue,
    tls: Option<ClientTls>,
    reach: Arc<Reach>,
    connections: Mutex<Vec<PooledConnection>>,
    count: Count,
    /// That of chat, which tells whether cores can be reached.
    chat: Count,
    next: AtomicUsize,
    next_id: AtomicUsize,
    /// Cancelled when all first attempts have ended or one has succeeded: until then calls wait.
    is_settled: CancellationToken,
}

/// Held by what may still bring about a first connection.
type FirstAttempt = Arc<DropGuard>;

#[derive(Clone)]
struct PooledConnection {
    id: usize,
    core: CoreName,
    address: SocketAddr,
    requests: SendRequest<Body>,
    /// One for each call that may be under way on it.
    places: Arc<Semaphore>,
    /// What its core said last.
    is_serving: bool,
}

impl Connections {
    pub(super) fn open(
        cores: impl IntoIterator<Item = Uri>,
        manner: Manner,
        reach: Arc<Reach>,
        chat: Count,
    ) -> Self {
        Self::open_with(cores, &SystemLookup, Pool::new(manner, reach, chat))
    }

    fn open_with(cores: impl IntoIterator<Item = Uri>, lookup: &impl Lookup, pool: Pool) -> Self {
        let pool = Arc::new(pool);
        let first_attempt: FirstAttempt = Arc::new(pool.is_settled.clone().drop_guard());
        let mut tasks = JoinSet::new();
        for core in cores.into_iter().filter_map(CoreName::of) {
            let (pool, first_attempt) = (Arc::clone(&pool), Arc::clone(&first_attempt));
            tasks.spawn(addresses::follow(core, lookup.clone(), pool, first_attempt));
        }
        Self { pool, hang_ups: HangUps::default(), _tasks: tasks }
    }

    /// Fails at once where no connection of chat stands.
    pub(super) async fn call(&self, mut request: Request<Body>) -> Result<Response<Body>, Status> {
        self.pool.is_settled.cancelled().await;
        let deadline = Instant::now() + FOLLOWS_CHAT_WITHIN;
        let path = request.uri().path_and_query().cloned();
        let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
        // Ends, since a connection that takes no call is not asked again.
        loop {
            let Some((mut pooled, place)) = self.pool.pick()? else {
                if self.pool.follows_chat(deadline).await {
                    continue;
                }
                return Err(Status::unavailable("no core is connected"));
            };
            let (id, address) = (pooled.id, pooled.address);
            *request.uri_mut() = pooled.core.uri(path.clone())?;
            let answer = async move {
                let answer = pooled.requests.try_send_request(request).await;
                // What lasts keeps its place.
                answer.map(|answer| link::holding(answer, place))
            };
            match self.hang_ups.keep(answer).await? {
                Ok(response) => return answer::judge(response, address, &self.pool),
                Err(mut error) => match error.take_message() {
                    // Nothing of it was sent.
                    Some(unsent) => {
                        self.pool.remove(id);
                        request = unsent;
                    }
                    None => return Err(broken::status(error.error())),
                },
            }
        }
    }
}

impl Pool {
    fn new(manner: Manner, reach: Arc<Reach>, chat: Count) -> Self {
        let Manner { link, authorization, tls } = manner;
        Self {
            link,
            count: if link == Link::Chat { Arc::clone(&chat) } else { Count::default() },
            chat,
            authorization,
            tls,
            reach,
            connections: Mutex::default(),
            next: AtomicUsize::default(),
            next_id: AtomicUsize::default(),
            is_settled: CancellationToken::new(),
        }
    }

    fn connections(&self) -> MutexGuard<'_, Vec<PooledConnection>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One after the other, so that streams opened at once are on different ones; with a place on it. Where no core
    /// says that it serves, any of them can say why.
    fn pick(&self) -> Result<Option<(PooledConnection, OwnedSemaphorePermit)>, Status> {
        let connections = self.connections();
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let serving = connections.iter().filter(|pooled| pooled.is_serving).count();
        let is_choice = |pooled: &&PooledConnection| pooled.is_serving || serving == 0;
        let choices = if serving == 0 { connections.len() } else { serving };
        let Some(first) = next.checked_rem(choices) else { return Ok(None) };
        let from_first = connections.iter().filter(is_choice).cycle().skip(first).take(choices);
        for pooled in from_first {
            if let Ok(place) = Arc::clone(&pooled.places).try_acquire_owned() {
                return Ok(Some((pooled.clone(), place)));
            }
        }
        Err(Failure::new(ErrorReason::Overloaded, "too many calls of this kind are under way")
            .into())
    }

    fn insert(&self, pooled: PooledConnection) {
        {
            let mut connections = self.connections();
            connections.push(pooled);
            self.count.send_replace(connections.len());
        }
        self.is_settled.cancel();
    }

    /// Whether a connection comes to stand before the deadline. Where a core can be reached for chat, one does, unless
    /// something is wrong with this link alone.
    async fn follows_chat(&self, deadline: Instant) -> bool {
        let (mut count, mut chat) = (self.count.subscribe(), self.chat.subscribe());
        tokio::select! {
            biased;
            stands = count.wait_for(|count| *count > 0) => stands.is_ok(),
            _ = chat.wait_for(|chat| *chat == 0) => false,
            () = sleep_until(deadline) => false,
        }
    }

    fn set_serving(&self, id: usize, is_serving: bool) {
        if let Some(pooled) = self.connections().iter_mut().find(|pooled| pooled.id == id) {
            pooled.is_serving = is_serving;
        }
    }

    fn is_any_serving(&self) -> bool {
        self.connections().iter().any(|pooled| pooled.is_serving)
    }

    /// Gives whether it was there.
    fn remove(&self, id: usize) -> bool {
        let mut connections = self.connections();
        let count = connections.len();
        connections.retain(|pooled| pooled.id != id);
        self.count.send_replace(connections.len());
        connections.len() < count
    }
}

#[cfg(test)]
mod tests;
