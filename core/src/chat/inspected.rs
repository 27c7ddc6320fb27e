//! What is read of one user for an operator, also of one who was deleted.

use netrox_proto::{ids::UserId, v1};

use super::{
    Chat, blocks,
    list::{self, MessageList, Viewer},
    thread_page,
};
use crate::{change::FeedScope, error::Error, store::user::UserRow, subscribe::Subscription};

impl Chat {
    /// What a user's devices learn from now on.
    pub(crate) async fn tap(&self, user: UserId) -> Result<Subscription, Error> {
        let (scope, streams) = (FeedScope::MessagesAndThreads, self.streams.clone());
        let (store, lookup, delivery) = (&self.store, &self.lookup, &self.delivery);
        Subscription::open(store, lookup, delivery, user, None, scope.into(), streams).await
    }

    /// A page of those whom a user blocks; also of one who was deleted.
    pub(crate) async fn blocks_of(
        &self,
        user: &UserRow,
        token: &str,
    ) -> Result<v1::ListBlocksResponse, Error> {
        const PAGE: usize = 200;
        blocks::of_user(&self.bulk, user, PAGE, token).await
    }

    /// Some threads of a user, with what the user sees of them; also of one who was deleted.
    pub(crate) async fn threads_of(
        &self,
        user: &UserRow,
        ids: &[i64],
    ) -> Result<Vec<v1::Thread>, Error> {
        thread_page::with_state(&self.bulk, user, ids).await
    }

    /// What a user sees of a conversation; also one who was deleted.
    pub(crate) async fn conversation_of(
        &self,
        user: UserId,
        peer_id: String,
    ) -> Result<MessageList, Error> {
        let user_id = user.to_string();
        let request =
            v1::ListMessagesRequest { user_id, peer_id, visible_only: true, ..Default::default() };
        list::messages(&self.bulk, request, Viewer::Any).await
    }
}
