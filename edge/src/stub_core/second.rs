//! What clients of the second generation ask of a core over REST. It keeps what it is told, and judges little.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use netrox_proto::{
    time::timestamp,
    v1::{
        self, ErrorReason, Event, Failure, ListMessagesRequest, ListMessagesResponse,
        ListThreadsRequest, ListThreadsResponse, Message, SubscribeRequest, SubscribeResponse,
        Thread, ThreadState, UploadFinish, UploadStart, User,
    },
};
use tonic::Status;

use super::{BoxStream, EPOCH, State, answers};

/// 2024-06-17T11:28:21.902531Z
const CREATED: i64 = 1_718_623_701_902_531;

#[derive(Default)]
pub(crate) struct Second {
    /// What calls are refused with, by their names.
    pub(crate) refusals: HashMap<&'static str, Status>,
    pub(crate) asked: Vec<Asked>,
    pub(crate) messages: BTreeMap<i64, Message>,
    /// The greatest `last_id` first.
    pub(crate) threads: Vec<Thread>,
    pub(crate) feed: Vec<Event>,
    /// Who blocks whom.
    pub(crate) blocks: BTreeSet<(String, String)>,
    /// What comes into the feed while a page of it is read.
    pub(crate) later: Vec<Event>,
}

/// A request that came.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Asked {
    Send(v1::SendMessageRequest),
    Edit(v1::EditMessageRequest),
    Delete(v1::DeleteMessageRequest),
    Dispatch(v1::DispatchAttachmentRequest),
    Seen(v1::MarkSeenRequest),
    Delivered(v1::MarkDeliveredRequest),
    Subscribe(SubscribeRequest),
}

fn not_found(reason: ErrorReason) -> Status {
    Failure::new(reason, "none").into()
}

impl Second {
    fn refuse(&self, call: &str) -> Result<(), Status> {
        self.refusals.get(call).cloned().map_or(Ok(()), Err)
    }

    /// A message of the two, as if it had been sent.
    pub(crate) fn add(&mut self, sender: &str, receiver: &str, body: &str) -> Message {
        let id = self.messages.last_key_value().map_or(1, |(id, _)| id + 1);
        let created = Some(timestamp(CREATED + id));
        let message = Message {
            id,
            thread_id: 1,
            sender_id: sender.to_owned(),
            receiver_id: receiver.to_owned(),
            body: body.to_owned(),
            created,
            updated: created,
            rev: id as u64,
            ..Default::default()
        };
        self.messages.insert(id, message.clone());
        message
    }

    /// A thread of a user and a peer.
    pub(crate) fn thread(id: i64, user: &str, peer: &str, last_id: i64) -> Thread {
        let user_of = |id: &str| User { id: id.to_owned(), ..Default::default() };
        Thread {
            id,
            user_one: Some(user_of(peer)),
            user_two: Some(user_of(user)),
            created: Some(timestamp(CREATED)),
            last_activity: Some(timestamp(CREATED)),
            state: Some(ThreadState {
                thread_id: id,
                peer_id: peer.to_owned(),
                last_id,
                unread: 2,
                rev: 9,
                ..Default::default()
            }),
            last_message: None,
        }
    }

    fn sent(&self, sender: &str, client_ref: &str) -> Option<&Message> {
        self.messages.values().find(|message| {
            message.sender_id == sender && message.client_ref.as_deref() == Some(client_ref)
        })
    }

    pub(super) fn send(
        &mut self,
        request: v1::SendMessageRequest,
    ) -> Result<v1::SendMessageResponse, Status> {
        self.asked.push(Asked::Send(request.clone()));
        self.refuse("send_message")?;
        let client_ref = request.client_ref.clone().unwrap_or_default();
        let known = self.sent(&request.sender_id, &client_ref).cloned();
        let repeated = known.is_some();
        let message = known.unwrap_or_else(|| {
            let mut message = self.add(&request.sender_id, &request.receiver_id, &request.body);
            message.client_ref = request.client_ref;
            message.reply_to_id = request.reply_to_id;
            message.meta_json = request.meta_json;
            self.messages.insert(message.id, message.clone());
            message
        });
        Ok(v1::SendMessageResponse {
            message_id: message.id,
            thread_id: message.thread_id,
            created: message.created,
            repeated,
        })
    }

    pub(super) fn get_send(
        &self,
        request: &v1::GetSendRequest,
    ) -> Result<v1::GetSendResponse, Status> {
        self.refuse("get_send")?;
        let message = self.sent(&request.user_id, &request.client_ref).cloned();
        let message = message.ok_or_else(|| not_found(ErrorReason::MessageNotFound))?;
        Ok(v1::GetSendResponse { message: Some(message) })
    }

    pub(super) fn get_message(
        &self,
        request: &v1::GetMessageRequest,
    ) -> Result<v1::GetMessageResponse, Status> {
        self.refuse("get_message")?;
        let message = self.messages.get(&request.message_id).cloned();
        let message = message.ok_or_else(|| not_found(ErrorReason::MessageNotFound))?;
        Ok(v1::GetMessageResponse { message: Some(message) })
    }

    fn change(&mut self, id: i64, change: impl FnOnce(&mut Message)) -> Result<Message, Status> {
        let message = self.messages.get_mut(&id);
        let message = message.ok_or_else(|| not_found(ErrorReason::MessageNotFound))?;
        change(message);
        message.rev += 100;
        Ok(message.clone())
    }

    pub(super) fn edit(
        &mut self,
        request: v1::EditMessageRequest,
    ) -> Result<v1::EditMessageResponse, Status> {
        self.asked.push(Asked::Edit(request.clone()));
        self.refuse("edit_message")?;
        let message = self.change(request.message_id, |message| {
            message.body = request.body;
            message.updated = Some(timestamp(CREATED + 1_000_000));
            match request.meta_json {
                None => {}
                Some(meta) => message.meta_json = Some(meta).filter(|meta| !meta.is_empty()),
            }
        })?;
        Ok(v1::EditMessageResponse { message: Some(message) })
    }

    pub(super) fn delete(
        &mut self,
        request: &v1::DeleteMessageRequest,
    ) -> Result<v1::DeleteMessageResponse, Status> {
        self.asked.push(Asked::Delete(request.clone()));
        self.refuse("delete_message")?;
        self.change(request.message_id, |message| {
            message.deleted |= request.for_everyone;
            message.hidden |= !request.for_everyone;
        })?;
        Ok(v1::DeleteMessageResponse {})
    }

    pub(super) fn dispatch(
        &mut self,
        request: &v1::DispatchAttachmentRequest,
    ) -> Result<v1::DispatchAttachmentResponse, Status> {
        self.asked.push(Asked::Dispatch(request.clone()));
        self.refuse("dispatch_attachment")?;
        let dispatched = Some(timestamp(CREATED + 2_000_000));
        self.change(request.message_id, |message| {
            if let Some(attachment) = &mut message.attachment {
                attachment.dispatched = dispatched;
            }
        })?;
        Ok(v1::DispatchAttachmentResponse { dispatched, already_dispatched: false })
    }

    fn state(&mut self, peer: &str) -> Result<&mut ThreadState, Status> {
        let states = self.threads.iter_mut().filter_map(|thread| thread.state.as_mut());
        let state = { states }.find(|state| state.peer_id == peer);
        state.ok_or_else(|| not_found(ErrorReason::ThreadNotFound))
    }

    pub(super) fn mark_seen(
        &mut self,
        request: &v1::MarkSeenRequest,
    ) -> Result<v1::MarkSeenResponse, Status> {
        self.asked.push(Asked::Seen(request.clone()));
        self.refuse("mark_seen")?;
        let state = self.state(&request.peer_id)?;
        state.seen_id = request.up_to_id;
        Ok(v1::MarkSeenResponse { state: Some(state.clone()) })
    }

    pub(super) fn mark_delivered(
        &mut self,
        request: &v1::MarkDeliveredRequest,
    ) -> Result<v1::MarkDeliveredResponse, Status> {
        self.asked.push(Asked::Delivered(request.clone()));
        self.refuse("mark_delivered")?;
        let state = self.state(&request.peer_id)?;
        state.delivered_id = request.up_to_id;
        Ok(v1::MarkDeliveredResponse { state: Some(state.clone()) })
    }

    pub(super) fn block(&mut self, user: String, peer: String) -> Result<(), Status> {
        self.refuse("block_user")?;
        self.blocks.insert((user, peer));
        Ok(())
    }

    pub(super) fn unblock(&mut self, user: String, peer: String) -> Result<(), Status> {
        self.refuse("unblock_user")?;
        self.blocks.remove(&(user, peer));
        Ok(())
    }

    pub(super) fn list_blocks(
        &self,
        request: &v1::ListBlocksRequest,
    ) -> Result<v1::ListBlocksResponse, Status> {
        self.refuse("list_blocks")?;
        let limit = usize::try_from(request.limit).unwrap_or_default();
        let of_user = self.blocks.iter().filter(|(user, _)| *user == request.user_id);
        let mut peers: Vec<_> = of_user
            .map(|(_, peer)| peer.clone())
            .filter(|peer| *peer > request.page_token)
            .collect();
        let has_more = peers.len() > limit;
        peers.truncate(limit);
        let next = peers.last().filter(|_| has_more).cloned().unwrap_or_default();
        let created = Some(timestamp(CREATED));
        let blocks = peers.into_iter().map(|peer_id| v1::Block { peer_id, created });
        Ok(v1::ListBlocksResponse { blocks: blocks.collect(), next_page_token: next })
    }

    /// By the query as it stands.
    pub(super) fn search_messages(
        &self,
        request: &v1::SearchMessagesRequest,
    ) -> Result<v1::SearchMessagesResponse, Status> {
        self.refuse("search_messages")?;
        if request.peer_id.as_deref().is_some_and(|peer| peer != crate::stub_edge::BOB) {
            return Err(not_found(ErrorReason::UserUnknown));
        }
        let before = request.page_token.parse().unwrap_or(i64::MAX);
        let limit = usize::try_from(request.limit).unwrap_or_default();
        let found = self.messages.values().rev();
        let mut found = found.filter(|it| it.id < before && it.body.contains(&request.query));
        let messages: Vec<_> = found.by_ref().take(limit).cloned().collect();
        let last = messages.last().map(|message| message.id.to_string());
        let has_more = found.next().is_some();
        let next_page_token = last.filter(|_| has_more).unwrap_or_default();
        Ok(v1::SearchMessagesResponse { messages, next_page_token })
    }

    pub(super) fn get_thread(
        &self,
        request: &v1::GetThreadRequest,
    ) -> Result<v1::GetThreadResponse, Status> {
        self.refuse("get_thread")?;
        let has_peer = |state: &ThreadState| state.peer_id == request.peer_id;
        let thread = self.threads.iter().find(|thread| thread.state.as_ref().is_some_and(has_peer));
        let thread = thread.cloned().ok_or_else(|| not_found(ErrorReason::ThreadNotFound))?;
        Ok(v1::GetThreadResponse { thread: Some(thread) })
    }

    /// A page of the list of threads, two of them in each response.
    pub(super) fn list_threads(
        &self,
        request: &ListThreadsRequest,
        limit: i32,
    ) -> Result<BoxStream<ListThreadsResponse>, Status> {
        self.refuse("list_threads")?;
        let begin = match request.page_token.as_str() {
            "" => 0,
            token => {
                token.parse().map_err(|_| Failure::invalid_field("page_token", "malformed"))?
            }
        };
        let left = &self.threads[begin..];
        let page = &left[..left.len().min(limit as usize)];
        let end = begin + page.len();
        let unread = |thread: &Thread| thread.state.as_ref().map_or(0, |state| state.unread);
        let mut responses: Vec<_> = page
            .chunks(2)
            .map(|threads| ListThreadsResponse { threads: threads.to_vec(), ..Default::default() })
            .collect();
        responses.resize_with(responses.len().max(1), ListThreadsResponse::default);
        let first = &mut responses[0];
        first.unread_total = self.threads.iter().map(unread).sum();
        first.last_seq = self.feed.last().map_or(0, |event| event.seq);
        first.epoch = EPOCH.into();
        if end < self.threads.len()
            && let Some(last) = responses.last_mut()
        {
            last.next_page_token = end.to_string();
        }
        Ok(answers(responses))
    }

    /// A part of a conversation, two messages in each response.
    pub(super) fn list_messages(
        &self,
        request: &ListMessagesRequest,
    ) -> Result<BoxStream<ListMessagesResponse>, Status> {
        self.refuse("list_messages")?;
        let is_theirs = |message: &&Message| {
            let pair = [&message.sender_id, &message.receiver_id];
            pair.contains(&&request.user_id)
                && pair.contains(&&request.peer_id)
                && request.after_id.is_none_or(|after| message.id > after)
                && request.before_id.is_none_or(|before| message.id < before)
        };
        let mut messages: Vec<_> = self.messages.values().filter(is_theirs).cloned().collect();
        if request.newest_first {
            messages.reverse();
        }
        messages.truncate(request.limit as usize);
        let mut responses = vec![ListMessagesResponse::default()];
        responses.extend(messages.chunks(2).map(|messages| ListMessagesResponse {
            messages: messages.to_vec(),
            ..Default::default()
        }));
        Ok(answers(responses))
    }

    /// Whether a test wants threads listed from here.
    pub(super) fn is_listed(&self) -> bool {
        !self.threads.is_empty() || !self.feed.is_empty()
    }

    /// Whether a test wants it answered from here: subscriptions of sockets are not.
    pub(super) fn is_read(&self, request: &SubscribeRequest) -> bool {
        !self.feed.is_empty() && !request.received_only
    }

    /// What the feed has behind a place, three changes in each response; it ends where nothing is left.
    pub(super) fn subscribe(
        &mut self,
        request: &SubscribeRequest,
    ) -> Result<BoxStream<SubscribeResponse>, Status> {
        self.asked.push(Asked::Subscribe(request.clone()));
        self.refuse("subscribe")?;
        if request.epoch.as_deref() != Some(EPOCH) {
            return Err(Failure::new(ErrorReason::EpochChanged, "another history").into());
        }
        let after = request.after_seq.unwrap_or_default();
        let end_seq = Some(self.feed.last().map_or(0, |event| event.seq));
        let first = SubscribeResponse {
            last_seq: after,
            epoch: EPOCH.into(),
            end_seq,
            ..Default::default()
        };
        let missed: Vec<_> = self.feed.iter().filter(|event| event.seq > after).cloned().collect();
        let missed = missed.chunks(3).map(|events| SubscribeResponse {
            events: events.to_vec(),
            last_seq: events.last().map_or(0, |event| event.seq),
            ..Default::default()
        });
        let responses: Vec<_> = [first].into_iter().chain(missed).collect();
        self.feed.append(&mut self.later);
        Ok(answers(responses))
    }

    /// Makes of an upload what its client asked for.
    pub(super) fn uploaded(
        &mut self,
        start: &UploadStart,
        finish: &UploadFinish,
        mut message: Message,
    ) -> Message {
        message.client_ref = start.client_ref.clone();
        message.reply_to_id = start.reply_to_id.or(finish.reply_to_id);
        message.meta_json = start.meta_json.clone().or_else(|| finish.meta_json.clone());
        if let Some(attachment) = &mut message.attachment {
            attachment.dispatched = message.created.filter(|_| start.dispatch);
        }
        self.messages.insert(message.id, message.clone());
        message
    }
}

impl State {
    /// Of the calls that the second generation made.
    pub(crate) fn asked(&self) -> &[Asked] {
        &self.second.asked
    }
}
