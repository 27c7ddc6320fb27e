//! What operators and their tools ask of a process, on a listener of its own: `/metrics`, `/healthz` and `/readyz` without a
//! credential, and `/log-filter` with one ([`log_filter`]).
//!
//! It is there from before the database is opened until all else has ended, and takes no part in the drain.

mod log_filter;

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use netrox_audit::Audit;
use netrox_core::Core;
use netrox_edge::Edge;
use netrox_metrics::Registry;
use prometheus_client::metrics::info::Info;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::spawn_blocking,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::log_filter::Door;
use crate::{
    cli::{AdminAddress, AdminArgs},
    listener, process,
    secret::Warnings,
    settings::Parts,
    sources::{SettingError, Sources},
    telemetry::Filter,
};

/// Of `serve` and of an edge, and of a core on its own: one of each can run on a machine. Nobody else is known by them.
const EDGE_PORT: u16 = 24_080;
const CORE_PORT: u16 = 24_051;
/// At a time; who comes beyond it waits.
const MAX_CONNECTIONS: usize = 16;
/// Of a connection, which has one request.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_BUFFER_BYTES: usize = 16 * 1024;
/// The wait after a failure to accept, such as no file descriptor being left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// For answers that are being written when the process ends.
const END_TIMEOUT: Duration = Duration::from_millis(500);
const METRICS_TYPE: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
const TEXT_TYPE: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// A registry that knows which process it is of.
pub(crate) fn registry(role: &'static str, draining: CancellationToken) -> Registry {
    let mut registry = Registry::default();
    let labels = vec![("version", env!("CARGO_PKG_VERSION")), ("role", role)];
    registry.register("build", "The program that runs", Info::new(labels));
    process::register(&mut registry, draining);
    registry
}

/// Where the listener is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AdminSettings {
    given: Option<AdminAddress>,
    default: SocketAddr,
}

impl AdminSettings {
    pub(crate) fn of_core(args: AdminArgs) -> Self {
        Self::new(args, CORE_PORT)
    }

    /// Also of `serve`.
    pub(crate) fn of_edge(args: AdminArgs) -> Self {
        Self::new(args, EDGE_PORT)
    }

    fn new(args: AdminArgs, port: u16) -> Self {
        Self { given: args.admin_addr, default: (IpAddr::V4(Ipv4Addr::LOCALHOST), port).into() }
    }

    /// Where it is to listen, if it is.
    pub(crate) fn address(self) -> Option<SocketAddr> {
        match self.given {
            Some(AdminAddress::None) => None,
            Some(AdminAddress::At(address)) => Some(address),
            None => Some(self.default),
        }
    }

    /// Whether a start goes on where it cannot listen.
    pub(crate) fn can_be_without(self) -> bool {
        self.given.is_none()
    }

    /// Refuses what [`bind`](Self::bind) would, without listening.
    pub(crate) fn check(self, sources: &Sources) -> Result<(), SettingError> {
        match self.given {
            Some(AdminAddress::At(address)) => listener::check("admin-addr", address, sources),
            Some(AdminAddress::None) | None => Ok(()),
        }
    }

    /// A default that cannot be had, since another process has it for example, is no reason not to start.
    pub(crate) fn bind(
        self,
        sources: &Sources,
        warnings: &mut Warnings,
    ) -> Result<Option<TcpListener>, SettingError> {
        match self.given {
            Some(AdminAddress::None) => Ok(None),
            Some(AdminAddress::At(address)) => {
                listener::bind("admin-addr", address, sources).map(Some)
            }
            None => match listener::listen(self.default) {
                Ok(listener) => Ok(Some(listener)),
                Err(error) => {
                    warnings.add(format!(
                        "no metrics and no health over HTTP: failed to listen on {}: {error}; --admin-addr gives \
                         another address, or none",
                        self.default
                    ));
                    Ok(None)
                }
            },
        }
    }
}

/// What is shown, and of what.
#[derive(Debug)]
pub(crate) struct Observed {
    registry: Arc<Registry>,
    log_filter: Door,
    /// Once they are open.
    parts: OnceLock<ObservedParts>,
    /// Cancelled when the process begins to end.
    draining: CancellationToken,
}

#[derive(Debug)]
pub(crate) struct ObservedParts {
    pub(crate) core: Option<Core>,
    pub(crate) edge: Option<Edge>,
}

impl ObservedParts {
    /// What they have in files, but for certificates.
    pub(crate) fn read_again(&self) {
        if let Some(core) = &self.core {
            core.reload_services();
        }
        if let Some(edge) = &self.edge {
            edge.reload_keys();
        }
    }
}

impl Observed {
    /// Of a process that is about to open its parts, with what tells of its log filter.
    pub(crate) fn new(
        registry: Registry,
        draining: CancellationToken,
        parts: &Parts,
        filter: Arc<Filter>,
        audit: Audit,
    ) -> Self {
        let log_filter = Door::new(filter, parts.service_tokens(), parts.has_core(), audit);
        Self { registry: Arc::new(registry), log_filter, parts: OnceLock::new(), draining }
    }

    /// They are open. To be called once.
    pub(crate) fn opened(&self, parts: ObservedParts) {
        // The first stay.
        let _ = self.parts.set(parts);
    }

    /// In a word; nothing where all serve.
    async fn reason_against_serving(&self) -> Option<&'static str> {
        if self.draining.is_cancelled() {
            return Some("draining");
        }
        let Some(ObservedParts { core, edge }) = self.parts.get() else { return Some("starting") };
        // An edge in the same process would only say that its core does not serve.
        if let Some(reason) = core.as_ref().and_then(Core::reason_against_serving) {
            return Some(reason);
        }
        match edge {
            Some(edge) => edge.reason_against_serving().await,
            None => None,
        }
    }

    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Full<Bytes>> {
        if request.uri().path() == log_filter::PATH {
            let core = self.parts.get().and_then(|parts| parts.core.as_ref());
            return self.log_filter.answer(request, peer, core).await;
        }
        let (method, path) = (request.method(), request.uri().path());
        if !matches!(path, "/metrics" | "/healthz" | "/readyz") {
            let there = "there are /metrics, /healthz, /readyz and /log-filter";
            return text(StatusCode::NOT_FOUND, there);
        }
        if method != Method::GET && method != Method::HEAD {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD");
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match path {
            "/metrics" => self.metrics().await,
            "/readyz" => match self.reason_against_serving().await {
                None => text(StatusCode::OK, "ready"),
                Some(reason) => text(StatusCode::SERVICE_UNAVAILABLE, reason),
            },
            _ => text(StatusCode::OK, "alive"),
        }
    }

    async fn metrics(&self) -> Response<Full<Bytes>> {
        let registry = Arc::clone(&self.registry);
        // It reads files of the kernel, which may take a while under load.
        let error = match spawn_blocking(move || registry.text()).await {
            Ok(Ok(shown)) => return response(StatusCode::OK, METRICS_TYPE, shown),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::error!(%error, "cannot show the metrics");
        text(StatusCode::INTERNAL_SERVER_ERROR, "cannot show the metrics")
    }
}

/// A line of text.
fn text(status: StatusCode, line: &str) -> Response<Full<Bytes>> {
    response(status, TEXT_TYPE, format!("{line}\n"))
}

fn response(status: StatusCode, content_type: HeaderValue, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The listener at work.
#[derive(Debug)]
pub(crate) struct Admin {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Admin {
    pub(crate) fn start(listener: TcpListener, observed: Arc<Observed>) -> Self {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let time = observed.log_filter.filter().keep_time(observed.log_filter.audit());
        tasks.spawn(stop.clone().run_until_cancelled_owned(time));
        let accept = accept(listener, observed, tasks.clone(), stop.clone());
        tasks.spawn(stop.clone().run_until_cancelled_owned(accept));
        Self { stop, tasks }
    }

    /// What is being answered has a moment to end.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        // An error is the end of the time: what is left ends with the runtime.
        let _ = timeout(END_TIMEOUT, self.tasks.wait()).await;
    }
}

async fn accept(
    listener: TcpListener,
    observed: Arc<Observed>,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // Never closed.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (observed, stop) = (Arc::clone(&observed), stop.clone());
                tasks.spawn(async move {
                    // An error is the end of its time.
                    let _ =
                        timeout(CONNECTION_TIMEOUT, serve(stream, peer, &observed, &stop)).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "cannot accept connections for metrics and health");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One request, so that no connection is left to be drained. One that has none when the process ends is closed.
async fn serve(stream: TcpStream, peer: SocketAddr, observed: &Observed, stop: &CancellationToken) {
    let service = service_fn(async |request: Request<Incoming>| {
        Ok::<_, Infallible>(observed.answer(request, peer).await)
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .half_close(true)
        .max_buf_size(MAX_BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        served = &mut connection => served,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a request for metrics or health ended early");
    }
}
