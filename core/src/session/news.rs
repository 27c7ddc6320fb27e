//! Whether there is something new for edges, and since when that is known.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::Board;
use crate::store::Store;

/// How often is looked for what other cores have written.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// With what is not known for so long, nobody should be let in: edges look for another core then.
pub(super) const MAX_AGE: Duration = Duration::from_millis(1_500);

#[derive(Debug, Clone)]
pub(crate) struct News {
    /// Changes when something was committed, here or elsewhere.
    committed: watch::Sender<u64>,
    /// When it was last known that nothing else was committed; `None` where nobody else can.
    looked: Option<Arc<Mutex<Option<Instant>>>>,
}

impl News {
    /// `committed` changes when this core has committed something.
    pub(crate) fn new(committed: watch::Sender<u64>, store: &Store) -> Self {
        Self { committed, looked: store.cluster().map(|_| Arc::default()) }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.committed.subscribe()
    }

    /// Whether what was committed until a moment ago is known.
    pub(super) fn are_fresh(&self) -> bool {
        let Some(looked) = &self.looked else { return true };
        let looked = looked.lock().unwrap_or_else(PoisonError::into_inner);
        looked.is_some_and(|at| at.elapsed() < MAX_AGE)
    }

    fn set_looked(&self, at: Instant) {
        if let Some(looked) = &self.looked {
            *looked.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
        }
    }

    /// Looks for what other cores write, while an edge watches, until the drain. To be spawned where there are others.
    pub(crate) async fn follow(self, store: Store, board: Board, draining: CancellationToken) {
        let following = async {
            let mut last = None;
            loop {
                board.is_watched().await;
                let begun = Instant::now();
                match store.last_notice().await {
                    Ok(version) => {
                        if last.replace(version) != Some(version) {
                            self.committed.send_modify(|count| *count = count.wrapping_add(1));
                        }
                        // Behind the news, which whoever sees this has seen then.
                        self.set_looked(begun);
                        sleep_until(begun + LOOK_INTERVAL).await;
                    }
                    Err(error) => {
                        tracing::debug!("what is new for edges cannot be read: {error}");
                        sleep(LOOK_INTERVAL).await;
                    }
                }
            }
        };
        draining.run_until_cancelled(following).await;
    }
}
