//! An export of a whole chat: the lines of one instant, then the files that they name, then what the export says of itself. One that
//! lacks it is not whole.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{TransferError, TransferSettings, blocking, files};
use crate::{
    clock,
    config::Database,
    lifecycle,
    lines::{LINES_FILE, LINES_FORMAT, MANIFEST_FILE, Moment},
    store::transfer::snapshot::Snapshot,
};

const MICROS_A_SECOND: i64 = 1_000_000;

/// What an export says of itself, in `export.json`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Exported {
    pub format: u32,
    /// `all`, or `user` of one that cannot be imported.
    pub of: String,
    #[serde(default)]
    pub program: String,
    /// Just before that instant: all that was committed until then is there.
    pub as_of: String,
    #[serde(default)]
    pub database_id: String,
    #[serde(default)]
    pub epoch: Option<String>,
    #[serde(default)]
    pub newest_message: i64,
    #[serde(default)]
    pub users: u64,
    #[serde(default)]
    pub threads: u64,
    #[serde(default)]
    pub messages: u64,
    #[serde(default)]
    pub marks: u64,
    #[serde(default)]
    pub blocks: u64,
    #[serde(default)]
    pub revocations: u64,
    #[serde(default)]
    pub files: u64,
    /// That messages refer to, and that were not there.
    #[serde(default)]
    pub missing_files: Vec<String>,
    /// Of messages that were deleted between the lines and the copying of their files. An import takes them as deleted.
    #[serde(default)]
    pub erased_files: Vec<String>,
}

/// Writes all that there is into a directory. Servers may run meanwhile. `progress` is told how many lines and files were written
/// so far.
pub async fn export(
    settings: &TransferSettings,
    mut progress: impl FnMut(u64, u64),
) -> Result<Exported, TransferError> {
    let TransferSettings { database, media, path } = settings;
    if let Database::Sqlite(path) = database {
        lifecycle::check_existing(path).map_err(TransferError::Open)?;
    }
    let opened = Snapshot::open(database).await;
    let mut snapshot = opened.map_err(|error| TransferError::unopened(database, error))?;
    let media = files::to_read(media).await?;
    make_directory(path).await?;
    let now = clock::now_micros();
    let facts = snapshot.begin().await.map_err(TransferError::Read)?;
    let mut exported = Exported {
        format: LINES_FORMAT,
        of: "all".to_owned(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        as_of: Moment(now).to_string(),
        database_id: facts.identity.to_string(),
        epoch: facts.epoch,
        newest_message: facts.newest_message,
        ..Exported::default()
    };
    let mut lines = Lines::create(path.join(LINES_FILE)).await?;
    write_lines(&mut snapshot, &mut lines, &mut exported, now / MICROS_A_SECOND, |count| {
        progress(count, 0);
    })
    .await?;
    let count = lines.count;
    lines.finish().await?;
    // Nothing is held up any more, and nobody has to keep a connection while files are copied.
    snapshot.end().await.map_err(TransferError::Read)?;
    snapshot.close().await;
    let copied = files::copy_out(media.as_ref(), path, |files| progress(count, files)).await?;
    exported.files = copied.files;
    if !copied.missing.is_empty() {
        let opened = Snapshot::open(database).await;
        let mut database = opened.map_err(|error| TransferError::unopened(database, error))?;
        for gone in copied.missing {
            // That of a message that was deleted meanwhile went with it.
            let is_named = database.names(&gone).await.map_err(TransferError::Read)?;
            if is_named { &mut exported.missing_files } else { &mut exported.erased_files }
                .push(gone);
        }
        database.close().await;
    }
    write_manifest(path.join(MANIFEST_FILE), &exported).await?;
    Ok(exported)
}

/// Each kind in the order of its keys.
async fn write_lines(
    snapshot: &mut Snapshot,
    lines: &mut Lines,
    exported: &mut Exported,
    now: i64,
    mut progress: impl FnMut(u64),
) -> Result<(), TransferError> {
    macro_rules! write_all {
        ($read:ident, $count:ident, $first:expr) => {{
            let mut after = $first;
            loop {
                let page = snapshot.$read(&mut after).await.map_err(TransferError::Read)?;
                if page.is_empty() {
                    break;
                }
                exported.$count += page.len() as u64;
                lines.write(&page).await?;
                progress(lines.count);
            }
        }};
    }
    write_all!(users, users, 0);
    write_all!(threads, threads, 0);
    write_all!(messages, messages, (0, 0));
    write_all!(marks, marks, (0, 0));
    write_all!(blocks, blocks, (0, 0));
    let mut after = 0;
    loop {
        let before = after;
        let page = snapshot.revocations(&mut after, now).await.map_err(TransferError::Read)?;
        if after == before {
            return Ok(());
        }
        exported.revocations += page.len() as u64;
        lines.write(&page).await?;
    }
}

/// One that is not empty is left as it is.
pub(super) async fn make_directory(path: &Path) -> Result<(), TransferError> {
    let directory = path.to_owned();
    let made = blocking(move || prepare(&directory)).await;
    made.map_err(|error| {
        let path = path.to_owned();
        if error.kind() == io::ErrorKind::DirectoryNotEmpty {
            let reason = "not empty: nothing was changed".to_owned();
            return TransferError::Path { path, reason };
        }
        TransferError::File { path, error }
    })
}

/// Empty, and for nobody else if it is made here.
fn prepare(directory: &Path) -> io::Result<()> {
    match fs::read_dir(directory) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(io::ErrorKind::DirectoryNotEmpty.into()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(directory)
        }
        Err(error) => Err(error),
    }
}

pub(super) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// The last file of an export.
pub(super) async fn write_manifest(
    path: PathBuf,
    exported: &impl Serialize,
) -> Result<(), TransferError> {
    let failed = TransferError::file(path.clone());
    let text = serde_json::to_vec_pretty(exported).map_err(io::Error::other);
    let written = match text {
        Ok(text) => {
            blocking(move || {
                let mut file = create(&path)?;
                file.write_all(&text)?;
                file.write_all(b"\n")?;
                file.sync_all()?;
                path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
            })
            .await
        }
        Err(error) => Err(error),
    };
    written.map_err(failed)
}

/// A file of lines that is being written.
struct Lines {
    path: PathBuf,
    file: File,
    count: u64,
}

impl Lines {
    async fn create(path: PathBuf) -> Result<Self, TransferError> {
        let of = path.clone();
        let file = blocking(move || create(&of)).await;
        let file = file.map_err(TransferError::file(path.clone()))?;
        Ok(Self { path, file, count: 0 })
    }

    async fn write(&mut self, lines: &[impl Serialize]) -> Result<(), TransferError> {
        let failed = TransferError::file(self.path.clone());
        let mut bytes = Vec::new();
        for line in lines {
            let written = serde_json::to_writer(&mut bytes, line);
            if let Err(error) = written {
                return Err(failed(error.into()));
            }
            bytes.push(b'\n');
        }
        self.count += lines.len() as u64;
        let written = async {
            let mut file = self.file.try_clone()?;
            blocking(move || file.write_all(&bytes)).await
        };
        written.await.map_err(failed)
    }

    async fn finish(self) -> Result<(), TransferError> {
        let Self { path, file, .. } = self;
        blocking(move || file.sync_all()).await.map_err(TransferError::file(path))
    }
}
