//! What a typing signal costs beside a message that is stored: nothing, then as many of both a second, between the same
//! sockets, by turns. What the connections cost that nobody uses is part of neither.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::{task::JoinSet, time::sleep};

use super::{median, written};
use crate::{
    Result,
    client::{
        Socket, User,
        message::Stamp,
        second::{self, Sent},
        socket::Sender,
    },
    ledger::Checked,
    load::{closed::used, pace, party::PATIENCE},
    progress::note,
    server::Target,
};

const TURNS: usize = 3;
const POLL: Duration = Duration::from_millis(20);
/// Until signals that are under way have arrived.
const SETTLE: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
pub(crate) struct Typing {
    pub(crate) pairs: usize,
    /// Of all pairs together, one after the other at even intervals.
    pub(crate) rate: u32,
    pub(crate) duration: Duration,
}

/// Of the server alone, above what it costs for as long without either; medians of some turns.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Cost {
    pub(crate) pairs: usize,
    pub(crate) per_second: u32,
    pub(crate) signals: u64,
    /// Signals may be shed.
    pub(crate) signals_arrived: u64,
    pub(crate) signal_cpu_us: Option<f64>,
    pub(crate) message_cpu_us: Option<f64>,
    pub(crate) ratio: Option<f64>,
    /// Of one processor, where nobody says anything.
    pub(crate) idle_percent: Option<f64>,
    pub(crate) messages_lost: u64,
}

impl Checked for Cost {
    fn wrong(&self) -> u64 {
        self.messages_lost
    }
}

#[derive(Debug, Default)]
struct Arrived {
    signals: AtomicU64,
    messages: AtomicU64,
}

pub(crate) async fn run(target: &Target, load: Typing) -> Result<Cost> {
    let (senders, receivers) = (target.users(load.pairs)?, target.users(load.pairs)?);
    let pairs: Vec<_> = senders.iter().zip(&receivers).collect();
    written::first_messages(target, &pairs).await?;
    let arrived = Arc::new(Arrived::default());
    let mut reading = JoinSet::new();
    let mut ways = Vec::new();
    for (number, (sender, receiver)) in pairs.into_iter().enumerate() {
        let door = target.door(number);
        let at_receiver = Socket::open_second(door, receiver, None).await?;
        reading.spawn(read(at_receiver, Arc::clone(&arrived)));
        let at_sender = Socket::open_second(door, sender, None).await?;
        ways.push((at_sender.sender(), receiver.clone()));
        // The last of its messages are its own acknowledgements.
        reading.spawn(read(at_sender, Arc::default()));
    }
    sleep(SETTLE).await;

    let total = (load.duration.as_secs_f64() * f64::from(load.rate)) as u32;
    let (mut of_signals, mut of_messages, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let mut of_idling = Vec::new();
    let (mut signals, mut messages) = (0, 0);
    let stored_before = arrived.messages.load(Relaxed);
    for turn in 0..TURNS {
        note(format_args!("  turn {}: nothing, {total} signals, as many messages", turn + 1));
        let (cpu, begun) = (target.cpu_seconds()?, Instant::now());
        sleep(load.duration + SETTLE).await;
        let idle = used(cpu, target.cpu_seconds()?).map(|cpu| cpu / begun.elapsed().as_secs_f64());
        of_idling.extend(idle.map(|share| share * 100.0));
        let above = |used: Option<f64>, begun: Instant| {
            used.zip(idle).map(|(used, idle)| used - idle * begun.elapsed().as_secs_f64())
        };

        let begun = Instant::now();
        let cpu = target.cpu_seconds()?;
        let typing = ways.clone();
        let frames: Vec<_> = typing.iter().map(|(_, peer)| second::typing(peer.id)).collect();
        pace::keep(load.rate, total, Instant::now(), move |number, _| {
            let way = number as usize % typing.len();
            typing[way].0.try_send(&frames[way])
        })
        .await??;
        sleep(SETTLE).await;
        signals += u64::from(total);
        let signal = above(used(cpu, target.cpu_seconds()?), begun);

        let begun = Instant::now();
        let cpu = target.cpu_seconds()?;
        pace::keep(load.rate, total, Instant::now(), say(ways.clone(), turn as u32)).await??;
        messages += u64::from(total);
        let last = Instant::now();
        while arrived.messages.load(Relaxed) - stored_before < messages && last.elapsed() < PATIENCE
        {
            sleep(POLL).await;
        }
        sleep(SETTLE.saturating_sub(last.elapsed())).await;
        let message = above(used(cpu, target.cpu_seconds()?), begun);

        ratios.extend(signal.zip(message).map(|(signal, message)| signal / message));
        of_signals.extend(signal.map(|cpu| cpu * 1e6 / f64::from(total)));
        of_messages.extend(message.map(|cpu| cpu * 1e6 / f64::from(total)));
        if let Some(Ok(ended)) = reading.try_join_next() {
            ended?;
        }
    }
    Ok(Cost {
        pairs: load.pairs,
        per_second: load.rate,
        signals,
        signals_arrived: arrived.signals.load(Relaxed),
        signal_cpu_us: median(of_signals),
        message_cpu_us: median(of_messages),
        ratio: median(ratios),
        idle_percent: median(of_idling),
        messages_lost: messages.abs_diff(arrived.messages.load(Relaxed) - stored_before),
    })
}

fn say(
    ways: Vec<(Sender, User)>,
    turn: u32,
) -> impl FnMut(u32, Duration) -> Result<()> + Send + 'static {
    move |number, due| {
        let (sender, peer) = &ways[number as usize % ways.len()];
        let stamp = Stamp { sender: turn, number, nanos: due.as_nanos() as u64 };
        sender.try_send(&second::chat_message(peer.id, stamp))
    }
}

async fn read(mut socket: Socket, arrived: Arc<Arrived>) -> Result<()> {
    loop {
        socket.fill().await?;
        while let Some(payload) = socket.next()? {
            match second::sent(payload)? {
                Sent::Typing => arrived.signals.fetch_add(1, Relaxed),
                Sent::Message(_) => arrived.messages.fetch_add(1, Relaxed),
                Sent::Hello { .. }
                | Sent::Live { .. }
                | Sent::Thread
                | Sent::Ack
                | Sent::Presence { .. } => 0,
            };
        }
    }
}
