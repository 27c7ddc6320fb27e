//! Faults of all kinds, one after the other or two at once, for as long as one likes: `tests/chaos`.

mod fault;
mod probe;
mod record;

use std::{
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use netrox_harness::{process::Signal, proxy::Network};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

use self::{
    fault::{Fault, Kind, Victim},
    probe::Probe,
    record::Record,
};
use super::scene::{Engines, builder};
use crate::flow::{Flow, seed};

const CORES: usize = 2;
/// Traffic is checked and begun anew after so much time: what is to be held against the store stays in memory.
const ROUND: Duration = Duration::from_secs(45);
/// Of the database, once a run: longer than anything waits.
const LONG_PAUSE: Duration = Duration::from_secs(20);
/// Of the rest, what is back by itself: shorter than sends wait, whatever comes after it.
const LONGEST_HOLD_MILLIS: u64 = 8_000;

struct Chaos {
    engines: Engines,
    chat: netrox_harness::TestChat,
    random: StdRng,
    record: Record,
    end: Instant,
    long_pause: Option<Instant>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: tests/chaos runs it"]
async fn chaos() {
    let minutes: f64 = std::env::var("NETROX_CHAT_CHAOS_MINUTES")
        .map_or(10.0, |minutes| minutes.parse().expect("a number of minutes"));
    let begun = Instant::now();
    let length = Duration::from_secs_f64(minutes * 60.0);
    let engines = Engines::start(CORES).await;
    let chat = engines.join(builder().cores(CORES)).start().await;
    let mut chaos = Chaos {
        engines,
        chat,
        random: StdRng::seed_from_u64(seed()),
        record: Record::default(),
        end: begun + length,
        long_pause: (length >= LONG_PAUSE * 5).then(|| begun + length / 2),
    };
    while Instant::now() < chaos.end {
        let round = AssertUnwindSafe(chaos.round()).catch_unwind().await;
        if let Err(panic) = round {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            chaos.record.violations.push(text.unwrap_or_else(|| "a panic".to_owned()));
            chaos.repair().await;
        }
        eprintln!("{} faults, {} stored", chaos.record.faults(), chaos.record.stored);
    }
    chaos.record.judge(length);
    chaos.record.print(begun.elapsed());
    assert!(chaos.record.violations.is_empty(), "promises were broken");
}

impl Chaos {
    /// Traffic under faults, and what it was shown held against what is stored.
    async fn round(&mut self) {
        let seed = self.random.random();
        let mut flow = Flow::start(&self.chat, &self.chat.edges(), false, seed).await;
        let probe = Probe::start(&self.chat).await;
        flow.progress(200).await;
        let end = self.end.min(Instant::now() + ROUND);
        let mut had_long_pause = false;
        while Instant::now() < end {
            if self.long_pause.is_some_and(|at| at <= Instant::now()) {
                self.long_pause = None;
                had_long_pause = true;
                let fault = Fault { victim: Victim::Postgres, kind: Kind::Pause };
                self.strike(&mut flow, &[fault], LONG_PAUSE, "PostgreSQL: SIGSTOP, 20 s").await;
            }
            let faults = self.choose();
            let longest =
                if self.random.random_ratio(1, 3) && faults.iter().all(Fault::ends_when_told) {
                    LONGEST_HOLD_MILLIS
                } else {
                    1_500
                };
            let hold = Duration::from_millis(self.random.random_range(50..longest));
            self.strike(&mut flow, &faults, hold, "").await;
        }
        let refusals = probe.stop().await;
        self.record.refused_after(refusals.slowest);
        flow.verify_live(&self.chat).await;
        self.record.lists_refused += refusals.lists;
        let refused = flow.refused("unavailable") + refusals.sends;
        if had_long_pause {
            self.record.refused_in_long_pause += refused;
        } else if refused > 0 {
            self.record.violations.push(format!("{refused} sends were refused"));
        }
        self.record.unknown += flow.refused("outcome_unknown") + refusals.unknown;
        self.record.delivered += flow.received_count();
        self.record.stored += flow.verify(&self.chat).await;
    }

    /// One fault, or two at once.
    fn choose(&mut self) -> Vec<Fault> {
        let all = Fault::all();
        let mut faults = vec![*all.choose(&mut self.random).expect("faults")];
        if self.random.random_ratio(1, 3) {
            let others: Vec<_> =
                all.iter().filter(|fault| fault.victim != faults[0].victim).collect();
            faults.push(**others.choose(&mut self.random).expect("faults"));
        }
        // Who comes back needs the engines.
        faults.sort_by_key(|fault| fault.victim);
        faults
    }

    async fn strike(&mut self, flow: &mut Flow, faults: &[Fault], hold: Duration, name: &str) {
        let names: Vec<_> = faults.iter().map(Fault::name).collect();
        eprintln!("{} for {hold:?}", names.join(" and "));
        for fault in faults {
            self.begin(fault).await;
        }
        tokio::time::sleep(hold).await;
        for fault in faults {
            self.finish(fault).await;
        }
        // From here on, when PostgreSQL and NATS answer again, processes listen and the network is whole, until
        // everybody gets a new message through to everybody.
        let took = flow.through(&flow.mark()).await;
        let names = if name.is_empty() { names } else { vec![name.to_owned()] };
        self.record.recovered(names, took);
    }

    async fn begin(&mut self, fault: &Fault) {
        let Engines { postgres, nats, proxies } = &mut self.engines;
        match (fault.victim, fault.kind) {
            (Victim::Postgres, Kind::Stop) => postgres.stop_immediately().await,
            (Victim::Postgres, Kind::Pause) => postgres.pause(),
            (Victim::Postgres, _) => postgres.kill(),
            (Victim::Nats, Kind::Pause) => nats.pause(),
            (Victim::Nats, _) => nats.kill(),
            (Victim::Way(core, engine), Kind::Network(network)) => {
                proxies[&(core, engine)].set(network);
            }
            (Victim::Way(core, engine), _) => proxies[&(core, engine)].reset(),
            (Victim::Process(role), Kind::Stop) => {
                self.chat.process(role).signal(Signal::TERM);
            }
            (Victim::Process(role), Kind::Pause) => {
                self.chat.process(role).signal(Signal::STOP);
            }
            (Victim::Process(role), kind) => {
                self.chat.kill(role);
                if kind == Kind::Replace {
                    let data_dir = self.chat.data_dir_of(role);
                    std::fs::remove_dir_all(data_dir).expect("remove a data directory");
                }
            }
        }
    }

    async fn finish(&mut self, fault: &Fault) {
        let Engines { postgres, nats, proxies } = &mut self.engines;
        match (fault.victim, fault.kind) {
            (Victim::Postgres, Kind::Pause) => postgres.resume(),
            (Victim::Postgres, _) => postgres.start_again().await,
            (Victim::Nats, Kind::Pause) => nats.resume(),
            (Victim::Nats, _) => nats.start_again().await,
            (Victim::Way(core, engine), _) => proxies[&(core, engine)].set(Network::Open),
            (Victim::Process(role), Kind::Pause) => {
                self.chat.process(role).signal(Signal::CONT);
            }
            (Victim::Process(role), kind) => {
                // Its drain takes what it takes, when what else had failed is back.
                if kind == Kind::Stop {
                    let status = self.chat.ended(role).await;
                    if status.code() != Some(0) {
                        let violation = format!("SIGTERM ended {role:?} with {status}");
                        self.record.violations.push(violation);
                    }
                }
                self.chat.spawn(role).await;
            }
        }
    }

    /// Everything as it is without faults, after a round that failed in the middle of one.
    async fn repair(&mut self) {
        let Engines { postgres, nats, proxies } = &mut self.engines;
        proxies.values().for_each(|proxy| proxy.set(Network::Open));
        if postgres.is_running() {
            postgres.resume();
        } else {
            postgres.start_again().await;
        }
        if nats.is_running() {
            nats.resume();
        } else {
            nats.start_again().await;
        }
        for role in self.chat.roles() {
            self.chat.stop_if_running(role);
            self.chat.spawn(role).await;
        }
        self.chat.ready().await;
    }
}
