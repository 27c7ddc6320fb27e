//! The pipeline of sends: what the users of this edge send goes over a few long-lived streams to
//! the core rather than in a call for each message.
//!
//! * A user's commands always go over the same stream, in the order submitted.
//! * A command waits for a place on its stream for a bounded time among a bounded number; beyond that
//!   it is refused with `OVERLOADED`.
//! * While the core is known to be out of reach, commands are refused at once with
//!   `STORE_UNAVAILABLE`. The link is established again without being asked.
//! * A command that was on a stream when it broke is in doubt. Over the network it carries a
//!   `client_ref` (a dispatch is idempotent by itself) and is repeated on the next stream, in the same
//!   order and before anything newer, until it is answered. A message that the core answers with `OUTCOME_UNKNOWN` is
//!   repeated as well, a little later. After 5 s without an answer that tells what became of it its failure is
//!   `OUTCOME_UNKNOWN`. In process, where an answer cannot get lost on the way, nothing is repeated
//!   and no `client_ref` is set.
//! * Each request says how old it is, so that the core drops what it gets too late, hung or starved: nothing is begun to
//!   be stored 4 s after it was submitted, while this edge awaits it for 5 s.

mod client_refs;
mod commands;
mod lane;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use netrox_proto::{
    ids::UserId,
    v1::{
        DispatchAttachmentRequest, ErrorReason, Failure, SendMessageRequest,
        send_messages_request::Request,
    },
};
use tokio::sync::oneshot;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::core_client::CoreClient;
use client_refs::ClientRefs;
use lane::Lane;

/// Streams to the core: as many as connections to one, so that one that breaks takes only its share along.
const LANES: usize = 2;

/// What a user asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// Store a text message and deliver it.
    Message { receiver: UserId, body: String },
    /// Deliver an uploaded message.
    Dispatch { message_id: i64 },
}

/// How a command ended.
pub(crate) type Outcome = Result<(), Failure>;

/// Resolves when the command is answered, or cannot be. Dropping it cancels nothing.
#[derive(Debug)]
pub(crate) struct Pending(oneshot::Receiver<Outcome>);

impl Future for Pending {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let answer = ready!(Pin::new(&mut self.0).poll(cx));
        Poll::Ready(answer.unwrap_or_else(|_| {
            Err(Failure::new(ErrorReason::OutcomeUnknown, "the pipeline of sends ended"))
        }))
    }
}

/// The sends of all users of an edge.
pub(crate) struct SendPipeline {
    lanes: [Arc<Lane>; LANES],
    /// Where repetitions are possible.
    client_refs: Option<ClientRefs>,
}

impl SendPipeline {
    /// Starts to connect; the tasks of the pipeline run on `tasks` until [`Self::close`] or until
    /// `hard_stop`.
    pub(crate) fn new(
        core: &CoreClient,
        in_process: bool,
        tasks: &TaskTracker,
        hard_stop: &CancellationToken,
    ) -> Self {
        let lanes = std::array::from_fn(|_| {
            let lane = Arc::new(Lane::new(!in_process));
            let run = Arc::clone(&lane).run(core.clone());
            tasks.spawn(hard_stop.clone().run_until_cancelled_owned(run));
            lane
        });
        Self { lanes, client_refs: (!in_process).then(ClientRefs::new) }
    }

    /// Takes a command in; the order of these calls is the order of a user's messages.
    pub(crate) fn submit(&self, sender: UserId, command: Command) -> Pending {
        let request = match command {
            Command::Message { receiver, body } => Request::Message(SendMessageRequest {
                sender_id: sender.to_string(),
                receiver_id: receiver.to_string(),
                body,
                client_ref: self.client_refs.as_ref().map(|refs| refs.draw().to_string()),
            }),
            Command::Dispatch { message_id } => Request::Attachment(DispatchAttachmentRequest {
                sender_id: sender.to_string(),
                message_id,
            }),
        };
        let (answer, pending) = oneshot::channel();
        let lane = sender.0.as_u128() % LANES as u128;
        self.lanes[lane as usize].submit(request, answer);
        Pending(pending)
    }

    /// Whether commands of some users are refused at once, because the core is out of reach.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.lanes.iter().any(|lane| lane.is_down())
    }

    /// Refuses what is submitted from now on; the tasks end when all before it is answered.
    pub(crate) fn close(&self) {
        for lane in &self.lanes {
            lane.close();
        }
    }
}

impl Drop for SendPipeline {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests;
