//! The way back to the Django original: what it lacks, as a fixture that `manage.py loaddata` takes, and files. The original is read,
//! and nothing is written to it.
//!
//! * [`mod@read`]: the original, into [`known`]: what is known of both sides meanwhile.
//! * [`was`]: a message there. [`fate`]: what becomes of ours beside it.
//! * [`mod@write`]: our own, held against it. [`row`]: the rows. [`fixture`]: their file.
//! * [`report`]: what there is to say.

use std::path::Path;

use futures_util::{StreamExt as _, stream};

use super::{TransferError, TransferSettings, export, files};
use crate::{
    backup::{copying::FILES_AT_ONCE, place::Place},
    config::Database,
    lifecycle,
    lines::{LINES_FORMAT, MANIFEST_FILE},
    original::{Mapping, Original, OriginalPlace, OriginalUserIds},
    store::transfer::snapshot::Snapshot,
};

mod fate;
mod fixture;
mod known;
mod read;
mod report;
mod row;
mod was;
mod write;

pub use self::report::{CountedIds, LeftOut, WayBack};
use self::{fixture::Fixture, known::Known, write::Writer};

const FIXTURE_FILE: &str = "fixture.json";
const MEDIA_DIRECTORY: &str = "media";
const FILES_AT_A_TIME: i64 = 1_000;

/// Writes what the original lacks into a directory. Servers may run meanwhile, and the original. `progress` is told how many rows
/// were read of both, and how many files were written.
pub async fn export_django(
    settings: &TransferSettings,
    place: &OriginalPlace,
    mapping: &Mapping,
    mut progress: impl FnMut(u64, u64),
) -> Result<WayBack, TransferError> {
    let TransferSettings { database, media, path } = settings;
    if let Database::Sqlite(path) = database {
        lifecycle::check_existing(path).map_err(TransferError::Open)?;
    }
    let opened = Snapshot::open(database).await;
    let snapshot = opened.map_err(|error| TransferError::unopened(database, error))?;
    let media = files::to_read(media).await?;
    let mut original = Original::open(place, mapping).await?;
    export::make_directory(path).await?;
    let mut known = Known::create().await?;
    let mut report = WayBack {
        format: LINES_FORMAT,
        of: "django",
        program: env!("CARGO_PKG_VERSION").to_owned(),
        ..WayBack::default()
    };
    let facts = original.begin().await?;
    let read = read::read(&mut original, &facts, &mut known, &mut report, |rows| {
        progress(rows, 0);
    })
    .await;
    original.close().await;
    let read = read?;

    let fixture = Fixture::create(path.join(FIXTURE_FILE)).await?;
    let mut writer = Writer {
        snapshot,
        known,
        mapping,
        fixture,
        kind: facts.user_ids.unwrap_or(OriginalUserIds::Uuids),
        columns: read.columns,
        report,
        in_both: 0,
        newest: facts.newest_message,
        rows: read.rows,
        progress: |rows| progress(rows, 0),
    };
    writer.write_all().await?;
    let Writer { snapshot, mut known, fixture, mut report, in_both, rows, .. } = writer;
    snapshot.close().await;
    fixture.finish().await?;
    report.only_in_original = read.messages.saturating_sub(in_both);
    let target = path.join(MEDIA_DIRECTORY);
    copy_files(media.as_ref(), &target, &mut known, &mut report, |files| progress(rows, files))
        .await?;
    known.close().await;
    export::write_manifest(path.join(MANIFEST_FILE), &report).await?;
    Ok(report)
}

async fn copy_files(
    media: Option<&Place>,
    directory: &Path,
    known: &mut Known,
    report: &mut WayBack,
    mut progress: impl FnMut(u64),
) -> Result<(), TransferError> {
    let mut after = 0;
    let mut target = None;
    loop {
        let page = known.files(&mut after, FILES_AT_A_TIME).await?;
        if page.is_empty() {
            return Ok(());
        }
        let target = match &target {
            Some(target) => target,
            None => {
                lifecycle::create_dir(directory).map_err(TransferError::Open)?;
                target.insert(files::beside(directory).await?)
            }
        };
        let mut copies = stream::iter(page)
            .map(|(path, bytes)| async move {
                let copied = files::copy(media, target, &path, bytes).await;
                (path, copied)
            })
            // In their order: so is the report.
            .buffered(FILES_AT_ONCE);
        while let Some((path, copied)) = copies.next().await {
            if copied? {
                report.files += 1;
                progress(report.files);
            } else {
                report.missing_files.push(path);
            }
        }
    }
}
