//! Who types to whom (PROTOCOL-2 sections 3 and 6): one state for each user and peer, whatever device says it.
//!
//! What is said goes to the core by calls of its own, so many at a time, and never by the pipeline of sends. Of one user and peer one
//! is under way at a time, and no more a second than the rate allows. What is said meanwhile waits, and the last word takes the
//! place of those before it: it is always told, unless the core is away for longer than anybody types.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use netrox_proto::{
    ids::UserId,
    request_id::RequestId,
    v1::{ErrorReason, Failure, SetTypingRequest},
};
use tokio::{
    sync::{Semaphore, oneshot},
    time::{Instant, sleep, sleep_until, timeout},
};
use tonic::{Code, Status};

use crate::{
    core_client::CoreClient,
    limits::Limiter,
    metrics::{ShedSignal, SignalMetrics},
    revocation::{Revocations, TokenMark},
    tasks::Tasks,
};

/// Words of one user to one peer, of all users of the edge; beyond it they are refused.
const MAX_PAIRS: usize = 16_384;
/// Calls at a time.
const MAX_CALLS: usize = 64;
const CALL_TIMEOUT: Duration = Duration::from_secs(2);
/// Words are told together, so often: to wake all who have a part in it costs more than what they do for one.
const GATHER: Duration = Duration::from_millis(20);
/// How long a word is tried to be told. Nobody is seen typing for longer than 6 seconds.
const PATIENCE: Duration = Duration::from_secs(3);
const RETRY: Duration = Duration::from_millis(250);
/// For how long somebody types who does not say so again.
const TYPING_FOR: Duration = Duration::from_secs(6);

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
    calls: Semaphore,
    created_at: Instant,
    waiting: Mutex<HashMap<Pair, Waiting>>,
}

/// Who types, and to whom.
type Pair = (UserId, UserId);

/// There as long as a task sees to a pair.
#[derive(Default)]
struct Waiting(Option<Words>);

/// What was said since the last call.
struct Words {
    typing: bool,
    /// Of who said the last of them.
    token: TokenMark,
    since: Instant,
    /// When the last of them was said.
    last: Instant,
    said: Vec<oneshot::Sender<Said>>,
}

impl Waiting {
    fn add(&mut self, typing: bool, token: TokenMark, said: Option<oneshot::Sender<Said>>) {
        let words = self.0.get_or_insert_with(|| Words {
            typing,
            token,
            since: Instant::now(),
            last: Instant::now(),
            said: Vec::new(),
        });
        (words.typing, words.token, words.last) = (typing, token, Instant::now());
        // Who has left does not wait any more.
        words.said.retain(|said| !said.is_closed());
        words.said.extend(said);
    }

    /// The user has written meanwhile, which says that they type no more.
    fn wrote(&mut self) {
        if let Some(words) = self.0.take_if(|words| words.typing) {
            words.end(&Ok(()));
        }
    }

    /// Keeps what could not be told, unless there is something newer to be told in its place.
    fn give_back(&mut self, words: Words) {
        match &mut self.0 {
            Some(newer) => {
                newer.said.extend(words.said);
                newer.since = newer.since.min(words.since);
            }
            none => *none = Some(words),
        }
    }
}

impl Words {
    /// Tells those who wait what became of it.
    fn end(self, said: &Said) {
        for one in self.said {
            // Whoever left does not want to know.
            let _ = one.send(said.clone());
        }
    }
}

impl Typists {
    /// A user writes to a peer.
    pub(crate) fn wrote(&self, pair: Pair) {
        if let Some(waiting) = self.0.waiting().get_mut(&pair) {
            waiting.wrote();
        }
    }

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
            calls: Semaphore::new(MAX_CALLS),
            created_at: Instant::now(),
            waiting: Mutex::default(),
        }))
    }

    /// Takes a word. What is given tells what became of it, if that `is_awaited`.
    pub(crate) fn say(
        &self,
        pair: Pair,
        typing: bool,
        token: TokenMark,
        is_awaited: bool,
    ) -> Option<oneshot::Receiver<Said>> {
        let (sender, receiver) = oneshot::channel();
        let (sender, receiver) =
            if is_awaited { (Some(sender), Some(receiver)) } else { (None, None) };
        let mut waiting = self.0.waiting();
        if let Some(waiting) = waiting.get_mut(&pair) {
            waiting.add(typing, token, sender);
            return receiver;
        }
        if waiting.len() >= MAX_PAIRS {
            drop(waiting);
            self.0.metrics.shed(ShedSignal::Typing);
            if let Some(sender) = sender {
                // Whoever left does not want to know.
                let _ = sender.send(Err(Failure::new(ErrorReason::Overloaded, "too many type")));
            }
            return receiver;
        }
        waiting.entry(pair).or_default().add(typing, token, sender);
        drop(waiting);
        let shared = Arc::clone(&self.0);
        self.0.tasks.spawn(async move { shared.see_to(pair).await });
        receiver
    }
}

impl Shared {
    /// A few instructions that do not panic.
    fn waiting(&self) -> MutexGuard<'_, HashMap<Pair, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells what is said until nothing is.
    async fn see_to(&self, pair: Pair) {
        let mut is_repeated = false;
        while self.has_more(pair) {
            let allowed = if is_repeated { None } else { self.limiter.typing(pair.0, pair.1) };
            let due = self.gathered_at(allowed);
            // Once the drain begins there is no time left to wait.
            self.tasks.draining().run_until_cancelled(sleep_until(due)).await;
            // It is never closed. What is said until then is part of it.
            let turn = self.calls.acquire().await;
            // Nothing any more where the user has written meanwhile.
            let Some(words) = self.take(pair) else { continue };
            if words.typing && words.last.elapsed() >= TYPING_FOR {
                words.end(&Ok(()));
                continue;
            }
            let result = self.tell(pair, &words).await;
            let is_over = words.since.elapsed() >= PATIENCE || self.tasks.draining().is_cancelled();
            match result {
                Err(failure) if is_passing(&failure) && !is_over => {
                    if let Some(waiting) = self.waiting().get_mut(&pair) {
                        waiting.give_back(words);
                    }
                    drop(turn);
                    sleep(RETRY).await;
                    is_repeated = true;
                }
                result => {
                    if result.as_ref().is_err_and(is_passing) {
                        self.metrics.shed(ShedSignal::Typing);
                    }
                    words.end(&result);
                    is_repeated = false;
                }
            }
        }
    }

    /// When words are told next, from a time on.
    fn gathered_at(&self, from: Option<Instant>) -> Instant {
        let from = from.unwrap_or_else(Instant::now);
        let into = from.saturating_duration_since(self.created_at).as_nanos() % GATHER.as_nanos();
        from + GATHER.saturating_sub(Duration::from_nanos(into.try_into().unwrap_or_default()))
    }

    /// Whether anything was said; if not, nobody sees to the pair any more.
    fn has_more(&self, pair: Pair) -> bool {
        let mut waiting = self.waiting();
        let has_more = waiting.get(&pair).is_some_and(|waiting| waiting.0.is_some());
        if !has_more {
            waiting.remove(&pair);
        }
        if waiting.is_empty() {
            *waiting = HashMap::new();
        }
        has_more
    }

    /// All that was said.
    fn take(&self, pair: Pair) -> Option<Words> {
        self.waiting().get_mut(&pair)?.0.take()
    }

    async fn tell(&self, (user, peer): Pair, words: &Words) -> Said {
        let late = |what| Failure::new(ErrorReason::StoreUnavailable, what);
        let known = timeout(CALL_TIMEOUT, self.revocations.known()).await;
        if known.is_err() || self.revocations.mean(user, &words.token) {
            return Err(late("it is not known whether the token was taken away"));
        }
        let request = SetTypingRequest {
            user_id: user.to_string(),
            peer_id: peer.to_string(),
            typing: words.typing,
        };
        let mut chat = self.core.chat.clone();
        let call = RequestId::draw().scope(async move { chat.set_typing(request).await });
        match timeout(CALL_TIMEOUT, Box::pin(call)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(status)) => Err(refused(&status)),
            Err(_) => Err(late("the core did not answer in time")),
        }
    }
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
