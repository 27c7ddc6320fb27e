//! A core in memory, with the faults that tests need.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use futures_util::Stream;
use http::HeaderValue;
use netrox_proto::{
    ids::UserId,
    time,
    v1::{
        DeleteUserRequest, DeleteUserResponse, DispatchAttachmentResponse, EnsureUserRequest,
        EnsureUserResponse, ErrorReason, Event, Failure, GetMessageRequest, GetMessageResponse,
        GetUsersRequest, GetUsersResponse, ListMessagesRequest, ListMessagesResponse,
        ListThreadsRequest, ListThreadsResponse, Message, SendMessageRequest, SendMessageResponse,
        SendMessagesRequest, SendMessagesResponse, SubscribeRequest, SubscribeResponse,
        UpsertUsersRequest, UpsertUsersResponse, User,
        chat_service_server::{ChatService, ChatServiceServer},
        directory_service_server::{DirectoryService, DirectoryServiceServer},
        event::Change,
        send_messages_request::Request as Command,
        send_messages_response::Result as Answer,
    },
};
use tokio::sync::{Notify, mpsc};
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming, service::Routes};

use crate::{
    config::{Config, CorsAllowOrigin, Jwt, JwtKey, Limits, MediaAccess, Proxies},
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
    /// Of each user, by sequence number.
    feeds: HashMap<String, Vec<Event>>,
    subscribers: Vec<(String, Sender<SubscribeResponse>)>,
    pub(crate) subscriptions: usize,
    streams: Vec<Sender<SendMessagesResponse>>,
    pub(crate) sends: Sends,
    unanswered: Vec<(Sender<SendMessagesResponse>, u64)>,
    /// All that came on streams, repetitions included.
    pub(crate) received: Vec<SendMessagesRequest>,
    pub(crate) stored: Vec<SendMessageRequest>,
    client_refs: HashMap<String, i64>,
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
}

type Sender<T> = mpsc::Sender<Result<T, Status>>;
type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl StubCore {
    pub(crate) fn transport(&self) -> CoreTransport {
        let routes = Routes::new(ChatServiceServer::new(self.clone()))
            .add_service(DirectoryServiceServer::new(self.clone()));
        CoreTransport::in_process(routes)
    }

    pub(crate) fn client(&self) -> CoreClient {
        CoreClient::new(self.transport(), HeaderValue::from_static("Bearer test"))
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

    /// A message of somebody elsewhere; several come in one response.
    pub(crate) fn deliver(&self, sender: UserId, receiver: UserId, bodies: &[&str]) {
        self.change(|state| {
            let receiver = receiver.to_string();
            let events: Vec<_> = bodies
                .iter()
                .map(|body| state.store(&sender.to_string(), &receiver, body).1)
                .collect();
            state.publish(&receiver, &events);
        });
    }

    /// Everything that the user ever received, once more.
    pub(crate) fn deliver_again(&self, receiver: UserId) {
        self.change(|state| {
            let receiver = receiver.to_string();
            let events = state.feeds.get(&receiver).cloned().unwrap_or_default();
            state.publish(&receiver, &events);
        });
    }

    pub(crate) fn break_subscriptions(&self, failure: &Failure) {
        self.change(|state| {
            for (_, subscriber) in state.subscribers.drain(..) {
                let _ = subscriber.try_send(Err(failure.clone().into()));
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
        self.subscribers.iter().filter(|(_, subscriber)| !subscriber.is_closed()).count()
    }

    /// Streams of sends that neither side has ended.
    pub(crate) fn open_streams(&self) -> usize {
        self.streams.len()
    }

    pub(crate) fn bodies(&self) -> Vec<&str> {
        self.stored.iter().map(|message| message.body.as_str()).collect()
    }

    fn store(&mut self, sender: &str, receiver: &str, body: &str) -> (i64, Event) {
        let id = self.feeds.values().map(Vec::len).sum::<usize>() as i64 + 1;
        let created = Some(time::timestamp(1_718_628_508_228_342 + id));
        let message = Message {
            id,
            thread_id: 1,
            sender_id: sender.to_owned(),
            receiver_id: receiver.to_owned(),
            body: body.to_owned(),
            created,
            updated: created,
            ..Default::default()
        };
        let feed = self.feeds.entry(receiver.to_owned()).or_default();
        let seq = feed.len() as u64 + 1;
        let event = Event { seq, change: Some(Change::Message(message)), first_seq: seq };
        feed.push(event.clone());
        (id, event)
    }

    fn publish(&mut self, receiver: &str, events: &[Event]) {
        let last_seq = events.last().map_or(0, |event| event.seq);
        self.subscribers.retain(|(user, subscriber)| {
            user != receiver
                || subscriber
                    .try_send(Ok(SubscribeResponse {
                        events: events.to_vec(),
                        last_seq,
                        ..SubscribeResponse::default()
                    }))
                    .is_ok()
        });
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
        };
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
        let message_id = match known {
            Some(&id) => id,
            None => {
                let receiver = message.receiver_id.clone();
                let (id, event) = self.store(&message.sender_id, &receiver, &message.body);
                if let Some(name) = message.client_ref.clone() {
                    self.client_refs.insert(name, id);
                }
                self.stored.push(message);
                self.publish(&receiver, &[event]);
                id
            }
        };
        Answer::Message(SendMessageResponse { message_id, ..Default::default() })
    }

    fn refuse_if_down(&self) -> Result<(), Status> {
        if self.is_down {
            return Err(Failure::new(ErrorReason::StoreUnavailable, "down").into());
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl ChatService for StubCore {
    async fn send_message(
        &self,
        _: Request<SendMessageRequest>,
    ) -> Result<Response<SendMessageResponse>, Status> {
        Err(Status::unimplemented("not a pipeline"))
    }

    type SendMessagesStream = BoxStream<SendMessagesResponse>;

    async fn send_messages(
        &self,
        request: Request<Streaming<SendMessagesRequest>>,
    ) -> Result<Response<Self::SendMessagesStream>, Status> {
        let (stream, answers) = mpsc::channel(QUEUE);
        let slow_head = self.state().slow_heads.pop_front();
        if let Some(delay) = slow_head {
            tokio::time::sleep(delay).await;
        }
        self.change(|state| {
            state.refuse_if_down()?;
            if let Some(left) = state.refused_streams.checked_sub(1) {
                state.refused_streams = left;
                return Err(Status::unavailable("the connection broke"));
            }
            state.streams.push(stream.clone());
            Ok::<_, Status>(())
        })?;
        let (core, mut requests) = (self.clone(), request.into_inner());
        tokio::spawn(async move {
            while let Some(Ok(request)) = requests.next().await {
                if !core.state().streams.iter().any(|open| open.same_channel(&stream)) {
                    return;
                }
                core.change(|state| state.take(request, &stream));
            }
            core.change(|state| state.streams.retain(|open| !open.same_channel(&stream)));
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn get_message(
        &self,
        _: Request<GetMessageRequest>,
    ) -> Result<Response<GetMessageResponse>, Status> {
        Err(Status::unimplemented("not of sessions"))
    }

    type ListMessagesStream = BoxStream<ListMessagesResponse>;

    async fn list_messages(
        &self,
        _: Request<ListMessagesRequest>,
    ) -> Result<Response<Self::ListMessagesStream>, Status> {
        Err(Status::unimplemented("not of sessions"))
    }

    type ListThreadsStream = BoxStream<ListThreadsResponse>;

    async fn list_threads(
        &self,
        _: Request<ListThreadsRequest>,
    ) -> Result<Response<Self::ListThreadsStream>, Status> {
        Err(Status::unimplemented("not of sessions"))
    }

    type SubscribeStream = BoxStream<SubscribeResponse>;

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let SubscribeRequest { user_id, after_seq, received_only, .. } = request.into_inner();
        assert!(received_only, "own messages are not wanted");
        let (subscriber, responses) = mpsc::channel(QUEUE);
        self.change(|state| {
            state.refused += usize::from(state.is_down);
            state.refuse_if_down()?;
            if state.deleted.contains(&user_id) {
                return Err(Status::from(Failure::new(ErrorReason::UserDeleted, "deleted")));
            }
            if !state.users.contains(&user_id) {
                return Err(Failure::new(ErrorReason::UserUnknown, "unknown").into());
            }
            let feed = state.feeds.entry(user_id.clone()).or_default();
            let last_seq = feed.len() as u64;
            let start = after_seq.unwrap_or(last_seq);
            if start > last_seq {
                return Err(Failure::invalid_field("after_seq", "beyond the last").into());
            }
            let missed = feed[start as usize..].to_vec();
            let first = SubscribeResponse { last_seq: start, ..SubscribeResponse::default() };
            let _ = subscriber.try_send(Ok(first));
            if !missed.is_empty() {
                let _ = subscriber.try_send(Ok(SubscribeResponse {
                    events: missed,
                    last_seq,
                    ..SubscribeResponse::default()
                }));
            }
            state.subscriptions += 1;
            state.subscribers.push((user_id, subscriber.clone()));
            Ok(())
        })?;
        let core = self.clone();
        tokio::spawn(async move {
            subscriber.closed().await;
            core.changed.notify_waiters();
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(responses))))
    }
}

#[tonic::async_trait]
impl DirectoryService for StubCore {
    async fn upsert_users(
        &self,
        _: Request<UpsertUsersRequest>,
    ) -> Result<Response<UpsertUsersResponse>, Status> {
        Err(Status::unimplemented("not of sessions"))
    }

    async fn ensure_user(
        &self,
        request: Request<EnsureUserRequest>,
    ) -> Result<Response<EnsureUserResponse>, Status> {
        let request = request.into_inner();
        let user = request.user.clone().expect("a user");
        if self.state().hangs {
            std::future::pending().await
        }
        let id = user.id.clone();
        self.change(|state| {
            state.refuse_if_down()?;
            let has_email = user.email.is_some();
            state.ensured.push(request);
            if let Some(claim) = state.refused_claim
                && (claim != "email" || has_email)
            {
                return Err(Failure::invalid_field(claim, "refused").into());
            }
            if state.deleted.contains(&id) {
                return Err(Status::from(Failure::new(ErrorReason::UserDeleted, "deleted")));
            }
            state.users.insert(id.clone());
            Ok(())
        })?;
        Ok(Response::new(EnsureUserResponse { user: Some(User { id, ..Default::default() }) }))
    }

    async fn get_users(
        &self,
        _: Request<GetUsersRequest>,
    ) -> Result<Response<GetUsersResponse>, Status> {
        Err(Status::unimplemented("not of sessions"))
    }

    async fn delete_user(
        &self,
        _: Request<DeleteUserRequest>,
    ) -> Result<Response<DeleteUserResponse>, Status> {
        Err(Status::unimplemented("not of sessions"))
    }
}

pub(crate) fn config(limits: Limits) -> Config {
    Config {
        jwt: Jwt {
            key: JwtKey::Secret(SECRET.to_vec()),
            user_claim: "user_id".into(),
            type_claim: "token_type".into(),
            issuer: None,
            audience: None,
        },
        media_access: MediaAccess::Capability,
        cors_allow_origin: CorsAllowOrigin::None,
        close_on_token_expiry: false,
        proxies: Proxies::default(),
        open_files: None,
        limits,
    }
}

/// A user known to no core yet.
pub(crate) fn user(number: u128) -> UserId {
    UserId(uuid::Uuid::from_u128(number))
}
