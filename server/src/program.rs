//! A serving role, from its settings to its exit.

use std::{
    cell::Cell, io, net::SocketAddr, pin::pin, process::ExitCode, sync::Arc, time::Duration,
};

use netrox_audit::{AuditLog, Event, Name, Outcome};
use netrox_tls::{Reading, keep_current};
use tokio::{runtime, select, time::sleep};

use crate::{
    admin::{self, Admin, Observed},
    failure::Failure,
    memory, open_files,
    service::{self, Service},
    settings::Settings,
    signals::{Asked, Signals},
    start_line::StartLine,
    telemetry::Telemetry,
    traces::Traces,
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
    let result = open_audit_log(&mut settings).and_then(|audit_log| {
        let runtime = runtime::Builder::new_multi_thread().enable_all().build();
        let runtime =
            runtime.map_err(|source| Failure::System { what: "starting the runtime", source });
        let has_started = Cell::new(false);
        let result = runtime.and_then(|runtime| {
            let result = runtime.block_on(serve(settings, &telemetry, &audit_log, &has_started));
            // After a hard stop there may be work that does not end.
            runtime.shutdown_background();
            result
        });
        audit_log.close(end(has_started.get(), &result));
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

/// Before all that could be told in it.
fn open_audit_log(settings: &mut Settings) -> Result<AuditLog, Failure> {
    let opened = AuditLog::open(settings.audit.clone(), settings.parts.role());
    let audit_log = opened.map_err(|error| settings.sources.refuse("audit-log", error))?;
    if let Some(core) = settings.parts.core_mut() {
        core.config.audit = audit_log.handle();
    }
    if let Some(edge) = settings.parts.edge_mut() {
        edge.config.audit = audit_log.handle();
    }
    Ok(audit_log)
}

/// Tells how the process ends, or that it did not begin.
fn end(has_started: bool, result: &Result<(), Failure>) -> Event {
    let event = Event::new(if has_started { Name::Stopped } else { Name::StartFailed });
    match result {
        Ok(()) if has_started => event,
        Ok(()) => event.outcome(Outcome::Failed).reason("told to end before the start was over"),
        Err(failure) => event.outcome(Outcome::Failed).reason(failure.to_string()),
    }
}

async fn serve(
    settings: Settings,
    telemetry: &Telemetry,
    audit_log: &AuditLog,
    has_started: &Cell<bool>,
) -> Result<(), Failure> {
    let listen = |source: io::Error| Failure::System { what: "listening to signals", source };
    let mut signals = Signals::listen().map_err(listen)?;
    let asked = Asked::default();
    let audit = audit_log.handle();
    let told = audit.clone();
    let told = move |Reading { name, refusal }| {
        let result = match refusal {
            None => Ok(name.to_owned()),
            Some(refusal) => Err(format!("{name}: {refusal}")),
        };
        told.reloaded(Name::CertificatesReloaded, result);
    };
    let certificates = keep_current(settings.watched.clone(), asked.hangups.subscribe(), told);
    select! {
        result = observe(settings, telemetry, audit_log, has_started, asked.clone()) => result,
        () = signals.watch(&asked) => Err(Failure::SecondSignal),
        never = asked.at_hangups(|| audit.reopen()) => match never {},
        never = memory::give_back() => match never {},
        never = certificates => match never {},
    }
}

/// With metrics and health, which are there from before all else until after it.
async fn observe(
    mut settings: Settings,
    telemetry: &Telemetry,
    audit_log: &AuditLog,
    has_started: &Cell<bool>,
    asked: Asked,
) -> Result<(), Failure> {
    let listener = settings.admin.bind(&settings.sources, &mut settings.warnings)?;
    let address = listener.as_ref().and_then(|listener| listener.local_addr().ok());
    let mut registry = admin::registry(settings.parts.role(), asked.drain.clone());
    let metrics = service::Metrics::registered(&settings.parts, &mut registry);
    audit_log.register(&mut registry);
    let (traced, role) = (settings.traces.take(), settings.parts.role());
    let traces = Traces::start(traced, role, &mut registry);
    netrox_tls::register(&settings.watched, &mut registry);
    let drain = asked.drain.clone();
    let (filter, audit) = (telemetry.filter(), audit_log.handle());
    let observed = Observed::new(registry, drain, &settings.parts, filter, audit);
    let observed = Arc::new(observed);
    let admin = listener.map(|listener| Admin::start(listener, Arc::clone(&observed)));
    let view = View { observed, metrics, address };
    let tell_start = || {
        has_started.set(true);
        audit_log.handle().record(Event::new(Name::Started).target(env!("CARGO_PKG_VERSION")));
    };
    let result = open_and_run(settings, telemetry, tell_start, asked, view).await;
    if let Some(traces) = traces {
        traces.end().await;
    }
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
    tell_start: impl FnOnce(),
    asked: Asked,
    view: View,
) -> Result<(), Failure> {
    let line = StartLine::new(&settings.parts);
    let mut warnings = settings.warnings.into_iter();
    let mut opening = pin!(Service::open(settings.parts, &settings.sources, view.metrics));
    let opened = loop {
        select! {
            opened = &mut opening => break Some(opened?),
            // It may wait for a database for long.
            () = asked.drain.cancelled() => break None,
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
    tell_start();
    if let Some(welcome) = settings.welcome {
        telemetry.print(&welcome.text(&addresses));
        if let Some(url) = welcome.demo_url(&addresses).filter(|_| !telemetry.is_for_people()) {
            tracing::info!(demo.url = url, "the web client is open to who has this address");
        }
    }
    let parts = service.parts();
    select! {
        result = service.run(asked.drain.clone(), settings.drain_delay, settings.drain_timeout) => result?,
        never = asked.at_hangups(|| parts.read_again()) => match never {},
    }
    tracing::info!("drained");
    Ok(())
}
