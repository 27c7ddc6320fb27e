//! Faults one after the other for as long as one likes, where there is one core on an SQLite file: `tests/chaos`.

use std::time::{Duration, Instant};

use netrox_harness::{Arrangement, Role, TestChat, process::Signal};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use sqlx::{Connection as _, SqliteConnection};
use tokio::time::sleep;

use super::load::{Load, Scale, verify_unrefused};
use crate::flow::seed;

/// What is to be held against the store stays in memory.
const ROUND: Duration = Duration::from_secs(45);
const CALM: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Another program writes to the file, and does not come to an end.
    Locked,
    Core(Signal),
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: tests/chaos runs it"]
async fn serve() {
    chaos(Arrangement::Serve, &[Fault::Locked]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: tests/chaos runs it"]
async fn split() {
    let core = [Signal::KILL, Signal::TERM, Signal::STOP].map(Fault::Core);
    chaos(Arrangement::Split, &[&[Fault::Locked], &core[..]].concat()).await;
}

async fn chaos(arrangement: Arrangement, faults: &[Fault]) {
    let minutes: f64 = std::env::var("NETROX_CHAT_CHAOS_MINUTES")
        .map_or(10.0, |minutes| minutes.parse().expect("a number of minutes"));
    let end = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    let mut random = StdRng::seed_from_u64(seed());
    let mut chat = TestChat::start(arrangement).await;
    let scale = Scale { pairs: 50, rate: 10, holds: &[] };
    let (mut struck, mut stored, mut longest) = (0, 0, Duration::ZERO);
    while Instant::now() < end {
        let load = Load::start(&chat, scale).await;
        let round_end = end.min(Instant::now() + ROUND);
        while Instant::now() < round_end {
            sleep(CALM).await;
            let fault = faults.choose(&mut random).expect("faults");
            let hold = Duration::from_millis(random.random_range(1_000..8_000));
            eprintln!("{fault:?} for {hold:?}");
            strike(&mut chat, *fault, hold).await;
            struck += 1;
        }
        sleep(CALM).await;
        let pairs = load.stop().await;
        let (count, waited) = verify_unrefused(&chat, &pairs).await;
        (stored, longest) = (stored + count, longest.max(waited));
        eprintln!(
            "{struck} faults, {stored} stored, none refused, the longest waited {longest:.2?}"
        );
    }
}

async fn strike(chat: &mut TestChat, fault: Fault, hold: Duration) {
    let core = Role::Core(0);
    match fault {
        Fault::Locked => {
            let path = chat.data_dir().join("chat.db");
            let url = format!("sqlite://{}", path.display());
            let mut other = SqliteConnection::connect(&url).await.expect("the database");
            sqlx::raw_sql("begin immediate").execute(&mut other).await.expect("the write lock");
            sleep(hold).await;
            other.close().await.expect("closed");
        }
        Fault::Core(Signal::STOP) => {
            chat.process(core).signal(Signal::STOP);
            sleep(hold).await;
            chat.process(core).signal(Signal::CONT);
        }
        Fault::Core(end) => {
            chat.process(core).signal(end);
            chat.ended(core).await;
            sleep(hold).await;
            chat.spawn(core).await;
        }
    }
}
