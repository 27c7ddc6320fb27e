//! `ChatService.Subscribe`: every change once and in order, over breaks and crashes.

use std::collections::VecDeque;

use netrox_harness::within;
use netrox_proto::v1::{
    DispatchAttachmentRequest, ErrorReason, Event, Message, SubscribeRequest, SubscribeResponse,
    event::Change,
};
use tonic::{Status, Streaming};
use uuid::Uuid;

use crate::{
    attachment::upload,
    refusal::{assert_invalid, assert_refused},
    running::{Connection, Core, text},
    send::malformed_ids,
};

/// A stream of changes that is checked as it is read.
pub(crate) struct Subscription {
    stream: Streaming<SubscribeResponse>,
    events: VecDeque<Event>,
    /// The position after all that was read from the stream.
    last_seq: u64,
    /// The position after the last event taken.
    taken_seq: u64,
}

impl Subscription {
    /// What comes from now on.
    pub(crate) async fn open(connection: &Connection, user: &str) -> Self {
        Self::after(connection, user, None).await
    }

    pub(crate) async fn after(connection: &Connection, user: &str, after_seq: Option<u64>) -> Self {
        let request = SubscribeRequest {
            user_id: user.into(),
            after_seq,
            received_only: false,
            epoch: None,
            ..Default::default()
        };
        Self::try_open(connection, request).await.expect("a subscription")
    }

    pub(crate) async fn try_open(
        connection: &Connection,
        request: SubscribeRequest,
    ) -> Result<Self, Status> {
        let after_seq = request.after_seq;
        let stream = connection.chat().subscribe(request).await?;
        let mut stream = stream.into_inner();
        let first = within("the first response", stream.message()).await?.expect("a response");
        assert_eq!(first.events, [], "the first response carries a position only");
        if let Some(after_seq) = after_seq {
            assert_eq!(first.last_seq, after_seq, "the position asked for");
        }
        let last_seq = first.last_seq;
        Ok(Self { stream, events: VecDeque::new(), last_seq, taken_seq: last_seq })
    }

    pub(crate) async fn try_next(&mut self) -> Result<Option<Event>, Status> {
        while self.events.is_empty() {
            let Some(response) = within("an event", self.stream.message()).await? else {
                return Ok(None);
            };
            let mut before = self.last_seq;
            for event in &response.events {
                assert!(event.seq > before, "{} after {before}", event.seq);
                before = event.seq;
            }
            assert!(response.last_seq >= before, "{} at {before}", response.last_seq);
            self.last_seq = response.last_seq;
            self.events.extend(response.events);
        }
        let event = self.events.pop_front().expect("an event");
        self.taken_seq = event.seq;
        Ok(Some(event))
    }

    /// The position after all that was read.
    pub(crate) fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Whether something was read that was not taken.
    pub(crate) fn has_more(&self) -> bool {
        !self.events.is_empty()
    }

    pub(crate) async fn event(&mut self) -> Event {
        self.try_next().await.expect("an event").expect("an event")
    }

    pub(crate) async fn message(&mut self) -> Message {
        let Some(Change::Message(message)) = self.event().await.change else {
            panic!("a change of no known kind");
        };
        message
    }
}

#[tokio::test]
async fn the_first_response_comes_at_once_with_the_position() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let before = Subscription::open(&core, &bob).await.last_seq;
    for _ in 0..3 {
        core.send(&ada, &bob, "hello").await.expect("stored");
    }
    let after = Subscription::open(&core, &bob).await.last_seq;
    assert_eq!(after, before + 3, "the sequence grows by one for every change");
    // A subscription to what comes from now on does not carry what came before.
    let mut subscription = Subscription::open(&core, &bob).await;
    core.send(&ada, &bob, "live").await.expect("stored");
    let event = subscription.event().await;
    assert_eq!(event.seq, after + 1);
}

#[tokio::test]
async fn both_participants_get_the_message_as_it_is_stored() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let mut subscriptions = [
        Subscription::open(&core, &ada).await,
        Subscription::open(&core, &bob.to_uppercase()).await,
    ];
    for body in ["one", "two", "three"] {
        let id = core.send(&ada, &bob, body).await.expect("stored").message_id;
        let stored = core.message(&bob, id).await.expect("visible");
        for subscription in &mut subscriptions {
            assert_eq!(subscription.message().await, stored);
        }
    }
}

#[tokio::test]
async fn received_only_leaves_out_what_the_user_sent() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let request = SubscribeRequest {
        user_id: ada.clone(),
        after_seq: Some(0),
        received_only: true,
        epoch: None,
        ..Default::default()
    };
    let mut live = Subscription::try_open(&core, request.clone()).await.expect("a subscription");
    for number in 0..20 {
        core.send(&ada, &bob, &format!("sent {number}")).await.expect("stored");
        core.send(&bob, &ada, &format!("received {number}")).await.expect("stored");
    }
    let mut resumed = Subscription::try_open(&core, request).await.expect("a subscription");
    for number in 0..20 {
        let expected = format!("received {number}");
        assert_eq!(live.message().await.body, expected);
        assert_eq!(resumed.message().await.body, expected);
    }
    assert_eq!(live.taken_seq, resumed.taken_seq);
    let all = Subscription::open(&core, &ada).await;
    assert_eq!(all.last_seq, live.taken_seq);
}

/// By hand, as a verb would: it gets the next place in the feed of its receiver.
async fn change(core: &Core, body: &str) {
    let row = format!(
        "update messages set seen = true,
            receiver_first_seq = coalesce(receiver_first_seq, receiver_seq),
            receiver_seq = (select last_seq + 1 from feeds where user_key = receiver)
        where body = '{body}'"
    );
    let feed = format!(
        "update feeds set last_seq = last_seq + 1
        where user_key = (select receiver from messages where body = '{body}')"
    );
    core.process.change_rows(&[&row, &feed]).await;
}

/// First appearances in their order, each message in its newest state; or all changes, in theirs.
#[tokio::test]
async fn a_change_is_told_from_a_first_appearance() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let start = Subscription::open(&core, &bob).await.last_seq;
    for body in ["one", "two", "three"] {
        core.send(&ada, &bob, body).await.expect("stored");
    }
    change(&core, "one").await;
    for received_only in [true, false] {
        let request = SubscribeRequest {
            user_id: bob.clone(),
            after_seq: Some(start),
            received_only,
            epoch: None,
            ..Default::default()
        };
        let mut subscription = Subscription::try_open(&core, request).await.expect("open");
        let mut shown = Vec::new();
        for _ in 0..3 {
            let event = subscription.event().await;
            let Some(Change::Message(message)) = event.change else { panic!("no message") };
            shown.push((message.body, message.seen, event.seq - start, event.first_seq - start));
        }
        let shown: Vec<_> =
            shown.iter().map(|(body, seen, seq, first)| (&body[..], *seen, *seq, *first)).collect();
        let expected = if received_only {
            [("one", true, 1, 1), ("two", false, 2, 2), ("three", false, 3, 3)]
        } else {
            [("two", false, 2, 2), ("three", false, 3, 3), ("one", true, 4, 1)]
        };
        assert_eq!(shown, expected);
    }
}

#[tokio::test]
async fn an_epoch_is_kept_beside_a_position() {
    let mut core = Core::start().await;
    let [ada, bob] = core.users().await;
    core.send(&ada, &bob, "one").await.expect("stored");
    let request = SubscribeRequest { user_id: bob.clone(), ..SubscribeRequest::default() };
    let mut stream = core.chat().subscribe(request).await.expect("open").into_inner();
    let first = within("a response", stream.message()).await.expect("open").expect("a response");
    let epoch = first.epoch;
    assert!(epoch.len() <= 40 && !epoch.is_empty(), "{epoch:?}");
    core.send(&ada, &bob, "two").await.expect("stored");
    core.kill_and_restart().await;
    core.send(&ada, &bob, "three").await.expect("stored");
    let after = |epoch: &str, after_seq| SubscribeRequest {
        user_id: bob.clone(),
        after_seq: Some(after_seq),
        epoch: Some(epoch.to_owned()),
        received_only: false,
        ..Default::default()
    };
    let mut resumed =
        Subscription::try_open(&core, after(&epoch, first.last_seq)).await.expect("it is good");
    for body in ["two", "three"] {
        assert_eq!(resumed.message().await.body, body);
    }
    // Of the same name, and never reached in it.
    for (epoch, after_seq) in
        [(&epoch[..], first.last_seq + 9), ("", first.last_seq), ("00000000.0000000000000000", 0)]
    {
        let refused = Subscription::try_open(&core, after(epoch, after_seq)).await.map(|_| ());
        assert_refused(refused, ErrorReason::EpochChanged);
    }
}

#[tokio::test]
async fn a_position_beyond_the_end_is_refused() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    core.send(&ada, &bob, "hello").await.expect("stored");
    let last = Subscription::open(&core, &bob).await.last_seq;
    let at_the_end = Subscription::after(&core, &bob, Some(last)).await;
    assert_eq!(at_the_end.last_seq, last);
    for beyond in [last + 1, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX] {
        let refused = open(&core, &bob, Some(beyond)).await;
        assert_invalid(refused, "after_seq");
    }
}

/// Opens a subscription that is to be refused.
async fn open(core: &Core, user: &str, after_seq: Option<u64>) -> Result<(), Status> {
    let request = SubscribeRequest {
        user_id: user.into(),
        after_seq,
        received_only: false,
        epoch: None,
        ..Default::default()
    };
    Subscription::try_open(core, request).await.map(|_| ())
}

#[tokio::test]
async fn only_a_user_of_the_directory_has_changes() {
    let core = Core::start().await;
    let [gone] = core.users().await;
    core.delete_user(&gone).await.expect("deleted");
    let nobody = Uuid::new_v4().to_string();
    assert_refused(open(&core, &nobody, None).await, ErrorReason::UserUnknown);
    assert_refused(open(&core, &nobody, Some(0)).await, ErrorReason::UserUnknown);
    assert_refused(open(&core, &gone, None).await, ErrorReason::UserDeleted);
    for malformed in malformed_ids(&gone) {
        assert_invalid(open(&core, &malformed, None).await, "user_id");
    }
}

#[tokio::test]
async fn the_deletion_of_the_user_ends_the_stream() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let mut first = Subscription::open(&core, &bob).await;
    let mut second = Subscription::open(&core.connect().await, &bob).await;
    let mut others = Subscription::open(&core, &ada).await;
    core.delete_user(&bob).await.expect("deleted");
    assert_refused(first.try_next().await, ErrorReason::UserDeleted);
    assert_refused(second.try_next().await, ErrorReason::UserDeleted);
    let [cyd] = core.users().await;
    core.send(&cyd, &ada, "still here").await.expect("stored");
    assert_eq!(others.message().await.body, "still here");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_resumed_without_hole_or_double_while_writers_run() {
    const WRITERS: usize = 4;
    const SENDS: usize = 300;
    let core = Core::start().await;
    let [bob] = core.users().await;
    let senders: [String; WRITERS] = core.users().await;
    let mut writers = tokio::task::JoinSet::new();
    for sender in senders.clone() {
        let (mut chat, bob) = (core.connect().await.chat(), bob.clone());
        writers.spawn(async move {
            for number in 0..SENDS {
                let sent = chat.send_message(text(&sender, &bob, &number.to_string())).await;
                sent.expect("stored");
            }
        });
    }
    let mut received = Vec::new();
    let mut after = 0;
    let mut resumed = 0;
    while received.len() < WRITERS * SENDS {
        // Each stream is left after a few more events than the last, in the middle of a response or not.
        let connection = core.connect().await;
        let mut subscription = Subscription::after(&connection, &bob, Some(after)).await;
        for _ in 0..resumed % 37 {
            if received.len() == WRITERS * SENDS {
                break;
            }
            let event = subscription.event().await;
            assert_eq!(event.seq, after + 1, "every change is a new message");
            after = event.seq;
            let Some(Change::Message(message)) = event.change else { panic!("no message") };
            received.push(message);
        }
        resumed += 1;
    }
    while let Some(written) = writers.join_next().await {
        written.expect("a writer");
    }
    assert!(resumed > 30, "{resumed}");
    // Nothing else is on its way.
    let mut subscription = Subscription::after(&core, &bob, Some(after)).await;
    core.send(&senders[0], &bob, "fence").await.expect("stored");
    assert_eq!(subscription.message().await.body, "fence");
    for sender in &senders {
        let mut history = core.history(&bob, sender).await.expect("a history");
        history.retain(|message| message.body != "fence");
        let seen: Vec<_> = received.iter().filter(|m| m.sender_id == *sender).cloned().collect();
        assert_eq!(seen, history);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_subscribers_see_the_same_sequence() {
    const SENDS: usize = 200;
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let mut subscriptions = Vec::new();
    for _ in 0..5 {
        subscriptions.push(Subscription::open(&core.connect().await, &bob).await);
    }
    let mut writers = tokio::task::JoinSet::new();
    for (from, to) in [(ada.clone(), bob.clone()), (bob.clone(), ada.clone())] {
        let mut chat = core.connect().await.chat();
        writers.spawn(async move {
            for number in 0..SENDS {
                let sent = chat.send_message(text(&from, &to, &number.to_string())).await;
                sent.expect("stored");
            }
        });
    }
    let mut sequences = Vec::new();
    for subscription in &mut subscriptions {
        let mut sequence = Vec::new();
        for _ in 0..SENDS * 2 {
            sequence.push(subscription.event().await);
        }
        sequences.push(sequence);
    }
    while let Some(written) = writers.join_next().await {
        written.expect("a writer");
    }
    assert!(sequences.windows(2).all(|pair| pair[0] == pair[1]));
    let history = core.history(&ada, &bob).await.expect("a history");
    let seen = sequences[0].iter().map(|event| match &event.change {
        Some(Change::Message(message)) => message.clone(),
        other @ (Some(
            Change::Thread(_) | Change::Typing(_) | Change::Presence(_) | Change::User(_),
        )
        | None) => {
            panic!("no message: {other:?}")
        }
    });
    assert_eq!(seen.collect::<Vec<_>>(), history);
}

/// On one connection with others, whom it must not hold up. What is sent is more than the windows and
/// the queue on the way to it hold.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_reads_late_gets_everything() {
    const SENDS: u64 = 5_000;
    let body = |number: u64| format!("{number} {}", "x".repeat(2_000));
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let mut late = Subscription::open(&core, &bob).await;
    let mut prompt = Subscription::open(&core, &bob).await;
    let pipeline = crate::pipeline::Pipeline::open(&core.connect().await).await;
    let writer = tokio::spawn(async move {
        let mut pipeline = pipeline;
        for number in 0..SENDS {
            pipeline.message(number, text(&ada, &bob, &body(number))).await;
            if number >= crate::pipeline::IN_FLIGHT as u64 {
                pipeline.answer().await.expect("an answer").expect("an answer");
            }
        }
        pipeline.finish().await.expect("a good end");
        (ada, bob)
    });
    for number in 0..SENDS {
        assert_eq!(prompt.message().await.body, body(number));
    }
    let (ada, bob) = writer.await.expect("a writer");
    for number in 0..SENDS {
        assert_eq!(late.message().await.body, body(number));
    }
    // And it is live again.
    core.send(&ada, &bob, "live").await.expect("stored");
    assert_eq!(late.message().await.body, "live");
}

/// More at once than a queue holds, and then nothing that could show that some of it is missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_burst_is_delivered_to_its_end() {
    const BURST: u64 = 1_000;
    let core = Core::start_with(&[crate::pipeline::LONG_WAIT]).await;
    let [ada, bob] = core.users().await;
    let mut subscription = Subscription::open(&core.connect().await, &bob).await;
    for round in 0..10 {
        let pipeline = crate::pipeline::Pipeline::open(&core).await.waiting_long();
        for number in 0..BURST {
            pipeline.message(number, text(&ada, &bob, &format!("{round} {number}"))).await;
        }
        assert_eq!(pipeline.finish().await.expect("a good end").len(), BURST as usize);
        for number in 0..BURST {
            assert_eq!(subscription.message().await.body, format!("{round} {number}"));
        }
    }
}

#[tokio::test]
async fn a_file_reaches_its_receiver_when_it_is_dispatched() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let mut at_bob = Subscription::after(&core, &bob, Some(0)).await;
    let file = upload(&core, &ada, &bob, "a.txt", b"content").await.expect("stored");
    core.send(&ada, &bob, "before the file").await.expect("stored");
    let dispatch = DispatchAttachmentRequest { sender_id: ada.clone(), message_id: file.id };
    for _ in 0..3 {
        core.attachment().dispatch_attachment(dispatch.clone()).await.expect("dispatched");
    }
    core.send(&ada, &bob, "after the file").await.expect("stored");
    let bodies = [at_bob.message().await, at_bob.message().await, at_bob.message().await];
    assert_eq!(bodies[0].body, "before the file");
    assert_eq!(bodies[1], core.message(&bob, file.id).await.expect("visible"));
    assert!(bodies[1].attachment.as_ref().expect("a file").dispatched.is_some());
    assert_eq!(bodies[2].body, "after the file");

    // A resumed stream carries each changed message once, in its newest state.
    let mut resumed = Subscription::after(&core, &ada, Some(0)).await;
    let mut messages = Vec::new();
    for _ in 0..3 {
        messages.push(resumed.message().await);
    }
    assert_eq!(resumed.taken_seq, Subscription::open(&core, &ada).await.last_seq);
    messages.sort_by_key(|message| message.id);
    assert_eq!(messages, core.history(&ada, &bob).await.expect("a history"));
    let mut resumed = Subscription::after(&core, &bob, Some(0)).await;
    for expected in bodies {
        assert_eq!(resumed.message().await, expected);
    }
}

#[tokio::test]
async fn a_drain_ends_the_stream_and_the_next_core_continues_it() {
    let mut core = Core::start().await;
    let [ada, bob] = core.users().await;
    let mut subscription = Subscription::open(&core, &bob).await;
    core.send(&ada, &bob, "one").await.expect("stored");
    assert_eq!(subscription.message().await.body, "one");
    core.terminate();
    assert_refused(subscription.try_next().await, ErrorReason::ShuttingDown);
    assert_eq!(core.exit_code().await, Some(0));
    core.start_again().await;
    core.send(&ada, &bob, "two").await.expect("stored");
    let after = Some(subscription.taken_seq);
    let mut subscription = Subscription::after(&core, &bob, after).await;
    assert_eq!(subscription.message().await.body, "two");
}

#[tokio::test]
async fn a_crash_leaves_every_position_good() {
    let mut core = Core::start().await;
    let [ada, bob] = core.users().await;
    let mut subscription = Subscription::open(&core, &bob).await;
    for number in 0..10 {
        core.send(&ada, &bob, &number.to_string()).await.expect("stored");
        assert_eq!(subscription.message().await.body, number.to_string());
        let after = subscription.taken_seq;
        core.kill_and_restart().await;
        subscription = Subscription::after(&core, &bob, Some(after)).await;
    }
    let mut whole = Subscription::after(&core, &bob, Some(0)).await;
    for number in 0..10 {
        assert_eq!(whole.message().await.body, number.to_string());
    }
}

/// A subscription that is left costs nothing: more than any limit on streams, one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_come_and_go_on_one_connection() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    for _ in 0..3_000 {
        drop(Subscription::open(&core, &bob).await);
    }
    let mut subscription = Subscription::open(&core, &bob).await;
    core.send(&ada, &bob, "hello").await.expect("stored");
    assert_eq!(subscription.message().await.body, "hello");
}
