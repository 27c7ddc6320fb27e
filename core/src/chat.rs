//! `ChatService`: checks, asks the committer or the store, answers.

use std::{sync::Arc, time::Duration};

use netrox_proto::{
    ids::UserId,
    time::timestamp,
    v1::{self, chat_service_server::ChatService},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    command::{Block, Deletion, Edit, Mark, MarkKind, NewMessage, parse},
    committer::{Committer, Dispatched, Marked, Stored},
    delivery::Delivery,
    error::Error,
    feed_lookup::FeedLookup,
    metrics::Streams,
    presence::{Presence, WatchStream},
    store::{
        Store,
        message::{Participant, ParticipantsRow},
    },
    subscribe::Watched,
};

mod blocks;
mod inspected;
mod list;
mod pipeline;
mod presence;
mod search;
mod subscribe;
mod thread_page;
mod typing;

pub(crate) use self::list::MessageList;
use self::list::{ThreadList, Viewer};

#[derive(Debug, Clone)]
pub(crate) struct Chat {
    pub(crate) store: Store,
    /// For histories and lists, which are long.
    pub(crate) bulk: Store,
    pub(crate) lookup: FeedLookup,
    pub(crate) committer: Committer,
    pub(crate) delivery: Delivery,
    pub(crate) presence: Presence,
    pub(crate) streams: Streams,
    pub(crate) tasks: TaskTracker,
    pub(crate) max_body_bytes: usize,
    pub(crate) windows: Windows,
    /// Whether messages can be searched for.
    pub(crate) searches: bool,
}

#[tonic::async_trait]
impl ChatService for Chat {
    async fn send_message(
        &self,
        request: Request<v1::SendMessageRequest>,
    ) -> Result<Response<v1::SendMessageResponse>, Status> {
        let message = NewMessage::parse(request.into_inner(), self.max_body_bytes)?;
        let stored = self.committer.submit(message)?.answer().await?;
        Ok(Response::new(stored.into()))
    }

    type SendMessagesStream = ReceiverStream<Result<v1::SendMessagesResponse, Status>>;

    async fn send_messages(
        &self,
        request: Request<Streaming<v1::SendMessagesRequest>>,
    ) -> Result<Response<Self::SendMessagesStream>, Status> {
        let responses = pipeline::spawn(self.clone(), request.into_inner());
        Ok(Response::new(responses))
    }

    async fn edit_message(
        &self,
        request: Request<v1::EditMessageRequest>,
    ) -> Result<Response<v1::EditMessageResponse>, Status> {
        let edit = Edit::parse(request.into_inner(), self.max_body_bytes, self.windows.edit)?;
        let message = self.committer.submit(edit)?.answer().await?;
        Ok(Response::new(v1::EditMessageResponse { message: Some(Arc::unwrap_or_clone(message)) }))
    }

    async fn delete_message(
        &self,
        request: Request<v1::DeleteMessageRequest>,
    ) -> Result<Response<v1::DeleteMessageResponse>, Status> {
        let deletion = Deletion::parse(&request.into_inner(), self.windows.delete)?;
        self.committer.submit(deletion)?.answer().await?;
        Ok(Response::new(v1::DeleteMessageResponse {}))
    }

    async fn mark_seen(
        &self,
        request: Request<v1::MarkSeenRequest>,
    ) -> Result<Response<v1::MarkSeenResponse>, Status> {
        let v1::MarkSeenRequest { user_id, peer_id, up_to_id } = request.into_inner();
        let mark = Mark::parse(&user_id, &peer_id, up_to_id, MarkKind::Seen)?;
        let marked = self.committer.submit(mark)?.answer().await?;
        let state = self.marked_state(marked).await?;
        Ok(Response::new(v1::MarkSeenResponse { state: Some(state) }))
    }

    async fn mark_delivered(
        &self,
        request: Request<v1::MarkDeliveredRequest>,
    ) -> Result<Response<v1::MarkDeliveredResponse>, Status> {
        let v1::MarkDeliveredRequest { user_id, peer_id, up_to_id } = request.into_inner();
        let mark = Mark::parse(&user_id, &peer_id, up_to_id, MarkKind::Delivered)?;
        let marked = self.committer.submit(mark)?.answer().await?;
        let state = self.marked_state(marked).await?;
        Ok(Response::new(v1::MarkDeliveredResponse { state: Some(state) }))
    }

    async fn block_user(
        &self,
        request: Request<v1::BlockUserRequest>,
    ) -> Result<Response<v1::BlockUserResponse>, Status> {
        let v1::BlockUserRequest { user_id, peer_id } = request.into_inner();
        let block = Block::parse(&user_id, &peer_id, true)?;
        self.committer.submit(block)?.answer().await?;
        Ok(Response::new(v1::BlockUserResponse {}))
    }

    async fn unblock_user(
        &self,
        request: Request<v1::UnblockUserRequest>,
    ) -> Result<Response<v1::UnblockUserResponse>, Status> {
        let v1::UnblockUserRequest { user_id, peer_id } = request.into_inner();
        let block = Block::parse(&user_id, &peer_id, false)?;
        self.committer.submit(block)?.answer().await?;
        Ok(Response::new(v1::UnblockUserResponse {}))
    }

    async fn list_blocks(
        &self,
        request: Request<v1::ListBlocksRequest>,
    ) -> Result<Response<v1::ListBlocksResponse>, Status> {
        Ok(Response::new(blocks::page(&self.store, request.into_inner()).await?))
    }

    async fn search_messages(
        &self,
        request: Request<v1::SearchMessagesRequest>,
    ) -> Result<Response<v1::SearchMessagesResponse>, Status> {
        if !self.searches {
            return Err(Error::NotEnabled.into());
        }
        Ok(Response::new(search::page(&self.bulk, request.into_inner()).await?))
    }

    async fn set_typing(
        &self,
        request: Request<v1::SetTypingRequest>,
    ) -> Result<Response<v1::SetTypingResponse>, Status> {
        typing::set(&self.delivery, &self.store, &request.into_inner()).await?;
        Ok(Response::new(v1::SetTypingResponse {}))
    }

    async fn batch_set_typing(
        &self,
        request: Request<v1::BatchSetTypingRequest>,
    ) -> Result<Response<v1::BatchSetTypingResponse>, Status> {
        let requests = request.into_inner().requests;
        let results = typing::set_all(&self.delivery, &self.store, requests).await?;
        Ok(Response::new(v1::BatchSetTypingResponse { results }))
    }

    async fn set_presence(
        &self,
        request: Request<v1::SetPresenceRequest>,
    ) -> Result<Response<v1::SetPresenceResponse>, Status> {
        presence::set(self, request.into_inner()).await?;
        Ok(Response::new(v1::SetPresenceResponse {}))
    }

    async fn get_presence(
        &self,
        request: Request<v1::GetPresenceRequest>,
    ) -> Result<Response<v1::GetPresenceResponse>, Status> {
        Ok(Response::new(presence::get(self, request.into_inner()).await?))
    }

    type WatchPresenceStream = WatchStream;

    async fn watch_presence(
        &self,
        request: Request<v1::WatchPresenceRequest>,
    ) -> Result<Response<WatchStream>, Status> {
        Ok(Response::new(presence::watch(self, request.into_inner()).await?))
    }

    async fn get_thread(
        &self,
        request: Request<v1::GetThreadRequest>,
    ) -> Result<Response<v1::GetThreadResponse>, Status> {
        let v1::GetThreadRequest { user_id, peer_id } = request.into_inner();
        let user = parse::user_id("user_id", &user_id)?;
        let peer = parse::user_id("peer_id", &peer_id)?;
        let thread = thread_page::find(&self.store, user, peer).await?;
        Ok(Response::new(v1::GetThreadResponse { thread: Some(thread) }))
    }

    async fn get_send(
        &self,
        request: Request<v1::GetSendRequest>,
    ) -> Result<Response<v1::GetSendResponse>, Status> {
        let v1::GetSendRequest { user_id, client_ref } = request.into_inner();
        let user = parse::user_id("user_id", &user_id)?;
        let client_ref = parse::client_ref(&client_ref)?;
        let found = self.store.find_send(user, client_ref).await.map_err(Error::from)?;
        let message = self.seen_by(user, found).await?;
        Ok(Response::new(v1::GetSendResponse { message: Some(message) }))
    }

    async fn get_message(
        &self,
        request: Request<v1::GetMessageRequest>,
    ) -> Result<Response<v1::GetMessageResponse>, Status> {
        let request = request.into_inner();
        let user = parse::user_id("user_id", &request.user_id)?;
        let found = self.store.find_message(request.message_id).await.map_err(Error::from)?;
        let message = self.seen_by(user, found).await?;
        if message.hidden {
            return Err(Error::MessageNotFound.into());
        }
        Ok(Response::new(v1::GetMessageResponse { message: Some(message) }))
    }

    type ListMessagesStream = MessageList;

    async fn list_messages(
        &self,
        request: Request<v1::ListMessagesRequest>,
    ) -> Result<Response<MessageList>, Status> {
        Ok(Response::new(list::messages(&self.bulk, request.into_inner(), Viewer::Acting).await?))
    }

    type ListThreadsStream = ThreadList;

    async fn list_threads(
        &self,
        request: Request<v1::ListThreadsRequest>,
    ) -> Result<Response<ThreadList>, Status> {
        let v1::ListThreadsRequest { user_id, limit, page_token } = request.into_inner();
        let user = parse::user_id("user_id", &user_id)?;
        let threads = match limit {
            None => list::threads(&self.bulk, user).await?,
            // What a connection asks for that comes up does not wait for lists of others.
            Some(0) => thread_page::overview(&self.store, user).await?,
            Some(limit) => thread_page::page(&self.bulk, user, limit, &page_token).await?,
        };
        Ok(Response::new(threads))
    }

    type SubscribeStream = Watched;

    async fn subscribe(
        &self,
        request: Request<v1::SubscribeRequest>,
    ) -> Result<Response<Watched>, Status> {
        Ok(Response::new(subscribe::open(self, request.into_inner()).await?))
    }
}

impl Chat {
    /// A message as a user sees it who takes part in it.
    async fn seen_by(
        &self,
        user: UserId,
        found: Option<ParticipantsRow>,
    ) -> Result<v1::Message, Error> {
        let row = found.ok_or(Error::MessageNotFound)?;
        let viewer = row.participant(user).ok_or(Error::MessageNotFound)?;
        if self.store.is_deleted(user).await? {
            return Err(Error::UserDeleted);
        }
        let is_shown = !row.message.attachment.is_held_back();
        let (sender, receiver) = (row.message.sender, row.message.receiver);
        let seen_id = match viewer {
            // As far as the sender is shown it.
            Participant::Sender => {
                self.store.find_thread(sender, receiver).await?.map(|thread| thread.peer_seen_id)
            }
            Participant::Receiver => {
                self.store.find_thread(receiver, sender).await?.map(|thread| thread.seen_id)
            }
        };
        let seen = seen_id.is_some_and(|seen_id| row.message.id <= seen_id);
        Ok(v1::Message { seen: seen && is_shown, ..row.into_wire(viewer) })
    }

    /// What a mark has become. It is stored, whatever becomes of this.
    async fn marked_state(&self, marked: Marked) -> Result<v1::ThreadState, Error> {
        let Marked { user, thread_id, state } = marked;
        if let Some(state) = state {
            return Ok(Arc::unwrap_or_clone(state));
        }
        let states = self.store.thread_states(user, &[thread_id]).await;
        let state = states.map_err(|_| Error::OutcomeUnknown)?.pop();
        state.map(Into::into).ok_or(Error::OutcomeUnknown)
    }
}

/// How old a message may be when it is changed; without end if there is none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Windows {
    pub(crate) edit: Option<Duration>,
    pub(crate) delete: Option<Duration>,
}

impl From<Stored> for v1::SendMessageResponse {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Now(message, _) | Stored::Again(message) => Self {
                message_id: message.id,
                thread_id: message.thread_id,
                created: Some(timestamp(message.created)),
                repeated: matches!(stored, Stored::Again(_)),
            },
            Stored::Before(message) => Self {
                message_id: message.id,
                thread_id: message.thread_id,
                created: message.created,
                repeated: true,
            },
        }
    }
}

impl From<Dispatched> for v1::DispatchAttachmentResponse {
    fn from(dispatched: Dispatched) -> Self {
        Self { dispatched: Some(timestamp(dispatched.at)), already_dispatched: dispatched.already }
    }
}
