//! Sends, subscriptions and lists.

use netrox_proto::v1::{
    self, ErrorReason, Failure, GetMessageRequest, GetMessageResponse, ListMessagesRequest,
    ListMessagesResponse, ListThreadsRequest, ListThreadsResponse, SendMessageRequest,
    SendMessageResponse, SendMessagesRequest, SendMessagesResponse, SubscribeRequest,
    SubscribeResponse, chat_service_server::ChatService,
};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming};

use super::{BoxStream, QUEUE, StubCore, Subscriber, answers};

/// Of what was missed, in one response.
const PAGE: usize = 128;

#[tonic::async_trait]
impl ChatService for StubCore {
    async fn send_message(
        &self,
        request: Request<SendMessageRequest>,
    ) -> Result<Response<SendMessageResponse>, Status> {
        self.change(|state| state.second.send(request.into_inner())).map(Response::new)
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
        request: Request<GetMessageRequest>,
    ) -> Result<Response<GetMessageResponse>, Status> {
        self.state().second.get_message(&request.into_inner()).map(Response::new)
    }

    async fn edit_message(
        &self,
        request: Request<v1::EditMessageRequest>,
    ) -> Result<Response<v1::EditMessageResponse>, Status> {
        self.change(|state| state.second.edit(request.into_inner())).map(Response::new)
    }

    async fn delete_message(
        &self,
        request: Request<v1::DeleteMessageRequest>,
    ) -> Result<Response<v1::DeleteMessageResponse>, Status> {
        self.change(|state| state.second.delete(&request.into_inner())).map(Response::new)
    }

    async fn mark_seen(
        &self,
        request: Request<v1::MarkSeenRequest>,
    ) -> Result<Response<v1::MarkSeenResponse>, Status> {
        self.change(|state| state.second.mark_seen(&request.into_inner())).map(Response::new)
    }

    async fn mark_delivered(
        &self,
        request: Request<v1::MarkDeliveredRequest>,
    ) -> Result<Response<v1::MarkDeliveredResponse>, Status> {
        self.change(|state| state.second.mark_delivered(&request.into_inner())).map(Response::new)
    }

    async fn block_user(
        &self,
        request: Request<v1::BlockUserRequest>,
    ) -> Result<Response<v1::BlockUserResponse>, Status> {
        let v1::BlockUserRequest { user_id, peer_id } = request.into_inner();
        let blocked = self.change(|state| state.second.block(user_id, peer_id));
        blocked.map(|()| Response::new(v1::BlockUserResponse {}))
    }

    async fn unblock_user(
        &self,
        request: Request<v1::UnblockUserRequest>,
    ) -> Result<Response<v1::UnblockUserResponse>, Status> {
        let v1::UnblockUserRequest { user_id, peer_id } = request.into_inner();
        let unblocked = self.change(|state| state.second.unblock(user_id, peer_id));
        unblocked.map(|()| Response::new(v1::UnblockUserResponse {}))
    }

    async fn set_typing(
        &self,
        _: Request<v1::SetTypingRequest>,
    ) -> Result<Response<v1::SetTypingResponse>, Status> {
        Err(Status::unimplemented("edges tell of many"))
    }

    async fn batch_set_typing(
        &self,
        request: Request<v1::BatchSetTypingRequest>,
    ) -> Result<Response<v1::BatchSetTypingResponse>, Status> {
        self.change(|state| {
            state.refuse_if_down()?;
            let requests = request.into_inner().requests;
            let failure = state.typing_failure.clone();
            let results = requests.iter().map(|_| v1::SetTypingResult { failure: failure.clone() });
            let results = results.collect();
            state.typing.extend(requests);
            Ok(Response::new(v1::BatchSetTypingResponse { results }))
        })
    }

    async fn set_presence(
        &self,
        request: Request<v1::SetPresenceRequest>,
    ) -> Result<Response<v1::SetPresenceResponse>, Status> {
        let request = request.into_inner();
        self.change(|state| {
            state.refuse_presence()?;
            let hides = request.visibility() == v1::Visibility::Nobody;
            if hides {
                state.presence.hidden.insert(request.user_id);
            } else {
                state.presence.hidden.remove(&request.user_id);
            }
            Ok(Response::new(v1::SetPresenceResponse {}))
        })
    }

    async fn get_presence(
        &self,
        request: Request<v1::GetPresenceRequest>,
    ) -> Result<Response<v1::GetPresenceResponse>, Status> {
        let v1::GetPresenceRequest { user_id, peer_ids } = request.into_inner();
        let state = self.state();
        let hides = state.presence.hidden.contains(&user_id);
        let visibility = if hides { v1::Visibility::Nobody } else { v1::Visibility::Peers };
        let presences = peer_ids.iter().map(|peer| state.presence.of(peer)).collect();
        Ok(Response::new(v1::GetPresenceResponse { presences, visibility: visibility.into() }))
    }

    type WatchPresenceStream = BoxStream<v1::WatchPresenceResponse>;

    async fn watch_presence(
        &self,
        request: Request<v1::WatchPresenceRequest>,
    ) -> Result<Response<Self::WatchPresenceStream>, Status> {
        let request = request.into_inner();
        let (sender, responses) = mpsc::channel(QUEUE);
        self.change(|state| {
            state.refuse_presence()?;
            let presences = request.peer_ids.iter().map(|peer| state.presence.of(peer)).collect();
            let first = v1::WatchPresenceResponse { presences, users: Vec::new() };
            let _ = sender.try_send(Ok(first));
            state.presence.watches.push((request, sender));
            Ok(Response::new(Box::pin(ReceiverStream::new(responses)) as Self::WatchPresenceStream))
        })
    }

    async fn list_blocks(
        &self,
        request: Request<v1::ListBlocksRequest>,
    ) -> Result<Response<v1::ListBlocksResponse>, Status> {
        self.state().second.list_blocks(&request.into_inner()).map(Response::new)
    }

    async fn search_messages(
        &self,
        request: Request<v1::SearchMessagesRequest>,
    ) -> Result<Response<v1::SearchMessagesResponse>, Status> {
        self.state().second.search_messages(&request.into_inner()).map(Response::new)
    }

    async fn get_thread(
        &self,
        request: Request<v1::GetThreadRequest>,
    ) -> Result<Response<v1::GetThreadResponse>, Status> {
        self.state().second.get_thread(&request.into_inner()).map(Response::new)
    }

    async fn get_send(
        &self,
        request: Request<v1::GetSendRequest>,
    ) -> Result<Response<v1::GetSendResponse>, Status> {
        self.state().second.get_send(&request.into_inner()).map(Response::new)
    }

    type ListMessagesStream = BoxStream<ListMessagesResponse>;

    async fn list_messages(
        &self,
        request: Request<ListMessagesRequest>,
    ) -> Result<Response<Self::ListMessagesStream>, Status> {
        let id = request.metadata().get("x-request-id").and_then(|id| id.to_str().ok());
        let mut state = self.state();
        state.request_ids.extend(id.map(str::to_owned));
        let Some(messages) = &state.messages else {
            if request.get_ref().visible_only {
                return state.second.list_messages(request.get_ref()).map(Response::new);
            }
            return Ok(Response::new(answers([ListMessagesResponse::default()])));
        };
        messages(request.into_inner()).map(Response::new)
    }

    type ListThreadsStream = BoxStream<ListThreadsResponse>;

    async fn list_threads(
        &self,
        request: Request<ListThreadsRequest>,
    ) -> Result<Response<Self::ListThreadsStream>, Status> {
        let state = self.state();
        if let Some(limit) = request.get_ref().limit
            && state.second.is_listed()
        {
            return state.second.list_threads(request.get_ref(), limit).map(Response::new);
        }
        let Some(threads) = &state.threads else {
            state.refuse_if_down()?;
            let ListThreadsRequest { user_id, limit, .. } = request.into_inner();
            if state.is_old || limit.is_none() {
                return Ok(Response::new(answers([])));
            }
            let overview = ListThreadsResponse {
                unread_total: state.unread_total,
                last_seq: state.feeds.last_seq(&user_id),
                epoch: state.epoch(),
                ..Default::default()
            };
            return Ok(Response::new(answers([overview])));
        };
        threads(request.into_inner()).map(Response::new)
    }

    type SubscribeStream = BoxStream<SubscribeResponse>;

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        // By REST, to read a page of the feed.
        if self.state().second.is_read(request.get_ref()) {
            let answers = self.change(|state| state.second.subscribe(&request.into_inner()));
            return answers.map(Response::new);
        }
        let SubscribeRequest { user_id, after_seq, received_only, epoch, kinds, .. } =
            request.into_inner();
        assert_eq!(received_only, kinds.is_empty(), "what each generation wants");
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
            if epoch.is_some_and(|epoch| epoch != state.epoch()) {
                return Err(Failure::new(ErrorReason::EpochChanged, "another history").into());
            }
            let last_seq = state.feeds.last_seq(&user_id);
            let start = after_seq.unwrap_or(last_seq);
            if start > last_seq {
                return Err(Failure::invalid_field("after_seq", "beyond the last").into());
            }
            let end_seq = (!state.is_old).then_some(last_seq);
            let first = SubscribeResponse {
                last_seq: start,
                epoch: state.epoch(),
                end_seq,
                ..SubscribeResponse::default()
            };
            let _ = subscriber.try_send(Ok(first));
            let (user, sender) = (user_id, subscriber.clone());
            let missed = state.feeds.after(&user, start);
            let subscriber = Subscriber { user, received_only, sender };
            for missed in missed.chunks(PAGE) {
                let response = subscriber.response(missed);
                let _ = response.map(|response| subscriber.sender.try_send(Ok(response)));
            }
            state.subscriptions += 1;
            state.subscribers.push(subscriber);
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
