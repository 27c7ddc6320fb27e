//! `netrox-chat check`: whether a start with the same flags, variables and files would refuse a setting. It asks no engine,
//! and makes nothing.

use std::io::{self, Write};

use tokio::runtime;

use crate::{
    cli::CheckArgs,
    failure::Failure,
    listener, service,
    settings::{self, Settings},
    sources::Sources,
};

pub(crate) fn run(args: CheckArgs, sources: Sources) -> Result<(), Failure> {
    let settings = settings::of(args.role, sources)?;
    listeners(&settings)?;
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|source| Failure::System { what: "starting the runtime", source })?;
    runtime.block_on(files(&settings))?;
    let role = settings.parts.role();
    for warning in settings.warnings {
        let _ = writeln!(io::stderr(), "warning: {warning}");
    }
    writeln!(io::stdout(), "the settings of {role} are good")
        .map_err(|source| Failure::System { what: "writing to stdout", source })
}

/// In the order in which a start takes them.
fn listeners(settings: &Settings) -> Result<(), Failure> {
    let sources = &settings.sources;
    audit_log(settings)?;
    settings.admin.check(sources)?;
    if let Some(edge) = settings.parts.edge() {
        listener::check("http-addr", edge.addr, sources)?;
    }
    if let Some(core) = settings.parts.core() {
        listener::check("grpc-addr", core.addr, sources)?;
    }
    Ok(())
}

/// Whether the audit log could be opened.
pub(crate) fn audit_log(settings: &Settings) -> Result<(), Failure> {
    let Some(target) = &settings.audit else { return Ok(()) };
    Ok(target.check().map_err(|error| settings.sources.refuse("audit-log", error))?)
}

/// What the parts read of files before they ask anything.
async fn files(settings: &Settings) -> Result<(), Failure> {
    if let Some(core) = settings.parts.core() {
        let checked = netrox_core::check(&core.config).await;
        checked
            .map_err(|error| service::refused_by_core(&error, &core.config, &settings.sources))?;
    }
    keys(settings)
}

/// Whether tokens can be verified by the keys that there are.
pub(crate) fn keys(settings: &Settings) -> Result<(), Failure> {
    let Some(edge) = settings.parts.edge() else { return Ok(()) };
    let checked = netrox_edge::check(&edge.config);
    Ok(checked.map_err(|error| settings.sources.refuse(edge.key_flag, error))?)
}
