//! `netrox-chat migrate`: a SQLite database into PostgreSQL. What it does goes to stderr, its result to stdout.

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

use netrox_core::{Copied, CopiedTable, CopyError, MigrateError, PostgresDatabase};

use crate::{
    cli::MigrateArgs,
    failure::Failure,
    secret::{self, Secret, Warnings},
    settings,
    sources::{SettingError, Sources},
};

const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) fn run(args: &MigrateArgs, sources: &Sources) -> Result<(), Failure> {
    let mut warnings = Warnings::of_environment();
    let target = target(args, sources, &mut warnings)?;
    for warning in warnings {
        say(format_args!("warning: {warning}"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|source| Failure::System { what: "starting the runtime", source })?;
    say(format_args!("copying {} to {target}", args.from.display()));
    let mut last_told = Instant::now();
    let migration = netrox_core::migrate(&args.from, &target, |table, rows| {
        if last_told.elapsed() >= PROGRESS_INTERVAL {
            last_told = Instant::now();
            say(format_args!("{table}: {rows} rows"));
        }
    });
    let copied = runtime.block_on(migration).map_err(|error| failure(error, sources))?;
    let printed = match copied {
        Copied::Tables(tables) => print(&tables),
        Copied::Already => writeln!(
            io::stdout(),
            "{target} is a finished copy of {} already: nothing was changed",
            args.from.display()
        ),
    };
    printed.map_err(|source| Failure::System { what: "writing to stdout", source })
}

fn target(
    args: &MigrateArgs,
    sources: &Sources,
    warnings: &mut Warnings,
) -> Result<PostgresDatabase, SettingError> {
    let has_password = |url: &Secret| url.reveal().contains('@');
    let (value, file) = (args.to.as_ref(), args.to_file.as_ref());
    let given = secret::given_if_secret("to", value, file, has_password, sources, warnings)?;
    let url = given.ok_or_else(|| sources.refuse("to", "must be given, or --to-file"))?;
    let flag = if file.is_some() { "to-file" } else { "to" };
    let url = url.reveal().trim().parse().map_err(|error| sources.refuse(flag, error))?;
    settings::warn_of_ignored(flag, &url, sources, warnings);
    let schema = args.postgres.database_schema.clone();
    let accepted = args.postgres.accepted();
    settings::warn_of_accepted(accepted, sources, warnings);
    let connection_lifetime = PostgresDatabase::DEFAULT_CONNECTION_LIFETIME;
    Ok(PostgresDatabase { url, schema, accepted, connection_lifetime })
}

/// What can be put right by other settings is told as a wrong setting.
fn failure(error: MigrateError, sources: &Sources) -> Failure {
    match &error {
        _ if error.is_damage() => Failure::Unsound(error.to_string()),
        MigrateError::Missing(_) | MigrateError::Empty(_) | MigrateError::Locked(_) => {
            sources.refuse("from", error).into()
        }
        MigrateError::Source { error: CopyError::Source(_), .. } => {
            sources.refuse("from", error).into()
        }
        MigrateError::Target {
            error:
                CopyError::Target(_)
                | CopyError::Busy
                | CopyError::InUse
                | CopyError::NotEmpty
                | CopyError::SourceChanged(_),
            ..
        } => sources.refuse("to", error).into(),
        MigrateError::Source { .. } | MigrateError::Target { .. } => {
            Failure::System { what: "the copy", source: io::Error::other(error) }
        }
    }
}

fn print(tables: &[CopiedTable]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "copied, and the same on both sides:")?;
    for CopiedTable { name, rows, hash } in tables {
        writeln!(stdout, "{name:<10} {rows:>12} rows  sha256 {hash}")?;
    }
    writeln!(
        stdout,
        "The files of attachments are not copied: keep the media directory, or copy it."
    )
}

fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}
