//! What clients of two cores are told is held against the history, once both run again: in every combination of what
//! happens to the first core, of an answer that is lost or a request that is not read, and of what is sent meanwhile by
//! way of the other core.

use std::time::Duration;

use futures_util::future::join_all;
use netrox_harness::{Arrangement, Role, TestChat, eventually, process::Signal, run_test};
use netrox_proto::v1::{
    ErrorReason, SendMessageRequest, SendMessagesRequest, send_messages_request::Request,
    send_messages_response::Result as Answer,
};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use crate::{
    pipeline::Pipeline,
    repetition::of_start,
    running::{Connection, authorized, connect_to, text},
};

const FIRST: Role = Role::Core(0);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// For less than anything may be under way.
    Stopped,
    /// For longer.
    StoppedLong,
    Killed,
    None,
}

/// What becomes of the first copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FirstCopy {
    /// It is stored, and the answer is lost.
    Stored,
    /// It comes when the core cannot read it.
    Unread,
}

/// What goes by way of the other core meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Other {
    Repetition,
    /// A later message of the same client, and then the repetition.
    LaterAndRepetition,
    /// One of another client, with another device of the user, and then the repetition.
    ElsewhereAndRepetition,
    /// A message of the other client, once the first is given up.
    AfterGivingUp,
}

const FAULTS: [Fault; 4] = [Fault::None, Fault::Stopped, Fault::StoppedLong, Fault::Killed];
const FIRST_COPIES: [FirstCopy; 2] = [FirstCopy::Stored, FirstCopy::Unread];
const OTHERS: [Other; 4] = [
    Other::Repetition,
    Other::LaterAndRepetition,
    Other::ElsewhereAndRepetition,
    Other::AfterGivingUp,
];
/// Beyond what a request may be under way.
const LONG: Duration = Duration::from_millis(3_300);

/// A stream to one core, and when it was opened.
struct Stream {
    pipeline: Pipeline,
    opened: Instant,
}

impl Stream {
    async fn open(connection: &Connection) -> Self {
        let pipeline = Pipeline::open(connection).await;
        Self { pipeline, opened: Instant::now() }
    }

    /// A message that the client took on at `since`.
    async fn put(&self, message: SendMessageRequest, is_repetition: bool, since: Instant) {
        let after = i64::try_from((since - self.opened).as_millis()).expect("millis");
        let before = i64::try_from((self.opened - since).as_millis()).expect("millis");
        let request = SendMessagesRequest {
            request_id: 1,
            request: Some(Request::Message(message)),
            is_repetition,
            sent_after_ms: Some(after - before),
            ..SendMessagesRequest::default()
        };
        self.pipeline.put(request).await;
    }

    async fn ask(
        &mut self,
        message: SendMessageRequest,
        is_repetition: bool,
        since: Instant,
    ) -> Answer {
        self.put(message, is_repetition, since).await;
        self.pipeline.next().await.1
    }
}

/// One user, who talks to another.
struct Case {
    fault: Fault,
    first_copy: FirstCopy,
    other: Other,
    ada: String,
    bob: String,
    core: Connection,
    first: Stream,
    second: Stream,
    begun: Instant,
    /// What was told of the message, and of the other.
    told: Vec<(&'static str, Answer)>,
    /// What the other core did not know or would not store: a machine that is busy lets it come too late.
    refused: Vec<&'static str>,
}

impl Case {
    fn message(&self, client_ref: Uuid, body: &str) -> SendMessageRequest {
        let client_ref = Some(client_ref.to_string());
        SendMessageRequest { client_ref, ..text(&self.ada, &self.bob, body) }
    }

    fn first_message(&self) -> SendMessageRequest {
        self.message(of_start(1, 1), "first")
    }

    async fn bodies(&self) -> Vec<(i64, String)> {
        let history = self.core.history(&self.ada, &self.bob).await.expect("a history");
        history.into_iter().map(|message| (message.id, message.body)).collect()
    }

    async fn before_the_fault(&mut self) {
        self.begun = Instant::now();
        self.first.put(self.first_message(), false, self.begun).await;
        eventually("the message", async || (self.bodies().await.len() == 1).then_some(())).await;
    }

    async fn during_the_fault(&mut self) {
        if self.first_copy == FirstCopy::Unread && self.fault != Fault::Killed {
            self.first.put(self.first_message(), false, self.begun).await;
        }
        let client_ref = match self.other {
            Other::Repetition => None,
            Other::LaterAndRepetition => Some(of_start(1, 2)),
            Other::ElsewhereAndRepetition => Some(of_start(2, 1)),
            Other::AfterGivingUp => {
                sleep_until(self.begun + LONG).await;
                Some(of_start(2, 1))
            }
        };
        if let Some(client_ref) = client_ref {
            let message = self.message(client_ref, "other");
            let answer = self.second.ask(message, false, Instant::now()).await;
            self.note("other", answer);
        }
        if self.other != Other::AfterGivingUp {
            let message = self.first_message();
            let answer = self.second.ask(message, true, self.begun).await;
            self.note("first", answer);
        }
    }

    /// What the other core told.
    fn note(&mut self, body: &'static str, answer: Answer) {
        if let Answer::Failure(failure) = &answer
            && failure.reason() != ErrorReason::Overtaken
        {
            self.refused.push(body);
        }
        self.told.push((body, answer));
    }

    /// Everything runs again.
    async fn after_the_fault(&mut self) {
        // The answer that was lost says the same.
        if self.fault != Fault::Killed {
            let answer = self.first.pipeline.next().await.1;
            self.told.push(("first", answer));
        }
        let stored = self.bodies().await;
        let bodies: Vec<_> = stored.iter().map(|(_, body)| body.as_str()).collect();
        let case = (self.fault, self.first_copy, self.other);
        let context = format!("{case:?}: told {:?}, stored {stored:?}", self.told);
        for (body, answer) in &self.told {
            let copies: Vec<_> = stored.iter().filter(|(_, stored)| stored == body).collect();
            match answer {
                Answer::Message(answer) => {
                    assert_eq!(copies.len(), 1, "{context}");
                    assert_eq!(copies[0].0, answer.message_id, "{context}");
                }
                Answer::Failure(failure) => {
                    let is_known = match failure.reason() {
                        ErrorReason::Overtaken => true,
                        // It speaks of that copy alone.
                        ErrorReason::StoreUnavailable | ErrorReason::OutcomeUnknown => false,
                        other => panic!("{other:?} {context}"),
                    };
                    assert!(copies.is_empty() || !is_known, "{context}");
                }
                other @ (Answer::Edit(_)
                | Answer::Delete(_)
                | Answer::Seen(_)
                | Answer::Delivered(_)
                | Answer::Block(_)
                | Answer::Unblock(_)) => panic!("{other:?} {context}"),
                Answer::Attachment(_) => panic!("{context}"),
            }
        }
        let was_earlier = self.refused.contains(&"other") && !bodies.contains(&"other");
        // Where time is short, a machine that is busy may refuse what could be stored.
        let expected: &[&str] = match (self.first_copy, self.other) {
            (FirstCopy::Stored, Other::Repetition) => &["first"],
            (FirstCopy::Stored, _) => &["first", "other"],
            (FirstCopy::Unread, _) if self.fault == Fault::None => return,
            (FirstCopy::Unread, Other::Repetition) => &["first"],
            // Then nothing was later.
            (FirstCopy::Unread, Other::LaterAndRepetition) if was_earlier => &["first"],
            (FirstCopy::Unread, Other::LaterAndRepetition) => &["other"],
            (FirstCopy::Unread, Other::ElsewhereAndRepetition) => &["other", "first"],
            // Nothing may come after what was sent when it had been given up.
            (FirstCopy::Unread, Other::AfterGivingUp) => &["other"],
        };
        assert_eq!(self.certain(&bodies), self.certain(expected), "{context}");
    }

    /// Without what was refused, of which another copy may have been stored.
    fn certain(&self, bodies: &[&str]) -> Vec<String> {
        let was_there = |body: &str| self.first_copy == FirstCopy::Stored && body == "first";
        let is_certain = |body: &&&str| was_there(body) || !self.refused.contains(*body);
        bodies.iter().filter(is_certain).map(ToString::to_string).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_told_is_true_once_both_cores_run_again() {
    run_test(async {
        let mut chat = TestChat::builder(Arrangement::Cluster).cores(2).edges(0).start().await;
        for fault in FAULTS {
            trial(&mut chat, fault).await;
        }
    })
    .await;
}

async fn trial(chat: &mut TestChat, fault: Fault) {
    let mut cases = Vec::new();
    for first_copy in FIRST_COPIES {
        for other in OTHERS {
            // Only where nobody reads it for so long.
            if other == Other::AfterGivingUp
                && (first_copy == FirstCopy::Stored || fault != Fault::StoppedLong)
            {
                continue;
            }
            let core = authorized(connect_to(chat.grpc_address_of(FIRST)).await);
            let at_other = authorized(connect_to(chat.grpc_address_of(Role::Core(1))).await);
            let [ada, bob] = at_other.users().await;
            cases.push(Case {
                fault,
                first_copy,
                other,
                ada,
                bob,
                first: Stream::open(&core).await,
                second: Stream::open(&at_other).await,
                core: at_other,
                begun: Instant::now(),
                told: Vec::new(),
                refused: Vec::new(),
            });
        }
    }
    let is_stored = |case: &&mut Case| case.first_copy == FirstCopy::Stored;
    join_all(cases.iter_mut().filter(is_stored).map(Case::before_the_fault)).await;
    // No sooner: what is not read yet has little time.
    let begun = Instant::now();
    for case in cases.iter_mut().filter(|case| case.first_copy == FirstCopy::Unread) {
        case.begun = begun;
    }
    let since = Instant::now();
    match fault {
        Fault::None => {}
        Fault::Stopped | Fault::StoppedLong => chat.process(FIRST).signal(Signal::STOP),
        Fault::Killed => chat.kill(FIRST),
    }
    join_all(cases.iter_mut().map(Case::during_the_fault)).await;
    match fault {
        Fault::None => {}
        Fault::Stopped => chat.process(FIRST).signal(Signal::CONT),
        Fault::StoppedLong => {
            sleep_until(since + LONG).await;
            chat.process(FIRST).signal(Signal::CONT);
        }
        Fault::Killed => chat.spawn(FIRST).await,
    }
    join_all(cases.iter_mut().map(Case::after_the_fault)).await;
}
