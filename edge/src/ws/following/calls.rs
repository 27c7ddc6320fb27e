//! What the stream of one connection asks of the core.

use netrox_proto::{
    ids::UserId,
    v1::{
        ErrorReason, EventKind, Failure, ListThreadsRequest, ListThreadsResponse, SubscribeRequest,
        SubscribeResponse,
    },
};
use tokio::time::timeout;

use super::{
    super::{
        feed::{OPEN_TIMEOUT, out_of_reach},
        subscription::{Responses, Subscriptions},
    },
    progress::{Progress, end_of, older_core},
};
use crate::wire::v2::cursor::{Cursor, Epoch, Reset};

/// What is asked of the core for one user.
pub(super) struct CoreOfUser<'a> {
    pub(super) subscriptions: &'a Subscriptions,
    pub(super) user: UserId,
}

/// What a stream begins with.
pub(super) struct Begun {
    pub(super) responses: Responses,
    pub(super) progress: Progress,
    pub(super) reset: Option<Reset>,
    pub(super) resumed: bool,
    pub(super) behind: u64,
}

/// What a client has that is of no use.
enum Lost {
    Nothing,
    Unreadable,
    Position(Epoch),
}

impl CoreOfUser<'_> {
    /// At the end of the feed, or after what the client has where that is good.
    pub(super) async fn begin(&self, after: Option<&str>) -> Result<Begun, Failure> {
        let Some(after) = after else { return self.begin_at_end(Lost::Nothing).await };
        let Some(cursor) = Cursor::parse(after, self.user) else {
            return self.begin_at_end(Lost::Unreadable).await;
        };
        match self.subscribe(Some((cursor.epoch, cursor.seq))).await {
            Ok((responses, first)) => {
                let progress = Progress::resumed(cursor, &first)?;
                let behind = end_of(&first)?.saturating_sub(cursor.seq);
                Ok(Begun { responses, progress, reset: None, resumed: true, behind })
            }
            // That the user is unknown is for who provisions them.
            Err(failure)
                if matches!(
                    failure.reason(),
                    ErrorReason::EpochChanged | ErrorReason::InvalidField
                ) =>
            {
                self.begin_at_end(Lost::Position(cursor.epoch)).await
            }
            Err(failure) => Err(failure),
        }
    }

    async fn begin_at_end(&self, lost: Lost) -> Result<Begun, Failure> {
        let (responses, first) = self.subscribe(None).await?;
        let progress = Progress::at_end(&first)?;
        let reset = match lost {
            Lost::Nothing => None,
            Lost::Unreadable => Some(Reset::Unknown),
            Lost::Position(epoch) => Some(Reset::of(epoch, progress.cursor().epoch)),
        };
        Ok(Begun { responses, progress, reset, resumed: false, behind: 0 })
    }

    /// Goes on where the stream before has come to.
    pub(super) async fn resume(&self, progress: &mut Progress) -> Result<Responses, Failure> {
        let Cursor { epoch, seq, .. } = progress.cursor();
        let (responses, first) = self.subscribe(Some((epoch, seq))).await?;
        progress.enter(&first.epoch)?;
        progress.set_end(end_of(&first)?);
        Ok(responses)
    }

    async fn subscribe(
        &self,
        after: Option<(Epoch, u64)>,
    ) -> Result<(Responses, SubscribeResponse), Failure> {
        let request = SubscribeRequest {
            user_id: self.user.to_string(),
            after_seq: after.map(|(_, seq)| seq),
            received_only: false,
            epoch: after.map(|(epoch, _)| epoch.to_string()),
            kinds: vec![EventKind::Thread.into(), EventKind::Typing.into()],
            ..Default::default()
        };
        let (responses, first) = self.subscriptions.call(request).await?;
        end_of(&first)?;
        Ok((responses, first))
    }

    /// What is unread in all, and where the feed ends.
    pub(super) async fn overview(&self) -> Result<ListThreadsResponse, Failure> {
        let user_id = self.user.to_string();
        let request = ListThreadsRequest { user_id, limit: Some(0), ..Default::default() };
        let call = async {
            let responses = self.subscriptions.core.chat.clone().list_threads(request).await?;
            responses.into_inner().message().await
        };
        match timeout(OPEN_TIMEOUT, Box::pin(call)).await {
            Ok(Ok(Some(first))) if !first.epoch.is_empty() => Ok(first),
            Ok(Ok(_)) => Err(older_core()),
            Ok(Err(status)) => Err(Failure::from(&status)),
            Err(_) => Err(out_of_reach()),
        }
    }
}
