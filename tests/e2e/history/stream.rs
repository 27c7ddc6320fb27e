//! A service that subscribes to a user, and goes on at its position as the contract says.

use std::{collections::VecDeque, time::Duration};

use netrox_harness::{grpc::Authorized, within};
use netrox_proto::v1::{
    ErrorReason, Event, Failure, Message, SubscribeRequest, SubscribeResponse,
    chat_service_client::ChatServiceClient, event::Change,
};
use tonic::{Code, Status, Streaming};

/// Between two tries of what does not work at the moment.
pub(super) const PAUSE: Duration = Duration::from_millis(20);

/// How far a subscriber has come, and in which history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) seq: u64,
    /// Empty where the core does not tell.
    pub(super) epoch: String,
}

/// The position is no part of the history any more.
#[derive(Debug)]
pub(super) struct Lost;

pub(super) struct Stream {
    chat: ChatServiceClient<Authorized>,
    user_id: String,
    received_only: bool,
    /// `None` before the first response.
    position: Option<Position>,
    /// `None` while it is broken.
    responses: Option<Streaming<SubscribeResponse>>,
    events: VecDeque<Event>,
}

impl Stream {
    /// What comes from now on.
    pub(super) async fn open(
        chat: ChatServiceClient<Authorized>,
        user_id: &str,
        received_only: bool,
    ) -> Self {
        let mut stream = Self::new(chat, user_id, received_only, None);
        within("a subscription", stream.connect()).await.expect("a subscription");
        stream
    }

    /// What came after a position; a refusal for another reason than that it cannot be done at the moment.
    pub(super) async fn resume(
        chat: ChatServiceClient<Authorized>,
        user_id: &str,
        position: &Position,
    ) -> Result<Self, Status> {
        let mut stream = Self::new(chat, user_id, false, Some(position.clone()));
        within("a subscription", stream.connect()).await?;
        Ok(stream)
    }

    fn new(
        chat: ChatServiceClient<Authorized>,
        user_id: &str,
        received_only: bool,
        position: Option<Position>,
    ) -> Self {
        let user_id = user_id.to_owned();
        let events = VecDeque::new();
        Self { chat, user_id, received_only, position, responses: None, events }
    }

    /// Behind all that was taken.
    pub(super) fn position(&self) -> Position {
        assert!(self.events.is_empty(), "received, and not taken: {:?}", self.events);
        self.position.clone().expect("a position")
    }

    /// The next message, over every break.
    pub(super) async fn next(&mut self) -> Result<Message, Lost> {
        loop {
            if let Some(Event { change, .. }) = self.events.pop_front() {
                let Some(Change::Message(message)) = change else { panic!("a change without one") };
                return Ok(message);
            }
            let Some(responses) = &mut self.responses else {
                match self.connect().await {
                    Ok(()) => continue,
                    Err(status) => return Err(lost(&status)),
                }
            };
            match responses.message().await {
                Ok(Some(response)) => self.take_in(response),
                Ok(None) => panic!("a stream ended without a word"),
                Err(status) if is_transient(&status) => self.responses = None,
                Err(status) => return Err(lost(&status)),
            }
        }
    }

    /// Subscribes, again and again while that cannot be done at the moment.
    async fn connect(&mut self) -> Result<(), Status> {
        loop {
            match self.subscribe().await {
                Err(status) if is_transient(&status) => tokio::time::sleep(PAUSE).await,
                subscribed => return subscribed,
            }
        }
    }

    async fn subscribe(&mut self) -> Result<(), Status> {
        let position = self.position.as_ref();
        let epoch = position.map(|position| position.epoch.clone());
        let after_seq = position.map(|position| position.seq);
        let request = SubscribeRequest {
            user_id: self.user_id.clone(),
            after_seq,
            received_only: self.received_only,
            epoch: epoch.filter(|epoch| !epoch.is_empty()),
            ..Default::default()
        };
        let mut responses = self.chat.subscribe(request).await?.into_inner();
        let first = responses.message().await?;
        let first = first.ok_or_else(|| Status::unavailable("ended before it began"))?;
        assert_eq!(first.events, [], "the first response carries a position only");
        if let Some(after_seq) = after_seq {
            assert_eq!(first.last_seq, after_seq, "the position asked for");
        }
        self.take_in(first);
        self.responses = Some(responses);
        Ok(())
    }

    fn take_in(&mut self, response: SubscribeResponse) {
        let SubscribeResponse { events, last_seq, epoch, .. } = response;
        let before = self.position.take();
        let kept = || before.map(|position| position.epoch).unwrap_or_default();
        let epoch = if epoch.is_empty() { kept() } else { epoch };
        self.position = Some(Position { seq: last_seq, epoch });
        self.events.extend(events);
    }
}

/// Whether a call is to be tried again: the core, its database or the way to it is gone for the moment.
pub(super) fn is_transient(status: &Status) -> bool {
    matches!(
        Failure::from(status).reason(),
        ErrorReason::StoreUnavailable
            | ErrorReason::ShuttingDown
            | ErrorReason::Overloaded
            | ErrorReason::OutcomeUnknown
    )
}

/// Fails where a stream ended for any other reason.
#[track_caller]
fn lost(status: &Status) -> Lost {
    // Who was new gets lost with the end.
    if Failure::from(status).reason() != ErrorReason::UserUnknown {
        assert_lost(status);
    }
    Lost
}

#[track_caller]
pub(super) fn assert_lost(status: &Status) {
    let told = (status.code(), Failure::from(status).reason());
    assert_eq!(told, (Code::OutOfRange, ErrorReason::EpochChanged), "{status:?}");
}
