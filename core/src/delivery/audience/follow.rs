//! The task that looks for what other cores have stored.

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{
    Audience, LOOK_INTERVAL,
    looks::{Learnt, lock},
};
use crate::store::Store;

impl Audience {
    /// Looks for blocks of other cores, and for who hides, while anybody asks, until `stop`. To be spawned where there are others.
    /// `tell` is called with what is new.
    pub(in crate::delivery) async fn follow(
        &self,
        store: &Store,
        stop: CancellationToken,
        tell: impl Fn(Learnt),
    ) {
        let Some(looks) = &self.looks else { return };
        let following = async {
            loop {
                if !self.is_in_use() {
                    self.wanted.notified().await;
                }
                let begun = Instant::now();
                match tokio::try_join!(store.blocks_of_late(), store.hidden_of_late()) {
                    Ok((blocks, hidden)) => {
                        let (blocks, hidden) =
                            (blocks.into_iter().collect(), hidden.into_iter().collect());
                        for learnt in lock(looks).news(begun, &blocks, &hidden) {
                            self.learn(learnt);
                            tell(learnt);
                        }
                        lock(looks).note(begun, blocks, hidden);
                    }
                    Err(error) => tracing::debug!(%error, "new blocks cannot be read"),
                }
                sleep_until(begun + LOOK_INTERVAL).await;
            }
        };
        stop.run_until_cancelled(following).await;
    }

    pub(super) fn learn(&self, learnt: Learnt) {
        match learnt {
            Learnt::Block(one, two) => {
                for pair in [(one, two), (two, one)] {
                    self.shard(pair).learn_shut(pair);
                }
            }
            Learnt::Hidden(user) => self.forget_user(user),
            // What is kept is vouched for by no look.
            Learnt::Gap => {}
        }
    }
}
