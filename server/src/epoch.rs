//! `netrox-chat epoch renew`: a new history of the database. Its name goes to stdout, what the user should know to stderr.

use std::io::{self, Write};

use crate::{
    cli::{EpochAction, EpochArgs},
    failure::Failure,
    secret::Warnings,
    service, settings,
    sources::Sources,
};

pub(crate) fn run(args: &EpochArgs, sources: &Sources) -> Result<(), Failure> {
    let EpochAction::Renew = args.action;
    let mut warnings = Warnings::of_environment();
    let data_dir = &args.data_dir.data_dir;
    let database = settings::database(&args.database, data_dir, sources, &mut warnings)?;
    for warning in warnings {
        let _ = writeln!(io::stderr(), "warning: {warning}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|source| Failure::System { what: "starting the runtime", source })?;
    let renewed = runtime.block_on(netrox_core::renew_epoch(&database));
    let epoch = renewed.map_err(|error| {
        if error.is_out_of_reach() {
            return Failure::System { what: "the renewal", source: io::Error::other(error) };
        }
        service::not_opened(&error, "database-url", sources)
    })?;
    writeln!(io::stdout(), "{epoch}")
        .map_err(|source| Failure::System { what: "writing to stdout", source })
}
