//! One connection to one address of a core, again whenever it breaks.

use std::{
    io,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use hyper::{
    client::conn::http2::{self, Connection, SendRequest},
    rt::Executor,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::TcpStream,
    sync::{Notify, Semaphore},
    time::{Instant, sleep, timeout},
};
use tokio_util::{
    either::Either,
    sync::{CancellationToken, DropGuard},
};
use tonic::body::Body;

use super::{
    CoreName, FirstAttempt, Pool, PooledConnection, health,
    link::{CONNECTION_WINDOW_BYTES, Link},
    secured::{Distrust, Secured, over_tls},
};
use crate::{backoff::Backoff, core_client::reach::Trouble};

pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A core that is gone without a word, or hangs, is noticed after the sum of the two; others have taken
/// over its streams within 5 s. It takes one small frame a connection and second, whatever the streams.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(1);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(2);
/// Of the streams that were given up, remembered for long enough that what is still under way on them is no error.
const MAX_GIVEN_UP_STREAMS: usize = 16_384;
const FIRST_RETRY: Duration = Duration::from_millis(50);
/// A core that comes back is used again after it at the latest.
const MAX_RETRY: Duration = Duration::from_millis(800);
/// How long calls and streams go on at an address that was given up, if its core serves: long enough for a file, and
/// not for ever, since nobody there may mean to end them.
const GIVEN_UP_GRACE: Duration = Duration::from_secs(60);

/// Where a connection leads.
pub(super) struct Target {
    /// What requests call it.
    pub(super) core: CoreName,
    pub(super) address: SocketAddr,
    /// The name of the core no longer stands for the address.
    pub(super) given_up: CancellationToken,
    /// Told when a connection broke or could not be made.
    pub(super) broken: Arc<Notify>,
    pub(super) pool: Arc<Pool>,
}

type Http2 = Connection<TokioIo<Secured>, Body, Tasks>;

/// A connection, which is cut when the guard is dropped, whatever is under way on it.
struct Connected {
    requests: SendRequest<Body>,
    connection: Http2,
    cut: DropGuard,
}

/// Runs what hyper spawns for a connection, until it is cut.
#[derive(Clone)]
struct Tasks(CancellationToken);

impl<F> Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, task: F) {
        let is_cut = self.0.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = is_cut.cancelled() => {}
                _ = task => {}
            }
        });
    }
}

impl Target {
    /// Keeps a connection in the pool until the address is given up.
    pub(super) async fn keep(self, first_attempt: Option<FirstAttempt>) {
        let mut backoff = Backoff::new(FIRST_RETRY, MAX_RETRY);
        // Held until the first attempt has ended.
        let mut first_attempt = first_attempt;
        let mut chat = self.pool.chat.subscribe();
        while !self.given_up.is_cancelled() {
            let stood = *chat.borrow_and_update();
            let distrust = Distrust::default();
            let connected = tokio::select! {
                connected = self.connect(&distrust) => connected,
                () = self.given_up.cancelled() => return,
            };
            match connected {
                Ok(connected) => {
                    let connected_at = Instant::now();
                    self.stand(connected, &distrust).await;
                    if connected_at.elapsed() >= MAX_RETRY {
                        backoff.reset();
                    }
                }
                Err(error) => {
                    self.fails(&distrust, &error);
                }
            }
            first_attempt.take();
            self.broken.notify_one();
            tokio::select! {
                () = sleep(backoff.next_delay()) => {}
                // What chat has just found there is there for this one.
                Ok(_) = chat.wait_for(|stands| *stands > stood), if self.pool.link != Link::Chat => {}
                () = self.given_up.cancelled() => return,
            }
        }
    }

    /// The core cannot be used.
    fn fails(&self, distrust: &Distrust, cause: impl std::fmt::Display) {
        if self.pool.link.is_told() {
            match distrust.cause() {
                Some(cause) => self.pool.reach.fails(self.address, Trouble::Untrusted, cause),
                None => self.pool.reach.fails(self.address, Trouble::Unreachable, cause),
            }
        }
    }

    /// Lets calls take the connection, once its core has said how it is, until it ends.
    async fn stand(&self, connected: Connected, distrust: &Distrust) {
        let Connected { requests, connection, cut } = connected;
        let mut connection = pin!(connection);
        let pooled = PooledConnection {
            id: self.pool.next_id.fetch_add(1, Ordering::Relaxed),
            core: self.core.clone(),
            address: self.address,
            requests,
            places: Arc::new(Semaphore::new(self.pool.link.places())),
            is_serving: true,
        };
        let id = pooled.id;
        let grace = async {
            self.given_up.cancelled().await;
            self.pool.remove(id);
            sleep(GIVEN_UP_GRACE).await;
        };
        let result = tokio::select! {
            // It ends when the core takes no more calls; those under way may go on.
            result = &mut connection => result,
            () = health::follow(pooled, &self.pool, &self.given_up) => {
                if self.pool.remove(id) {
                    if self.pool.link.is_told() {
                        let core = self.address;
                        tracing::info!(%core, "the core at {core} does not serve: giving it up");
                    }
                } else if !self.given_up.is_cancelled() {
                    self.fails(distrust, "it does not say how it is");
                }
                return;
            }
            () = grace => {
                if self.pool.link.is_told() {
                    let core = self.address;
                    tracing::info!(%core, "the core at {core} is still in use: cutting it off");
                }
                return;
            }
        };
        // A call that broke of distrust may have put it there.
        let stood = self.pool.remove(id) && distrust.cause().is_none();
        if !stood && !self.given_up.is_cancelled() {
            self.fails(distrust, "the connection ended before it said how it is");
        }
        // The calls under way may go on still.
        cut.disarm();
        let error = result.err().map(tracing::field::debug);
        tracing::debug!(core = %self.address, error, "a connection to a core ended");
    }
}

impl Target {
    /// Within a time that TLS is part of.
    async fn connect(&self, distrust: &Distrust) -> io::Result<Connected> {
        let connected = timeout(CONNECT_TIMEOUT, async {
            let is_cut = CancellationToken::new();
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            let stream = self.secured(stream, distrust).await?;
            let (requests, connection) = http2::Builder::new(Tasks(is_cut.clone()))
                .timer(TokioTimer::new())
                .keep_alive_interval(KEEP_ALIVE_INTERVAL)
                .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
                .keep_alive_while_idle(true)
                .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
                .initial_stream_window_size(self.pool.link.stream_window_bytes())
                .max_concurrent_reset_streams(MAX_GIVEN_UP_STREAMS)
                .max_local_error_reset_streams(None)
                .handshake(TokioIo::new(stream))
                .await
                .map_err(io::Error::other)?;
            Ok(Connected { requests, connection, cut: is_cut.drop_guard() })
        });
        connected.await.unwrap_or_else(|elapsed| Err(elapsed.into()))
    }

    async fn secured(&self, stream: TcpStream, distrust: &Distrust) -> io::Result<Secured> {
        if !self.core.is_secured() {
            return Ok(Either::Left(stream));
        }
        let tls = self.pool.tls.as_ref();
        let tls =
            tls.ok_or_else(|| io::Error::other("it is reached by TLS, which is not set up"))?;
        over_tls(stream, tls, self.core.host(), distrust).await
    }
}
