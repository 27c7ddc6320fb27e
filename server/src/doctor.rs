//! `netrox-chat doctor`: what is wrong with what a role works on, and what to do. What is wrong goes to stdout, a line each;
//! what is well, what could not be looked at, and warnings go to stderr. It leaves nothing behind, also beside a server that
//! runs.
//!
//! * [`ports`]: who has the addresses that the role listens on; [`told`]: how all of it is printed.

mod ports;
mod told;

use std::process::ExitCode;

use netrox_diagnosis::{Report, Subject};
use tokio::{join, runtime};

use crate::{
    check,
    cli::DoctorArgs,
    failure::Failure,
    open_files,
    secret::Warnings,
    settings::{self, Parts, Settings},
    sources::{SettingError, Sources},
};
pub(crate) use told::Form;

/// Status 0 where nothing is wrong, 1 where something is, 2 where a setting is refused, which is all that is found then.
pub(crate) fn run(args: DoctorArgs, sources: Sources) -> Result<ExitCode, Failure> {
    let form = Form::of(args.json);
    let settings = match settings::of(args.role, sources) {
        Ok(settings) => settings,
        Err(error) => return refused(form, &error),
    };
    for checked in [check::audit_log(&settings), check::keys(&settings)] {
        match checked {
            Ok(()) => {}
            Err(Failure::Setting(error)) => return refused(form, &error),
            Err(failure) => return Err(failure),
        }
    }
    let (role, mut warnings) = (settings.parts.role(), Warnings::default());
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|source| Failure::System { what: "starting the runtime", source })?;
    let mut report = runtime.block_on(examine(&settings));
    // What hangs is not waited for.
    runtime.shutdown_background();
    look_at_certificates(&settings, &mut report);
    look_at_descriptors(&settings, &mut report);
    ports::look(&settings, &mut report);
    // What is found is not warned of as well.
    let is_found = |warning: &String| report.findings.iter().any(|found| found.cause == *warning);
    for warning in settings.warnings.into_iter().filter(|warning| !is_found(warning)) {
        warnings.add(warning);
    }
    told::tell(form, Some(role), &report, warnings)?;
    Ok(if report.findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A setting that a start would refuse: without it nothing else can be looked at.
pub(crate) fn refused(form: Form, error: &SettingError) -> Result<ExitCode, Failure> {
    let mut report = Report::default();
    let remedy = "mend it: netrox-chat ROLE --help says what it takes, docs/OPERATING.md why it may be refused";
    report.find(Subject::Settings, error, remedy);
    told::tell(form, None, &report, Warnings::default())?;
    Ok(ExitCode::from(2))
}

/// All that has to be waited for, at the same time.
async fn examine(settings: &Settings) -> Report {
    let parts = &settings.parts;
    let core = async {
        match parts.core() {
            Some(core) => netrox_core::examine(&core.config).await,
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
    let (mut report, edge, cores) = join!(core, edge, cores);
    report.add(edge);
    report.add(cores);
    report
}

fn look_at_certificates(settings: &Settings, report: &mut Report) {
    for fault in settings.watched.iter().flat_map(netrox_tls::Watched::faults) {
        report.find(Subject::Certificates, fault.cause, fault.remedy);
    }
}

/// Of this user, here: those of a unit or a container may be others.
fn look_at_descriptors(settings: &Settings, report: &mut Report) {
    let wanted = settings.parts.edge().map(|edge| edge.config.limits.max_connections);
    let mut warnings = Warnings::default();
    let limit = open_files::raise_limit(wanted, &mut warnings);
    for warning in warnings {
        let remedy = "raise the hard limit (LimitNOFILE of the unit, ulimit -Hn), or lower --max-connections";
        report.find(Subject::Descriptors, warning, remedy);
    }
    if let Some(limit) = limit {
        report.note(Subject::Descriptors, format!("{limit} files may be open"));
    }
}
