//! Who types to whom (PROTOCOL-2 sections 3 and 6): one state for each user and peer, whatever device says it.
//!
//! What is said goes to the core by calls of its own, and never by the pipeline of sends. It is gathered for a moment, and told by
//! one call: to wake all who have a part in it costs more than what they do for one word. Of one user and peer one word is under
//! way at a time, and no more a second than the rate allows. What is said meanwhile waits, and the last word takes the place of
//! those before it: it is always told, unless the core is away for longer than anybody types.
//!
//! * [`pairs`]: what was said, and not told yet.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use netrox_proto::{
    request_id::RequestId,
    v1::{BatchSetTypingRequest, ErrorReason, Failure, SetTypingRequest, SetTypingResult},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::{Instant, sleep, sleep_until, timeout},
};
use tonic::{Code, Status};

use self::pairs::{Pair, Pairs, Words};
use crate::{
    core_client::CoreClient,
    limits::Limiter,
    metrics::{ShedSignal, SignalMetrics},
    revocation::{Revocations, TokenMark},
    tasks::Tasks,
};

mod pairs;

/// How often what was said is told. Nobody sees the difference.
const GATHER: Duration = Duration::from_millis(100);
/// The same while the edge drains.
const GATHER_LAST: Duration = Duration::from_millis(10);
/// Words in a call, as many as a core takes.
const MAX_WORDS: usize = 1_000;
/// Calls at a time.
const MAX_CALLS: usize = 8;
const CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a word is tried to be told. Nobody is seen typing for longer than 6 seconds.
const PATIENCE: Duration = Duration::from_secs(3);
const RETRY: Duration = Duration::from_millis(250);

/// What became of a word, or of the one that took its place.
pub(crate) type Said = Result<(), Failure>;

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Typists(Arc<Shared>);

struct Shared {
    core: CoreClient,
    limiter: Arc<Limiter>,
    revocations: Arc<Revocations>,
    tasks: Tasks,
    metrics: SignalMetrics,
    calls: Arc<Semaphore>,
    pairs: Mutex<Pairs>,
}

impl Typists {
    pub(crate) fn new(
        core: &CoreClient,
        limiter: &Arc<Limiter>,
        revocations: &Arc<Revocations>,
        tasks: &Tasks,
        metrics: SignalMetrics,
    ) -> Self {
        Self(Arc::new(Shared {
            core: core.clone(),
            limiter: Arc::clone(limiter),
            revocations: Arc::clone(revocations),
            tasks: tasks.clone(),
            metrics,
            calls: Arc::new(Semaphore::new(MAX_CALLS)),
            pairs: Mutex::default(),
        }))
    }

    /// A user writes to a peer.
    pub(crate) fn wrote(&self, pair: Pair) {
        self.0.pairs().wrote(pair);
    }

    /// Takes a word. What is given tells what became of it, if that `is_awaited`.
    pub(crate) fn say(
        &self,
        pair: Pair,
        typing: bool,
        token: TokenMark,
        is_awaited: bool,
    ) -> Option<oneshot::Receiver<Said>> {
        let (sender, receiver) = is_awaited.then(oneshot::channel).unzip();
        let mut pairs = self.0.pairs();
        if let Err(sender) = pairs.add(pair, typing, token, sender) {
            drop(pairs);
            self.0.metrics.shed(ShedSignal::Typing);
            pairs::refuse(sender);
            return receiver;
        }
        if !std::mem::replace(&mut pairs.are_seen_to, true) {
            drop(pairs);
            let shared = Arc::clone(&self.0);
            self.0.tasks.spawn(async move { shared.see_to_all().await });
        }
        receiver
    }
}

impl Shared {
    /// A few instructions that do not panic.
    fn pairs(&self) -> MutexGuard<'_, Pairs> {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells what is said until nothing is.
    async fn see_to_all(self: &Arc<Self>) {
        let mut next = Instant::now() + GATHER;
        loop {
            // Once the drain begins there is no time left to wait.
            self.tasks.draining().run_until_cancelled(sleep_until(next)).await;
            let is_draining = self.tasks.draining().is_cancelled();
            while let Ok(place) = Arc::clone(&self.calls).try_acquire_owned() {
                let due = |(user, peer)| self.limiter.typing(user, peer);
                let words = self.pairs().take(MAX_WORDS, is_draining, due);
                if words.is_empty() {
                    break;
                }
                let shared = Arc::clone(self);
                self.tasks.spawn(async move { shared.tell(words, place).await });
            }
            if self.pairs().is_over() {
                return;
            }
            if is_draining {
                sleep(GATHER_LAST).await;
            }
            next = Instant::now() + GATHER;
        }
    }

    async fn tell(&self, words: Vec<(Pair, Words)>, _place: OwnedSemaphorePermit) {
        let are_known = timeout(CALL_TIMEOUT, self.revocations.known()).await.is_ok();
        let is_good =
            |((user, _), words): &(Pair, Words)| !self.revocations.mean(*user, &words.token);
        let (words, doubtful): (Vec<_>, Vec<_>) =
            words.into_iter().partition(|said| are_known && is_good(said));
        for (pair, words) in doubtful {
            let result = Err(late("it is not known whether the token was taken away"));
            self.settle(pair, words, &result);
        }
        let requests: Vec<_> = words.iter().map(request).collect();
        if requests.is_empty() {
            return;
        }
        match self.call(requests).await {
            Ok(results) => {
                let results = results.into_iter().map(|SetTypingResult { failure }| failure);
                // A core answers each.
                let results = results.map(|failure| failure.map_or(Ok(()), Err));
                let rest = std::iter::repeat_with(|| Err(late("the core did not answer")));
                for ((pair, words), result) in words.into_iter().zip(results.chain(rest)) {
                    self.settle(pair, words, &result);
                }
            }
            Err(failure) => {
                let result = Err(failure);
                for (pair, words) in words {
                    self.settle(pair, words, &result);
                }
            }
        }
    }

    async fn call(&self, requests: Vec<SetTypingRequest>) -> Result<Vec<SetTypingResult>, Failure> {
        let mut chat = self.core.chat.clone();
        let request = BatchSetTypingRequest { requests };
        let call = RequestId::draw().scope(async move { chat.batch_set_typing(request).await });
        match timeout(CALL_TIMEOUT, Box::pin(call)).await {
            Ok(Ok(response)) => Ok(response.into_inner().results),
            Ok(Err(status)) => Err(refused(&status)),
            Err(_) => Err(late("the core did not answer in time")),
        }
    }

    fn settle(&self, pair: Pair, words: Words, result: &Said) {
        let is_passing = result.as_ref().is_err_and(is_passing);
        let is_over = words.since.elapsed() >= PATIENCE || self.tasks.draining().is_cancelled();
        if is_passing && !is_over {
            self.pairs().give_back(pair, words, Instant::now() + RETRY);
            return;
        }
        if is_passing {
            self.metrics.shed(ShedSignal::Typing);
        }
        self.pairs().end(pair, words, result);
    }
}

fn request(((user, peer), words): &(Pair, Words)) -> SetTypingRequest {
    let (user_id, peer_id) = (user.to_string(), peer.to_string());
    SetTypingRequest { user_id, peer_id, typing: words.typing }
}

/// Another core, or the same a moment later, may take it.
fn late(what: &'static str) -> Failure {
    Failure::new(ErrorReason::StoreUnavailable, what)
}

/// Why a core refuses something of signals: one of before does not know the call, and another may.
pub(crate) fn refused(status: &Status) -> Failure {
    if status.code() == Code::Unimplemented {
        let message = "the core is of a version that knows no signals";
        return Failure::new(ErrorReason::StoreUnavailable, message);
    }
    Failure::from(status)
}

/// Whether another core, or the same a moment later, may take it.
fn is_passing(failure: &Failure) -> bool {
    use ErrorReason as R;
    match failure.reason() {
        R::Overloaded
        | R::StoreUnavailable
        | R::HandedBack
        | R::ShuttingDown
        | R::OutcomeUnknown => true,
        R::Unspecified
        | R::InvalidField
        | R::BodyTooLarge
        | R::AttachmentTooLarge
        | R::ReceiverUnknown
        | R::ReceiverIsSender
        | R::UserUnknown
        | R::UserDeleted
        | R::MessageNotFound
        | R::AttachmentNotFound
        | R::RangeNotSatisfiable
        | R::EpochChanged
        | R::Overtaken
        | R::MessageNotAllowed
        | R::TooLate
        | R::ThreadNotFound
        | R::ScopeMissing
        | R::RateLimited
        | R::StorageQuotaExceeded
        | R::TooManyRevocations
        | R::NotEnabled
        | R::TicketUnknown
        | R::TicketExpired
        | R::Internal => false,
    }
}
