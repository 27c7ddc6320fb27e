//! `netrox-chat import django`: what it did goes to stdout as one line of JSON, what is not as it is there to stderr, by name.

use std::{fs, path::PathBuf, process::ExitCode};

use netrox_audit::Name;
use netrox_core::{
    Followed, MappedIds, Mapping, OriginalPlace, OriginalSettings, TransferError, TransferSettings,
};

use super::{Progress, failure, prepare, print, runtime, say, tell_audit, tell_begun};
use crate::{
    cli::{ChatArgs, OriginalArgs, UserIdKind},
    failure::Failure,
    secret::{self, Secret, Warnings},
    sources::{SettingError, Sources},
};

/// It ended well, and not all is as it is there.
const NOT_WHOLE: u8 = 3;

/// A flag of the command line that is of the original alone.
pub(super) fn given(sources: &Sources) -> Option<&'static str> {
    let flags = ["from", "from-file", "media", "mapping", "full", "original-wins"];
    flags.into_iter().find(|flag| sources.is_flag(flag))
}

/// Exit status 3 where not all is here as it is there, and 1 of a trial that found so.
pub(super) fn import(
    args: &OriginalArgs,
    chat: ChatArgs,
    is_trial: bool,
    sources: &Sources,
) -> Result<ExitCode, Failure> {
    let original = place("from", args.from.as_ref(), args.from_file.as_ref(), sources)?;
    let mapping = mapping(args.mapping.as_ref(), sources)?;
    let files = args.media.clone();
    let files = files.ok_or_else(|| sources.refuse("media", "must be given"))?;
    let named = PathBuf::from(original.to_string());
    let (TransferSettings { database, media, .. }, audit) =
        prepare(chat, &named, "import", sources)?;
    let settings = OriginalSettings {
        database,
        media,
        original,
        mapping,
        files,
        mapped: MappedIds {
            issuer: args.jwt_issuer.clone().unwrap_or_default(),
            namespace: args.jwt_user_id_namespace,
        },
        takes_numbers: args.jwt_user_ids == UserIdKind::Any,
        reads_all: args.full,
        original_wins: args.original_wins,
    };
    if !is_trial {
        tell_begun(&audit, Name::ChatImported, &named);
    }
    let mut progress = Progress::default();
    let following = netrox_core::follow(&settings, is_trial, |read, taken| {
        progress.tell(format_args!("{read} rows read, {taken} taken"));
    });
    let followed = runtime()?.block_on(following);
    if !is_trial {
        tell_audit(audit, Name::ChatImported, &named, followed.as_ref().err());
    }
    let followed = followed.map_err(|error| {
        if matches!(error, TransferError::Path { .. }) {
            return Failure::from(sources.refuse("media", error));
        }
        failure(error, "the import", "media", sources)
    })?;
    tell(&followed);
    let printed = serde_json::to_value(&followed).map_err(std::io::Error::other);
    let printed =
        printed.map_err(|source| Failure::System { what: "telling of the import", source })?;
    print(&printed)?;
    Ok(match (followed.is_whole(), is_trial) {
        (true, _) => ExitCode::SUCCESS,
        (false, true) => ExitCode::FAILURE,
        (false, false) => ExitCode::from(NOT_WHOLE),
    })
}

/// `value` or `file` of a flag: where its database is.
pub(super) fn place(
    flag: &'static str,
    value: Option<&Secret>,
    file: Option<&PathBuf>,
    sources: &Sources,
) -> Result<OriginalPlace, SettingError> {
    let mut warnings = Warnings::default();
    let has_password = |url: &Secret| url.reveal().contains('@');
    let url = secret::given_if_secret(flag, value, file, has_password, sources, &mut warnings)?;
    for warning in warnings {
        say(format_args!("warning: {warning}"));
    }
    let of_file = format!("{flag}-file");
    let url = url.ok_or_else(|| sources.refuse(flag, format!("must be given, or --{of_file}")))?;
    let flag = if file.is_some() { of_file.as_str() } else { flag };
    url.reveal().trim().parse().map_err(|error| sources.refuse(flag, error))
}

pub(super) fn mapping(path: Option<&PathBuf>, sources: &Sources) -> Result<Mapping, SettingError> {
    let Some(path) = path else { return Ok(Mapping::default()) };
    let refuse = |error: &dyn std::fmt::Display| {
        sources.refuse("mapping", format_args!("{}: {error}", path.display()))
    };
    let text = fs::read(path).map_err(|error| refuse(&error))?;
    serde_json::from_slice(&text).map_err(|error| refuse(&error))
}

/// What is not as it is there, and what it means for tokens and clients.
fn tell(followed: &Followed) {
    for line in &followed.told {
        say(format_args!("{line}"));
    }
    let warn = |count: u64, words: &str| {
        if count > 0 {
            say(format_args!("warning: {count} {words}"));
        }
    };
    warn(followed.refused, "rows cannot be taken");
    warn(followed.missing_files, "files of messages are missing");
    warn(followed.not_younger, "messages are not younger than the one before them in their thread");
    warn(
        followed.newer_here,
        "messages changed here later than there, and are left so: if nobody has used this database, \
         --original-wins takes them as they are there",
    );
    warn(
        followed.differences,
        "ranges of messages or kinds of rows are not here as they are there",
    );
    if followed.original.cut_to_milliseconds {
        say(format_args!(
            "warning: the times of a file of dumpdata have milliseconds: take the database itself \
             where microseconds count"
        ));
    }
    match followed.user_ids {
        "uuid" => say(format_args!(
            "users' ids are UUIDs and stay as they are: servers take the original's tokens with its \
             key, and clients need no release"
        )),
        "integer" => say(format_args!(
            "users' ids are whole numbers: servers need --jwt-user-ids any, with the same --jwt-issuer \
             and namespace as here, and take the original's tokens then. Ids in answers are UUIDs \
             then: clients that keep or send whole numbers need a release"
        )),
        _ => {}
    }
}
