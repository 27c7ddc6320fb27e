//! `netrox-chat doctor`: what is wrong with what a role works on, and what to do. What is wrong goes to stdout, a line each;
//! what is well, what could not be looked at, and warnings go to stderr. It leaves nothing behind, also beside a server that
//! runs.
//!
//! * [`ports`]: who has the addresses that the role listens on; [`descriptors`]: how many files may be open; [`told`]: how all
//!   of it is printed.

mod descriptors;
mod ports;
mod told;

use std::{
    io::{self, Write},
    mem::ManuallyDrop,
    pin::pin,
    process::ExitCode,
    sync::mpsc,
    thread,
    time::Duration,
};

use netrox_diagnosis::{Report, Subject};
use tokio::{join, runtime, select};
use tokio_util::sync::CancellationToken;

use crate::{
    check,
    cli::{DoctorArgs, Serving},
    failure::Failure,
    secret::Warnings,
    settings::{self, Parts, Settings},
    signals::Signals,
    sources::{SettingError, Sources},
    traces,
};
pub(crate) use told::Form;

/// For the files that settings name: they may be on a file system that hangs.
const FILES_TIMEOUT: Duration = Duration::from_secs(10);

/// Status 0 where nothing is wrong, 1 where something is, 2 where a setting is refused, which is all that is found then. Where
/// a signal ends it, 128 and its number, as of a process that it kills.
pub(crate) fn run(args: DoctorArgs, sources: Sources) -> Result<ExitCode, Failure> {
    let form = Form::of(args.json);
    let settings = match read(args.role, sources)? {
        Some(Ok(settings)) => settings,
        Some(Err(Failure::Setting(error))) => return refused(form, &error),
        Some(Err(failure)) => return Err(failure),
        None => return unread(form),
    };
    let role = settings.parts.role();
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|source| Failure::System { what: "starting the runtime", source })?;
    // What hangs is not waited for. It goes with the process, and till then has what it works on.
    let runtime = ManuallyDrop::new(runtime);
    let mut report = match runtime.block_on(examine_until_signal(&settings))? {
        Ok(report) => report,
        Err(signal) => {
            let _ = writeln!(io::stderr(), "{}: not all was looked at", signal.name);
            return Ok(ExitCode::from(signal.status));
        }
    };
    let mut warnings = Warnings::default();
    look_at_certificates(&settings, &mut report);
    let ours = ports::look(&settings, &mut report, &mut warnings);
    descriptors::look(&settings, ours, &mut report, &mut warnings);
    // What is found is not warned of as well.
    let is_found = |warning: &String| report.findings.iter().any(|found| found.cause == *warning);
    for warning in settings.warnings.into_iter().filter(|warning| !is_found(warning)) {
        warnings.add(warning);
    }
    told::tell(form, Some(role), &report, warnings)?;
    Ok(if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Nothing where that takes too long.
fn read(role: Serving, sources: Sources) -> Result<Option<Result<Settings, Failure>>, Failure> {
    let (done, reading) = mpsc::channel();
    let read = move || {
        let settings = settings::of(role, sources)?;
        check::addresses(&settings)?;
        check::audit_log(&settings)?;
        check::keys(&settings)?;
        Ok(settings)
    };
    let reader = thread::Builder::new().spawn(move || {
        // Who waited for it may have gone on.
        let _ = done.send(read());
    });
    reader.map_err(|source| Failure::System { what: "starting a thread", source })?;
    Ok(reading.recv_timeout(FILES_TIMEOUT).ok())
}

fn unread(form: Form) -> Result<ExitCode, Failure> {
    let mut report = Report::default();
    let seconds = FILES_TIMEOUT.as_secs();
    let cause = format!("the files that the settings name were not read within {seconds} s");
    report.find(Subject::Settings, cause, "see whether the file system that they are on hangs");
    told::tell(form, None, &report, Warnings::default())?;
    Ok(ExitCode::FAILURE)
}

/// A setting that a start would refuse: without it nothing else can be looked at.
pub(crate) fn refused(form: Form, error: &SettingError) -> Result<ExitCode, Failure> {
    let mut report = Report::default();
    let remedy = "mend it: netrox-chat ROLE --help says what it takes, docs/FAILURES.md why it may be refused";
    report.find(Subject::Settings, error, remedy);
    told::tell(form, None, &report, Warnings::default())?;
    Ok(ExitCode::from(2))
}

/// What ended a look.
struct Ended {
    name: &'static str,
    status: u8,
}

/// What was written for a look is removed also when a signal ends it.
async fn examine_until_signal(settings: &Settings) -> Result<Result<Report, Ended>, Failure> {
    let listened = Signals::listen();
    let mut signals =
        listened.map_err(|source| Failure::System { what: "listening to signals", source })?;
    let stop = CancellationToken::new();
    let mut looked = pin!(examine(settings, stop.clone()));
    let name = select! {
        report = &mut looked => return Ok(Ok(report)),
        name = signals.next() => name,
    };
    stop.cancel();
    select! {
        _ = looked => {}
        _ = signals.next() => {}
    }
    let number = match name {
        "SIGHUP" => 1,
        "SIGINT" => 2,
        _ => 15,
    };
    Ok(Err(Ended { name, status: 128 + number }))
}

/// All that has to be waited for, at the same time.
async fn examine(settings: &Settings, stop: CancellationToken) -> Report {
    let parts = &settings.parts;
    let core = async {
        match parts.core() {
            Some(core) => netrox_core::examine(&core.config, stop.clone()).await,
            None => Report::default(),
        }
    };
    let edge = async {
        match parts.edge() {
            Some(edge) => netrox_edge::examine(&edge.config).await,
            None => Report::default(),
        }
    };
    let cores = async {
        match parts {
            Parts::Edge { edge, cores, tls } => {
                let (cores, tls) = (cores.clone(), tls.clone());
                netrox_edge::examine_cores(cores, tls, edge.authorization.clone()).await
            }
            // There is one, in the process.
            Parts::Serve { .. } | Parts::Core { .. } => Report::default(),
        }
    };
    let traces = async {
        match &settings.traces {
            Some(traces) => traces::examine(traces, parts.role()).await,
            None => Report::default(),
        }
    };
    let others = stop.run_until_cancelled(async { join!(edge, cores, traces) });
    let (mut report, others) = join!(core, others);
    let (edge, cores, traces) = others.unwrap_or_default();
    report.add(edge);
    report.add(cores);
    report.add(traces);
    report
}

fn look_at_certificates(settings: &Settings, report: &mut Report) {
    for fault in settings.watched.iter().flat_map(netrox_tls::Watched::faults) {
        report.find(Subject::Certificates, fault.cause, fault.remedy);
    }
}
