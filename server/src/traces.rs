//! Sends the spans that have ended to a collector, by OTLP over gRPC. A collector that is away, or does not answer, costs what
//! the queue holds and the spans that it has no room for; nobody else waits.

use std::{future::pending, io, time::Duration};

use http::Uri;
use hyper_util::rt::TokioIo;
use netrox_diagnosis::{Report, Subject};
use netrox_metrics::Registry;
use netrox_traces::{Dropped, Ended, Metrics, SpanData};
use opentelemetry::KeyValue;
use opentelemetry_proto::{
    tonic::collector::trace::v1::{
        ExportTraceServiceRequest, trace_service_client::TraceServiceClient,
    },
    transform::{
        common::tonic::ResourceAttributesWithSchema,
        trace::tonic::group_spans_by_resource_and_scope,
    },
};
use opentelemetry_sdk::Resource;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout, timeout_at},
};
use tonic::{
    Request,
    metadata::MetadataMap,
    transport::{Channel, Endpoint},
};
use uuid::Uuid;

use crate::{link, settings::TraceSettings};

const PORT: u16 = 4317;
/// In one request.
const BATCH_SPANS: usize = 512;
/// How long the first of them waits for others.
const BATCH_INTERVAL: Duration = Duration::from_secs(1);
/// For a request, with the connection that it may take.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// For the connection, with TLS. One that hangs would keep all that come after it, for the library waits for it again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// For what is left when the process ends.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// For a look whether it is there.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two lines about a collector that takes nothing.
const NOTICE_INTERVAL: Duration = Duration::from_secs(60);

/// The way to the collector at work.
#[derive(Debug)]
pub(crate) struct Traces {
    /// Until when what is left may take.
    stop: watch::Sender<Option<Instant>>,
    task: JoinHandle<()>,
}

impl Traces {
    /// To be called once in a process, in its runtime. Nothing is traced without `settings`.
    pub(crate) fn start(
        settings: Option<TraceSettings>,
        role: &'static str,
        registry: &mut Registry,
    ) -> Option<Self> {
        // They are there also where they stay 0.
        let metrics = Metrics::registered(registry);
        let settings = settings?;
        let ended = netrox_traces::turn_on(settings.sampling, &metrics)?;
        let collector = Collector::new(&settings, role);
        let (stop, stopped) = watch::channel(None);
        let export = Export { collector, metrics, stopped, lost: Lost::default() };
        let task = tokio::spawn(export.run(ended));
        Some(Self { stop, task })
    }

    /// Sends what is left, for a moment.
    pub(crate) async fn end(self) {
        netrox_traces::turn_off();
        let until = Instant::now() + FLUSH_TIMEOUT;
        self.stop.send_replace(Some(until));
        // It ends by then; what is left of it ends with the runtime.
        let _ = timeout_at(until + FLUSH_TIMEOUT, self.task).await;
    }
}

/// Whether the collector takes spans: it is sent none.
pub(crate) async fn examine(settings: &TraceSettings, role: &'static str) -> Report {
    let mut report = Report::default();
    let what = "the collector of traces";
    report
        .within(Subject::Traces, LOOK_TIMEOUT, what, async |report| {
            let looked = Collector::new(settings, role).export(Vec::new()).await;
            let endpoint = &settings.endpoint;
            match looked {
                Ok(_) => report.note(Subject::Traces, format!("{what} at {endpoint} takes spans")),
                Err(error) => {
                    let remedy = "see whether it runs and takes OTLP over gRPC there, and what --otlp-headers-file and \
                                  --otlp-ca-file are to be; messages flow without it";
                    report.find(Subject::Traces, format!("{what} at {endpoint}: {error}"), remedy);
                }
            }
        })
        .await;
    report
}

struct Collector {
    client: TraceServiceClient<Channel>,
    headers: MetadataMap,
    resource: ResourceAttributesWithSchema,
}

impl Collector {
    fn new(settings: &TraceSettings, role: &'static str) -> Self {
        let resource = Resource::builder_empty().with_attributes([
            KeyValue::new("service.name", env!("CARGO_PKG_NAME")),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", Uuid::new_v4().to_string()),
            KeyValue::new("netrox.role", role),
        ]);
        Self {
            client: TraceServiceClient::new(channel(settings)),
            headers: MetadataMap::from_headers(settings.headers.clone()),
            resource: (&resource.build()).into(),
        }
    }

    /// Gives how many of them it did not take, and why.
    async fn export(&self, batch: Vec<SpanData>) -> Result<Option<(u64, String)>, String> {
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let mut request = Request::new(ExportTraceServiceRequest { resource_spans });
        *request.metadata_mut() = self.headers.clone();
        let answer = self.client.clone().export(request).await;
        let answer = answer.map_err(|status| status.to_string())?.into_inner();
        let rejected = answer.partial_success.map(|partial| {
            (u64::try_from(partial.rejected_spans).unwrap_or_default(), partial.error_message)
        });
        Ok(rejected.filter(|(count, _)| *count > 0))
    }
}

/// Connects when there is something to send, and again whenever a connection breaks.
fn channel(settings: &TraceSettings) -> Channel {
    let endpoint = Endpoint::from(settings.endpoint.clone())
        .timeout(EXPORT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    let tls = settings.tls.clone();
    endpoint.connect_with_connector_lazy(tower::service_fn(move |collector: Uri| {
        let tls = tls.clone();
        async move {
            let dialled = link::dial(&collector, tls.as_ref(), PORT);
            let stream = timeout(CONNECT_TIMEOUT, dialled).await;
            let stream = stream.map_err(|_| io::Error::from(io::ErrorKind::TimedOut)).flatten();
            stream.map(TokioIo::new)
        }
    }))
}

struct Export {
    collector: Collector,
    metrics: Metrics,
    stopped: watch::Receiver<Option<Instant>>,
    lost: Lost,
}

/// What the operator was told of spans that were lost.
#[derive(Debug, Default)]
struct Lost {
    told_at: Option<Instant>,
    untold: u64,
    is_failing: bool,
}

/// Until when what is left may take.
async fn told_to_stop(stopped: &mut watch::Receiver<Option<Instant>>) -> Instant {
    let told = stopped.wait_for(Option::is_some).await;
    // An error is the end of the process.
    told.ok().and_then(|until| *until).unwrap_or_else(Instant::now)
}

impl Export {
    async fn run(mut self, mut ended: Ended) {
        let mut stopped = self.stopped.clone();
        let mut batch = Vec::new();
        loop {
            let is_stopped = collect(&mut ended, &mut batch, &mut stopped).await;
            self.export(std::mem::take(&mut batch)).await;
            if is_stopped {
                break;
            }
        }
        while let Ok(span) = ended.try_recv() {
            batch.push(span);
            if batch.len() == BATCH_SPANS {
                self.export(std::mem::take(&mut batch)).await;
            }
        }
        self.export(batch).await;
    }

    async fn export(&mut self, batch: Vec<SpanData>) {
        if batch.is_empty() {
            return;
        }
        let count = batch.len() as u64;
        let mut stopped = self.stopped.clone();
        let too_late = async {
            let until = told_to_stop(&mut stopped).await;
            sleep_until(until).await;
        };
        let result = tokio::select! {
            result = self.collector.export(batch) => result,
            () = sleep(EXPORT_TIMEOUT) => Err("no answer in time".to_owned()),
            () = too_late => {
                self.metrics.dropped.add(Dropped::Shutdown, count);
                return;
            }
        };
        match result {
            Ok(None) => {
                self.metrics.exported.inc_by(count);
                self.lost.found();
            }
            Ok(Some((rejected, error))) => {
                let rejected = rejected.min(count);
                self.metrics.exported.inc_by(count - rejected);
                self.metrics.dropped.add(Dropped::Collector, rejected);
                self.lost.more(rejected, &error);
            }
            Err(error) => {
                self.metrics.dropped.add(Dropped::Collector, count);
                self.lost.more(count, &error);
            }
        }
    }
}

/// Takes spans out, until there are enough or the first of them has waited for long enough. Gives whether it is told to stop.
async fn collect(
    ended: &mut Ended,
    batch: &mut Vec<SpanData>,
    stopped: &mut watch::Receiver<Option<Instant>>,
) -> bool {
    let mut sent_at = None;
    while batch.len() < BATCH_SPANS {
        let is_late = async move {
            match sent_at {
                Some(at) => sleep_until(at).await,
                None => pending().await,
            }
        };
        let room = BATCH_SPANS - batch.len();
        tokio::select! {
            taken = ended.recv_many(batch, room) => {
                // Nothing comes any more.
                if taken == 0 {
                    return true;
                }
                sent_at.get_or_insert_with(|| Instant::now() + BATCH_INTERVAL);
            }
            () = is_late => return false,
            _ = told_to_stop(stopped) => return true,
        }
    }
    false
}

impl Lost {
    /// Tells it, once a minute at most.
    fn more(&mut self, count: u64, error: &str) {
        self.is_failing = true;
        self.untold += count;
        let now = Instant::now();
        if self.told_at.is_none_or(|at| now.saturating_duration_since(at) >= NOTICE_INTERVAL) {
            let lost = std::mem::take(&mut self.untold);
            self.told_at = Some(now);
            tracing::warn!(
                lost,
                error,
                "the collector of traces takes no spans, or not all: they are dropped"
            );
        }
    }

    /// The collector has taken some.
    fn found(&mut self) {
        if std::mem::take(&mut self.is_failing) {
            let lost = std::mem::take(&mut self.untold);
            self.told_at = None;
            tracing::info!(lost, "the collector of traces takes spans again");
        }
    }
}
