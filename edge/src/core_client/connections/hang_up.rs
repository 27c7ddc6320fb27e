//! A caller that goes away before the head of its answer is there, because its client hung up or its deadline has passed.
//!
//! Told at once, the core would find a stream that was opened and reset before it looked at it. It ends the connection of
//! a peer that does this too often, for everybody on it. So the call goes on alone until its head is there: then the core
//! has looked at it.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, oneshot},
    time::timeout,
};
use tonic::Status;

/// Calls without callers on a link: fewer than the core lets wait as resets.
const MAX_ABANDONED: usize = 512;
/// A core that hangs is found to be gone before.
const MAX_WAIT: Duration = Duration::from_secs(10);

pub(super) struct HangUps {
    places: Arc<Semaphore>,
}

impl Default for HangUps {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(MAX_ABANDONED)) }
    }
}

impl HangUps {
    /// Waits for the head of an answer, also where nobody waits for this any more.
    pub(super) async fn keep<T>(
        &self,
        answer: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Status>
    where
        T: Send + 'static,
    {
        let places = Arc::clone(&self.places);
        let (mut caller, answered) = oneshot::channel();
        tokio::spawn(async move {
            let mut answer = Box::pin(answer);
            let answer = tokio::select! {
                biased;
                answer = &mut answer => Some(answer),
                () = caller.closed() => {
                    // Beyond that the core hears of it.
                    if let Ok(_place) = places.try_acquire() {
                        // An error is the end of the time.
                        let _ = timeout(MAX_WAIT, answer).await;
                    }
                    None
                }
            };
            if let Some(answer) = answer {
                // The caller may have gone in this moment.
                let _ = caller.send(answer);
            }
        });
        answered.await.map_err(|_| Status::internal("a call ended without an answer"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_goes_on_without_its_caller_up_to_a_number() {
        let hang_ups = HangUps::default();
        let begun = |ends: oneshot::Receiver<()>| {
            let (told, ended) = oneshot::channel();
            let call = async move {
                // Dropped where it does not go on.
                let answered = ends.await.is_ok();
                let _ = told.send(answered);
            };
            (call, ended)
        };
        let mut kept = Vec::new();
        for _ in 0..MAX_ABANDONED {
            let (end, ends) = oneshot::channel();
            let (call, ended) = begun(ends);
            let mut caller = Box::pin(hang_ups.keep(call));
            assert!(futures_util::poll!(&mut caller).is_pending());
            drop(caller);
            kept.push((end, ended));
        }
        while hang_ups.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let (_end, ends) = oneshot::channel();
        let (call, ended) = begun(ends);
        let mut caller = Box::pin(hang_ups.keep(call));
        assert!(futures_util::poll!(&mut caller).is_pending());
        drop(caller);
        assert!(ended.await.is_err(), "one too many goes on");
        for (end, ended) in kept {
            end.send(()).expect("a call that goes on");
            assert_eq!(ended.await, Ok(true));
        }
    }
}
