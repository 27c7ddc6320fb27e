//! Out of the Django original: what is new there, or changed, as lines of ours, by the one writer of foreign data. Each pass takes
//! what is not here as it is there. What was taken is known by what is here, and by nothing else: a pass that was stopped anywhere
//! is run again, and so is the next.
//!
//! * [`gather`]: what differs, into a file beside, so that the original is held up by nothing that happens here.
//! * [`missing`]: files that an earlier pass did not find. [`rows`]: what was gathered. [`mod@line`]: its rows as lines. [`take`]: lines and files into the database.
//! * [`marks`]: what follows from what was seen. [`verify`]: whether all is here as it is there.
//! * [`report`]: what there is to say.

use uuid::Uuid;

use super::{TransferError, files, import};
use crate::{
    config::{Database, MediaLocation},
    original::{Mapping, Original, OriginalPlace, OriginalUserIds},
};

mod digest;
mod gather;
mod line;
mod marks;
mod missing;
mod report;
mod rows;
mod take;
mod verify;

pub use self::report::Followed;
use self::{
    gather::{Again, Gathered},
    line::Ids,
    take::Run,
};

/// What is taken from where, and into what.
#[derive(Debug)]
pub struct OriginalSettings {
    pub database: Database,
    pub media: MediaLocation,
    pub original: OriginalPlace,
    pub mapping: Mapping,
    /// Its `MEDIA_ROOT`.
    pub files: MediaLocation,
    /// How whole numbers become ids of users.
    pub mapped: MappedIds,
    /// Whether ids of its users are whole numbers, as it is said.
    pub takes_numbers: bool,
    /// All of it is compared, row by row, and each file by its length.
    pub reads_all: bool,
    /// What is newer here is put back to what it is there: nobody has written here on purpose.
    pub original_wins: bool,
}

/// As servers with `--jwt-user-ids any` have it.
#[derive(Debug, Clone)]
pub struct MappedIds {
    pub issuer: String,
    pub namespace: Uuid,
}

const NUMBERS: &str = "the ids of its users are whole numbers, of which UUIDs are made: say so, with the issuer and the namespace \
     that servers have";
const UUIDS: &str = "the ids of its users are UUIDs, which are kept: servers take them without it";

/// Brings a database that no core uses up to the original, which may go on. A trial (`is_trial`) writes nothing. `progress` is told
/// how many rows were read, and how many of them were taken.
pub async fn follow(
    settings: &OriginalSettings,
    is_trial: bool,
    mut progress: impl FnMut(u64, u64),
) -> Result<Followed, TransferError> {
    let wrong =
        |reason: String| TransferError::Path { path: settings.files.to_string().into(), reason };
    let source = files::to_read(&settings.files).await;
    let source = source.map_err(|error| wrong(error.to_string()))?;
    let mut original = Original::open(&settings.original, &settings.mapping).await?;
    let import::Opened { mut intake, _lock, _scratch } =
        import::open(&settings.database, is_trial).await?;
    intake.follow(settings.original_wins);
    let media = match is_trial {
        true => files::to_read(&settings.media).await?,
        false => Some(files::to_write(&settings.media).await?),
    };
    let again = match settings.reads_all {
        true => Again::All,
        false => Again::Spans(missing::spans(&mut intake, media.as_ref()).await?),
    };
    let gathered = gather::gather(&mut original, &mut intake, &again, |rows| {
        progress(rows, 0);
    })
    .await;
    original.close().await;
    let Gathered { facts, spans, rows, read, mut report } = gathered?;
    let refused = match facts.user_ids {
        Some(OriginalUserIds::Numbers) if !settings.takes_numbers && !is_trial => Some(NUMBERS),
        Some(OriginalUserIds::Uuids) if settings.takes_numbers => Some(UUIDS),
        Some(_) | None => None,
    };
    if let Some(reason) = refused {
        return Err(TransferError::UserIds(reason));
    }
    if source.is_none() && spans.iter().any(|span| span.files > 0) {
        return Err(wrong("is not there, and messages have files".to_owned()));
    }
    report.begin(&facts, &spans, is_trial);
    let ids = Ids::new(facts.user_ids, &settings.mapped);
    let mut run = Run::new(intake, source, media, ids, is_trial, report);
    let ended = run.take_all(rows, |rows| progress(read, rows)).await;
    // What was begun of a batch is taken back, and so is a trial.
    let (ended, checked) = match ended {
        Ok(()) if !is_trial => (Ok(()), verify::verify(&mut run, &facts, &spans).await),
        ended => (ended, Ok(())),
    };
    let (report, closed) = run.close().await;
    ended?;
    checked?;
    closed.map_err(TransferError::Write)?;
    Ok(report)
}
