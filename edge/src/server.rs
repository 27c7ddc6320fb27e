//! The accept loop, its timeouts and the drain.
//!
//! `axum::serve` is not used: it has no timeout for a request's head, and its drain does not know
//! of WebSockets.

mod head;
mod head_timeout;
mod linger;
mod lingering;
mod origin;
mod strangers;
mod write_timeout;

use std::{
    convert::Infallible,
    io,
    net::IpAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, response::Response};
use http::{HeaderValue, Request, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use netrox_proto::request_id::{REQUEST_ID, RequestId};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tower_http::timeout::TimeoutBody;
use tracing::Instrument as _;

use self::{
    head_timeout::{HeadTimer, Heads},
    linger::{Course, LingeringBody},
    origin::Origin,
    strangers::Stranger,
    write_timeout::WriteTimeout,
};
pub(crate) use self::{
    lingering::Lingering,
    origin::ClientAddress,
    strangers::{Occupied, Strangers, Visitor},
    write_timeout::Written,
};
use crate::{Edge, request, rest, ws};

/// PROTOCOL section 5: not configurable.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Of a connection, for reading and for writing.
const MAX_BUFFER_BYTES: usize = 32 * 1024;
/// The wait after a failure to accept, such as no file descriptor being left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// While connections that were told to go are going.
const CROWD_PAUSE: Duration = Duration::from_millis(1);
/// For a peer that reads nothing of its answer, or nothing of its WebSocket.
const WRITE_TIMEOUT: Duration = Duration::from_secs(120);
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_secs(60);

pub(crate) async fn serve(edge: &Edge, listener: TcpListener, shutdown: CancellationToken) {
    let shared = &edge.shared;
    edge.spawn(keep_house(edge.clone()));
    edge.spawn(ws::drain(edge.clone()));
    let router = rest::router(edge.clone());
    shutdown.run_until_cancelled(accept(edge, &listener, &router)).await;
    // New connections are refused from here on.
    drop(listener);

    shared.draining.cancel();
    shared.tasks.close();
    let drain_timeout = shared.config.limits.drain_timeout;
    if timeout(drain_timeout, shared.tasks.wait()).await.is_err() {
        tracing::warn!("{} tasks are cut off: the drain took too long", shared.tasks.len());
        shared.hard_stop.cancel();
        shared.tasks.wait().await;
    }
}

/// Never ends by itself: a server that no longer accepts is worse than one that waits.
async fn accept(edge: &Edge, listener: &TcpListener, router: &Router) {
    loop {
        while edge.shared.strangers.is_crowded() {
            tokio::time::sleep(CROWD_PAUSE).await;
        }
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (edge, router) = (edge.clone(), router.clone());
                let stranger = Arc::new(Strangers::welcome(&edge.shared.strangers));
                edge.clone().spawn(async move {
                    let closed = stranger.closed().clone();
                    let served = serve_connection(&edge, stream, peer.ip(), stranger, router);
                    if closed.run_until_cancelled(served).await.is_none() {
                        tracing::debug!("a connection made room for another");
                    }
                });
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!("cannot accept connections: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn serve_connection(
    edge: &Edge,
    mut stream: TcpStream,
    peer: IpAddr,
    stranger: Arc<Stranger>,
    router: Router,
) {
    let limits = &edge.shared.config.limits;
    let Some(origin) = origin(edge, &mut stream, peer).await else { return };
    stranger.comes_from(origin.address());
    // Small frames must not wait for one another; without it they are only slower.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("cannot set TCP_NODELAY: {error}");
    }
    let heads = Arc::new(Heads::default());
    let stream = WriteTimeout::new(stream, WRITE_TIMEOUT, stranger.written(), Arc::clone(&heads));
    let io = TokioIo::new(stream);
    let has_served = Arc::new(AtomicBool::new(false));
    let service = service_fn({
        let (edge, has_served) = (edge.clone(), Arc::clone(&has_served));
        let stranger = Arc::clone(&stranger);
        move |mut request: Request<Incoming>| {
            has_served.store(true, Ordering::Relaxed);
            let client = origin.client(request.headers(), &edge.shared.config.proxies);
            stranger.comes_from(client);
            let visitor = Visitor::new(Arc::clone(&stranger), client);
            request.extensions_mut().insert(visitor.clone());
            let expects_continue = request.headers().contains_key(header::EXPECT);
            let (head, body) = request.into_parts();
            let body = LingeringBody::new(body, expects_continue, visitor, edge.clone());
            let course = body.course();
            let idle_timeout = edge.shared.config.limits.body_idle_timeout;
            let body = Body::new(TimeoutBody::new(idle_timeout, body));
            answer(edge.clone(), router.clone(), Request::from_parts(head, body), course)
        }
    });
    let connection = http1::Builder::new()
        // A client that has said all still gets its answer (RFC 9112 section 9.6). One that is gone looks alike until it is
        // written to: what it asked for is done, within the time that requests may wait.
        .half_close(true)
        .timer(HeadTimer::new(heads, limits.handshake_timeout, stranger))
        // From one request to the next; for the head of a request the timer has its own.
        .header_read_timeout(limits.keep_alive_timeout)
        .max_header_size(MAX_HEADER_BYTES)
        .max_buf_size(MAX_BUFFER_BYTES)
        .serve_connection(io, service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let result = tokio::select! {
        result = &mut connection => result,
        () = edge.shared.draining.cancelled() => {
            // hyper closes a connection between two requests, but not one before the first.
            if !has_served.load(Ordering::Relaxed) {
                return;
            }
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!("a connection ended early: {error}");
    }
}

/// Where a connection comes from; nothing where it does not say so as it should.
async fn origin(edge: &Edge, stream: &mut TcpStream, peer: IpAddr) -> Option<Origin> {
    let config = &edge.shared.config;
    let origin = Origin::of(stream, peer, &config.proxies);
    let origin = timeout(config.limits.handshake_timeout, origin);
    let origin = match edge.shared.draining.run_until_cancelled(origin).await? {
        Ok(Ok(origin)) => origin,
        Ok(Err(error)) => {
            tracing::debug!("no PROXY header of {peer}: {error}");
            return None;
        }
        Err(_) => return None,
    };
    if let Origin::Unnamed(proxy) = origin {
        edge.shared.unnamed_proxy.call_once(|| {
            tracing::warn!(
                "connections come from {proxy}, which is taken for a proxy that nobody named: no limit per client \
                 address holds for them. Name it in --trusted-proxies, and let it tell the clients' addresses by \
                 X-Forwarded-For or Forwarded, or by the PROXY protocol with --proxy-protocol"
            );
        });
    }
    Some(origin)
}

async fn answer(
    edge: Edge,
    router: Router,
    mut request: Request<Body>,
    course: Course,
) -> Result<Response, Infallible> {
    head::take_doubled_slash(request.uri_mut());
    let is_probe = rest::health::is_probe(request.uri().path());
    let id = RequestId::of(request.headers());
    let span = request::span(&id, rest::route_of(request.uri().path()));
    let mut response = match head::refusal(&request) {
        Some(refusal) => refusal,
        None => id.clone().scope(router.oneshot(request)).instrument(span).await?,
    };
    if let Some(id) = id.header_value() {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    if !is_probe {
        edge.shared.metrics.answered(response.status());
    }
    // Else a client would send its next request on it, and find it cut.
    if response.status() != StatusCode::SWITCHING_PROTOCOLS && !course.has_ended().await {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    course.answer();
    Ok(response)
}

async fn keep_house(edge: Edge) {
    let mut interval = tokio::time::interval(HOUSEKEEPING_INTERVAL);
    let draining = &edge.shared.draining;
    while draining.run_until_cancelled(interval.tick()).await.is_some() {
        edge.shared.limits.forget_idle();
        edge.shared.authenticator.tell();
        edge.shared.client_closes.tell();
    }
}
