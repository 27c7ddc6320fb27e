//! `SetTyping`: who is told, and who is not.

use netrox_harness::within;
use netrox_proto::v1::{
    BatchSetTypingRequest, ErrorReason, Event, EventKind, Failure, SetTypingRequest,
    SubscribeRequest, SubscribeResponse, Typing, event::Change,
};
use tonic::{Status, Streaming};
use uuid::Uuid;

use crate::{
    attachment::{dispatch, upload},
    refusal::{assert_invalid, assert_refused},
    running::{Connection, Core},
};

impl Connection {
    pub(crate) async fn typing(&self, user: &str, peer: &str, typing: bool) -> Result<(), Status> {
        let request = SetTypingRequest { user_id: user.into(), peer_id: peer.into(), typing };
        self.chat().set_typing(request).await.map(drop)
    }
}

/// All that comes to a user, signals too.
pub(crate) struct Watcher {
    stream: Streaming<SubscribeResponse>,
    events: Vec<Event>,
    pub(crate) last_seq: u64,
}

impl Watcher {
    pub(crate) async fn open(connection: &Connection, user: &str) -> Self {
        let kinds = vec![EventKind::Thread.into(), EventKind::Typing.into()];
        Self::of(connection, user, kinds).await
    }

    async fn of(connection: &Connection, user: &str, kinds: Vec<i32>) -> Self {
        let request = SubscribeRequest { user_id: user.into(), kinds, ..Default::default() };
        let stream = connection.chat().subscribe(request).await.expect("a subscription");
        let mut stream = stream.into_inner();
        let first = within("the first response", stream.message()).await.expect("no failure");
        let last_seq = first.expect("a response").last_seq;
        Self { stream, events: Vec::new(), last_seq }
    }

    pub(crate) async fn next(&mut self) -> Event {
        while self.events.is_empty() {
            let response = within("an event", self.stream.message()).await.expect("no failure");
            let response = response.expect("a response");
            self.last_seq = response.last_seq;
            self.events = response.events;
        }
        self.events.remove(0)
    }

    /// The next signal, past changes.
    pub(crate) async fn next_typing(&mut self) -> (String, bool) {
        loop {
            let event = self.next().await;
            if let Some(Change::Typing(Typing { peer_id, typing })) = event.change {
                assert_eq!((event.seq, event.first_seq), (0, 0), "it has no place");
                return (peer_id, typing);
            }
        }
    }
}

#[tokio::test]
async fn each_of_a_batch_is_answered_by_itself() {
    let core = Core::start().await;
    let [ada, bob, carol] = core.users().await;
    core.send(&ada, &bob, "hello").await.expect("stored");
    core.send(&carol, &bob, "hello").await.expect("stored");
    let mut at_bob = Watcher::open(&core, &bob).await;
    let stranger = Uuid::from_u128(7).to_string();
    let says = |user: &str, peer: &str| SetTypingRequest {
        user_id: user.into(),
        peer_id: peer.into(),
        typing: true,
    };
    let requests =
        vec![says(&ada, &bob), says(&ada, &stranger), says("ada", &bob), says(&carol, &bob)];
    let batch = async |requests| {
        let mut chat = core.chat();
        chat.batch_set_typing(BatchSetTypingRequest { requests }).await
    };
    let results = batch(requests).await.expect("a result each").into_inner().results;
    let reasons: Vec<_> =
        results.iter().map(|result| result.failure.as_ref().map(Failure::reason)).collect();
    let (unknown, invalid) = (ErrorReason::UserUnknown, ErrorReason::InvalidField);
    assert_eq!(reasons, [None, Some(unknown), Some(invalid), None]);
    let mut told = [at_bob.next_typing().await.0, at_bob.next_typing().await.0];
    told.sort();
    let mut said = [ada.clone(), carol];
    said.sort();
    assert_eq!(told, said);

    assert_eq!(batch(Vec::new()).await.expect("nothing").into_inner().results, []);
    let many = vec![says(&ada, &bob); 1_000];
    assert_eq!(batch(many).await.expect("as many as may be").into_inner().results.len(), 1_000);
    let more = batch(vec![says(&ada, &bob); 1_001]).await.map(drop);
    assert_invalid(more, "requests");
}

#[tokio::test]
async fn it_is_told_to_those_the_user_has_written_to() {
    let core = Core::start().await;
    let [ada, bob, carol] = core.users().await;
    core.send(&carol, &ada, "fence").await.expect("stored");
    core.send(&carol, &bob, "fence").await.expect("stored");
    let mut at_ada = Watcher::open(&core, &ada).await;
    let mut at_bob = Watcher::open(&core, &bob).await;
    // Nobody is told what a stranger does.
    core.typing(&ada, &bob, true).await.expect("no refusal");
    core.typing(&carol, &bob, true).await.expect("told");
    assert_eq!(at_bob.next_typing().await, (carol.clone(), true));
    // A first message buys nothing of the other one.
    core.send(&ada, &bob, "hello").await.expect("stored");
    core.typing(&bob, &ada, true).await.expect("no refusal");
    core.typing(&carol, &ada, true).await.expect("told");
    assert_eq!(at_ada.next_typing().await, (carol.clone(), true));
    // But tells of its sender, at once.
    core.typing(&ada, &bob, true).await.expect("told");
    assert_eq!(at_bob.next_typing().await, (ada.clone(), true));
    core.typing(&ada, &bob, false).await.expect("told");
    assert_eq!(at_bob.next_typing().await, (ada.clone(), false));
    // The reply opens it.
    core.send(&bob, &ada, "hello").await.expect("stored");
    core.typing(&bob, &ada, true).await.expect("told");
    assert_eq!(at_ada.next_typing().await, (bob.clone(), true));
}

#[tokio::test]
async fn who_did_not_ask_for_it_is_not_told_and_no_place_moves() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    core.send(&ada, &bob, "hello").await.expect("stored");
    let mut asking = Watcher::open(&core, &bob).await;
    let mut threads = Watcher::of(&core, &bob, vec![EventKind::Thread.into()]).await;
    let mut messages = Watcher::of(&core, &bob, vec![]).await;
    let before = asking.last_seq;
    core.typing(&ada, &bob, true).await.expect("told");
    assert_eq!(asking.next_typing().await, (ada.clone(), true));
    assert_eq!(asking.last_seq, before);
    core.send(&ada, &bob, "after").await.expect("stored");
    for watcher in [&mut asking, &mut threads, &mut messages] {
        let event = watcher.next().await;
        let Some(Change::Message(message)) = &event.change else { panic!("{event:?}") };
        assert_eq!((message.body.as_str(), event.seq), ("after", before + 1));
    }
}

#[tokio::test]
async fn a_file_that_is_not_delivered_is_no_message_to_anybody() {
    let core = Core::start().await;
    let [ada, bob, carol] = core.users().await;
    core.send(&carol, &bob, "fence").await.expect("stored");
    let mut at_bob = Watcher::open(&core, &bob).await;
    let file = upload(&core, &ada, &bob, "a.txt", b"a").await.expect("stored");
    core.typing(&ada, &bob, true).await.expect("no refusal");
    core.typing(&carol, &bob, true).await.expect("told");
    assert_eq!(at_bob.next_typing().await, (carol.clone(), true));
    dispatch(&core, &ada, file.id).await.expect("dispatched");
    core.typing(&ada, &bob, true).await.expect("told");
    assert_eq!(at_bob.next_typing().await, (ada.clone(), true));
}

#[tokio::test]
async fn a_block_of_either_stops_it_both_ways_and_at_once() {
    let core = Core::start().await;
    let [ada, bob, carol] = core.users().await;
    for (sender, receiver) in [(&ada, &bob), (&bob, &ada), (&carol, &ada), (&carol, &bob)] {
        core.send(sender, receiver, "hello").await.expect("stored");
    }
    let mut at_ada = Watcher::open(&core, &ada).await;
    let mut at_bob = Watcher::open(&core, &bob).await;
    for (blocker, blocked) in [(&ada, &bob), (&bob, &ada)] {
        // What is kept of both says that they may.
        core.typing(&ada, &bob, true).await.expect("told");
        assert_eq!(at_bob.next_typing().await, (ada.clone(), true));
        core.typing(&bob, &ada, true).await.expect("told");
        assert_eq!(at_ada.next_typing().await, (bob.clone(), true));
        core.block(blocker, blocked).await.expect("blocked");
        core.typing(&ada, &bob, false).await.expect("no refusal");
        core.typing(&bob, &ada, false).await.expect("no refusal");
        core.typing(&carol, &ada, true).await.expect("told");
        core.typing(&carol, &bob, true).await.expect("told");
        assert_eq!(at_ada.next_typing().await, (carol.clone(), true));
        assert_eq!(at_bob.next_typing().await, (carol.clone(), true));
        core.unblock(blocker, blocked).await.expect("unblocked");
    }
    core.typing(&ada, &bob, true).await.expect("told");
    assert_eq!(at_bob.next_typing().await, (ada.clone(), true));
}

#[tokio::test]
async fn a_message_that_is_swallowed_tells_nothing_of_its_sender() {
    let core = Core::start().await;
    let [ada, bob, carol] = core.users().await;
    core.send(&carol, &ada, "fence").await.expect("stored");
    let mut at_ada = Watcher::open(&core, &ada).await;
    core.block(&ada, &bob).await.expect("blocked");
    core.send(&bob, &ada, "swallowed").await.expect("stored");
    core.unblock(&ada, &bob).await.expect("unblocked");
    core.typing(&bob, &ada, true).await.expect("no refusal");
    core.typing(&carol, &ada, true).await.expect("told");
    assert_eq!(at_ada.next_typing().await, (carol.clone(), true));
}

#[tokio::test]
async fn who_is_not_there_is_not_found() {
    let core = Core::start().await;
    let [ada, bob, gone] = core.users().await;
    core.send(&ada, &gone, "hello").await.expect("stored");
    let nobody = Uuid::new_v4().to_string();
    for peer in [&nobody, &ada] {
        assert_refused(core.typing(&ada, peer, true).await, ErrorReason::UserUnknown);
    }
    assert_refused(core.typing(&nobody, &ada, true).await, ErrorReason::UserUnknown);
    assert_invalid(core.typing("nobody", &ada, true).await, "user_id");
    assert_invalid(core.typing(&ada, "nobody", true).await, "peer_id");
    core.typing(&ada, &gone, true).await.expect("told");
    core.delete_user(&gone).await.expect("deleted");
    core.typing(&ada, &gone, true).await.expect("a deleted peer is known");
    assert_refused(core.typing(&gone, &bob, true).await, ErrorReason::UserDeleted);
}

/// Whoever takes nothing costs others nothing, and loses signals alone.
#[tokio::test]
async fn who_takes_nothing_loses_signals_alone() {
    let core = Core::start().await;
    let [ada, bob, carol] = core.users().await;
    for sender in [&ada, &carol] {
        core.send(sender, &bob, "hello").await.expect("stored");
    }
    let mut at_bob = Watcher::open(&core, &bob).await;
    for number in 0..5_000 {
        core.typing(&ada, &bob, number % 2 == 0).await.expect("told");
    }
    core.send(&carol, &bob, "canary").await.expect("stored");
    core.typing(&carol, &bob, true).await.expect("told");
    let (mut signals, mut is_shown) = (0, false);
    loop {
        match at_bob.next().await.change {
            Some(Change::Typing(typing)) if typing.peer_id == carol => break,
            Some(Change::Typing(_)) => signals += 1,
            Some(Change::Message(message)) => is_shown |= message.body == "canary",
            other => panic!("{other:?}"),
        }
    }
    assert!(is_shown, "a change is never behind a signal that came after it");
    assert!(signals < 5_000, "all {signals} waited");
}
