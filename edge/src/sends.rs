//! The pipeline of sends: what the users of this edge send goes over a few long-lived streams to
//! the core rather than in a call for each message.
//!
//! * A user's commands always go over the same stream, in the order submitted.
//! * What commands hold in memory until they are answered is bounded, in all and for each user; beyond that they are
//!   left with the user where nothing is away, who is not read meanwhile, and else refused with `OVERLOADED`.
//! * While the core or its database is away, commands wait here, for `--store-wait` at most: then they are refused with
//!   `STORE_UNAVAILABLE`. Over the network a core gives back what it cannot store, and is asked for no more than one until it
//!   stores it. In process the core keeps what it was given. The link is established again without being asked.
//! * A command that was on a stream when it broke is in doubt. Over the network a message carries a
//!   `client_ref`, its client's own or one that is drawn here (all else is idempotent by itself), and is repeated on the next stream, in the same
//!   order and before anything newer, until it is answered. What the core answers with `OUTCOME_UNKNOWN` is
//!   repeated as well, a little later. When its time is over without an answer that tells what became of it its failure is
//!   `OUTCOME_UNKNOWN`. In process, where an answer cannot get lost on the way, nothing is repeated
//!   and no `client_ref` is drawn.
//! * While it is not known which tokens were taken away, nothing goes to the core. What waited is refused then where its token was.
//! * Each request says how old it is and how long it may wait, so that the core drops what it gets too late, hung or
//!   starved.
//!
//! * [`lane`]: what is submitted, and what becomes of it; [`commands`]: how far each is; [`link`]: the streams;
//!   [`awaited`]: who waits for it.
//! * [`room`]: what they hold in memory; [`stall`] and [`tally`]: what the operator is told.
//! * [`client_refs`]: what repetitions are known by.

mod awaited;
mod client_refs;
mod commands;
mod lane;
mod link;
mod room;
mod stall;
mod tally;

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use netrox_proto::{
    ids::{ClientRef, UserId},
    request_id::RequestId,
    trace_context::TraceContext,
    v1::{
        BlockUserRequest, DeleteMessageRequest, DispatchAttachmentRequest,
        DispatchAttachmentResponse, EditMessageRequest, ErrorReason, Failure, MarkDeliveredRequest,
        MarkSeenRequest, SendMessageRequest, SendMessageResponse, UnblockUserRequest,
        send_messages_request::Request,
    },
};
use tokio::{sync::oneshot, time::Instant};
use tokio_util::task::TaskTracker;

use crate::{
    core_client::CoreClient,
    metrics::{Metrics, SendKind},
    revocation::{Revocations, TokenMark},
    tasks::Tasks,
    trace,
};
use awaited::Awaited;
use client_refs::ClientRefs;
use commands::{Terms, overloaded};
use lane::Lane;
pub(crate) use room::MAX_BYTES;
use room::{Full, RoomOfUser, Rooms};
use tally::Tally;

/// Streams to the core: as many as connections to one, so that one that breaks takes only its share along.
const LANES: usize = 2;

/// What a user asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SendCommand {
    /// Store a text message and deliver it.
    Message { receiver: UserId, body: String },
    /// The same, where the client itself says what repetitions are known by.
    NamedMessage(Box<NamedMessage>),
    /// Deliver an uploaded message.
    Dispatch { message_id: i64 },
    /// Change a message of the user's own.
    Edit { message_id: i64, body: String, meta: MetaChange },
    /// Delete a message for both users, or for the one who asks.
    Delete { message_id: i64, for_everyone: bool },
    /// Say how far a thread was seen, or delivered.
    Mark(Mark),
    /// Block another user, or no longer.
    Block(Block),
}

impl SendCommand {
    /// To whom it is written.
    pub(crate) fn receiver(&self) -> Option<UserId> {
        match self {
            Self::Message { receiver, .. } => Some(*receiver),
            Self::NamedMessage(message) => Some(message.receiver),
            Self::Dispatch { .. }
            | Self::Edit { .. }
            | Self::Delete { .. }
            | Self::Mark(_)
            | Self::Block(_) => None,
        }
    }
}

/// A message whose client can repeat it by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedMessage {
    pub(crate) receiver: UserId,
    pub(crate) body: String,
    pub(crate) client_ref: ClientRef,
    pub(crate) reply_to: Option<i64>,
    /// A JSON object without white space between its tokens.
    pub(crate) meta: Option<String>,
}

/// What an edit does to what goes with the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MetaChange {
    Stays,
    Removed,
    /// A JSON object without white space between its tokens.
    Set(String),
}

/// How far a user is in a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) kind: MarkKind,
    pub(crate) peer: UserId,
    /// Up to this message, itself included.
    pub(crate) up_to: i64,
}

/// Whether a user is blocked from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) peer: UserId,
    pub(crate) blocks: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum MarkKind {
    Seen,
    Delivered,
}

impl SendCommand {
    fn kind(&self) -> SendKind {
        match self {
            Self::Message { .. } | Self::NamedMessage(_) => SendKind::Message,
            Self::Dispatch { .. } => SendKind::Attachment,
            Self::Edit { .. } => SendKind::Edit,
            Self::Delete { .. } => SendKind::Delete,
            Self::Mark(_) => SendKind::Mark,
            Self::Block(_) => SendKind::Block,
        }
    }

    pub(crate) fn text_bytes(&self) -> usize {
        match self {
            Self::Message { body, .. } => body.len(),
            Self::NamedMessage(message) => {
                message.body.len() + message.meta.as_ref().map_or(0, String::len)
            }
            Self::Edit { body, meta: MetaChange::Set(meta), .. } => body.len() + meta.len(),
            Self::Edit { body, meta: MetaChange::Stays | MetaChange::Removed, .. } => body.len(),
            Self::Dispatch { .. } | Self::Delete { .. } | Self::Mark(_) | Self::Block(_) => 0,
        }
    }
}

/// What the core answers to a command that took effect.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Sent {
    Message(SendMessageResponse),
    Dispatch(DispatchAttachmentResponse),
    /// When the message was last edited.
    Edit(Option<prost_types::Timestamp>),
    Delete,
    Mark(Marks),
    /// Or no longer.
    Block,
}

/// How far the user is in a thread by now, and what is left to be seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    pub(crate) seen_id: i64,
    pub(crate) delivered_id: i64,
    pub(crate) unread: i32,
    pub(crate) last_id: i64,
}

/// What became of a command.
pub(crate) type SendResult = Result<Sent, Failure>;

/// Resolves when the command is answered, or cannot be. Dropping it cancels nothing.
#[derive(Debug)]
pub(crate) struct PendingSend {
    answer: oneshot::Receiver<SendResult>,
    request_id: RequestId,
}

impl PendingSend {
    /// What the command is called.
    pub(crate) fn request_id(&self) -> &RequestId {
        &self.request_id
    }
}

impl Future for PendingSend {
    type Output = SendResult;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<SendResult> {
        let answer = ready!(Pin::new(&mut self.answer).poll(cx));
        Poll::Ready(answer.unwrap_or_else(|_| {
            Err(Failure::new(ErrorReason::OutcomeUnknown, "the pipeline of sends ended"))
        }))
    }
}

/// What becomes of a command that is submitted.
#[derive(Debug)]
pub(crate) enum Submission {
    /// It takes effect whatever becomes of its sender.
    Accepted(PendingSend),
    /// The user has enough under way, or all have: it is to be submitted again in a moment.
    NoRoom(SendCommand),
}

/// One who sends, by [`SendPipeline::sender`].
#[derive(Debug)]
pub(crate) struct Sender {
    room: Arc<RoomOfUser>,
    token: TokenMark,
    /// Random: what tells its commands from those of others.
    session: u64,
    /// Of the last command.
    number: AtomicU64,
    /// The span of the handshake, where its client asked for a trace.
    upgrade: Option<Arc<TraceContext>>,
}

impl Sender {
    /// One whose client asked for a trace when it connected.
    pub(crate) fn of_upgrade(self, upgrade: Option<Arc<TraceContext>>) -> Self {
        Self { upgrade, ..self }
    }

    /// Who waits for a command, where, and what it is called.
    fn begin(&self, command: &SendCommand) -> (Awaited, oneshot::Receiver<SendResult>, RequestId) {
        let (user, kind) = (self.room.user(), command.kind());
        let (span, id) = trace::send(self.next_id(), user, kind, self.upgrade.as_deref());
        let (answer, pending) = Awaited::new(span);
        (answer, pending, id)
    }

    /// What its next command is called.
    fn next_id(&self) -> RequestId {
        RequestId::numbered(self.session, self.number.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// The sends of all users of an edge.
pub(crate) struct SendPipeline {
    lanes: [Arc<Lane>; LANES],
    rooms: Arc<Rooms>,
    /// Where repetitions are possible.
    client_refs: Option<ClientRefs>,
    /// Of the lanes.
    tasks: TaskTracker,
}

impl SendPipeline {
    /// Starts to connect; the tasks of the pipeline run until [`Self::close`] or the hard stop. Commands wait for `wait` where the core or its database is away.
    pub(crate) fn new(
        core: &CoreClient,
        in_process: bool,
        wait: Duration,
        revocations: &Arc<Revocations>,
        tasks: &Tasks,
        metrics: &Metrics,
    ) -> Self {
        let (terms, stall) = (Terms { keeps: !in_process, wait }, Arc::default());
        let tally = Arc::new(Tally::new(metrics.sends.clone()));
        let of_lanes = TaskTracker::new();
        let lanes = std::array::from_fn(|_| {
            let revocations = Arc::clone(revocations);
            let lane = Lane::new(terms, Arc::clone(&stall), Arc::clone(&tally), revocations);
            let lane = Arc::new(lane);
            tasks.spawn(of_lanes.track_future(Arc::clone(&lane).run(core.clone())));
            lane
        });
        of_lanes.close();
        let client_refs = (!in_process).then(ClientRefs::new);
        let rooms = Arc::new(Rooms::new(metrics.sends.held_bytes()));
        Self { lanes, rooms, client_refs, tasks: of_lanes }
    }

    /// What the commands of a user hold is counted together, also of several senders.
    pub(crate) fn sender(&self, user: UserId, token: TokenMark) -> Sender {
        let room = self.rooms.of(user);
        let (session, number) = (rand::random(), AtomicU64::new(0));
        Sender { room, token, session, number, upgrade: None }
    }

    /// Takes a command in that came at `since`; the order of these calls is the order of a user's messages.
    pub(crate) fn submit(
        &self,
        sender: &Sender,
        command: SendCommand,
        since: Instant,
    ) -> Submission {
        let room = &sender.room;
        let lane = self.lane(room.user());
        match room.take(command.text_bytes()) {
            Ok(room) => {
                let (answer, pending, request_id) = sender.begin(&command);
                let request = self.request(sender, command);
                lane.submit(request, request_id.clone(), answer, since, (room, sender.token));
                Submission::Accepted(PendingSend { answer: pending, request_id })
            }
            Err(Full::User | Full::All) if !lane.is_stalled() => Submission::NoRoom(command),
            Err(Full::User | Full::All) => {
                let (answer, pending) = Awaited::new(None);
                lane.give(vec![(answer, overloaded())]);
                Submission::Accepted(PendingSend { answer: pending, request_id: sender.next_id() })
            }
        }
    }

    /// The last command of a connection, for which there is room although the user has enough under way.
    pub(crate) fn submit_last(&self, sender: &Sender, command: SendCommand, since: Instant) {
        let room = &sender.room;
        let lane = self.lane(room.user());
        let room = room.take_more(command.text_bytes());
        let (answer, _, request_id) = sender.begin(&command);
        let of = (room, sender.token);
        lane.submit(self.request(sender, command), request_id, answer, since, of);
    }

    fn request(&self, sender: &Sender, command: SendCommand) -> Request {
        let sender = sender.room.user().to_string();
        match command {
            SendCommand::Message { receiver, body } => Request::Message(SendMessageRequest {
                sender_id: sender,
                receiver_id: receiver.to_string(),
                body,
                client_ref: self.client_refs.as_ref().map(|refs| refs.draw().to_string()),
                ..Default::default()
            }),
            SendCommand::NamedMessage(message) => {
                let NamedMessage { receiver, body, client_ref, reply_to, meta } = *message;
                Request::Message(SendMessageRequest {
                    sender_id: sender,
                    receiver_id: receiver.to_string(),
                    body,
                    client_ref: Some(client_ref.to_string()),
                    reply_to_id: reply_to,
                    meta_json: meta,
                    from_client: true,
                })
            }
            SendCommand::Dispatch { message_id } => {
                Request::Attachment(DispatchAttachmentRequest { sender_id: sender, message_id })
            }
            SendCommand::Edit { message_id, body, meta } => Request::Edit(EditMessageRequest {
                user_id: sender,
                message_id,
                body,
                meta_json: match meta {
                    MetaChange::Stays => None,
                    MetaChange::Removed => Some(String::new()),
                    MetaChange::Set(meta) => Some(meta),
                },
            }),
            SendCommand::Delete { message_id, for_everyone } => {
                Request::Delete(DeleteMessageRequest { user_id: sender, message_id, for_everyone })
            }
            SendCommand::Block(Block { peer, blocks }) => {
                let (user_id, peer_id) = (sender, peer.to_string());
                if blocks {
                    Request::Block(BlockUserRequest { user_id, peer_id })
                } else {
                    Request::Unblock(UnblockUserRequest { user_id, peer_id })
                }
            }
            SendCommand::Mark(Mark { kind, peer, up_to: up_to_id }) => {
                let (user_id, peer_id) = (sender, peer.to_string());
                match kind {
                    MarkKind::Seen => Request::Seen(MarkSeenRequest { user_id, peer_id, up_to_id }),
                    MarkKind::Delivered => {
                        Request::Delivered(MarkDeliveredRequest { user_id, peer_id, up_to_id })
                    }
                }
            }
        }
    }

    fn lane(&self, sender: UserId) -> &Lane {
        let lane = sender.0.as_u128() % LANES as u128;
        &self.lanes[lane as usize]
    }

    /// Whether what the user sends is not just under way, but waits.
    pub(crate) fn is_stalled(&self, sender: UserId) -> bool {
        self.lane(sender).is_stalled()
    }

    /// Whether commands of some users wait or are refused, because the core is out of reach.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.lanes.iter().any(|lane| lane.is_down())
    }

    /// Whether commands may wait for a core or database that is away.
    pub(crate) fn have_patience(&self) -> bool {
        self.lanes.iter().all(|lane| lane.has_patience())
    }

    /// Refuses what waits for a core or database that is away, and lets nothing wait any more.
    pub(crate) fn lose_patience(&self) {
        for lane in &self.lanes {
            lane.lose_patience();
        }
    }

    /// Refuses what is submitted from now on; the tasks end when all before it is answered.
    pub(crate) fn close(&self) {
        for lane in &self.lanes {
            lane.close();
        }
    }

    /// Returns when the tasks have ended.
    pub(crate) async fn ended(&self) {
        self.tasks.wait().await;
    }
}

impl Drop for SendPipeline {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
