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
use crate::{committer::Committer, store::Store};

/// How often is looked for what other cores have written.
const LOOK_INTERVAL: Duration = Duration::from_millis(150);
/// With what was known longer ago no sign of life is given: an edge counts from there on.
const MAX_AGE: Duration = Duration::from_millis(350);
/// After so long edges are to look for another core.
pub(super) const MAX_SILENCE: Duration = Duration::from_secs(2);

#[derive(Debug, Clone)]
pub(crate) struct News {
    /// Changes when something was committed, here or elsewhere.
    committed: watch::Sender<u64>,
    /// Changes when versions may be given anew that were given before: the database has gone back.
    rewound: watch::Sender<u64>,
    /// When it was last known that nothing else was committed; `None` where nobody else can.
    looked: Option<Arc<Mutex<Option<Instant>>>>,
}

impl News {
    pub(crate) fn new(committer: &Committer, store: &Store) -> Self {
        Self {
            committed: committer.noticed().clone(),
            rewound: committer.rewound().clone(),
            looked: store.cluster().map(|_| Arc::default()),
        }
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.committed.subscribe()
    }

    pub(super) fn rewound(&self) -> watch::Receiver<u64> {
        self.rewound.subscribe()
    }

    /// Whether what was committed until a moment ago is known.
    pub(super) fn are_fresh(&self) -> bool {
        self.are_younger(MAX_AGE)
    }

    pub(super) fn are_younger(&self, age: Duration) -> bool {
        let Some(looked) = &self.looked else { return true };
        let looked = looked.lock().unwrap_or_else(PoisonError::into_inner);
        looked.is_some_and(|at| at.elapsed() < age)
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
                        let before = last.replace(version);
                        if before.is_some_and(|before| before > version) {
                            self.rewound.send_modify(|count| *count = count.wrapping_add(1));
                        }
                        if before != Some(version) {
                            self.committed.send_modify(|count| *count = count.wrapping_add(1));
                        }
                        // Behind the news, which whoever sees this has seen then.
                        self.set_looked(begun);
                        sleep_until(begun + LOOK_INTERVAL).await;
                    }
                    Err(error) => {
                        tracing::debug!(%error, "what is new for edges cannot be read");
                        sleep(LOOK_INTERVAL).await;
                    }
                }
            }
        };
        draining.run_until_cancelled(following).await;
    }
}
