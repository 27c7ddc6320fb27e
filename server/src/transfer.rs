//! `netrox-chat export` and `netrox-chat import`: what was written goes to stdout as one line of JSON, what the user should know
//! to stderr.
//!
//! * [`original`]: `import django`. [`way_back`]: `export django`.

use std::{
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use netrox_audit::{AuditLog, Event, Name, Outcome};
use netrox_core::{Imported, MediaLocation, OriginalError, TransferError, TransferSettings};
use serde_json::{Value, json};
use tokio::runtime::{self, Runtime};

use crate::{
    cli::{ChatArgs, ExportArgs, ExportFormat, ImportArgs, ImportFormat},
    failure::Failure,
    secret::Warnings,
    service, settings,
    sources::{SettingError, Sources},
};

mod original;
mod way_back;

const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) fn export(args: ExportArgs, sources: &Sources) -> Result<(), Failure> {
    match args.format {
        Some(ExportFormat::Django) => return way_back::export(args, sources),
        None => way_back::refuse_flags(sources)?,
    }
    if !args.all {
        let reason = "must be given; the data of one user is exported by `user export`";
        return Err(sources.refuse("all", reason).into());
    }
    let (settings, audit) = prepare(args.chat, &args.directory, "export", sources)?;
    tell_begun(&audit, Name::ChatExported, &args.directory);
    let mut progress = Progress::default();
    let exporting = netrox_core::export(&settings, |lines, files| {
        progress.tell(format_args!("{lines} lines, {files} files"));
    });
    let exported = runtime()?.block_on(exporting);
    tell_audit(audit, Name::ChatExported, &args.directory, exported.as_ref().err());
    let exported = exported.map_err(|error| failure(error, "the export", "DIR", sources))?;
    let printed = serde_json::to_value(&exported).map_err(io::Error::other);
    let printed =
        printed.map_err(|source| Failure::System { what: "telling of the export", source })?;
    print(&printed)?;
    if exported.missing_files.is_empty() {
        return Ok(());
    }
    let first = exported.missing_files.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
    Err(Failure::Unsound(format!(
        "{} files of messages are missing, {first} among them; all else was exported",
        exported.missing_files.len()
    )))
}

/// Exit status 1 of a trial that found lines which would be refused, and 3 where files are missing that the export has not found
/// either.
pub(crate) fn import(args: ImportArgs, sources: &Sources) -> Result<ExitCode, Failure> {
    let given = original::given(sources);
    let path = match (args.format, args.path, given) {
        (ImportFormat::Jsonl, _, Some(flag)) => {
            return Err(sources.refuse(flag, "is of `import django`").into());
        }
        (ImportFormat::Jsonl, None, None) => {
            return Err(SettingError::new("DIR|FILE", "must be given").into());
        }
        (ImportFormat::Jsonl, Some(path), None) => path,
        (ImportFormat::Django, Some(_), _) => {
            let reason = "is of `import jsonl`: what django has is named by --from and --media";
            return Err(SettingError::new("DIR|FILE", reason).into());
        }
        (ImportFormat::Django, None, _) => {
            return original::import(&args.original, args.chat, args.dry_run, sources);
        }
    };
    let (settings, audit) = prepare(args.chat, &path, "import", sources)?;
    if !args.dry_run {
        tell_begun(&audit, Name::ChatImported, &path);
    }
    let mut progress = Progress::default();
    let importing = netrox_core::import(&settings, args.dry_run, |lines| {
        progress.tell(format_args!("{lines} lines"));
    });
    let imported = runtime()?.block_on(importing);
    if !args.dry_run {
        tell_audit(audit, Name::ChatImported, &path, imported.as_ref().err());
    }
    let imported = imported.map_err(|error| failure(error, "the import", "DIR|FILE", sources))?;
    for line in &imported.refused {
        say(format_args!("line {line}"));
    }
    let told = imported.refused.len() as u64;
    if imported.refused_count > told {
        say(format_args!("and {} more", imported.refused_count - told));
    }
    if imported.not_younger > 0 {
        say(format_args!(
            "warning: {} messages are not younger than the one before them in their thread",
            imported.not_younger
        ));
    }
    print(&of_imported(&imported, args.dry_run))?;
    match (imported.refused_count, imported.missing_files) {
        (0, 0) => Ok(ExitCode::SUCCESS),
        (0, missing) => Err(Failure::Unsound(format!(
            "{missing} files of messages are missing, as the export says; all else was imported"
        ))),
        (_, _) => Ok(ExitCode::FAILURE),
    }
}

fn prepare(
    chat: ChatArgs,
    path: &Path,
    role: &'static str,
    sources: &Sources,
) -> Result<(TransferSettings, AuditLog), Failure> {
    let mut warnings = Warnings::of_environment();
    let data_dir = &chat.data_dir.data_dir;
    let database = settings::database(&chat.database, data_dir, sources, &mut warnings)?;
    for warning in warnings {
        say(format_args!("warning: {warning}"));
    }
    let media = chat.media_url;
    let media = media.unwrap_or_else(|| MediaLocation::Directory(data_dir.join("media")));
    let audit = AuditLog::open(chat.audit.audit_log, role);
    let audit = audit.map_err(|error| sources.refuse("audit-log", error))?;
    Ok((TransferSettings { database, media, path: path.to_owned() }, audit))
}

/// One that is killed says nothing of its end.
fn tell_begun(audit: &AuditLog, name: Name, path: &Path) {
    let event = Event::new(name).target(path.to_string_lossy());
    audit.handle().record(event.outcome(Outcome::Unknown).reason("BEGUN"));
}

fn tell_audit(audit: AuditLog, name: Name, path: &Path, error: Option<&TransferError>) {
    let event = Event::new(name).target(path.to_string_lossy());
    audit.close(match error {
        None => event,
        Some(error) => event.outcome(Outcome::Failed).reason(error.to_string()),
    });
}

fn runtime() -> Result<Runtime, Failure> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|source| Failure::System { what: "starting the runtime", source })
}

/// What can be put right by other settings is told as a wrong setting.
fn failure(
    error: TransferError,
    what: &'static str,
    path: &'static str,
    sources: &Sources,
) -> Failure {
    if error.is_damage() {
        return Failure::Unsound(error.to_string());
    }
    match &error {
        TransferError::Open(open) if open.is_out_of_reach() => {
            Failure::System { what, source: io::Error::other(error) }
        }
        TransferError::Open(open) => service::not_opened(open, "database-url", sources),
        TransferError::InUse(_) => sources.refuse("database-url", error).into(),
        TransferError::Media { .. } => sources.refuse("media-url", error).into(),
        TransferError::Path { .. } => SettingError::new(path, error).into(),
        TransferError::Original(original) => match original {
            OriginalError::Read(_) => Failure::System { what, source: io::Error::other(error) },
            OriginalError::File { .. } | OriginalError::Tables(_) | OriginalError::Dump { .. } => {
                sources.refuse("from", error).into()
            }
        },
        TransferError::UserIds(_) => sources.refuse("jwt-user-ids", error).into(),
        TransferError::File { .. }
        | TransferError::NotWhole { .. }
        | TransferError::Refused(_)
        | TransferError::Read(_)
        | TransferError::Write(_) => Failure::System { what, source: io::Error::other(error) },
    }
}

fn of_imported(imported: &Imported, is_trial: bool) -> Value {
    json!({
        "dry_run": is_trial,
        "lines": imported.lines,
        "users": imported.users,
        "threads": imported.threads,
        "messages": imported.messages,
        "marks": imported.marks,
        "blocks": imported.blocks,
        "revocations": imported.revocations,
        "files": imported.files,
        "missing_files": imported.missing_files,
        "known": imported.known,
        "changed": imported.changed,
        "not_younger": imported.not_younger,
        "refused": imported.refused_count,
    })
}

/// Once a second.
struct Progress(Instant);

impl Default for Progress {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Progress {
    fn tell(&mut self, words: std::fmt::Arguments<'_>) {
        if self.0.elapsed() >= PROGRESS_INTERVAL {
            self.0 = Instant::now();
            say(words);
        }
    }
}

fn print(made: &Value) -> Result<(), Failure> {
    writeln!(io::stdout(), "{made}")
        .map_err(|source| Failure::System { what: "writing to stdout", source })
}

fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}
