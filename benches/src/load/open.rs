//! The open loop: messages at a steady rate, whatever the server does. Latency counts from the instant a
//! message was to be sent, so that a server that holds up the sender does not hide it (no coordinated
//! omission).

use std::time::{Duration, Instant};

use tokio::{task::JoinSet, time::timeout};

use super::{
    closed::{Outcome, used},
    pace,
    party::{AFTERMATH, PATIENCE},
};
use crate::{
    Result,
    client::{
        Socket,
        message::{self, Received, Stamp, Template},
    },
    latency::Latencies,
    ledger::{Ledger, Verdict},
    progress::note,
    server::Target,
};

/// Before it nothing is measured.
const WARM_UP: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
pub(crate) struct Open {
    pub(crate) pairs: usize,
    /// Messages a second of all pairs together, one after the other at even intervals.
    pub(crate) rate: u32,
    pub(crate) body_bytes: usize,
    pub(crate) duration: Duration,
}

pub(crate) async fn run(target: &Target, load: Open) -> Result<Outcome> {
    let total = ((load.duration + WARM_UP).as_secs_f64() * f64::from(load.rate)) as u32;
    let mut silent = JoinSet::new();
    let mut pairs = Vec::new();
    let mut receivers = Vec::new();
    for pair in 0..load.pairs {
        let (receiver, sender) = (target.user()?, target.user()?);
        receivers.push(Socket::open(target.door(2 * pair), &receiver).await?);
        let socket = Socket::open(target.door(2 * pair + 1), &sender).await?;
        pairs.push((socket.sender(), Template::new(receiver.id, load.body_bytes)));
        silent.spawn(socket.expect_silence());
    }
    let cpu = target.cpu_seconds()?;
    let start = Instant::now();
    let mut receiving = JoinSet::new();
    for (pair, socket) in receivers.into_iter().enumerate() {
        let expected = (total - pair as u32).div_ceil(load.pairs as u32);
        receiving.spawn(receive(socket, expected, start));
    }
    let count = pairs.len() as u32;
    let pace = pace::keep(load.rate, total, start, move |message, due| {
        let (sender, template) = &mut pairs[(message % count) as usize];
        let stamp = Stamp { sender: 0, number: message / count, nanos: due.as_nanos() as u64 };
        sender.try_send(template.stamped(stamp))
    });

    note(format_args!("  {} messages a second for {:?}", load.rate, load.duration + WARM_UP));
    let (mut latencies, mut verdict) = (Latencies::new(), Verdict::default());
    loop {
        tokio::select! {
            Some(ended) = silent.join_next() => ended??,
            ended = receiving.join_next() => {
                let Some(ended) = ended else { break };
                let (of_pair, verdict_of_pair) = ended??;
                latencies.add(&of_pair);
                verdict += verdict_of_pair;
            }
        }
    }
    pace.await??;
    let cpu = used(cpu, target.cpu_seconds()?);
    Ok(Outcome::new(total.into(), start.elapsed(), &latencies, cpu, verdict))
}

async fn receive(
    mut socket: Socket,
    expected: u32,
    start: Instant,
) -> Result<(Latencies, Verdict)> {
    let (mut latencies, mut ledger) = (Latencies::new(), Ledger::default());
    let mut arrived = 0;
    loop {
        let patience = if arrived < expected { PATIENCE } else { AFTERMATH };
        let Ok(filled) = timeout(patience, socket.fill()).await else { break };
        filled?;
        let now = start.elapsed();
        while let Some(payload) = socket.next()? {
            let Received { id, stamp } = message::received(payload)?;
            ledger.arrived(stamp.number, id);
            arrived += 1;
            let due = Duration::from_nanos(stamp.nanos);
            if due >= WARM_UP {
                latencies.record_duration(now.saturating_sub(due));
            }
        }
    }
    Ok((latencies, ledger.close(expected)))
}
