//! A core in memory, with the faults that tests need.

mod attachments;
mod chat;
mod directory;
mod feed;
mod health;
mod second;
mod session;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use futures_util::{Stream, stream};
use http::HeaderValue;
use netrox_proto::{
    ids::UserId,
    v1::{
        BlockUserResponse, DeleteMessageResponse, DispatchAttachmentResponse, EnsureUserRequest,
        ErrorReason, Event, Failure, ListMessagesRequest, ListMessagesResponse, ListThreadsRequest,
        ListThreadsResponse, Presence, ReportSocketsRequest, SendMessageRequest,
        SendMessageResponse, SendMessagesRequest, SendMessagesResponse, SetTypingRequest,
        SubscribeResponse, Typing, UnblockUserResponse, WatchPresenceRequest,
        WatchPresenceResponse, attachment_service_server::AttachmentServiceServer,
        chat_service_server::ChatServiceServer, directory_service_server::DirectoryServiceServer,
        event::Change, send_messages_request::Request as Command,
        send_messages_response::Result as Answer, session_service_server::SessionServiceServer,
    },
};
use tokio::sync::{Notify, mpsc};
use tonic::{Status, service::Routes};
use tonic_health::pb::health_server::HealthServer;

use self::feed::Feeds;
pub(crate) use self::{
    attachments::{StoredFile, Upload},
    second::{Asked, Second},
    session::{Tickets, Watches, ticket},
};
use crate::{
    config::{AllowedOrigins, Config, CorsAllowOrigin, Jwt, JwtKey, Limits, MediaAccess, Proxies},
    core_client::{CoreClient, CoreTransport},
};

pub(crate) const SECRET: &[u8] = b"a secret of tests, long enough for HS256";
/// What waits for a condition gives up after it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Never full in a test.
const QUEUE: usize = 16 * 1024;

/// What becomes of sends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Sends {
    #[default]
    Answered,
    /// Stored, delivered and not answered.
    Unanswered,
    /// Not even stored.
    Ignored,
}

#[derive(Clone, Default)]
pub(crate) struct StubCore {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
}

#[derive(Default)]
pub(crate) struct State {
    users: HashSet<String>,
    pub(crate) deleted: HashSet<String>,
    feeds: Feeds,
    subscribers: Vec<Subscriber>,
    pub(crate) subscriptions: usize,
    streams: Vec<Sender<SendMessagesResponse>>,
    pub(crate) sends: Sends,
    unanswered: Vec<(Sender<SendMessagesResponse>, u64)>,
    /// All that came on streams, repetitions included.
    pub(crate) received: Vec<SendMessagesRequest>,
    pub(crate) stored: Vec<SendMessageRequest>,
    client_refs: HashMap<String, SendMessageResponse>,
    pub(crate) is_down: bool,
    /// So many streams of sends are still to be refused.
    pub(crate) refused_streams: usize,
    /// How long the heads of the next streams of sends take, one after the other.
    pub(crate) slow_heads: VecDeque<Duration>,
    /// Subscriptions refused for that.
    pub(crate) refused: usize,
    /// The directory answers nothing.
    pub(crate) hangs: bool,
    /// A claim that the directory cannot hold.
    pub(crate) refused_claim: Option<&'static str>,
    pub(crate) ensured: Vec<EnsureUserRequest>,
    /// What is listed; nothing where it is absent.
    pub(crate) messages: Option<Answers<ListMessagesRequest, ListMessagesResponse>>,
    /// What histories were asked for with.
    pub(crate) request_ids: Vec<String>,
    pub(crate) threads: Option<Answers<ListThreadsRequest, ListThreadsResponse>>,
    pub(crate) uploads: Vec<Upload>,
    /// Refuses uploads before they begin.
    pub(crate) upload_failure: Option<Failure>,
    /// What an upload ends with after its last part.
    pub(crate) upload_end: Option<Status>,
    pub(crate) files: HashMap<String, StoredFile>,
    /// After how many bytes a download breaks off.
    pub(crate) break_downloads_after: Option<usize>,
    pub(crate) second: Second,
    /// What is unread in all, of everybody.
    pub(crate) unread_total: i32,
    /// Another history of the database than at the start.
    pub(crate) epoch: Option<&'static str>,
    /// It knows nothing of the second generation.
    pub(crate) is_old: bool,
    /// What marks are refused with.
    pub(crate) marks_failure: Option<Failure>,
    /// It says of itself that it does not serve.
    pub(crate) is_unhealthy: bool,
    pub(crate) watches: Watches,
    pub(crate) tickets: Tickets,
    /// Who was said to type to whom, or no more.
    pub(crate) typing: Vec<SetTypingRequest>,
    /// What those are refused with.
    pub(crate) typing_failure: Option<Failure>,
    pub(crate) presence: StubPresence,
}

/// Who is online, and who watches.
#[derive(Default)]
pub(crate) struct StubPresence {
    pub(crate) online: HashSet<String>,
    pub(crate) hidden: HashSet<String>,
    /// What was watched, with where what changes goes.
    pub(crate) watches: Vec<(WatchPresenceRequest, Sender<WatchPresenceResponse>)>,
    /// What edges reported.
    pub(crate) reports: Vec<ReportSocketsRequest>,
    /// What calls are refused with.
    pub(crate) failure: Option<Failure>,
}

impl StubPresence {
    pub(crate) fn of(&self, peer: &str) -> Presence {
        let online = self.online.contains(peer);
        Presence { peer_id: peer.to_owned(), online, last_seen: None }
    }

    /// Tells those who watch.
    pub(crate) fn set(&mut self, peer: UserId, online: bool) {
        let peer = peer.to_string();
        if online {
            self.online.insert(peer.clone());
        } else {
            self.online.remove(&peer);
        }
        let response = WatchPresenceResponse { presences: vec![self.of(&peer)], users: Vec::new() };
        self.watches.retain(|(request, sender)| {
            !request.peer_ids.contains(&peer) || sender.try_send(Ok(response.clone())).is_ok()
        });
    }
}

/// The stream that answers a request.
type Answers<Q, A> = Box<dyn Fn(Q) -> Result<BoxStream<A>, Status> + Send>;

/// Who listens.
struct Subscriber {
    user: String,
    received_only: bool,
    sender: Sender<SubscribeResponse>,
}

/// What the core calls its history, unless a test says otherwise.
pub(crate) const EPOCH: &str = "0140004d.0000000002400000";

type Sender<T> = mpsc::Sender<Result<T, Status>>;
type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl StubCore {
    pub(crate) fn transport(&self) -> CoreTransport {
        let routes = Routes::new(ChatServiceServer::new(self.clone()))
            .add_service(DirectoryServiceServer::new(self.clone()))
            .add_service(AttachmentServiceServer::new(self.clone()))
            .add_service(SessionServiceServer::new(self.clone()))
            .add_service(HealthServer::new(self.clone()));
        CoreTransport::in_process(routes)
    }

    pub(crate) fn client(&self) -> CoreClient {
        CoreClient::new(self.transport(), authorization())
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic in the stub")
    }

    /// Changes the core, and wakes who waits for that.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state());
        self.changed.notify_waiters();
        result
    }

    pub(crate) async fn wait_for(&self, what: &str, condition: impl Fn(&State) -> bool) {
        let met = async {
            loop {
                let changed = self.changed.notified();
                if condition(&self.state()) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(PATIENCE, met).await.unwrap_or_else(|_| panic!("no {what}"));
    }

    pub(crate) fn add_user(&self, user: UserId) {
        self.change(|state| state.users.insert(user.to_string()));
    }

    pub(crate) fn remove_user(&self, user: UserId) {
        self.change(|state| state.users.remove(&user.to_string()));
    }

    /// Somebody types, or no longer.
    pub(crate) fn types(&self, from: UserId, to: UserId, typing: bool) {
        let change = Change::Typing(Typing { peer_id: from.to_string(), typing });
        let event = Event { change: Some(change), ..Event::default() };
        self.change(|state| state.signal(&to.to_string(), &event));
    }

    /// A message of somebody elsewhere; several come in one response.
    pub(crate) fn deliver(&self, sender: UserId, receiver: UserId, bodies: &[&str]) {
        self.change(|state| {
            for body in bodies {
                state.feeds.store(&SendMessageRequest {
                    sender_id: sender.to_string(),
                    receiver_id: receiver.to_string(),
                    body: (*body).to_owned(),
                    ..Default::default()
                });
            }
            state.publish();
        });
    }

    /// Everything that the user ever received, once more.
    pub(crate) fn deliver_again(&self, receiver: UserId) {
        self.change(|state| {
            state.feeds.tell_again(&receiver.to_string());
            state.publish();
        });
    }

    /// The texts of all messages that the user has, by id.
    pub(crate) fn messages(&self, user: UserId) -> Vec<(i64, String)> {
        self.state().feeds.texts(&user.to_string())
    }

    pub(crate) fn break_subscriptions(&self, failure: &Failure) {
        self.change(|state| {
            for subscriber in state.subscribers.drain(..) {
                let _ = subscriber.sender.try_send(Err(failure.clone().into()));
            }
        });
    }

    pub(crate) fn break_streams(&self, failure: &Failure) {
        self.change(|state| {
            state.unanswered.clear();
            for stream in state.streams.drain(..) {
                let _ = stream.try_send(Err(failure.clone().into()));
            }
        });
    }

    /// Refuses what was left unanswered.
    pub(crate) fn refuse_unanswered(&self, failure: &Failure) {
        self.change(|state| {
            for (stream, request_id) in std::mem::take(&mut state.unanswered) {
                let result = Some(Answer::Failure(failure.clone()));
                let _ = stream.try_send(Ok(SendMessagesResponse { request_id, result }));
            }
        });
    }

    /// Answers what was left unanswered, and what comes.
    pub(crate) fn answer_all(&self) {
        self.change(|state| {
            state.sends = Sends::Answered;
            for (stream, request_id) in std::mem::take(&mut state.unanswered) {
                let result = Some(Answer::Message(SendMessageResponse::default()));
                let _ = stream.try_send(Ok(SendMessagesResponse { request_id, result }));
            }
        });
    }
}

impl State {
    /// Of live subscriptions.
    pub(crate) fn subscribers(&self) -> usize {
        self.subscribers.iter().filter(|one| !one.sender.is_closed()).count()
    }

    /// Streams of sends that neither side has ended.
    pub(crate) fn open_streams(&self) -> usize {
        self.streams.len()
    }

    pub(crate) fn bodies(&self) -> Vec<&str> {
        self.stored.iter().map(|message| message.body.as_str()).collect()
    }

    /// Tells who listens of what was not told yet.
    fn publish(&mut self) {
        for (user, events) in self.feeds.take_untold() {
            self.subscribers.retain(|subscriber| {
                let response = subscriber.response(&events);
                subscriber.user != user
                    || response
                        .is_none_or(|response| subscriber.sender.try_send(Ok(response)).is_ok())
            });
        }
    }

    /// Tells those who want more than what documented clients do.
    fn signal(&mut self, user: &str, event: &Event) {
        for subscriber in &self.subscribers {
            if subscriber.user == user && !subscriber.received_only {
                let response =
                    SubscribeResponse { events: vec![event.clone()], ..Default::default() };
                // Who has left is not told.
                let _ = subscriber.sender.try_send(Ok(response));
            }
        }
    }

    fn take(&mut self, request: SendMessagesRequest, stream: &Sender<SendMessagesResponse>) {
        self.received.push(request.clone());
        let request_id = request.request_id;
        if self.sends == Sends::Ignored {
            self.unanswered.push((stream.clone(), request_id));
            return;
        }
        let result = match request.request.expect("a request") {
            Command::Message(message) => self.send(message),
            Command::Attachment(_) => Answer::Attachment(DispatchAttachmentResponse::default()),
            Command::Edit(edit) => answer(self.feeds.edit(&edit), Answer::Edit),
            Command::Delete(deletion) => {
                let deleted = self.feeds.delete(&deletion);
                answer(deleted.map(|()| DeleteMessageResponse {}), Answer::Delete)
            }
            Command::Seen(mark) => {
                let marked = self.mark(|feeds| feeds.mark_seen(&mark));
                answer(marked, Answer::Seen)
            }
            Command::Block(block) => {
                self.second.blocks.insert((block.user_id, block.peer_id));
                Answer::Block(BlockUserResponse {})
            }
            Command::Unblock(block) => {
                self.second.blocks.remove(&(block.user_id, block.peer_id));
                Answer::Unblock(UnblockUserResponse {})
            }
            Command::Delivered(mark) => {
                let marked = self.mark(|feeds| feeds.mark_delivered(&mark));
                answer(marked, Answer::Delivered)
            }
        };
        self.publish();
        if self.sends == Sends::Unanswered {
            self.unanswered.push((stream.clone(), request_id));
            return;
        }
        let _ = stream.try_send(Ok(SendMessagesResponse { request_id, result: Some(result) }));
    }

    fn send(&mut self, message: SendMessageRequest) -> Answer {
        let refuse = |reason| Answer::Failure(Failure::new(reason, "refused"));
        if self.deleted.contains(&message.sender_id) {
            return refuse(ErrorReason::UserDeleted);
        }
        if !self.users.contains(&message.sender_id) {
            return refuse(ErrorReason::UserUnknown);
        }
        if !self.users.contains(&message.receiver_id) {
            return refuse(ErrorReason::ReceiverUnknown);
        }
        let known = message.client_ref.as_ref().and_then(|name| self.client_refs.get(name));
        if let Some(answer) = known {
            return Answer::Message(SendMessageResponse { repeated: true, ..*answer });
        }
        if message.reply_to_id.is_some_and(|id| !self.feeds.has(&message.sender_id, id)) {
            return refuse(ErrorReason::MessageNotFound);
        }
        let answer = self.feeds.store(&message);
        if let Some(name) = message.client_ref.clone() {
            self.client_refs.insert(name, answer);
        }
        self.stored.push(message);
        Answer::Message(answer)
    }

    fn mark<T>(
        &mut self,
        mark: impl FnOnce(&mut Feeds) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        match self.marks_failure.clone() {
            Some(failure) => Err(failure),
            None => mark(&mut self.feeds),
        }
    }

    fn epoch(&self) -> String {
        self.epoch.unwrap_or(EPOCH).to_owned()
    }

    fn refuse_presence(&self) -> Result<(), Status> {
        self.refuse_if_down()?;
        self.presence.failure.clone().map_or(Ok(()), |failure| Err(failure.into()))
    }

    fn refuse_if_down(&self) -> Result<(), Status> {
        if self.is_down {
            return Err(Failure::new(ErrorReason::StoreUnavailable, "down").into());
        }
        Ok(())
    }
}

fn answer<T>(result: Result<T, Failure>, taken: impl FnOnce(T) -> Answer) -> Answer {
    result.map_or_else(Answer::Failure, taken)
}

pub(crate) fn config(limits: Limits) -> Config {
    Config {
        jwt: Jwt::of_key(JwtKey::Secret(SECRET.to_vec())),
        media_access: MediaAccess::Capability,
        cors_allow_origin: CorsAllowOrigin::None,
        allowed_origins: AllowedOrigins::All,
        close_on_token_expiry: false,
        proxies: Proxies::default(),
        tls: None,
        open_files: None,
        limits,
        audit: Default::default(),
        demo: None,
    }
}

/// A user known to no core yet.
pub(crate) fn user(number: u128) -> UserId {
    UserId(uuid::Uuid::from_u128(number))
}

/// What the core asks of its callers.
pub(crate) fn authorization() -> HeaderValue {
    HeaderValue::from_static("Bearer test")
}

/// A stream of what is there already.
pub(crate) fn answers<A: Send + 'static>(
    items: impl IntoIterator<Item = A, IntoIter: Send + 'static>,
) -> BoxStream<A> {
    Box::pin(stream::iter(items.into_iter().map(Ok)))
}
