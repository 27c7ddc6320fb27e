//! The connections that read. All of them are opened at the start and kept. Whoever reads takes one that is free, or waits
//! for the next that is, in turn: it opens none, since while it did it would not see one that is given back. A place that is
//! given up may be another's at once, so none is before there is another instead (`keep`).

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use sqlx::{ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio::{
    sync::{Notify, Semaphore},
    time::{Instant, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

mod keep;

use super::{CONNECT_TIMEOUT, history, server, session::read_options, unusable};
use crate::metrics::StoreMetrics;
use crate::store::{
    engine::{PING_TIMEOUT, within},
    history::History,
};

/// For chat, of one core; one more connection writes.
pub(in crate::store) const READERS: usize = 5;
/// For histories, lists and files.
pub(in crate::store) const BULK_READERS: usize = 3;
/// How long a read waits for one that is free, and a start for all of them.
const TAKE_TIMEOUT: Duration = Duration::from_millis(1_500);
/// How long is waited for one that does not answer in time: a server that was slow for a moment has it still.
const LATE_TIMEOUT: Duration = Duration::from_secs(10);
/// Those that were opened together are not to be replaced together.
const SHORTEST_LIFETIME: f64 = 0.75;

/// A cheap handle.
#[derive(Debug, Clone)]
pub(in crate::store) struct Pool {
    shared: Arc<Shared>,
    /// Whoever keeps them open ends with the last handle.
    _stop: Arc<DropGuard>,
}

#[derive(Debug)]
struct Shared {
    options: PgConnectOptions,
    history: History,
    most: usize,
    /// A session keeps what it has learnt of the tables, and so grows.
    lifetime: Duration,
    idle: Mutex<Vec<Reader>>,
    /// A permit for each that is idle. Those who wait get them in turn.
    free: Semaphore,
    /// Those that are open, idle or not. One more than `most` while one that is lent out has been replaced.
    open: AtomicUsize,
    /// Whether one that is too old was given back.
    has_overdue: AtomicBool,
    /// Those that did not answer in time, and may yet.
    late: AtomicUsize,
    lost: Notify,
    /// Reads that waited for one, and those that got none in time.
    waits: AtomicU64,
    timeouts: AtomicU64,
    /// Why the last attempt to open one has failed, until one succeeds.
    failure: Mutex<Option<String>>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Reader {
    connection: PgConnection,
    opened: Instant,
    /// After it another is opened instead.
    lifetime: Duration,
}

impl Reader {
    fn is_overdue(&self) -> bool {
        self.opened.elapsed() > self.lifetime
    }
}

impl Pool {
    /// Opens them; those that cannot be opened at once are later. Waits for them for a moment.
    pub(in crate::store) async fn open(
        prepared: &PgConnectOptions,
        history: &History,
        most: usize,
        lifetime: Duration,
    ) -> Self {
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            options: read_options(prepared).disable_statement_logging(),
            history: history.clone(),
            most,
            lifetime,
            idle: Mutex::default(),
            free: Semaphore::new(0),
            open: AtomicUsize::new(0),
            has_overdue: AtomicBool::new(false),
            late: AtomicUsize::new(0),
            lost: Notify::new(),
            waits: AtomicU64::new(0),
            timeouts: AtomicU64::new(0),
            failure: Mutex::default(),
            stop: stop.clone(),
        });
        tokio::spawn(keep::keep(Arc::clone(&shared)));
        let all = u32::try_from(most).unwrap_or(u32::MAX);
        // Given back at once.
        if timeout(TAKE_TIMEOUT, shared.free.acquire_many(all)).await.is_err() {
            let error = lock(&shared.failure).clone();
            let open = shared.open.load(Ordering::Relaxed);
            tracing::warn!(
                open,
                most,
                error,
                "not all connections that read could be opened: the others are tried again"
            );
        }
        Self { shared, _stop: Arc::new(stop.drop_guard()) }
    }

    /// One that is alive and shows the history that the core has.
    pub(in crate::store) async fn take(&self) -> Result<Loan, sqlx::Error> {
        match timeout(TAKE_TIMEOUT, self.take_sound()).await {
            Ok(taken) => taken,
            Err(_) => {
                self.shared.timeouts.fetch_add(1, Ordering::Relaxed);
                Err(self.why_none())
            }
        }
    }

    async fn take_sound(&self) -> Result<Loan, sqlx::Error> {
        let shared = &self.shared;
        loop {
            let free = match shared.free.try_acquire() {
                Ok(free) => free,
                Err(_) => {
                    shared.waits.fetch_add(1, Ordering::Relaxed);
                    shared.free.acquire().await.map_err(|_| sqlx::Error::PoolClosed)?
                }
            };
            free.forget();
            let Some(reader) = lock(&shared.idle).pop() else { continue };
            let loan = Loan { reader: Some(reader), shared: Arc::clone(shared) };
            if let Some(sound) = loan.asked().await {
                return Ok(sound);
            }
        }
    }

    /// What kept somebody waiting in vain. Where some are open, too many wait for them.
    fn why_none(&self) -> sqlx::Error {
        if self.shared.open.load(Ordering::Relaxed) > 0 {
            return sqlx::Error::PoolTimedOut;
        }
        let refused =
            |failure| sqlx::Error::Io(io::Error::new(io::ErrorKind::NotConnected, failure));
        lock(&self.shared.failure).clone().map_or(sqlx::Error::PoolTimedOut, refused)
    }

    pub(in crate::store) fn show(&self, name: &'static str, metrics: &StoreMetrics) {
        let look = |look: fn(&Shared) -> u64| {
            let shared = Arc::downgrade(&self.shared);
            move || shared.upgrade().map(|shared| look(&shared))
        };
        let pool = [("pool", name)];
        metrics.limits.add(pool, look(|shared| shared.most as u64));
        metrics.waits.add(pool, look(|shared| shared.waits.load(Ordering::Relaxed)));
        metrics.timeouts.add(pool, look(|shared| shared.timeouts.load(Ordering::Relaxed)));
        let idle = |shared: &Shared| shared.free.available_permits() as u64;
        metrics.connections.add([("pool", name), ("state", "idle")], look(idle));
        let busy = |shared: &Shared| {
            let open = shared.open.load(Ordering::Relaxed) as u64;
            open.saturating_sub(shared.free.available_permits() as u64)
        };
        metrics.connections.add([("pool", name), ("state", "busy")], look(busy));
    }

    /// Those that are lent out end when they are given back.
    pub(in crate::store) async fn close(&self) {
        self.shared.stop.cancel();
        self.shared.free.close();
        let idle = std::mem::take(&mut *lock(&self.shared.idle));
        for reader in idle {
            // Its error would tell nobody anything.
            let _ = reader.connection.close().await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    async fn open_one(&self) -> Result<Reader, sqlx::Error> {
        let opened = Instant::now();
        let connected = async {
            let mut connection = PgConnection::connect_with(&self.options).await?;
            server::check_reader(&mut connection).await.map_err(unusable)?;
            let checked = history::postgres::check_reader(&mut connection, &self.history).await;
            checked.map_err(unusable)?;
            let part = rand::random_range(SHORTEST_LIFETIME..=1.0);
            Ok(Reader { connection, opened, lifetime: self.lifetime.mul_f64(part) })
        };
        within(CONNECT_TIMEOUT, connected).await
    }

    /// Fails where as many are open as there may be.
    fn enter(&self) -> bool {
        let entered = |open| (open < self.most).then_some(open + 1);
        self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, entered).is_ok()
    }

    /// Fails where no other is open instead.
    fn leave(&self) -> bool {
        let left = |open| (open > self.most).then(|| open - 1);
        self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left).is_ok()
    }

    fn give(&self, reader: Reader) {
        if reader.is_overdue() {
            if self.leave() {
                return;
            }
            self.has_overdue.store(true, Ordering::Relaxed);
        }
        let mut idle = lock(&self.idle);
        // Whoever closes the rest has said so before it takes them.
        if self.stop.is_cancelled() {
            return;
        }
        idle.push(reader);
        self.free.add_permits(1);
    }

    /// One that is lent out ends when it is given back.
    fn drop_overdue(&self) {
        let Ok(free) = self.free.try_acquire() else { return };
        let mut idle = lock(&self.idle);
        let overdue = idle.iter().position(Reader::is_overdue);
        if let Some(overdue) = overdue.filter(|_| self.leave()) {
            free.forget();
            idle.remove(overdue);
        }
    }

    fn lose(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.lost.notify_one();
    }

    /// One that does not answer in time is lost, unless it answers after all before there is another in its place.
    fn lose_for_now(self: &Arc<Self>, mut reader: Reader) {
        self.lose();
        let one_more = |late| (late < self.most).then_some(late + 1);
        if self.late.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_err() {
            return;
        }
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            let answer = timeout(LATE_TIMEOUT, reader.connection.ping());
            let answer = shared.stop.run_until_cancelled(answer).await;
            let is_of_history = shared.history.is_younger(reader.opened.elapsed());
            if matches!(answer, Some(Ok(Ok(())))) && is_of_history && shared.enter() {
                shared.give(reader);
            }
            shared.late.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// Those that are idle are of the same server as one that does not answer. Those that do are back at once.
    fn ask_idle(self: &Arc<Self>) {
        while let Ok(free) = self.free.try_acquire() {
            free.forget();
            let reader = lock(&self.idle).pop();
            drop(Loan { reader, shared: Arc::clone(self) });
        }
    }
}

/// One of them, for one read. One that is dropped in the middle of it is asked for a word first: what is still to come of
/// the read goes to nobody else.
pub(in crate::store) struct Loan {
    /// Until it is given back.
    reader: Option<Reader>,
    shared: Arc<Shared>,
}

impl Loan {
    pub(in crate::store) fn connection(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        let reader = self.reader.as_mut().ok_or(sqlx::Error::PoolClosed)?;
        Ok(&mut reader.connection)
    }

    /// To be called when its read has come to its end, whatever that was.
    pub(in crate::store) fn give_back<T>(mut self, read: &Result<T, sqlx::Error>) {
        let is_sound = matches!(read, Ok(_) | Err(sqlx::Error::RowNotFound));
        if is_sound && let Some(reader) = self.reader.take() {
            self.shared.give(reader);
        }
    }

    /// Gives it back if it is alive and of the history that the core has; otherwise it is lost.
    async fn asked(mut self) -> Option<Self> {
        let reader = self.reader.as_mut()?;
        let answer = if self.shared.history.is_younger(reader.opened.elapsed()) {
            timeout(PING_TIMEOUT, reader.connection.ping()).await
        } else {
            Ok(Err(sqlx::Error::PoolClosed))
        };
        if let Ok(Ok(())) = answer {
            return Some(self);
        }
        let reader = self.reader.take()?;
        if answer.is_ok() {
            self.shared.lose();
        } else {
            self.shared.lose_for_now(reader);
            self.shared.ask_idle();
        }
        None
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let Some(mut reader) = self.reader.take() else { return };
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            match timeout(PING_TIMEOUT, reader.connection.ping()).await {
                Ok(Ok(())) => shared.give(reader),
                Ok(Err(_)) => shared.lose(),
                Err(_) => shared.lose_for_now(reader),
            }
        });
    }
}
