//! One receiver and those who write to it.

use std::{
    sync::atomic::{AtomicU8, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use tokio::{task::JoinSet, time::timeout};
use uuid::Uuid;

use crate::{
    Result,
    client::{
        Socket, User,
        message::{self, Received, Stamp, Template},
        second::{self, Sent},
        socket::Sender,
    },
    latency::Latencies,
    ledger::{Ledger, Verdict},
    server::Target,
};

/// A message that has not arrived by then is lost.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);
/// What is still waited for when everything has arrived: what arrives twice.
pub(crate) const AFTERMATH: Duration = Duration::from_millis(50);

/// A user who receives, and the users who send to it.
#[derive(Debug, Clone)]
pub(crate) struct Party {
    pub(crate) receiver: User,
    pub(crate) senders: Vec<User>,
}

impl Party {
    pub(crate) fn new(target: &Target, senders: usize) -> Result<Self> {
        Ok(Self { receiver: target.user()?, senders: target.users(senders)? })
    }
}

/// What all connections of a run go by.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) start: Instant,
    phase: AtomicU8,
    pub(crate) arrived: AtomicU64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    WarmUp,
    Measured,
    Stopped,
}

impl Control {
    pub(crate) fn new(phase: Phase) -> Self {
        let phase = AtomicU8::new(phase as u8);
        Self { start: Instant::now(), phase, arrived: AtomicU64::new(0) }
    }

    pub(crate) fn nanos(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    pub(crate) fn set(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    fn is(&self, phase: Phase) -> bool {
        self.phase.load(Ordering::Relaxed) == phase as u8
    }
}

/// How a receiver follows what is sent to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// As documented clients do.
    Documented,
    /// By the second generation; it marks each message as seen when it arrives.
    Marking,
}

impl Reading {
    async fn open(self, target: &Target, number: usize, user: &User) -> Result<Socket> {
        let door = target.door(number);
        match self {
            Self::Documented => Socket::open(door, user).await,
            Self::Marking => Socket::open_second(door, user, None).await,
        }
    }

    /// The message of a frame, if it has one.
    fn received(self, payload: &[u8]) -> Result<Option<Received>> {
        match self {
            Self::Documented => message::received(payload).map(Some),
            Self::Marking => match second::sent(payload)? {
                Sent::Message(received) => Ok(Some(received)),
                Sent::Hello { .. }
                | Sent::Live { .. }
                | Sent::Thread
                | Sent::Ack
                | Sent::Typing
                | Sent::Presence { .. } => Ok(None),
            },
        }
    }
}

/// A party with its connections.
#[derive(Debug)]
pub(crate) struct Connected {
    receiver: Socket,
    reading: Reading,
    sources: Vec<Source>,
}

/// One sender on its way to one receiver.
#[derive(Debug)]
struct Source {
    user: Uuid,
    sender: Sender,
    template: Template,
    number: u32,
    sent: u32,
    /// To be sent with the next write.
    due: usize,
    ledger: Ledger,
}

/// How a party fared.
#[derive(Debug)]
pub(crate) struct Fared {
    pub(crate) verdict: Verdict,
    pub(crate) latencies: Latencies,
    /// When the last message arrived.
    pub(crate) finished: Instant,
}

impl Connected {
    /// Connects everyone, the receiver first, which makes it known. What senders are sent is an error:
    /// it ends a task of `senders`.
    pub(crate) async fn open(
        target: &Target,
        number: usize,
        party: &Party,
        reading: Reading,
        body_bytes: usize,
        senders: &mut JoinSet<Result<()>>,
    ) -> Result<Self> {
        let receiver = reading.open(target, number, &party.receiver).await?;
        let mut sources = Vec::with_capacity(party.senders.len());
        for (index, user) in party.senders.iter().enumerate() {
            let socket = Socket::open(target.door(number + index + 1), user).await?;
            sources.push(Source {
                user: user.id,
                sender: socket.sender(),
                template: Template::new(party.receiver.id, body_bytes),
                number: index as u32,
                sent: 0,
                due: 0,
                ledger: Ledger::default(),
            });
            senders.spawn(socket.expect_silence());
        }
        Ok(Self { receiver, reading, sources })
    }

    /// Keeps `in_flight` messages of each sender under way, until the run is stopped or each has sent
    /// `limit`.
    pub(crate) async fn run(
        mut self,
        control: &Control,
        in_flight: usize,
        limit: u32,
    ) -> Result<Fared> {
        let mut latencies = Latencies::new();
        let mut bytes = Vec::new();
        let mut unarrived = 0;
        for source in &mut self.sources {
            source.due = in_flight.min(limit as usize);
            unarrived += source.due;
            source.send_due(control, &mut bytes).await?;
        }
        let mut finished = Instant::now();
        let mut touched = Vec::new();
        let marker = self.receiver.sender();
        let mut marks = Vec::new();
        loop {
            let patience = if unarrived == 0 { AFTERMATH } else { PATIENCE };
            let Ok(filled) = timeout(patience, self.receiver.fill()).await else { break };
            filled?;
            let (now, measured) = (control.nanos(), control.is(Phase::Measured));
            let stopped = control.is(Phase::Stopped);
            let mut arrived = 0;
            while let Some(payload) = self.receiver.next()? {
                let Some(Received { id, stamp }) = self.reading.received(payload)? else {
                    continue;
                };
                let source = self.sources.get_mut(stamp.sender as usize);
                let source = source.ok_or("a message of a stranger")?;
                source.ledger.arrived(stamp.number, id);
                if self.reading == Reading::Marking {
                    marks.extend(second::seen(source.user, id));
                }
                arrived += 1;
                if measured {
                    latencies.record(now.saturating_sub(stamp.nanos));
                }
                if !stopped && source.sent + (source.due as u32) < limit {
                    if source.due == 0 {
                        touched.push(stamp.sender);
                    }
                    source.due += 1;
                }
            }
            finished = Instant::now();
            control.arrived.fetch_add(arrived, Ordering::Relaxed);
            unarrived = unarrived.saturating_sub(arrived as usize);
            for index in touched.drain(..) {
                let source = &mut self.sources[index as usize];
                unarrived += source.due;
                source.send_due(control, &mut bytes).await?;
            }
            marker.send(&marks).await?;
            marks.clear();
        }
        let mut verdict = Verdict::default();
        for source in &self.sources {
            verdict += source.ledger.close(source.sent);
        }
        Ok(Fared { verdict, latencies, finished })
    }
}

impl Source {
    /// Sends what is due in one write.
    async fn send_due(&mut self, control: &Control, bytes: &mut Vec<u8>) -> Result<()> {
        bytes.clear();
        let nanos = control.nanos();
        for _ in 0..std::mem::take(&mut self.due) {
            let stamp = Stamp { sender: self.number, number: self.sent, nanos };
            bytes.extend_from_slice(self.template.stamped(stamp));
            self.sent += 1;
        }
        self.sender.send(bytes).await
    }
}
