//! Whatever a sender is told is true once everything runs again: stored, not stored, or unknown; nothing is stored
//! twice, and nothing after what its user sent when it had been given up.
//!
//! The faults are those of cores and of an edge; what they hit is sent just before them, so that its answer may be lost,
//! and after; half of the senders go on at another edge, with a second device.

use std::time::Duration;

use netrox_harness::{Arrangement, Role, Socket, TestChat, User, each, process::Signal};
use serde_json::{Value, json};
use tokio::time::sleep;

each![; cluster:
    what_is_told_while_cores_fail_is_true,
    what_a_client_left_behind_at_an_edge_that_stood_still_is_not_sent,
];

const SENDERS: usize = 6;
/// Long enough for an edge to look for another core, and shorter than anything is waited for.
const SHORT: Duration = Duration::from_millis(1_200);
/// Longer than an edge awaits an answer.
const LONG: Duration = Duration::from_millis(5_500);
/// Before a sender who was refused tries again.
const PAUSE: Duration = Duration::from_millis(100);
/// For whatever a process that goes on still does. That nothing comes can only be awaited.
const SETTLED: Duration = Duration::from_millis(1_500);

#[derive(Debug, Clone, Copy)]
enum Fault {
    /// One core is stopped for a while.
    Stopped(Role, Duration),
    /// All are; this one goes on when everything was given up, the other when more has been sent.
    AllStopped(Role),
    Killed(Role),
}

const FAULTS: [Fault; 7] = [
    Fault::Stopped(Role::Core(0), SHORT),
    Fault::Stopped(Role::Core(0), LONG),
    Fault::Stopped(Role::Core(1), LONG),
    Fault::AllStopped(Role::Core(0)),
    Fault::AllStopped(Role::Core(1)),
    Fault::Killed(Role::Core(0)),
    Fault::Killed(Role::Core(1)),
];

/// What a sender was told of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Stored,
    NotStored,
    Unknown,
}

struct Sender {
    user: User,
    peer: User,
    first: Socket,
    /// At another edge.
    second: Option<Socket>,
    /// In the order in which the answers were known.
    told: Vec<(String, Told)>,
}

/// A message, and what is answered for certain, so that its own answer is known to have come.
async fn say(socket: &mut Socket, peer: &User, body: &str) {
    socket.say(peer, body).await;
    socket.send(&json!({"action": "fence"})).await;
}

async fn told(socket: &mut Socket) -> Told {
    let mut told = Told::Stored;
    loop {
        let frame: Value = socket.next().await;
        match frame["code"].as_str() {
            Some("unknown_action") => return told,
            Some("unavailable") => told = Told::NotStored,
            Some("outcome_unknown") => told = Told::Unknown,
            _ => panic!("neither an outcome nor the fence: {frame}"),
        }
    }
}

impl Sender {
    async fn join(chat: &TestChat, number: usize) -> Self {
        let user = chat.stranger(&format!("sender{number}"));
        let peer = chat.user(&format!("peer{number}")).await;
        let first = chat.edge_at(0).connect(&user).await;
        let second = if number.is_multiple_of(2) {
            Some(chat.edge_at(1).connect(&user).await)
        } else {
            None
        };
        Self { user, peer, first, second, told: Vec::new() }
    }

    async fn begin(&mut self, bodies: &[String]) {
        for body in bodies {
            say(&mut self.first, &self.peer, body).await;
        }
    }

    async fn note(&mut self, bodies: &[String]) {
        for body in bodies {
            let told = told(&mut self.first).await;
            self.told.push((body.clone(), told));
        }
    }

    /// Sends with the device that is at the other edge, if there is one, until something is stored.
    async fn go_on(&mut self, what: &str) {
        let socket = self.second.as_mut().unwrap_or(&mut self.first);
        for attempt in 0.. {
            let body = format!("{what} {attempt}");
            say(socket, &self.peer, &body).await;
            let told = told(socket).await;
            self.told.push((body, told));
            if told == Told::Stored {
                return;
            }
            sleep(PAUSE).await;
        }
    }

    /// Holds what was told against the history.
    async fn verify(&self, chat: &TestChat, fault: Fault) {
        let history = chat.edge_at(1).history(&self.peer, &self.user).await;
        let stored: Vec<_> =
            history.iter().map(|message| message["message"].as_str().expect("text")).collect();
        let context = format!("{fault:?}: told {:?}, stored {stored:?}", self.told);
        for (body, told) in &self.told {
            let copies = stored.iter().filter(|stored| *stored == body).count();
            match told {
                Told::Stored => assert_eq!(copies, 1, "{body:?} {context}"),
                Told::NotStored => assert_eq!(copies, 0, "{body:?} {context}"),
                Told::Unknown => assert!(copies <= 1, "{body:?} {context}"),
            }
        }
        let places: Vec<_> = self
            .told
            .iter()
            .filter_map(|(body, _)| stored.iter().position(|stored| stored == body))
            .collect();
        assert!(places.is_sorted(), "another order than it was sent in: {context}");
    }
}

async fn what_is_told_while_cores_fail_is_true(arrangement: Arrangement) {
    let mut chat =
        TestChat::builder(arrangement).set("send-rate", "0").set("store-wait", "2s").start().await;
    let mut senders = Vec::new();
    for number in 0..SENDERS {
        senders.push(Sender::join(&chat, number).await);
    }
    for (round, fault) in FAULTS.into_iter().enumerate() {
        trial(&mut chat, &mut senders, fault, round).await;
    }
}

async fn trial(chat: &mut TestChat, senders: &mut [Sender], fault: Fault, round: usize) {
    let bodies = |what: &str, count: usize| -> Vec<String> {
        (0..count).map(|number| format!("{round} {what} {number}")).collect()
    };
    let (before, during) = (bodies("before", 3), bodies("during", 3));
    each_of(senders, async |sender| sender.begin(&before).await).await;
    let stopped = match fault {
        Fault::Stopped(core, _) => vec![core],
        Fault::AllStopped(_) => chat.core_roles(),
        Fault::Killed(core) => {
            chat.kill(core);
            Vec::new()
        }
    };
    for core in &stopped {
        chat.process(*core).signal(Signal::STOP);
    }
    each_of(senders, async |sender| sender.begin(&during).await).await;
    // With the second device, while the first is not answered.
    let beside = format!("{round} beside");
    let overlaps = !matches!(fault, Fault::AllStopped(_));
    let going_on = async |sender: &mut Sender| {
        let mut at_second = Vec::new();
        if overlaps && let Some(second) = &mut sender.second {
            sleep(Duration::from_millis(300)).await;
            say(second, &sender.peer, &beside).await;
            at_second.push((beside.clone(), told(second).await));
        }
        at_second
    };
    let resume = async {
        if let Fault::Stopped(core, how_long) = fault {
            sleep(how_long).await;
            chat.process(core).signal(Signal::CONT);
        }
    };
    let note = async {
        let mut beside = Vec::new();
        for told in each_of(senders, async |sender| {
            let told = going_on(sender).await;
            sender.note(&before).await;
            sender.note(&during).await;
            told
        })
        .await
        {
            beside.push(told);
        }
        beside
    };
    let ((), beside) = tokio::join!(resume, note);
    if let Fault::AllStopped(first) = fault {
        chat.process(first).signal(Signal::CONT);
        let late = format!("{round} late");
        each_of(senders, async |sender| sender.go_on(&late).await).await;
        for core in stopped.into_iter().filter(|core| *core != first) {
            chat.process(core).signal(Signal::CONT);
        }
    }
    if let Fault::Killed(core) = fault {
        chat.spawn(core).await;
    }
    sleep(SETTLED).await;
    chat.ready().await;
    let after = format!("{round} after");
    each_of(senders, async |sender| sender.go_on(&after).await).await;
    for (sender, beside) in senders.iter_mut().zip(beside) {
        sender.verify(chat, fault).await;
        sender.told.clear();
        let history = chat.edge_at(0).history(&sender.peer, &sender.user).await;
        for (body, told) in beside {
            let copies = history.iter().filter(|message| message["message"] == *body).count();
            match told {
                Told::Stored => assert_eq!(copies, 1, "{fault:?} {body}"),
                Told::NotStored => assert_eq!(copies, 0, "{fault:?} {body}"),
                Told::Unknown => assert!(copies <= 1, "{fault:?} {body}"),
            }
        }
    }
}

async fn each_of<T>(senders: &mut [Sender], act: impl AsyncFn(&mut Sender) -> T) -> Vec<T> {
    let act = &act;
    futures_util::future::join_all(senders.iter_mut().map(|sender| act(sender))).await
}

async fn what_a_client_left_behind_at_an_edge_that_stood_still_is_not_sent(
    arrangement: Arrangement,
) {
    let mut chat = TestChat::builder(arrangement).set("store-wait", "2s").start().await;
    let (user, peer) = (chat.user("ada").await, chat.user("bob").await);
    let edge = Role::Edge(0);
    for (round, leaves) in [true, false].into_iter().enumerate() {
        let mut at_first = chat.edge_at(0).connect(&user).await;
        at_first.say(&peer, &format!("{round} before")).await;
        at_first.expect_no_answer().await;
        chat.process(edge).signal(Signal::STOP);
        for number in 0..10 {
            at_first.say(&peer, &format!("{round} unanswered {number}")).await;
        }
        // Longer than an edge is late on a machine that is only busy.
        sleep(Duration::from_secs(3)).await;
        if leaves {
            drop(at_first);
            let mut at_second = chat.edge_at(1).connect(&user).await;
            at_second.say(&peer, &format!("{round} elsewhere")).await;
            at_second.expect_no_answer().await;
            chat.process(edge).signal(Signal::CONT);
        } else {
            chat.process(edge).signal(Signal::CONT);
            at_first.expect_no_answer().await;
        }
        chat.ready().await;
        sleep(SETTLED).await;
        assert!(chat.log(edge).contains("this edge stood still"), "nobody is told");
        let history = chat.edge_at(1).history(&peer, &user).await;
        let of_round = format!("{round} ");
        let stored: Vec<_> = history
            .iter()
            .filter_map(|message| message["message"].as_str()?.strip_prefix(&of_round))
            .map(str::to_owned)
            .collect();
        let expected: Vec<String> = if leaves {
            vec!["before".into(), "elsewhere".into()]
        } else {
            let unanswered = (0..10).map(|number| format!("unanswered {number}"));
            ["before".to_owned()].into_iter().chain(unanswered).collect()
        };
        assert_eq!(stored, expected);
    }
}
