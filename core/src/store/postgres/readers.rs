//! The connections that read. All of them are opened at the start and kept. Whoever reads takes one that is free, or waits
//! for the next that is, in turn: it opens none, since while it did it would not see one that is given back.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use sqlx::{ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio::{
    sync::{Notify, Semaphore},
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{CONNECT_TIMEOUT, history, server, session::read_options, unusable};
use crate::store::{
    engine::{PING_TIMEOUT, within},
    error::Words,
    history::History,
};

/// For chat, of one core; one more connection writes.
pub(in crate::store) const READERS: usize = 5;
/// For histories, lists and files.
pub(in crate::store) const BULK_READERS: usize = 3;
/// How long a read waits for one that is free, and a start for all of them.
const TAKE_TIMEOUT: Duration = Duration::from_millis(1_500);
/// A session keeps what it has learnt of the tables, and so grows.
const MAX_LIFETIME: Duration = Duration::from_secs(30 * 60);
/// How often those that nobody uses are asked whether they are still there.
const ROUND_INTERVAL: Duration = Duration::from_secs(5);
/// Between two attempts to open one, which doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_millis(400);

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
    idle: Mutex<Vec<Reader>>,
    /// A permit for each that is idle. Those who wait get them in turn.
    free: Semaphore,
    /// Those that are open, idle or not.
    open: AtomicUsize,
    lost: Notify,
    /// Why the last attempt to open one has failed, until somebody was told.
    failure: Mutex<Option<sqlx::Error>>,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Reader {
    connection: PgConnection,
    opened: Instant,
}

impl Pool {
    /// Opens them; those that cannot be opened at once are later. Waits for them for a moment.
    pub(in crate::store) async fn open(
        prepared: &PgConnectOptions,
        history: &History,
        most: usize,
    ) -> Self {
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            options: read_options(prepared).disable_statement_logging(),
            history: history.clone(),
            most,
            idle: Mutex::default(),
            free: Semaphore::new(0),
            open: AtomicUsize::new(0),
            lost: Notify::new(),
            failure: Mutex::default(),
            stop: stop.clone(),
        });
        tokio::spawn(keep(Arc::clone(&shared)));
        let all = u32::try_from(most).unwrap_or(u32::MAX);
        // Given back at once.
        if timeout(TAKE_TIMEOUT, shared.free.acquire_many(all)).await.is_err() {
            let error = lock(&shared.failure).as_ref().map(|error| Words(error).to_string());
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
            Err(_) => Err(self.why_none()),
        }
    }

    async fn take_sound(&self) -> Result<Loan, sqlx::Error> {
        let shared = &self.shared;
        loop {
            let free = shared.free.acquire().await.map_err(|_| sqlx::Error::PoolClosed)?;
            free.forget();
            let Some(reader) = lock(&shared.idle).pop() else { continue };
            let mut loan = Loan { reader: Some(reader), shared: Arc::clone(shared) };
            if loan.is_sound().await {
                return Ok(loan);
            }
            loan.lose();
        }
    }

    /// What kept somebody waiting in vain.
    fn why_none(&self) -> sqlx::Error {
        let failure = || lock(&self.shared.failure).take();
        let none_is_open = self.shared.open.load(Ordering::Relaxed) == 0;
        none_is_open.then(failure).flatten().unwrap_or(sqlx::Error::PoolTimedOut)
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

/// Opens what is missing, until the last handle is gone.
async fn keep(shared: Arc<Shared>) {
    let stop = shared.stop.clone();
    let keeping = async {
        let mut opening = JoinSet::new();
        let mut pause = FIRST_PAUSE;
        let mut next_round = Instant::now() + ROUND_INTERVAL;
        loop {
            // A server that has refused one is asked for one at a time.
            let at_once = if pause == FIRST_PAUSE { shared.most } else { 1 };
            let open = shared.open.load(Ordering::Relaxed);
            while opening.len() < at_once && open + opening.len() < shared.most {
                let shared = Arc::clone(&shared);
                opening.spawn(async move { shared.open_one().await });
            }
            let opened = tokio::select! {
                Some(opened) = opening.join_next() => opened,
                () = shared.lost.notified() => continue,
                () = sleep_until(next_round) => {
                    check_idle(&shared).await;
                    next_round = Instant::now() + ROUND_INTERVAL;
                    continue;
                }
            };
            match opened {
                Ok(Ok(reader)) => {
                    pause = FIRST_PAUSE;
                    *lock(&shared.failure) = None;
                    shared.open.fetch_add(1, Ordering::Relaxed);
                    shared.give(reader);
                }
                Ok(Err(error)) => {
                    tracing::debug!(error = %Words(&error), "cannot open a connection that reads");
                    *lock(&shared.failure) = Some(error);
                    // The others of this attempt would tell no more.
                    opening = JoinSet::new();
                    sleep(pause).await;
                    pause = MAX_PAUSE.min(2 * pause);
                }
                Err(error) => tracing::error!(%error, "a connection that reads was not opened"),
            }
        }
    };
    stop.run_until_cancelled(keeping).await;
}

/// Those that have ended are opened again before somebody needs them: others may have taken their places by then. One at a
/// time, so that the rest can be had.
async fn check_idle(shared: &Arc<Shared>) {
    for _ in 0..shared.most {
        let Ok(free) = shared.free.try_acquire() else { return };
        free.forget();
        let longest = {
            let mut idle = lock(&shared.idle);
            if idle.is_empty() { None } else { Some(idle.remove(0)) }
        };
        let mut loan = Loan { reader: longest, shared: Arc::clone(shared) };
        if loan.is_sound().await {
            loan.give_back(&Ok(()));
        } else {
            loan.lose();
        }
    }
}

impl Shared {
    async fn open_one(&self) -> Result<Reader, sqlx::Error> {
        let opened = Instant::now();
        let connected = async {
            let mut connection = PgConnection::connect_with(&self.options).await?;
            server::check_reader(&mut connection).await.map_err(unusable)?;
            let checked = history::postgres::check_reader(&mut connection, &self.history).await;
            checked.map_err(unusable)?;
            Ok(Reader { connection, opened })
        };
        within(CONNECT_TIMEOUT, connected).await
    }

    fn give(&self, reader: Reader) {
        lock(&self.idle).push(reader);
        self.free.add_permits(1);
    }

    fn lose(&self, readers: usize) {
        self.open.fetch_sub(readers, Ordering::Relaxed);
        self.lost.notify_one();
    }

    /// Those that are idle are of the same server as one that does not answer.
    fn lose_idle(&self) {
        let mut lost = Vec::new();
        while let Ok(free) = self.free.try_acquire() {
            free.forget();
            lost.extend(lock(&self.idle).pop());
        }
        self.lose(lost.len());
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

    async fn is_sound(&mut self) -> bool {
        let Some(reader) = &mut self.reader else { return false };
        let age = reader.opened.elapsed();
        if age > MAX_LIFETIME || !self.shared.history.is_younger(age) {
            return false;
        }
        match timeout(PING_TIMEOUT, reader.connection.ping()).await {
            Ok(answer) => answer.is_ok(),
            Err(_) => {
                self.shared.lose_idle();
                false
            }
        }
    }

    fn lose(mut self) {
        if self.reader.take().is_some() {
            self.shared.lose(1);
        }
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let Some(mut reader) = self.reader.take() else { return };
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            match timeout(PING_TIMEOUT, reader.connection.ping()).await {
                Ok(Ok(())) => shared.give(reader),
                Ok(Err(_)) | Err(_) => shared.lose(1),
            }
        });
    }
}
