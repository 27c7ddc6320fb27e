//! The closed loop: so many messages of each sender under way, the next when one has arrived.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::{task::JoinSet, time::sleep};

use super::party::{Connected, Control, Fared, Party, Phase, Reading};
use crate::{
    Result,
    latency::{Latencies, Summary},
    ledger::{Checked, Verdict},
    progress::note,
    server::Target,
};

const WARM_UP: Duration = Duration::from_secs(2);
const NOTE_INTERVAL: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy)]
pub(crate) struct Closed {
    pub(crate) receivers: usize,
    pub(crate) senders_each: usize,
    /// Of each sender.
    pub(crate) in_flight: usize,
    pub(crate) body_bytes: usize,
    pub(crate) reading: Reading,
    pub(crate) duration: Duration,
}

/// What a run of the load showed.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Outcome {
    pub(crate) messages: u64,
    pub(crate) seconds: f64,
    pub(crate) messages_per_second: f64,
    /// From the instant a message was to be sent until it was received.
    pub(crate) latency_ms: Summary,
    pub(crate) server_cpu_us_per_message: Option<f64>,
    /// Of the whole run, warm-up included.
    pub(crate) verdict: Verdict,
}

impl Outcome {
    pub(crate) fn new(
        messages: u64,
        took: Duration,
        latencies: &Latencies,
        cpu_seconds: Option<f64>,
        verdict: Verdict,
    ) -> Self {
        Self {
            messages,
            seconds: took.as_secs_f64(),
            messages_per_second: messages as f64 / took.as_secs_f64(),
            latency_ms: latencies.summary(),
            server_cpu_us_per_message: cpu_seconds.map(|cpu| cpu * 1e6 / messages as f64),
            verdict,
        }
    }
}

/// The processor time used from `before` to `after`, where it is known.
pub(crate) fn used(before: Option<f64>, after: Option<f64>) -> Option<f64> {
    Some(after? - before?)
}

/// Runs for a time.
pub(crate) async fn run(target: &Target, load: Closed) -> Result<Outcome> {
    let control = Arc::new(Control::new(Phase::WarmUp));
    let parties = (0..load.receivers).map(|_| Party::new(target, load.senders_each));
    let parties: Vec<_> = parties.collect::<Result<_>>()?;
    let mut running = Running::start(target, &control, parties, load, u32::MAX).await?;
    running.wait(WARM_UP).await?;

    let (cpu, arrived) = (target.cpu_seconds()?, control.arrived.load(Ordering::Relaxed));
    control.set(Phase::Measured);
    let start = Instant::now();
    while let Some(left) = load.duration.checked_sub(start.elapsed()) {
        running.wait(left.min(NOTE_INTERVAL)).await?;
        let so_far = control.arrived.load(Ordering::Relaxed) - arrived;
        let rate = so_far as f64 / start.elapsed().as_secs_f64();
        note(format_args!(
            "  {:.0} of {} s: {rate:.0} messages a second",
            start.elapsed().as_secs_f64(),
            load.duration.as_secs()
        ));
    }
    let messages = control.arrived.load(Ordering::Relaxed) - arrived;
    let took = start.elapsed();
    let cpu = used(cpu, target.cpu_seconds()?);
    control.set(Phase::Stopped);
    let fared = running.finish().await?;
    Ok(Outcome::new(messages, took, &fared.latencies, cpu, fared.verdict))
}

/// Sends a number of messages from each sender of a party, as fast as they arrive.
pub(crate) async fn send(
    target: &Target,
    party: Party,
    in_flight: usize,
    messages: u32,
) -> Result<Outcome> {
    let control = Arc::new(Control::new(Phase::Measured));
    let count = u64::from(messages) * party.senders.len() as u64;
    let load = Closed {
        receivers: 1,
        senders_each: party.senders.len(),
        in_flight,
        body_bytes: 64,
        reading: Reading::Documented,
        duration: Duration::ZERO,
    };
    let cpu = target.cpu_seconds()?;
    let mut running = Running::start(target, &control, vec![party], load, messages).await?;
    let start = Instant::now();
    while !running.parties.is_empty() {
        running.wait(NOTE_INTERVAL).await?;
        note(format_args!("  {} of {count} messages", control.arrived.load(Ordering::Relaxed)));
    }
    let fared = running.finish().await?;
    let took = fared.finished - start;
    let cpu = used(cpu, target.cpu_seconds()?);
    Ok(Outcome::new(count, took, &fared.latencies, cpu, fared.verdict))
}

/// All parties of a run.
struct Running {
    parties: JoinSet<Result<Fared>>,
    senders: JoinSet<Result<()>>,
    fared: Fared,
}

impl Running {
    async fn start(
        target: &Target,
        control: &Arc<Control>,
        parties: Vec<Party>,
        load: Closed,
        limit: u32,
    ) -> Result<Self> {
        let mut senders = JoinSet::new();
        let mut connected = Vec::new();
        for (number, party) in parties.iter().enumerate() {
            let number = number * (1 + load.senders_each);
            let (reading, bytes) = (load.reading, load.body_bytes);
            let party = Connected::open(target, number, party, reading, bytes, &mut senders);
            connected.push(party.await?);
        }
        let mut running = JoinSet::new();
        for party in connected {
            let control = Arc::clone(control);
            running.spawn(async move { party.run(&control, load.in_flight, limit).await });
        }
        let fared = Fared {
            verdict: Verdict::default(),
            latencies: Latencies::new(),
            finished: Instant::now(),
        };
        Ok(Self { parties: running, senders, fared })
    }

    /// Lets the run go on for a time, or until it has ended.
    async fn wait(&mut self, time: Duration) -> Result<()> {
        let end = sleep(time);
        tokio::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => return Ok(()),
                Some(ended) = self.senders.join_next() => ended??,
                ended = self.parties.join_next() => match ended {
                    Some(fared) => self.fared.add(&fared??),
                    None => return Ok(()),
                },
            }
        }
    }

    async fn finish(mut self) -> Result<Fared> {
        while !self.parties.is_empty() {
            self.wait(NOTE_INTERVAL).await?;
        }
        Ok(self.fared)
    }
}

impl Fared {
    fn add(&mut self, other: &Self) {
        self.verdict += other.verdict;
        self.latencies.add(&other.latencies);
        self.finished = self.finished.max(other.finished);
    }
}

impl Checked for Outcome {
    fn wrong(&self) -> u64 {
        self.verdict.wrong()
    }
}
