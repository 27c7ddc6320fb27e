//! Whether the files of a SQLite database that is open are still those at its path. Where a directory was removed, or a
//! backup put in the place of the file, SQLite would go on in files that nobody finds again.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use tokio::{task::spawn_blocking, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{Error, log_growth::LogGrowth, log_room::LogRoom};
use crate::lock::{FileId, LockFile};

/// How often they are looked at.
const INTERVAL: Duration = Duration::from_secs(1);
/// When a transaction does not begin without another look: this process stood still, or the last look hangs.
const TOO_LONG_AGO: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(crate) struct OpenFiles {
    database: (PathBuf, FileId),
    log: PathBuf,
    /// While the connection that writes is open: whoever has it open keeps the log from being removed by SQLite.
    open_log: Mutex<Option<FileId>>,
    growth: LogGrowth,
    room: LogRoom,
    /// A second process could lock another file in the place of one.
    locks: OnceLock<Vec<(Arc<LockFile>, FileId)>>,
    last_look: Mutex<Instant>,
    /// The first that was found missing or replaced.
    gone: OnceLock<PathBuf>,
    damaged: CancellationToken,
}

impl OpenFiles {
    /// Of a database that was just opened, with the file that is open. `damaged` is cancelled once they are no longer where
    /// they were.
    pub(super) fn new(
        path: &Path,
        id: FileId,
        damaged: CancellationToken,
    ) -> io::Result<Arc<Self>> {
        // SQLite follows links, too.
        let mut log = path.canonicalize()?.into_os_string();
        log.push("-wal");
        Ok(Arc::new(Self {
            database: (path.to_owned(), id),
            log: log.into(),
            open_log: Mutex::default(),
            growth: LogGrowth::default(),
            room: LogRoom::default(),
            locks: OnceLock::new(),
            last_look: Mutex::new(Instant::now()),
            gone: OnceLock::new(),
            damaged,
        }))
    }

    /// To be looked at as well, the lock of the database last. To be called once.
    pub(crate) fn watch_locks(&self, locks: &[Arc<LockFile>]) -> io::Result<()> {
        let ids = locks.iter().map(|lock| Ok((Arc::clone(lock), lock.id()?)));
        let ids = ids.collect::<io::Result<_>>()?;
        self.locks.get_or_init(|| ids);
        Ok(())
    }

    /// Looks until it is stopped.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(INTERVAL) => self.look().await,
            }
        }
    }

    /// Fails once a file was found missing or replaced.
    pub(super) async fn check(self: &Arc<Self>) -> Result<(), Error> {
        let last_look = *self.last_look.lock().unwrap_or_else(PoisonError::into_inner);
        if last_look.elapsed() > TOO_LONG_AGO {
            self.look().await;
        }
        match self.gone.get() {
            None => Ok(()),
            Some(path) => {
                let error = format!("{} was removed or replaced", path.display());
                Err(Error::Damaged(sqlx::Error::Io(io::Error::other(error))))
            }
        }
    }

    /// Whether another transaction could leave the log without room to be written back.
    pub(super) async fn is_short_of_room(self: &Arc<Self>) -> bool {
        if self.room.is_plenty() {
            return false;
        }
        let this = Arc::clone(self);
        let looked = spawn_blocking(move || this.room.look(&this.log)).await;
        looked.is_ok() && !self.room.takes_a_transaction()
    }

    pub(crate) async fn look(self: &Arc<Self>) {
        let now = Instant::now();
        let this = Arc::clone(self);
        match spawn_blocking(move || this.find_gone()).await {
            Ok(None) => *self.last_look.lock().unwrap_or_else(PoisonError::into_inner) = now,
            Ok(Some(path)) => self.is_gone(&path),
            Err(error) => tracing::error!(%error, "cannot look at the files of the database"),
        }
    }

    fn is_gone(&self, path: &Path) {
        if self.gone.set(path.to_owned()).is_ok() {
            tracing::error!(
                path = %path.display(),
                "a file of the database was removed or replaced while it was open: what is written is lost"
            );
            self.damaged.cancel();
        }
    }

    fn find_gone(&self) -> Option<PathBuf> {
        let (database, id) = &self.database;
        if is_another(database, *id) {
            self.mark_log();
            return Some(database.clone());
        }
        for (lock, id) in self.locks.get().into_iter().flatten() {
            if is_another(lock.path(), *id) {
                return Some(lock.path().to_owned());
            }
        }
        let open = self.open_log()?;
        if let Ok(log) = self.log.metadata() {
            self.growth.look(log.len());
        }
        self.room.look(&self.log);
        // Unless it was closed meanwhile.
        (is_another(&self.log, open) && self.open_log() == Some(open)).then(|| self.log.clone())
    }

    /// SQLite leaves the log of a database that was replaced where it is, and would apply it to the one that has taken
    /// its place.
    fn mark_log(&self) {
        let Ok(Some(new)) = FileId::of(&self.database.0) else { return };
        let Some((lock, _)) = self.locks.get().and_then(|locks| locks.last()) else { return };
        let text = log_of_another(new);
        if lock.text().is_ok_and(|there| there == text) {
            return;
        }
        if let Err(error) = lock.set_text(&text).and_then(|()| lock.sync()) {
            tracing::error!(%error, "cannot mark that the log is of another database");
        }
    }

    fn open_log(&self) -> Option<FileId> {
        *self.open_log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_open_log(&self, id: Option<FileId>) {
        *self.open_log.lock().unwrap_or_else(PoisonError::into_inner) = id;
    }

    /// Before the connection that writes is opened: with another file it would write the log of this one into it.
    pub(super) async fn check_for_opening(self: &Arc<Self>) -> Result<(), sqlx::Error> {
        self.look().await;
        if self.gone.get().is_some() { Err(sqlx::Error::WorkerCrashed) } else { Ok(()) }
    }

    /// After the connection that writes was opened.
    pub(super) async fn opened(self: &Arc<Self>) -> Result<(), sqlx::Error> {
        let this = Arc::clone(self);
        let opened = spawn_blocking(move || {
            this.set_open_log(FileId::of(&this.log)?);
            Ok(())
        });
        opened.await.map_err(io::Error::other).flatten()?;
        self.check_for_opening().await
    }

    /// Whether the connection that writes may be closed. SQLite removes the log by its name then, which must not be
    /// another's.
    pub(super) async fn may_close(self: &Arc<Self>) -> bool {
        let this = Arc::clone(self);
        let may_close = spawn_blocking(move || {
            let open = this.open_log();
            this.set_open_log(None);
            let may_close =
                !matches!(FileId::of(&this.log), Ok(Some(there)) if Some(there) != open);
            if !may_close {
                this.is_gone(&this.log);
            }
            may_close
        });
        may_close.await.unwrap_or(false)
    }
}

/// What the lock of a database says once such a file was put in its place: the log beside it is of the one before.
pub(crate) fn log_of_another(database: FileId) -> String {
    format!("the log beside this file is not of the database with inode {}", database.inode())
}

/// What cannot be looked at counts as the same.
fn is_another(path: &Path, id: FileId) -> bool {
    FileId::of(path).is_ok_and(|found| found != Some(id))
}
