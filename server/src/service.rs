//! The parts of this process, from bound sockets to the end of the drain.

use std::{future::pending, net::SocketAddr, path::Path, time::Duration};

use netrox_core::{BusError, Core, MediaLocation, OpenError};
use netrox_edge::{CoreTransport, Edge};
use netrox_metrics::Registry;
use tokio::{net::TcpListener, select, task::JoinHandle, time};
use tokio_util::sync::CancellationToken;

use crate::{
    admin::ObservedParts,
    failure::Failure,
    listener::{self, Addresses},
    settings::{EdgeSettings, Parts},
    sources::{SettingError, Sources},
};

/// What the parts of this process count.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    core: netrox_core::Metrics,
    edge: netrox_edge::Metrics,
}

impl Metrics {
    /// The registry shows those of the parts that there are.
    pub(crate) fn registered(parts: &Parts, registry: &mut Registry) -> Self {
        let mut metrics = Self::default();
        if parts.has_core() {
            metrics.core = netrox_core::Metrics::registered(registry);
        }
        if parts.edge().is_some() {
            metrics.edge = netrox_edge::Metrics::registered(registry);
        }
        metrics
    }
}

/// Core, edge or both, ready to serve.
pub(crate) struct Service {
    core: Option<(Core, TcpListener)>,
    edge: Option<(Edge, TcpListener)>,
}

impl Service {
    /// Binds first: a port that is taken is found before a database is opened.
    pub(crate) async fn open(
        parts: Parts,
        sources: &Sources,
        metrics: Metrics,
    ) -> Result<Self, Failure> {
        match parts {
            Parts::Serve { core, edge } => {
                let http = listener::bind("http-addr", edge.addr, sources)?;
                let grpc = listener::bind("grpc-addr", core.addr, sources)?;
                let core = open_core(core.config, metrics.core, sources).await?;
                let transport = CoreTransport::in_process(core.routes());
                match new_edge(edge, transport, metrics.edge, sources) {
                    Ok(edge) => Ok(Self { core: Some((core, grpc)), edge: Some((edge, http)) }),
                    Err(error) => {
                        core.close().await;
                        Err(error.into())
                    }
                }
            }
            Parts::Core { core } => {
                let grpc = listener::bind("grpc-addr", core.addr, sources)?;
                let core = open_core(core.config, metrics.core, sources).await?;
                Ok(Self { core: Some((core, grpc)), edge: None })
            }
            Parts::Edge { edge, cores, tls } => {
                let http = listener::bind("http-addr", edge.addr, sources)?;
                let edge =
                    new_edge(edge, CoreTransport::remote(cores, tls), metrics.edge, sources)?;
                Ok(Self { core: None, edge: Some((edge, http)) })
            }
        }
    }

    /// Whether there was no data.
    pub(crate) fn begins_new_chat(&self) -> bool {
        self.core.as_ref().is_some_and(|(core, _)| core.is_new())
    }

    /// What there is to be observed.
    pub(crate) fn parts(&self) -> ObservedParts {
        ObservedParts {
            core: self.core.as_ref().map(|(core, _)| core.clone()),
            edge: self.edge.as_ref().map(|(edge, _)| edge.clone()),
        }
    }

    /// Beside that of metrics and health.
    pub(crate) fn addresses(&self, admin: Option<SocketAddr>) -> Addresses {
        Addresses {
            admin,
            http: self.edge.as_ref().and_then(|(_, listener)| listener.local_addr().ok()),
            grpc: self.core.as_ref().and_then(|(_, listener)| listener.local_addr().ok()),
        }
    }

    /// Serves until `drain` and for `drain_delay` after it, and then until everything is drained or `drain_timeout` is over.
    pub(crate) async fn run(
        self,
        drain: CancellationToken,
        drain_delay: Duration,
        drain_timeout: Duration,
    ) -> Result<(), Failure> {
        let damaged = self.core.as_ref().map(|(core, _)| core.damaged()).unwrap_or_default();
        let died = self.core.as_ref().map(|(core, _)| core.died()).unwrap_or_default();
        let mut core = self.core.map(|(core, listener)| {
            Running::start("gRPC service", core, |core, stop| async move {
                core.serve(listener, stop).await.map_err(|error| error.to_string())
            })
        });
        let mut edge = self.edge.map(|(edge, listener)| {
            Running::start("HTTP service", edge, |edge, stop| async move {
                edge.serve(listener, stop).await;
                Ok(())
            })
        });

        let leaving = edge.as_ref().map(|edge| edge.server.clone());
        let told_to_drain = async {
            drain.cancelled().await;
            if let Some(edge) = leaving.filter(|_| !drain_delay.is_zero()) {
                edge.leave();
                time::sleep(drain_delay).await;
            }
        };
        let outcome = select! {
            () = told_to_drain => Ok(()),
            () = damaged.cancelled() => Err(Failure::Damaged),
            () = died.cancelled() => {
                let reason = "it takes no more work".to_owned();
                Err(Failure::Ended { part: "core", reason })
            }
            failure = ended(&mut core) => Err(failure),
            failure = ended(&mut edge) => Err(failure),
        };
        if let Some(core) = &core {
            core.server.hurry();
        }
        if let Some(edge) = edge.as_ref().filter(|_| outcome.is_err()) {
            edge.server.hurry();
        }
        // The edge first: what its sockets have in flight still needs the core.
        let drained = time::timeout(drain_timeout, async {
            if let Some(edge) = edge {
                edge.stop().await;
            }
            if let Some(core) = core {
                core.server.drain();
                core.stop().await.close().await;
            }
        });
        if drained.await.is_err() {
            tracing::warn!("the drain timeout is over: what is left is cut off");
        }
        if damaged.is_cancelled() {
            return Err(Failure::Damaged);
        }
        outcome
    }
}

async fn open_core(
    config: netrox_core::Config,
    metrics: netrox_core::Metrics,
    sources: &Sources,
) -> Result<Core, Failure> {
    let opened = Core::open(config.clone(), metrics).await;
    opened.map_err(|error| refused_by_core(&error, &config, sources))
}

/// What a core says of its settings, by the flag that is to blame.
pub(crate) fn refused_by_core(
    error: &OpenError,
    config: &netrox_core::Config,
    sources: &Sources,
) -> Failure {
    not_opened(error, blamed(error, config), sources)
}

/// Damage, or a wrong setting: that of `flag` as it was given, or by default the data directory.
pub(crate) fn not_opened(error: &OpenError, flag: &str, sources: &Sources) -> Failure {
    if error.is_damage() {
        return Failure::Unsound(error.to_string());
    }
    let file_flag = format!("{flag}-file");
    let given = [flag, &file_flag].into_iter().find(|flag| sources.is_given(flag));
    sources.refuse(given.unwrap_or("data-dir"), error).into()
}

/// The flag that led to an error; what it has by default lies in the data directory.
fn blamed(error: &OpenError, config: &netrox_core::Config) -> &'static str {
    match error {
        OpenError::Database { .. } | OpenError::Vanished(_) | OpenError::LogOfAnother { .. } => {
            "database-url"
        }
        OpenError::Media { .. } => "media-url",
        OpenError::Bus(BusError::File { path, .. }) => blamed_of_bus(path, config),
        OpenError::Bus(BusError::Connect(_)) => "bus-url",
        OpenError::Locked(path) | OpenError::File { path, .. } => {
            if path.starts_with(&config.data_dir) {
                "data-dir"
            } else {
                match &config.media {
                    MediaLocation::Directory(media) if path.starts_with(media) => "media-url",
                    MediaLocation::Directory(_) | MediaLocation::S3(_) => "database-url",
                }
            }
        }
        OpenError::Reflection(_) => "data-dir",
    }
}

/// The flag that names a file of the bus.
fn blamed_of_bus(path: &Path, config: &netrox_core::Config) -> &'static str {
    let Some(bus) = &config.bus else { return "bus-url" };
    let (certificate, key) = bus.tls_client.clone().unzip();
    let files = [
        ("bus-credentials-file", &bus.credentials_file),
        ("bus-nkey-file", &bus.nkey_file),
        ("bus-tls-ca-file", &bus.tls_ca_file),
        ("bus-tls-cert-file", &certificate),
        ("bus-tls-key-file", &key),
    ];
    let named = files.into_iter().find(|(_, file)| file.as_deref() == Some(path));
    named.map_or("bus-url", |(flag, _)| flag)
}

fn new_edge(
    settings: EdgeSettings,
    transport: CoreTransport,
    metrics: netrox_edge::Metrics,
    sources: &Sources,
) -> Result<Edge, SettingError> {
    let key_flag = settings.key_flag;
    let edge = Edge::new(settings.config, transport, settings.authorization, metrics);
    edge.map_err(|error| sources.refuse(key_flag, error))
}

/// A server at work. Its task is awaited by whoever stops it, so that none is left behind.
struct Running<T> {
    part: &'static str,
    server: T,
    stop: CancellationToken,
    /// `None` once its end has been seen.
    serving: Option<JoinHandle<Result<(), String>>>,
}

impl<T: Clone> Running<T> {
    fn start<F>(
        part: &'static str,
        server: T,
        serve: impl FnOnce(T, CancellationToken) -> F,
    ) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let stop = CancellationToken::new();
        let serving = tokio::spawn(serve(server.clone(), stop.clone()));
        Self { part, server, stop, serving: Some(serving) }
    }

    /// Waits until it no longer serves.
    async fn end(&mut self) -> Result<(), String> {
        let Some(serving) = &mut self.serving else { return Ok(()) };
        let end = serving.await;
        self.serving = None;
        end.unwrap_or_else(|panic| Err(panic.to_string()))
    }

    /// Lets it drain. Gives the server back, idle.
    async fn stop(mut self) -> T {
        self.stop.cancel();
        if let Err(error) = self.end().await {
            tracing::error!(part = self.part, error, "failed while draining");
        }
        self.server
    }
}

/// Waits for a server to end that nobody has asked to.
async fn ended<T: Clone>(running: &mut Option<Running<T>>) -> Failure {
    let Some(running) = running else { return pending().await };
    let reason = running.end().await.err().unwrap_or_else(|| "without an error".to_owned());
    Failure::Ended { part: running.part, reason }
}
