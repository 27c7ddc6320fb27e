//! The accept loop, its timeouts and the drain.
//!
//! `axum::serve` is not used: it has no timeout for a request's head, and its drain does not know
//! of WebSockets.

mod linger;
mod strangers;
mod write_timeout;

use std::{
    convert::Infallible,
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    response::{IntoResponse, Response},
};
use http::{Request, Version, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tower_http::timeout::TimeoutBody;

pub(crate) use self::strangers::{Strangers, Visitor};
use self::{linger::LingeringBody, write_timeout::WriteTimeout};
use crate::{Edge, error::PublicError, rest, ws};

/// PROTOCOL section 5: not configurable.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Of a connection, for reading and for writing.
const MAX_BUFFER_BYTES: usize = 32 * 1024;
/// The wait after a failure to accept, such as no file descriptor being left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// For a peer that reads nothing of its answer, or nothing of its WebSocket.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
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
    if tokio::time::timeout(drain_timeout, shared.tasks.wait()).await.is_err() {
        tracing::warn!("{} tasks are cut off: the drain took too long", shared.tasks.len());
        shared.hard_stop.cancel();
        shared.tasks.wait().await;
    }
}

/// Never ends by itself: a server that no longer accepts is worse than one that waits.
async fn accept(edge: &Edge, listener: &TcpListener, router: &Router) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (edge, router) = (edge.clone(), router.clone());
                edge.clone().spawn(async move { serve_connection(&edge, stream, router).await });
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

async fn serve_connection(edge: &Edge, stream: TcpStream, router: Router) {
    let limits = &edge.shared.config.limits;
    // Small frames must not wait for one another; without it they are only slower.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("cannot set TCP_NODELAY: {error}");
    }
    let io = TokioIo::new(WriteTimeout::new(stream, WRITE_TIMEOUT));
    let stranger = Arc::new(Strangers::welcome(&edge.shared.strangers));
    let has_served = Arc::new(AtomicBool::new(false));
    let service = service_fn({
        let (edge, has_served) = (edge.clone(), Arc::clone(&has_served));
        let stranger = Arc::clone(&stranger);
        move |mut request: Request<Incoming>| {
            has_served.store(true, Ordering::Relaxed);
            let visitor = Visitor::new(Arc::clone(&stranger));
            request.extensions_mut().insert(visitor.clone());
            let expects_continue = request.headers().contains_key(header::EXPECT);
            let request = request.map(|body| {
                let body = LingeringBody::new(body, expects_continue, visitor, edge.clone());
                Body::new(TimeoutBody::new(edge.shared.config.limits.body_idle_timeout, body))
            });
            answer(router.clone(), request)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.handshake_timeout)
        .max_header_size(MAX_HEADER_BYTES)
        .max_buf_size(MAX_BUFFER_BYTES)
        .serve_connection(io, service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let result = tokio::select! {
        result = &mut connection => result,
        () = stranger.closed().cancelled() => {
            tracing::debug!("a connection without a known user made room for another");
            return;
        }
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

async fn answer(router: Router, request: Request<Body>) -> Result<Response, Infallible> {
    // RFC 9112 section 3.2.
    let hosts = request.headers().get_all(header::HOST).iter().count();
    if hosts > 1 || hosts == 0 && request.version() == Version::HTTP_11 {
        return Ok(PublicError::bad_request("There must be one Host header").into_response());
    }
    router.oneshot(request).await
}

async fn keep_house(edge: Edge) {
    let mut interval = tokio::time::interval(HOUSEKEEPING_INTERVAL);
    let draining = &edge.shared.draining;
    while draining.run_until_cancelled(interval.tick()).await.is_some() {
        edge.shared.limits.forget_idle();
    }
}
