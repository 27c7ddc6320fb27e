//! Senders who go on while something is away, and all that they were told.

use std::time::{Duration, Instant};

use netrox_harness::{Socket, TestChat, User, within};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How much is sent. `NETROX_CHAT_TEST_WAIT=full` is the load that is promised, 500 messages a second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    pub(super) pairs: usize,
    /// Messages a second of each.
    pub(super) rate: u32,
    pub(super) holds: &'static [Duration],
}

pub(super) fn is_full() -> bool {
    std::env::var("NETROX_CHAT_TEST_WAIT").is_ok_and(|scale| scale == "full")
}

impl Scale {
    /// What runs each time.
    pub(super) const LITTLE: Self = Self { pairs: 6, rate: 10, holds: &[Duration::from_secs(3)] };

    pub(super) fn get() -> Self {
        const HALF: Duration = Duration::from_millis(500);
        const THREE: Duration = Duration::from_secs(3);
        const EIGHT: Duration = Duration::from_secs(8);
        if is_full() {
            Self { pairs: 50, rate: 10, holds: &[HALF, THREE, EIGHT] }
        } else {
            Self::LITTLE
        }
    }
}

/// A message, and what its sender was told.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) body: String,
    pub(super) at: Instant,
    pub(super) answered: Instant,
    /// The code of the refusal, if it was one.
    pub(super) refused: Option<String>,
}

/// What a sender of a pair sent, and what its receiver was shown.
#[derive(Debug)]
pub(super) struct Pair {
    sender: User,
    receiver: User,
    pub(super) sent: Vec<Sent>,
    shown: Vec<String>,
}

#[derive(Debug)]
pub(super) struct Load {
    stop: CancellationToken,
    pairs: JoinSet<Pair>,
}

impl Load {
    pub(super) async fn start(chat: &TestChat, scale: Scale) -> Self {
        let (stop, mut pairs) = (CancellationToken::new(), JoinSet::new());
        for number in 0..scale.pairs {
            let (sender, at_sender) = chat.join(&format!("sender{number}")).await;
            let (receiver, at_receiver) = chat.join(&format!("receiver{number}")).await;
            let pace = Duration::from_secs(1) / scale.rate;
            pairs.spawn(run(sender, at_sender, receiver, at_receiver, pace, stop.clone()));
        }
        Self { stop, pairs }
    }

    /// Ends when all that was sent is answered and shown.
    pub(super) async fn stop(self) -> Vec<Pair> {
        self.stop.cancel();
        within("the last answers", self.pairs.join_all()).await
    }
}

async fn run(
    sender: User,
    mut at_sender: Socket,
    receiver: User,
    mut at_receiver: Socket,
    pace: Duration,
    stop: CancellationToken,
) -> Pair {
    let mut tick = tokio::time::interval(pace);
    let (mut unanswered, mut sent) = (std::collections::VecDeque::new(), Vec::<Sent>::new());
    let (mut shown, mut refused) = (Vec::new(), None);
    loop {
        let is_told = stop.is_cancelled() && unanswered.is_empty();
        let stored = sent.iter().filter(|sent| sent.refused.is_none()).count();
        if is_told && shown.len() >= stored {
            return Pair { sender, receiver, sent, shown };
        }
        tokio::select! {
            _ = tick.tick(), if !stop.is_cancelled() => {
                let body = format!("canary {}", sent.len() + unanswered.len());
                unanswered.push_back((body.clone(), Instant::now()));
                at_sender.say(&receiver, &body).await;
                // Answered for certain and in the same order, so that the message is known to be.
                at_sender.send(&json!({"action": "fence"})).await;
            }
            frame = at_sender.next() => match frame["code"].as_str() {
                Some("unknown_action") => {
                    let (body, at) = unanswered.pop_front().expect("a message before the fence");
                    sent.push(Sent { body, at, answered: Instant::now(), refused: refused.take() });
                }
                Some(code) => refused = Some(code.to_owned()),
                None => panic!("no answer: {frame}"),
            },
            frame = at_receiver.next() => {
                shown.push(frame["message_body"].as_str().expect("a message").to_owned());
            }
        }
    }
}

impl Pair {
    /// Holds what was told against what is stored and was shown: each once, in the order sent.
    pub(super) async fn verify(&self, chat: &TestChat) {
        let stored = self.sent.iter().filter(|sent| sent.refused.is_none());
        let stored: Vec<_> = stored.map(|sent| sent.body.as_str()).collect();
        let history = chat.history(&self.receiver, &self.sender).await;
        let history: Vec<_> =
            history.iter().filter_map(|it: &Value| it["message"].as_str()).collect();
        assert_eq!(history, stored, "not what was told");
        assert_eq!(self.shown, stored, "not what is stored");
    }
}

/// Nothing was refused. Gives how many messages there were, and the longest wait for an answer.
pub(super) async fn verify_unrefused(chat: &TestChat, pairs: &[Pair]) -> (usize, Duration) {
    let (mut count, mut longest) = (0, Duration::ZERO);
    for pair in pairs {
        for sent in &pair.sent {
            let took = sent.answered - sent.at;
            assert_eq!(sent.refused, None, "{} after {took:?}", sent.body);
            longest = longest.max(took);
        }
        count += pair.sent.len();
        pair.verify(chat).await;
    }
    (count, longest)
}
