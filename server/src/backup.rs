//! `netrox-chat backup` and `netrox-chat restore`: what was made goes to stdout as one line of JSON, what the user should know to
//! stderr.

use std::io::{self, Write};

use netrox_core::{
    BackedUp, BackupError, BackupSettings, Checked, Database, MediaLocation, RestoreSettings,
    Restored,
};
use serde_json::{Value, json};
use tokio::runtime::{self, Runtime};

use crate::{
    cli::{BackupArgs, RestoreArgs},
    failure::Failure,
    secret::Warnings,
    service, settings,
    sources::Sources,
};

pub(crate) fn run(args: BackupArgs, sources: &Sources) -> Result<(), Failure> {
    let mut warnings = Warnings::of_environment();
    let data_dir = &args.data_dir.data_dir;
    let database = settings::database(&args.database, data_dir, sources, &mut warnings)?;
    tell(warnings);
    let Database::Sqlite(database) = database else {
        let flag = ["database-url-file", "database-url"]
            .into_iter()
            .find(|flag| sources.is_given(flag))
            .unwrap_or("database-url");
        let reason = "a PostgreSQL database is backed up by its own means: pgBackRest, WAL-G, \
                      pg_basebackup or pg_dump (docs/BACKUP.md)";
        return Err(sources.refuse(flag, reason).into());
    };
    let media = args.media_url;
    let media = media.unwrap_or_else(|| MediaLocation::Directory(data_dir.join("media")));
    let settings =
        BackupSettings { database, media, target: args.to, keep: args.keep, verify: args.verify };
    let made = runtime()?.block_on(netrox_core::back_up(&settings));
    let made = made.map_err(|error| failure(error, "the backup", "to", sources))?;
    if let Some(bucket) = &made.files_are_in {
        say(format_args!("warning: the files of messages are in {bucket}, and were not copied"));
    }
    if let Some(mended) = &made.mended {
        say(format_args!("warning: copied anew, look at the disk of the backups: {mended}"));
    }
    if let Some(doubt) = &made.doubt {
        say(format_args!("warning: no file was removed, because others may need it: {doubt}"));
    }
    print(&backed_up(&made))?;
    match (made.missing, made.unremoved) {
        (None, None) => Ok(()),
        (None, Some(error)) => Err(Failure::System {
            what: "removing what is not needed any more",
            source: io::Error::other(format!("{error}; backup {} is whole", made.name)),
        }),
        (Some(missing), unremoved) => {
            if let Some(error) = unremoved {
                say(format_args!("warning: what is not needed any more was not removed: {error}"));
            }
            Err(Failure::Unsound(format!(
                "files of messages could not be copied: {missing}; backup {} has all else",
                made.name
            )))
        }
    }
}

pub(crate) fn restore(args: RestoreArgs, sources: &Sources) -> Result<(), Failure> {
    tell(Warnings::of_environment());
    let failed = |error| failure(error, "the restore", "from", sources);
    if args.dry_run {
        let backup = args.backup.as_deref();
        let checked = runtime()?.block_on(netrox_core::check_backup(&args.from, backup));
        return print(&sound(&checked.map_err(failed)?));
    }
    let RestoreArgs { from, backup, data_dir, dry_run: _ } = args;
    let settings = RestoreSettings { from, backup, data_dir };
    let restored = runtime()?.block_on(netrox_core::restore(&settings)).map_err(failed)?;
    if let Some(bucket) = &restored.files_are_in {
        say(format_args!(
            "warning: the files of messages are in {bucket:?}: give it as --media-url"
        ));
    }
    print(&of_restored(&restored, &settings))?;
    match restored.damage {
        None => Ok(()),
        Some(damage) => Err(Failure::Unsound(format!(
            "backup {}: {damage}; all else was restored",
            restored.name
        ))),
    }
}

fn runtime() -> Result<Runtime, Failure> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|source| Failure::System { what: "starting the runtime", source })
}

/// What can be put right by other settings is told as a wrong setting. `place` is the flag of where backups are.
fn failure(error: BackupError, what: &'static str, place: &str, sources: &Sources) -> Failure {
    if error.is_damage() {
        return Failure::Unsound(error.to_string());
    }
    match &error {
        BackupError::Source(open) if open.is_out_of_reach() => {
            Failure::System { what, source: io::Error::other(error) }
        }
        BackupError::Source(open) => service::not_opened(open, "database-url", sources),
        BackupError::Place { error: place, .. } if place.is_out_of_reach() => {
            Failure::System { what, source: io::Error::other(error) }
        }
        BackupError::Media { .. } => sources.refuse("media-url", error).into(),
        BackupError::Place { .. }
        | BackupError::OtherDatabase { .. }
        | BackupError::NoBackup(_)
        | BackupError::NewerSchema { .. } => sources.refuse(place, error).into(),
        BackupError::UnknownBackup { .. } | BackupError::NotWhole(_) => {
            sources.refuse("backup", error).into()
        }
        BackupError::Occupied(_) | BackupError::Interrupted(_) => {
            sources.refuse("data-dir", error).into()
        }
        BackupError::Busy(_)
        | BackupError::Snapshot(_)
        | BackupError::ReadFile(_)
        | BackupError::Read(_)
        | BackupError::Write(_)
        | BackupError::File { .. }
        | BackupError::Damaged { .. } => Failure::System { what, source: io::Error::other(error) },
    }
}

fn backed_up(made: &BackedUp) -> Value {
    json!({
        "backup": made.name,
        "database_id": made.identity,
        "epoch": made.epoch,
        "newest_message": made.newest_message,
        "database_bytes": made.database_bytes,
        "files": made.files,
        "files_copied": made.files_copied,
        "bytes_copied": made.bytes_copied,
        "verified": made.is_verified,
        "removed": made.removed,
        "files_removed": made.files_removed,
    })
}

fn sound(checked: &Checked) -> Value {
    json!({
        "sound": checked.name,
        "database_id": checked.identity,
        "epoch": checked.epoch,
        "newest_message": checked.newest_message,
        "files": checked.files,
        "files_are_in": checked.files_are_in,
    })
}

fn of_restored(restored: &Restored, settings: &RestoreSettings) -> Value {
    json!({
        "restored": restored.name,
        "database_id": restored.identity,
        "data_dir": settings.data_dir,
        "epoch": restored.epoch,
        "newest_message": restored.newest_message,
        "files": restored.files,
    })
}

fn print(made: &Value) -> Result<(), Failure> {
    writeln!(io::stdout(), "{made}")
        .map_err(|source| Failure::System { what: "writing to stdout", source })
}

fn tell(warnings: Warnings) {
    for warning in warnings {
        say(format_args!("warning: {warning}"));
    }
}

fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}
