//! Connections to one or more cores, of which calls see only those that stand.
//!
//! `tonic::transport::Channel::balance_list` is not used: it takes a core that refuses connections
//! for as good as any, and gives it its share of the calls.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{
    Request, Response, Uri,
    uri::{Authority, PathAndQuery, Scheme},
};
use hyper::client::conn::http2::{self, Connection, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::{Status, body::Body};

use crate::backoff::Backoff;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A core that is gone without a word is noticed after the sum of the two.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// h2 ends a connection whose peer leaves small frames unread beyond half of its window, and with
/// it every stream on it.
const CONNECTION_WINDOW_BYTES: u32 = 64 * 1024 * 1024;
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// A broken connection takes only its share of the streams with it.
const CONNECTIONS_PER_CORE: usize = 2;
const FIRST_RETRY: Duration = Duration::from_millis(50);
/// A core that comes back is used again after it at the latest.
const MAX_RETRY: Duration = Duration::from_millis(800);

/// Keeps the connections for as long as it lives.
pub(super) struct Connections {
    standing: Arc<Standing>,
    /// Aborted when they are dropped.
    _tasks: JoinSet<()>,
}

/// The connections that can take calls.
struct Standing {
    connections: Mutex<Vec<Member>>,
    next: AtomicUsize,
    /// First attempts to connect that have yet to end.
    first_attempts: AtomicUsize,
    /// Cancelled when all first attempts have ended or one has succeeded: until then calls wait.
    is_settled: CancellationToken,
}

#[derive(Clone)]
struct Member {
    id: usize,
    core: Authority,
    requests: SendRequest<Body>,
}

impl Connections {
    pub(super) fn open(cores: impl IntoIterator<Item = Uri>) -> Self {
        let cores = cores.into_iter().filter_map(|core| core.into_parts().authority);
        let cores: Vec<_> =
            cores.flat_map(|core| std::iter::repeat_n(core, CONNECTIONS_PER_CORE)).collect();
        let standing = Arc::new(Standing {
            connections: Mutex::default(),
            next: AtomicUsize::new(0),
            first_attempts: AtomicUsize::new(cores.len()),
            is_settled: CancellationToken::new(),
        });
        let mut tasks = JoinSet::new();
        for (id, core) in cores.into_iter().enumerate() {
            tasks.spawn(keep(id, core, Arc::clone(&standing)));
        }
        Self { standing, _tasks: tasks }
    }

    /// Fails at once where no connection stands.
    pub(super) async fn call(&self, mut request: Request<Body>) -> Result<Response<Body>, Status> {
        self.standing.is_settled.cancelled().await;
        let path = request.uri().path_and_query().cloned();
        let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
        // Ends, since a connection that takes no call is not asked again.
        while let Some(mut member) = self.standing.pick() {
            *request.uri_mut() = Uri::builder()
                .scheme(Scheme::HTTP)
                .authority(member.core)
                .path_and_query(path.clone())
                .build()
                .map_err(|error| Status::internal(error.to_string()))?;
            match member.requests.try_send_request(request).await {
                Ok(response) => return Ok(response.map(Body::new)),
                Err(mut error) => match error.take_message() {
                    // Nothing of it was sent.
                    Some(unsent) => {
                        self.standing.remove(member.id);
                        request = unsent;
                    }
                    None => return Err(broken(error.error())),
                },
            }
        }
        Err(Status::unavailable("no core is connected"))
    }
}

fn broken(error: &hyper::Error) -> Status {
    Status::unavailable(format!("the connection to the core broke: {error}"))
}

impl Standing {
    fn connections(&self) -> MutexGuard<'_, Vec<Member>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One after the other, so that streams opened at once are on different ones.
    fn pick(&self) -> Option<Member> {
        let connections = self.connections();
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let index = next.checked_rem(connections.len())?;
        connections.get(index).cloned()
    }

    fn insert(&self, member: Member) {
        self.connections().push(member);
        self.is_settled.cancel();
    }

    fn remove(&self, id: usize) {
        self.connections().retain(|member| member.id != id);
    }

    fn first_attempt_failed(&self) {
        if self.first_attempts.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.is_settled.cancel();
        }
    }
}

/// Keeps one connection to `core` among the standing ones.
async fn keep(id: usize, core: Authority, standing: Arc<Standing>) {
    let mut backoff = Backoff::new(FIRST_RETRY, MAX_RETRY);
    let mut is_first = true;
    loop {
        match connect(&core).await {
            Ok((requests, connection)) => {
                let connected_at = Instant::now();
                standing.insert(Member { id, core: core.clone(), requests });
                // It ends when the core takes no more calls; those under way may go on.
                let result = connection.await;
                standing.remove(id);
                tracing::debug!("a connection to the core {core} ended: {result:?}");
                if connected_at.elapsed() >= MAX_RETRY {
                    backoff.reset();
                }
            }
            Err(error) => {
                if is_first {
                    standing.first_attempt_failed();
                }
                tracing::debug!("cannot connect to the core {core}: {error}");
            }
        }
        is_first = false;
        sleep(backoff.next_delay()).await;
    }
}

type Http2 = Connection<TokioIo<TcpStream>, Body, TokioExecutor>;

async fn connect(core: &Authority) -> io::Result<(SendRequest<Body>, Http2)> {
    let host = core.host().trim_start_matches('[').trim_end_matches(']');
    let connected = timeout(CONNECT_TIMEOUT, async {
        let stream = TcpStream::connect((host, core.port_u16().unwrap_or(80))).await?;
        stream.set_nodelay(true)?;
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)
    });
    connected.await.unwrap_or_else(|elapsed| Err(elapsed.into()))
}

#[cfg(test)]
mod tests;
