//! `netrox-chat epoch renew`: a new history of the database. Its name goes to stdout, what the user should know to stderr.

use std::io::{self, Write};

use crate::{
    cli::{EpochAction, EpochArgs},
    failure::Failure,
    secret::Warnings,
    settings,
    sources::Sources,
};

pub(crate) fn run(args: &EpochArgs, sources: &Sources) -> Result<(), Failure> {
    let EpochAction::Renew = args.action;
    let mut warnings = Warnings::default();
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
        if error.is_damage() {
            return Failure::Unsound(error.to_string());
        }
        let flags = ["database-url", "database-url-file"];
        let given = flags.into_iter().find(|flag| sources.is_given(flag));
        sources.refuse(given.unwrap_or("data-dir"), error).into()
    })?;
    writeln!(io::stdout(), "{epoch}")
        .map_err(|source| Failure::System { what: "writing to stdout", source })
}
