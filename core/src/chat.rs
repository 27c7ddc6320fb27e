//! `ChatService`: checks, asks the committer or the store, answers.

use netrox_proto::{
    ids::UserId,
    time::timestamp,
    v1::{self, chat_service_server::ChatService},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    command::{NewMessage, parse},
    committer::{Committer, Dispatched, Stored},
    delivery::Delivery,
    error::Error,
    feed_lookup::FeedLookup,
    metrics::FeedReads,
    store::{Store, history::Position},
    subscribe::{After, Subscription},
};

mod list;
mod pipeline;

use self::list::{MessageList, ThreadList};

#[derive(Debug, Clone)]
pub(crate) struct Chat {
    pub(crate) store: Store,
    /// For histories and lists, which are long.
    pub(crate) bulk: Store,
    pub(crate) lookup: FeedLookup,
    pub(crate) committer: Committer,
    pub(crate) delivery: Delivery,
    pub(crate) feed_reads: FeedReads,
    pub(crate) tasks: TaskTracker,
    pub(crate) max_body_bytes: usize,
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

    async fn get_message(
        &self,
        request: Request<v1::GetMessageRequest>,
    ) -> Result<Response<v1::GetMessageResponse>, Status> {
        let request = request.into_inner();
        let user = parse::user_id("user_id", &request.user_id)?;
        let message = self
            .store
            .find_message(request.message_id)
            .await
            .map_err(Error::from)?
            .filter(|message| message.has_participant(user))
            .ok_or(Error::MessageNotFound)?;
        if self.store.is_deleted(user).await.map_err(Error::from)? {
            return Err(Error::UserDeleted.into());
        }
        Ok(Response::new(v1::GetMessageResponse { message: Some(message.into_wire()) }))
    }

    async fn edit_message(
        &self,
        _request: Request<v1::EditMessageRequest>,
    ) -> Result<Response<v1::EditMessageResponse>, Status> {
        Err(Status::unimplemented("not built yet"))
    }

    async fn delete_message(
        &self,
        _request: Request<v1::DeleteMessageRequest>,
    ) -> Result<Response<v1::DeleteMessageResponse>, Status> {
        Err(Status::unimplemented("not built yet"))
    }

    async fn mark_seen(
        &self,
        _request: Request<v1::MarkSeenRequest>,
    ) -> Result<Response<v1::MarkSeenResponse>, Status> {
        Err(Status::unimplemented("not built yet"))
    }

    async fn mark_delivered(
        &self,
        _request: Request<v1::MarkDeliveredRequest>,
    ) -> Result<Response<v1::MarkDeliveredResponse>, Status> {
        Err(Status::unimplemented("not built yet"))
    }

    async fn get_thread(
        &self,
        _request: Request<v1::GetThreadRequest>,
    ) -> Result<Response<v1::GetThreadResponse>, Status> {
        Err(Status::unimplemented("not built yet"))
    }

    async fn get_send(
        &self,
        _request: Request<v1::GetSendRequest>,
    ) -> Result<Response<v1::GetSendResponse>, Status> {
        Err(Status::unimplemented("not built yet"))
    }

    type ListMessagesStream = MessageList;

    async fn list_messages(
        &self,
        request: Request<v1::ListMessagesRequest>,
    ) -> Result<Response<MessageList>, Status> {
        Ok(Response::new(list::messages(&self.bulk, request.into_inner()).await?))
    }

    type ListThreadsStream = ThreadList;

    async fn list_threads(
        &self,
        request: Request<v1::ListThreadsRequest>,
    ) -> Result<Response<ThreadList>, Status> {
        let user = parse::user_id("user_id", &request.into_inner().user_id)?;
        Ok(Response::new(list::threads(&self.bulk, user).await?))
    }

    type SubscribeStream = Subscription;

    async fn subscribe(
        &self,
        request: Request<v1::SubscribeRequest>,
    ) -> Result<Response<Subscription>, Status> {
        let v1::SubscribeRequest { user_id, after_seq, received_only, epoch, .. } =
            request.into_inner();
        let user: UserId = parse::user_id("user_id", &user_id)?;
        let after = match (after_seq, epoch) {
            (None, _) => None,
            (Some(seq), None) => Some(After::Seq(seq)),
            (Some(seq), Some(epoch)) => {
                let start = self.store.history().parse_epoch(&epoch).ok_or(Error::EpochChanged)?;
                Some(After::Position(Position { start, seq }))
            }
        };
        let subscription = Subscription::open(
            &self.store,
            &self.lookup,
            &self.delivery,
            user,
            after,
            received_only,
            self.feed_reads.clone(),
        );
        let subscription = subscription.await?;
        Ok(Response::new(subscription))
    }
}

impl From<Stored> for v1::SendMessageResponse {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Now(stored) => Self {
                message_id: stored.id,
                thread_id: stored.thread_id,
                created: Some(timestamp(stored.created)),
                repeated: false,
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
