//! Whom the client watches, and whether its user hides.

use std::{
    collections::{HashMap, VecDeque},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, stream::FuturesUnordered};
use netrox_proto::{
    ids::UserId,
    request_id::RequestId,
    v1::{
        ErrorReason, Failure, Presence, SetPresenceRequest, Visibility, WatchPresenceRequest,
        WatchPresenceResponse,
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::oneshot,
    time::{Instant, sleep, sleep_until, timeout},
};
use tonic::Streaming;

use super::{Session, answers::Reply};
use crate::{
    backoff::Backoff,
    core_client::CoreClient,
    metrics::{ShedSignal, SignalMetrics},
    revocation::Revocations,
    typing::refused,
    wire::{Echo, v2::server_frame},
    ws::{
        close::CloseReason,
        queue::{Outgoing, SignalKey},
    },
};

/// For a core to answer.
const CORE_TIME: Duration = Duration::from_secs(5);
/// The same for how peers are: a core that has just begun waits until it has heard of them.
const WATCH_TIME: Duration = Duration::from_secs(8);
const FIRST_RETRY: Duration = Duration::from_millis(100);
const MAX_RETRY: Duration = Duration::from_secs(5);
/// After a core was replaced: by then it has heard who is online.
const GRACE: Duration = Duration::from_secs(10);

/// What the client asked for. Connections are many, and not all watch anybody.
#[derive(Default)]
pub(super) struct PresenceVerbs(Option<Box<State>>);

#[derive(Default)]
struct State {
    /// Lists that wait for the one before.
    waiting: VecDeque<(Echo, Vec<UserId>)>,
    /// The list that was asked for last, until the core has answered.
    beginning: Option<(Echo, oneshot::Receiver<Begun>, Following)>,
    /// The list that counts.
    following: Option<Following>,
    sets: FuturesUnordered<Set>,
}

type Begun = Result<Vec<Presence>, Failure>;
/// Never resolves, once it has begun.
type Following = Pin<Box<dyn Future<Output = ()> + Send>>;
type Set = Pin<Box<dyn Future<Output = (Echo, Result<(), Failure>)> + Send>>;

impl State {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty()
            && self.beginning.is_none()
            && self.following.is_none()
            && self.sets.is_empty()
    }
}

impl PresenceVerbs {
    /// How many frames are not answered.
    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |state| {
            state.waiting.len() + usize::from(state.beginning.is_some()) + state.sets.len()
        })
    }
}

/// One list, from the call to its end.
struct Watch {
    core: CoreClient,
    revocations: Arc<Revocations>,
    metrics: SignalMetrics,
    outgoing: Arc<Outgoing>,
    user: UserId,
    peers: Vec<UserId>,
    told: HashMap<String, Presence>,
    /// Who looks as if they had left to a core that has just begun, until when that is not told.
    held: HashMap<String, Presence>,
    held_until: Instant,
}

impl Watch {
    async fn run(mut self, due: Option<Instant>, begun: oneshot::Sender<Begun>) {
        if let Some(due) = due {
            sleep_until(due).await;
        }
        let (mut responses, first) = match self.open().await {
            Ok(opened) => opened,
            Err(failure) => {
                // Whoever asked has gone.
                let _ = begun.send(Err(failure));
                return;
            }
        };
        self.remember(&first.presences);
        // What waits is of the list of before.
        self.outgoing.retain_signals(|key| matches!(key, SignalKey::Typing(_)));
        let _ = begun.send(Ok(first.presences));
        let mut backoff = Backoff::new(FIRST_RETRY, MAX_RETRY);
        loop {
            let opened_at = Instant::now();
            loop {
                let response = tokio::select! {
                    response = responses.message() => response,
                    () = sleep_until(self.held_until), if !self.held.is_empty() => {
                        self.show_held().await;
                        continue;
                    }
                };
                let Ok(Some(response)) = response else { break };
                self.show(response).await;
            }
            if opened_at.elapsed() >= MAX_RETRY {
                backoff.reset();
            }
            (responses, _) = loop {
                sleep(backoff.next_delay()).await;
                if let Ok((responses, first)) = self.open().await {
                    self.show_anew(first.clone()).await;
                    break (responses, first);
                }
            };
        }
    }

    async fn open(
        &self,
    ) -> Result<(Box<Streaming<WatchPresenceResponse>>, WatchPresenceResponse), Failure> {
        let request = WatchPresenceRequest {
            user_id: self.user.to_string(),
            peer_ids: self.peers.iter().map(UserId::to_string).collect(),
        };
        let mut chat = self.core.chat.clone();
        let opened = RequestId::draw().scope(async move {
            let mut responses = Box::new(chat.watch_presence(request).await?.into_inner());
            let first = responses.message().await?;
            Ok::<_, tonic::Status>((responses, first))
        });
        let late = || Failure::new(ErrorReason::StoreUnavailable, "the core did not answer");
        match timeout(WATCH_TIME, Box::pin(opened)).await {
            Ok(Ok((responses, Some(first)))) => Ok((responses, first)),
            Ok(Ok((_, None))) | Err(_) => Err(late()),
            Ok(Err(status)) => Err(refused(&status)),
        }
    }

    fn remember(&mut self, presences: &[Presence]) {
        self.told.extend(presences.iter().map(|one| (one.peer_id.clone(), comparable(one))));
    }

    /// Tells the client what is new to it by another core, but nobody's leave: that core may have heard of no edge yet.
    async fn show_anew(&mut self, mut first: WatchPresenceResponse) {
        self.held_until = Instant::now() + GRACE;
        let is_online = |peer: &String| self.told.get(peer).is_some_and(|told| told.online);
        let held = first.presences.extract_if(.., |now| !now.online && is_online(&now.peer_id));
        let held = held.map(|presence| (presence.peer_id.clone(), presence)).collect();
        self.held = held;
        self.show(first).await;
    }

    /// Tells of those who have not come back.
    async fn show_held(&mut self) {
        let presences = std::mem::take(&mut self.held).into_values().collect();
        self.show(WatchPresenceResponse { presences, users: Vec::new() }).await;
    }

    /// Tells the client what is new to it.
    async fn show(&mut self, response: WatchPresenceResponse) {
        // Nothing is shown to anybody while it is not known whose tokens were taken away.
        self.revocations.known().await;
        let WatchPresenceResponse { presences, users } = response;
        for presence in presences {
            let (now, peer) = (comparable(&presence), presence.peer_id.clone());
            self.held.remove(&peer);
            if self.told.insert(peer, now.clone()).as_ref() != Some(&now)
                && let Ok(peer) = presence.peer_id.parse()
            {
                self.signal(SignalKey::Presence(peer), server_frame::presence(&presence));
            }
        }
        for user in users {
            if let Ok(peer) = user.id.parse() {
                self.signal(SignalKey::User(peer), server_frame::user(&user));
            }
        }
    }

    fn signal(&self, key: SignalKey, frame: tokio_tungstenite::tungstenite::Utf8Bytes) {
        if self.outgoing.push_signal(key, frame, false) {
            self.metrics.shed(ShedSignal::Socket);
        }
    }
}

/// Of those who are online the time goes on, and is no news.
fn comparable(presence: &Presence) -> Presence {
    let last_seen = presence.last_seen.filter(|_| !presence.online);
    Presence { last_seen, ..presence.clone() }
}

impl<S> Session<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// Watches others than before.
    pub(super) fn take_in_watch(&mut self, peers: Vec<UserId>, echo: Echo) {
        self.presence.0.get_or_insert_default().waiting.push_back((echo, peers));
        self.begin_watch();
    }

    /// Begins with the next list, unless one is being begun with.
    fn begin_watch(&mut self) {
        let Some(state) = &mut self.presence.0 else { return };
        if state.beginning.is_some() {
            return;
        }
        let Some((echo, peers)) = state.waiting.pop_front() else { return };
        let user = self.connection.user();
        let watch = Watch {
            core: self.context.core.clone(),
            revocations: Arc::clone(&self.context.revocations),
            metrics: self.context.metrics.signals.clone(),
            outgoing: Arc::clone(&self.connection.outgoing),
            user,
            peers,
            told: HashMap::new(),
            held: HashMap::new(),
            held_until: Instant::now(),
        };
        let due = self.context.limiter.receipt(user);
        let (begun, answer) = oneshot::channel();
        state.beginning = Some((echo, answer, Box::pin(watch.run(due, begun))));
    }

    /// Hides the user, or no longer does.
    pub(super) fn take_in_visibility(&mut self, hides: bool, echo: Echo) {
        let user = self.connection.user();
        let visibility = if hides { Visibility::Nobody } else { Visibility::Peers };
        let request =
            SetPresenceRequest { user_id: user.to_string(), visibility: visibility.into() };
        let (mut chat, due) = (self.context.core.chat.clone(), self.context.limiter.receipt(user));
        let revocations = Arc::clone(&self.context.revocations);
        let set = async move {
            if let Some(due) = due {
                sleep_until(due).await;
            }
            revocations.known().await;
            let call = RequestId::draw().scope(async move { chat.set_presence(request).await });
            let result = match timeout(CORE_TIME, Box::pin(call)).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(status)) => Err(refused(&status)),
                Err(_) => Err(Failure::new(ErrorReason::OutcomeUnknown, "the core did not answer")),
            };
            (echo, result)
        };
        self.presence.0.get_or_insert_default().sets.push(Box::pin(set));
    }

    /// Gives whether there was any answer.
    pub(super) fn poll_presence(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while self.poll_watch(cx) || self.poll_set(cx) {
            progress = true;
        }
        if self.presence.0.as_ref().is_some_and(|state| state.is_empty()) {
            self.presence.0 = None;
        }
        progress
    }

    fn poll_watch(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(state) = &mut self.presence.0 else { return false };
        if let Some(following) = &mut state.following
            && following.as_mut().poll(cx).is_ready()
        {
            state.following = None;
        }
        let Some((_, answer, following)) = &mut state.beginning else { return false };
        // It ends where it cannot begin; the answer says why.
        let has_ended = following.as_mut().poll(cx).is_ready();
        let Poll::Ready(begun) = Pin::new(answer).poll(cx) else { return false };
        let Some((echo, _, following)) = state.beginning.take() else { return false };
        let begun = begun
            .unwrap_or_else(|_| Err(Failure::new(ErrorReason::ShuttingDown, "this edge ends")));
        match begun {
            Ok(presences) => {
                state.following = (!has_ended).then_some(following);
                let frame = self.generation().watched(&echo, &presences);
                if frame.is_none_or(|frame| self.tell(frame)) {
                    self.note_answered();
                }
            }
            Err(failure) => self.refuse_presence(echo, failure),
        }
        self.begin_watch();
        true
    }

    fn poll_set(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(state) = &mut self.presence.0 else { return false };
        let Poll::Ready(Some((echo, result))) = Pin::new(&mut state.sets).poll_next(cx) else {
            return false;
        };
        match result {
            Ok(()) => {
                let frame = self.generation().acknowledged(&echo);
                if frame.is_none_or(|frame| self.tell(frame)) {
                    self.note_answered();
                }
            }
            Err(failure) => self.refuse_presence(echo, failure),
        }
        true
    }

    /// The user is the only one that a failure can be about: peers who are not known look offline.
    fn refuse_presence(&mut self, echo: Echo, failure: Failure) {
        let user = self.connection.user();
        let reason = failure.reason();
        if matches!(reason, ErrorReason::UserDeleted | ErrorReason::UserUnknown) {
            self.context.known_users.forget(user);
        }
        if reason == ErrorReason::UserDeleted {
            return self.begin_close(CloseReason::UserDeleted);
        }
        let span = tracing::info_span!("session", user.id = %user);
        let generation = self.generation();
        let refused = if reason == ErrorReason::UserUnknown {
            // The next connection sees to it.
            generation.unavailable()
        } else {
            span.in_scope(|| RequestId::draw().sync_scope(|| generation.failed(failure)))
        };
        self.answers.push_back(Reply::Refused(echo, refused));
    }
}
