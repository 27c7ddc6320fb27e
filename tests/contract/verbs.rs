//! What services do with messages that are stored: shorthands for other tests.

use netrox_proto::v1::{
    Block, BlockUserRequest, DeleteMessageRequest, EditMessageRequest, EventKind, GetSendRequest,
    GetThreadRequest, ListBlocksRequest, ListThreadsRequest, ListThreadsResponse,
    MarkDeliveredRequest, MarkSeenRequest, Message, SubscribeRequest, Thread, ThreadState,
    UnblockUserRequest,
};
use tonic::Status;

use crate::{
    running::{Connection, collect},
    subscribe::Subscription,
};

impl Connection {
    pub(crate) async fn edit(&self, user: &str, id: i64, body: &str) -> Result<Message, Status> {
        self.edit_with(user, id, body, None).await
    }

    pub(crate) async fn edit_with(
        &self,
        user: &str,
        id: i64,
        body: &str,
        meta: Option<&str>,
    ) -> Result<Message, Status> {
        let request = EditMessageRequest {
            user_id: user.into(),
            message_id: id,
            body: body.into(),
            meta_json: meta.map(Into::into),
        };
        let answer = self.chat().edit_message(request).await?.into_inner();
        Ok(answer.message.expect("a message"))
    }

    pub(crate) async fn delete(
        &self,
        user: &str,
        id: i64,
        for_everyone: bool,
    ) -> Result<(), Status> {
        let request = DeleteMessageRequest { user_id: user.into(), message_id: id, for_everyone };
        self.chat().delete_message(request).await.map(drop)
    }

    pub(crate) async fn seen(
        &self,
        user: &str,
        peer: &str,
        up_to_id: i64,
    ) -> Result<ThreadState, Status> {
        let request = MarkSeenRequest { user_id: user.into(), peer_id: peer.into(), up_to_id };
        let answer = self.chat().mark_seen(request).await?.into_inner();
        Ok(answer.state.expect("a state"))
    }

    pub(crate) async fn delivered(
        &self,
        user: &str,
        peer: &str,
        up_to_id: i64,
    ) -> Result<ThreadState, Status> {
        let request = MarkDeliveredRequest { user_id: user.into(), peer_id: peer.into(), up_to_id };
        let answer = self.chat().mark_delivered(request).await?.into_inner();
        Ok(answer.state.expect("a state"))
    }

    pub(crate) async fn block(&self, user: &str, peer: &str) -> Result<(), Status> {
        let request = BlockUserRequest { user_id: user.into(), peer_id: peer.into() };
        self.chat().block_user(request).await.map(drop)
    }

    pub(crate) async fn unblock(&self, user: &str, peer: &str) -> Result<(), Status> {
        let request = UnblockUserRequest { user_id: user.into(), peer_id: peer.into() };
        self.chat().unblock_user(request).await.map(drop)
    }

    /// Whom a user blocks, read in pages of so many.
    pub(crate) async fn blocks(&self, user: &str, limit: i32) -> Result<Vec<Block>, Status> {
        let (mut blocks, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = ListBlocksRequest { user_id: user.into(), limit, page_token };
            let page = self.chat().list_blocks(request).await?.into_inner();
            assert!(page.blocks.len() <= limit as usize, "{page:?}");
            blocks.extend(page.blocks);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(blocks);
            }
        }
    }

    pub(crate) async fn thread(&self, user: &str, peer: &str) -> Result<Thread, Status> {
        let request = GetThreadRequest { user_id: user.into(), peer_id: peer.into() };
        let answer = self.chat().get_thread(request).await?.into_inner();
        Ok(answer.thread.expect("a thread"))
    }

    pub(crate) async fn state(&self, user: &str, peer: &str) -> ThreadState {
        let thread = self.thread(user, peer).await.expect("a thread");
        thread.state.expect("a state")
    }

    pub(crate) async fn sent(&self, user: &str, client_ref: &str) -> Result<Message, Status> {
        let request = GetSendRequest { user_id: user.into(), client_ref: client_ref.into() };
        let answer = self.chat().get_send(request).await?.into_inner();
        Ok(answer.message.expect("a message"))
    }

    /// One page of threads: all that its responses say, as one.
    pub(crate) async fn thread_page(
        &self,
        user: &str,
        limit: i32,
        page_token: &str,
    ) -> Result<ListThreadsResponse, Status> {
        let request = ListThreadsRequest {
            user_id: user.into(),
            limit: Some(limit),
            page_token: page_token.into(),
        };
        let pages = collect(self.chat().list_threads(request).await?.into_inner()).await?;
        let next_page_token = pages.last().expect("a response").next_page_token.clone();
        let first = pages[0].clone();
        let threads = pages.into_iter().flat_map(|page| page.threads).collect();
        Ok(ListThreadsResponse { threads, next_page_token, ..first })
    }
}

impl Subscription {
    /// Messages and states of threads; what came after a position, or what comes from now on.
    pub(crate) async fn with_threads(
        connection: &Connection,
        user: &str,
        after_seq: Option<u64>,
    ) -> Self {
        let request = SubscribeRequest {
            user_id: user.into(),
            after_seq,
            kinds: vec![EventKind::Thread.into()],
            ..Default::default()
        };
        Self::try_open(connection, request).await.expect("a subscription")
    }
}
