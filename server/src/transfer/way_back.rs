//! `netrox-chat export django`: what was written goes to stdout as one line of JSON, what could not be to stderr.

use std::io;

use netrox_audit::Name;
use netrox_core::{CountedIds, LeftOut, OriginalError, TransferError, WayBack};

use super::{Progress, failure, original, prepare, print, runtime, say, tell_audit, tell_begun};
use crate::{
    cli::ExportArgs,
    failure::Failure,
    sources::{SettingError, Sources},
};

/// `export.json` has more.
const IDS_IN_A_LINE: usize = 10;

/// Of JSON lines: flags of the original alone are a mistake.
pub(super) fn refuse_flags(sources: &Sources) -> Result<(), SettingError> {
    let flags = ["original", "original-file", "mapping"];
    match flags.into_iter().find(|flag| sources.is_flag(flag)) {
        Some(flag) => Err(sources.refuse(flag, "is of `export django`")),
        None => Ok(()),
    }
}

pub(super) fn export(args: ExportArgs, sources: &Sources) -> Result<(), Failure> {
    if args.all {
        let reason = "is of JSON lines: `export django` writes what the original lacks";
        return Err(sources.refuse("all", reason).into());
    }
    let (value, file) = (args.original.as_ref(), args.original_file.as_ref());
    let place = original::place("original", value, file, sources)?;
    let mapping = original::mapping(args.mapping.as_ref(), sources)?;
    let (settings, audit) = prepare(args.chat, &args.directory, "export", sources)?;
    tell_begun(&audit, Name::ChatExported, &args.directory);
    let mut progress = Progress::default();
    let exporting = netrox_core::export_django(&settings, &place, &mapping, |rows, files| {
        progress.tell(format_args!("{rows} rows read, {files} files"));
    });
    let exported = runtime()?.block_on(exporting);
    tell_audit(audit, Name::ChatExported, &args.directory, exported.as_ref().err());
    let exported = exported.map_err(|error| {
        // Its settings are wrong, but for one that goes away while it is read.
        if let TransferError::Original(original) = &error
            && !matches!(original, OriginalError::Read(_))
        {
            return Failure::from(sources.refuse("original", error));
        }
        failure(error, "the export", "DIR", sources)
    })?;
    tell(&exported);
    let printed = serde_json::to_value(&exported).map_err(io::Error::other);
    let printed =
        printed.map_err(|source| Failure::System { what: "telling of the export", source })?;
    print(&printed)?;
    let kept = exported.other_messages.count + exported.newer_messages.count;
    let missing = exported.missing_files.len() as u64;
    let not_exported: Vec<_> = [
        (kept, "messages would have gone over others of the original"),
        (missing, "files of messages are missing"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, words)| format!("{count} {words}"))
    .collect();
    match not_exported.is_empty() {
        true => Ok(()),
        false => {
            Err(Failure::Unsound(format!("{}; all else was exported", not_exported.join(", and "))))
        }
    }
}

/// What does not go back, and what is left to do.
fn tell(exported: &WayBack) {
    for line in &exported.told {
        say(format_args!("{line}"));
    }
    for (messages, words) in [
        (&exported.other_messages, "are not written: the original has other ones of their ids"),
        (
            &exported.newer_messages,
            "are not written: the original has changed their texts since they were imported",
        ),
        (
            &exported.deleted_there,
            "are written again: as their ids say, the original has had and deleted them",
        ),
    ] {
        tell_messages(messages, words);
    }
    let LeftOut {
        changed_users,
        deleted_users,
        users_without_id,
        messages_of_them,
        users_without_email,
        profiles,
        hidden_messages,
        swallowed_messages,
        removed_messages,
        held_edits,
        replies,
        meta,
        blocks,
        revocations,
    } = exported.left_out;
    let erased = exported.erased_files.len() as u64;
    for (count, words) in [
        (changed_users, "users have another email or profile here: the original keeps its own"),
        (deleted_users, "users were deleted here, and are there still"),
        (users_without_id, "users have no id that the original could give them: they are left out"),
        (messages_of_them, "messages of theirs are left out"),
        (users_without_email, "new users have no email: theirs ends in @user.invalid"),
        (profiles, "new users have a profile, and none of the original's has: it is left out"),
        (hidden_messages, "messages that one of the two has deleted for themselves are seen again"),
        (swallowed_messages, "messages to users who had blocked the sender are left out"),
        (removed_messages, "messages were removed by retention: the original keeps what it has"),
        (held_edits, "edits are taken back that the receiver is not shown"),
        (replies, "messages no longer say what they answer"),
        (meta, "messages have lost what clients put beside them"),
        (blocks, "blocks are left out"),
        (revocations, "revocations of access tokens are left out"),
        (exported.unread, "rows of the original are not understood, and left as they are"),
        (exported.only_in_original, "messages are in the original alone"),
        (erased, "files of messages that were deleted are in the original's MEDIA_ROOT still"),
    ] {
        if count > 0 {
            say(format_args!("warning: {count} {words}"));
        }
    }
}

fn tell_messages(CountedIds { count, first_ids }: &CountedIds, words: &str) {
    if *count == 0 {
        return;
    }
    let mut ids: Vec<_> = first_ids.iter().take(IDS_IN_A_LINE).map(i64::to_string).collect();
    if *count > ids.len() as u64 {
        ids.push("…".to_owned());
    }
    say(format_args!("warning: {count} messages {words}: {}", ids.join(", ")));
}
