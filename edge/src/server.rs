//! The accept loop, its timeouts and the drain.
//!
//! `axum::serve` is not used: it has no timeout for a request's head, and its drain does not know
//! of WebSockets.

mod handshakes;
mod head;
mod head_timeout;
mod linger;
mod lingering;
mod origin;
mod write_timeout;

use std::{
    convert::Infallible,
    io,
    net::IpAddr,
    pin::pin,
    sync::{
        Arc, Once,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, response::Response};
use http::{HeaderValue, Request, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use netrox_proto::request_id::{REQUEST_ID, RequestId};
use netrox_tls::ServerStream;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, timeout_at},
};
use tokio_util::{either::Either, sync::CancellationToken};
use tower::ServiceExt;
use tower_http::timeout::TimeoutBody;
use tracing::Instrument as _;

use self::{
    handshakes::Handshakes,
    head_timeout::{HeadTimer, Heads},
    linger::{Course, LingeringBody},
    lingering::Lingering,
    origin::Origin,
    write_timeout::WriteTimeout,
};
use crate::{
    config::Config,
    edge::Edge,
    notice::Notice,
    request, rest,
    strangers::{Stranger, Strangers, Visitor},
    tasks::Tasks,
    trace,
};

/// A connection as it comes, or in TLS: what that takes is kept apart, so that one without it is no larger.
type Secured = Either<WriteTimeout<TcpStream>, Box<ServerStream<WriteTimeout<TcpStream>>>>;

/// PROTOCOL section 5: not configurable.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Of a connection, for reading and for writing.
const MAX_BUFFER_BYTES: usize = 32 * 1024;
/// The wait after a failure to accept, such as no file descriptor being left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// For a peer that reads nothing of its answer, or nothing of its WebSocket.
const WRITE_TIMEOUT: Duration = Duration::from_secs(120);
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(60);

impl Edge {
    /// Serves connections of `listener` until `shutdown` is cancelled, then drains and returns: no
    /// new connections, requests in flight are finished, WebSockets closed with 1001. What is left
    /// after `Limits::drain_timeout` is cut off.
    pub async fn serve(&self, listener: TcpListener, shutdown: CancellationToken) {
        let tasks = &self.shared.tasks;
        let server = Arc::new(Server::new(self));
        tasks.spawn(keep_house(self.clone(), Arc::clone(&server.handshakes)));
        tasks.spawn(Arc::clone(&self.shared.web_sockets).drain());
        shutdown.run_until_cancelled(server.accept(&listener)).await;
        // New connections are refused from here on.
        drop(listener);
        tasks.drain(self.shared.config.limits.drain_timeout).await;
    }
}

/// What the connections of a listener share.
struct Server {
    edge: Edge,
    router: Router,
    strangers: Arc<Strangers>,
    lingering: Arc<Lingering>,
    handshakes: Arc<Handshakes>,
    /// The operator was told of a proxy that nobody named.
    unnamed_proxy: Once,
}

impl Server {
    fn new(edge: &Edge) -> Self {
        let shared = &edge.shared;
        Self {
            edge: edge.clone(),
            router: rest::router(edge.clone()),
            strangers: Arc::new(Strangers::new(&shared.config)),
            lingering: Arc::new(Lingering::new(&shared.config, &shared.tasks)),
            handshakes: Arc::new(Handshakes::new(shared.metrics.clone())),
            unnamed_proxy: Once::new(),
        }
    }

    fn config(&self) -> &Config {
        &self.edge.shared.config
    }

    fn tasks(&self) -> &Tasks {
        &self.edge.shared.tasks
    }

    /// Never ends by itself: a server that no longer accepts is worse than one that waits.
    async fn accept(self: &Arc<Self>, listener: &TcpListener) {
        let told = Notice::default();
        loop {
            self.strangers.room().await;
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let server = Arc::clone(self);
                    let stranger = Arc::new(Strangers::welcome(&self.strangers));
                    self.tasks().spawn(async move {
                        let closed = stranger.closed().clone();
                        let served = server.serve_connection(stream, peer.ip(), stranger);
                        if closed.run_until_cancelled(served).await.is_none() {
                            tracing::debug!("a connection made room for another");
                        }
                    });
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if let Some(untold) = told.happened() {
                        tracing::warn!(untold, %error, "cannot accept connections");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn serve_connection(
        self: &Arc<Self>,
        mut stream: TcpStream,
        peer: IpAddr,
        stranger: Arc<Stranger>,
    ) {
        let limits = &self.config().limits;
        // For all that comes before the first request, and its head.
        let until = Instant::now() + limits.handshake_timeout;
        let Some(origin) = self.origin(&mut stream, peer, until).await else { return };
        stranger.comes_from(origin.address());
        // Small frames must not wait for one another; without it they are only slower.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        let heads = Arc::new(Heads::default());
        let stream =
            WriteTimeout::new(stream, WRITE_TIMEOUT, stranger.written(), Arc::clone(&heads));
        let Some(stream) = self.secured(stream, peer, until, stranger.closed()).await else {
            return;
        };
        let io = TokioIo::new(stream);
        let has_served = Arc::new(AtomicBool::new(false));
        let service = service_fn({
            let (server, has_served) = (Arc::clone(self), Arc::clone(&has_served));
            let stranger = Arc::clone(&stranger);
            move |mut request: Request<Incoming>| {
                has_served.store(true, Ordering::Relaxed);
                let client = origin.client(request.headers(), &server.config().proxies);
                stranger.comes_from(client);
                let visitor = Visitor::new(Arc::clone(&stranger), client);
                request.extensions_mut().insert(visitor.clone());
                let expects_continue = request.headers().contains_key(header::EXPECT);
                let (head, body) = request.into_parts();
                let body = LingeringBody::new(body, expects_continue, visitor, &server.lingering);
                let course = body.course();
                let idle_timeout = server.config().limits.body_idle_timeout;
                let body = Body::new(TimeoutBody::new(idle_timeout, body));
                answer(Arc::clone(&server), Request::from_parts(head, body), course)
            }
        });
        let connection = http1::Builder::new()
            // A client that has said all still gets its answer (RFC 9112 section 9.6). One that is gone looks alike until it is
            // written to: what it asked for is done, within the time that requests may wait.
            .half_close(true)
            .timer(HeadTimer::new(heads, until, limits.handshake_timeout, stranger))
            // From one request to the next; for the head of a request the timer has its own.
            .header_read_timeout(limits.keep_alive_timeout)
            .max_header_size(MAX_HEADER_BYTES)
            .max_buf_size(MAX_BUFFER_BYTES)
            .serve_connection(io, service)
            .with_upgrades();
        let mut connection = pin!(connection);
        let result = tokio::select! {
            result = &mut connection => result,
            () = self.tasks().draining().cancelled() => {
                // hyper closes a connection between two requests, but not one before the first.
                if !has_served.load(Ordering::Relaxed) {
                    return;
                }
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = result {
            tracing::debug!(%error, "a connection ended early");
        }
    }

    /// Where a connection comes from; nothing where it does not say so as it should.
    async fn origin(&self, stream: &mut TcpStream, peer: IpAddr, until: Instant) -> Option<Origin> {
        let config = self.config();
        let origin = Origin::of(stream, peer, &config.proxies);
        let origin = timeout_at(until, origin);
        let origin = match self.tasks().draining().run_until_cancelled(origin).await? {
            Ok(Ok(origin)) => origin,
            Ok(Err(error)) => {
                tracing::debug!(%peer, %error, "no PROXY header");
                return None;
            }
            Err(_) => return None,
        };
        if let Origin::Unnamed(proxy) = origin {
            self.unnamed_proxy.call_once(|| {
                tracing::warn!(
                    peer = %proxy,
                    "connections come from {proxy}, which is taken for a proxy that nobody named: no limit per client \
                     address holds for them. Name it in --trusted-proxies, and let it tell the clients' addresses by \
                     X-Forwarded-For or Forwarded, or by the PROXY protocol with --proxy-protocol"
                );
            });
        }
        Some(origin)
    }

    /// The connection behind its TLS handshake, where there is to be one.
    async fn secured(
        &self,
        stream: WriteTimeout<TcpStream>,
        peer: IpAddr,
        until: Instant,
        closed: &CancellationToken,
    ) -> Option<Secured> {
        let Some(tls) = &self.config().tls else { return Some(Either::Left(stream)) };
        // It is large, and soon over.
        let made = Box::pin(self.handshakes.make(tls, stream, until, peer, closed));
        self.tasks().draining().run_until_cancelled(made).await?.map(Either::Right)
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn answer(
    server: Arc<Server>,
    mut request: Request<Body>,
    course: Course,
) -> Result<Response, Infallible> {
    head::take_doubled_slash(request.uri_mut());
    let is_probe = rest::is_probe(request.uri().path());
    let is_second = rest::is_second_generation(request.uri().path());
    let visitor = request.extensions().get::<Visitor>().cloned();
    let id = RequestId::of(request.headers());
    let is_named = RequestId::is_named_by(request.headers());
    let route = rest::route_of(request.uri().path());
    // Probes come all the time, and nobody asks after one.
    let (traced, id) = match is_probe {
        true => (None, id),
        false => trace::request(id, request.method(), request.headers(), route),
    };
    let span = request::span(&id, route);
    let answered = async {
        let response = match head::refusal(&request) {
            Some(refusal) => refusal,
            None => server.router.clone().oneshot(request).await?,
        };
        Ok::<_, Infallible>(match visitor {
            Some(visitor) => {
                server.edge.shared.doorkeeper.instead(response, &visitor, is_second).await
            }
            None => response,
        })
    };
    let mut response = id.clone().scope(answered).instrument(span).await?;
    // Documented clients know no such header: it is for who gave a name, or has a reason to ask an operator.
    if (response.status().is_server_error() || is_named)
        && let Some(id) = id.header_value()
    {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    if let Some(traced) = traced {
        let status = response.status();
        traced.answered(status, response.headers_mut());
    }
    if !is_probe {
        server.edge.shared.metrics.refusals.answered(response.status());
    }
    // Else a client would send its next request on it, and find it cut.
    if response.status() != StatusCode::SWITCHING_PROTOCOLS && !course.has_ended().await {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    course.answer();
    Ok(response)
}

async fn keep_house(edge: Edge, handshakes: Arc<Handshakes>) {
    let mut interval = tokio::time::interval(HOUSEKEEPING_INTERVAL);
    let draining = edge.shared.tasks.draining();
    while draining.run_until_cancelled(interval.tick()).await.is_some() {
        edge.shared.limiter.forget_idle();
        edge.shared.authenticator.tell();
        edge.shared.web_sockets.tell();
        handshakes.tell();
    }
}

#[cfg(test)]
mod tests;
