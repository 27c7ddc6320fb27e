//! A serving role, from its settings to its exit.

use std::{io, net::SocketAddr, pin::pin, process::ExitCode, sync::Arc, time::Duration};

use netrox_tls::keep_current;
use tokio::{runtime, select, sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    admin::{self, Admin, Observed},
    failure::Failure,
    memory, open_files,
    service::{self, Service},
    settings::Settings,
    signals::Signals,
    start_line::StartLine,
    telemetry::Telemetry,
};

/// Warnings of the settings come with what has started, or before it where that takes longer.
const LONG_START: Duration = Duration::from_secs(2);

/// Runs until it is told to end, or fails and says why.
pub(crate) fn run(mut settings: Settings) -> ExitCode {
    let telemetry = Telemetry::start(settings.log.clone());
    let max_connections = settings.parts.edge().map(|edge| edge.config.limits.max_connections);
    let open_files = open_files::raise_limit(max_connections, &mut settings.warnings);
    if let Some(edge) = settings.parts.edge_mut() {
        edge.config.open_files = open_files;
    }
    let runtime = runtime::Builder::new_multi_thread().enable_all().build();
    let runtime =
        runtime.map_err(|source| Failure::System { what: "starting the runtime", source });
    let result = runtime.and_then(|runtime| {
        let result = runtime.block_on(serve(settings, &telemetry));
        // After a hard stop there may be work that does not end.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            telemetry.report(&failure);
            failure.exit_code()
        }
    }
}

async fn serve(settings: Settings, telemetry: &Telemetry) -> Result<(), Failure> {
    let listen = |source: io::Error| Failure::System { what: "listening to signals", source };
    let mut signals = Signals::listen().map_err(listen)?;
    let drain = CancellationToken::new();
    let hangups = watch::Sender::default();
    let certificates = keep_current(settings.watched.clone(), hangups.subscribe());
    select! {
        result = observe(settings, telemetry, drain.clone()) => result,
        () = signals.watch(&drain, &hangups) => Err(Failure::SecondSignal),
        never = memory::give_back() => match never {},
        never = certificates => match never {},
    }
}

/// With metrics and health, which are there from before all else until after it.
async fn observe(
    mut settings: Settings,
    telemetry: &Telemetry,
    drain: CancellationToken,
) -> Result<(), Failure> {
    let listener = settings.admin.bind(&settings.sources, &mut settings.warnings)?;
    let address = listener.as_ref().and_then(|listener| listener.local_addr().ok());
    let mut registry = admin::registry(settings.parts.role());
    let metrics = service::Metrics::registered(&settings.parts, &mut registry);
    let observed = Arc::new(Observed::new(registry, drain.clone()));
    let admin = listener.map(|listener| Admin::start(listener, Arc::clone(&observed)));
    let view = View { observed, metrics, address };
    let result = open_and_run(settings, telemetry, drain, view).await;
    if let Some(admin) = admin {
        admin.stop().await;
    }
    result
}

/// How the process is seen from outside.
struct View {
    observed: Arc<Observed>,
    metrics: service::Metrics,
    /// Of metrics and health.
    address: Option<SocketAddr>,
}

async fn open_and_run(
    settings: Settings,
    telemetry: &Telemetry,
    drain: CancellationToken,
    view: View,
) -> Result<(), Failure> {
    let line = StartLine::new(&settings.parts);
    let mut warnings = settings.warnings.into_iter();
    let mut opening = pin!(Service::open(settings.parts, &settings.sources, view.metrics));
    let opened = loop {
        select! {
            opened = &mut opening => break Some(opened?),
            // It may wait for a database for long.
            () = drain.cancelled() => break None,
            // What it waits for may be by what is warned of.
            () = sleep(LONG_START), if warnings.len() > 0 => {
                for warning in warnings.by_ref() {
                    tracing::warn!("{warning}");
                }
            }
        }
    };
    let Some(service) = opened else {
        tracing::info!("told to end before the start was over");
        return Ok(());
    };
    view.observed.opened(service.parts());
    let addresses = service.addresses(view.address);
    if service.begins_new_chat() {
        line.warn_of_new_chat();
    }
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    line.log(&addresses);
    if let Some(welcome) = settings.welcome {
        telemetry.print(&welcome.text(&addresses));
    }
    service.run(drain, settings.drain_delay, settings.drain_timeout).await?;
    tracing::info!("drained");
    Ok(())
}
