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
    addresses(settings)?;
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

/// Refuses an address that another flag takes before, in the words of a start, which takes them in this order.
pub(crate) fn addresses(settings: &Settings) -> Result<(), Failure> {
    let parts = &settings.parts;
    let listeners = [
        ("admin-addr", settings.admin.address()),
        ("http-addr", parts.edge().map(|edge| edge.addr)),
        ("grpc-addr", parts.core().map(|core| core.addr)),
    ];
    let mut taken = Vec::new();
    for (flag, address) in listeners {
        // The kernel chooses another port for each that is 0.
        let Some(address) = address.filter(|address| address.port() != 0) else { continue };
        if taken.iter().any(|taken| listener::meet(*taken, address)) {
            return Err(listener::is_taken(flag, address, &settings.sources).into());
        }
        taken.push(address);
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
