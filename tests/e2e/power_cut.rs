//! A power cut at any moment loses nothing that anybody saw: what a disk may hold then is put together from a record of
//! all that was written and flushed (ARCHITECTURE.md, G1).
//!
//! `NETROX_CHAT_TEST_CUTS` asks for more moments than the few of a usual run.

use std::{collections::HashSet, path::Path};

use futures_util::future::join_all;
use netrox_harness::{
    Arrangement, Role, Socket, TestChat, User, each,
    recorded_disk::{Disk, RecordedDisk, Step, Unflushed},
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::flow::seed;

each![; sqlite: what_anybody_saw_survives_a_power_cut];

const CUTS: usize = 40;
const PAIRS: u64 = 4;
/// Of each pair, before the core ends and after it has begun again.
const MESSAGES: u64 = 25;

async fn what_anybody_saw_survives_a_power_cut(arrangement: Arrangement) {
    let core = if arrangement == Arrangement::Serve { Role::Serve } else { Role::Core(0) };
    let disk = RecordedDisk::make();
    let builder = TestChat::builder(arrangement).set("send-rate", "0");
    let mut chat = disk.under(builder, core).start().await;
    let users: Vec<_> = join_all((0..PAIRS).map(|pair| pair_of(&chat, pair))).await;
    disk.note(0);
    for half in 0..2 {
        join_all((0..PAIRS).map(|pair| talk(&chat, &disk, &users, half, pair))).await;
        // It empties its log into the database as it ends, and begins another.
        assert!(chat.terminate(core).await.success());
        chat.spawn(core).await;
        chat.ready().await;
    }
    assert!(chat.terminate(core).await.success());

    let steps = disk.steps();
    let began = steps.iter().position(|step| *step == Step::Noted(0)).expect("the beginning");
    let cuts = std::env::var("NETROX_CHAT_TEST_CUTS").ok();
    let cuts = cuts.map_or(CUTS, |cuts| cuts.parse().expect("a number"));
    let mut random = StdRng::seed_from_u64(seed());
    let moments = moments(&steps[began..], cuts, &mut random);
    let mut now = Disk::default();
    let mut seen = Vec::new();
    let image = tempfile::tempdir().expect("a temporary directory");
    for (at, step) in steps.iter().enumerate() {
        now.take(step);
        if let Step::Noted(number @ 1..) = step {
            seen.push(*number);
        }
        if !at.checked_sub(began).is_some_and(|at| moments.contains(&at)) {
            continue;
        }
        for unflushed in [Unflushed::Lost, Unflushed::Kept, Unflushed::Torn] {
            now.cut(unflushed, &mut || random.random_bool(0.5), image.path());
            holds(image.path(), &seen, &format!("step {at}, {unflushed:?}")).await;
        }
    }
    assert_eq!(seen.len() as u64, 2 * PAIRS * MESSAGES);

    // The program itself goes on from what a cut left.
    now.cut(Unflushed::Lost, &mut || false, &chat.data_dir());
    chat.spawn(core).await;
    chat.ready().await;
    for (ada, bob) in &users {
        assert_eq!(chat.history(ada, bob).await.len() as u64, 2 * MESSAGES);
    }
}

async fn pair_of(chat: &TestChat, pair: u64) -> (User, User) {
    let (ada, bob) = (format!("ada {pair}"), format!("bob {pair}"));
    (chat.user(&ada).await, chat.user(&bob).await)
}

/// Who receives a message has seen it: so it is noted.
async fn talk(chat: &TestChat, disk: &RecordedDisk, users: &[(User, User)], half: u64, pair: u64) {
    let (ada, bob) = &users[usize::try_from(pair).expect("a pair")];
    let mut at_ada: Socket = chat.connect(ada).await;
    let mut at_bob: Socket = chat.connect(bob).await;
    for message in 1..=MESSAGES {
        let number = (half * PAIRS + pair) * MESSAGES + message;
        at_ada.say(bob, &number.to_string()).await;
        at_bob.expect_body(&number.to_string()).await;
        disk.note(number);
    }
}

/// Moments to cut the power at: behind flushes, and between what is written.
fn moments(steps: &[Step], cuts: usize, random: &mut StdRng) -> HashSet<usize> {
    let is_one = |step: &Step| !matches!(step, Step::Noted(_) | Step::Flush { .. });
    let mut all: Vec<_> = (0..steps.len()).filter(|at| is_one(&steps[*at])).collect();
    assert!(all.len() > 100, "{} steps are no record", all.len());
    while all.len() > cuts {
        all.swap_remove(random.random_range(0..all.len()));
    }
    all.into_iter().collect()
}

/// What a database that was left so holds, once it was opened.
async fn holds(directory: &Path, seen: &[u64], moment: &str) {
    let options = SqliteConnectOptions::new().filename(directory.join("chat.db"));
    let file = SqliteConnection::connect_with(&options).await;
    let mut file = file.unwrap_or_else(|error| panic!("{moment}: {error}"));
    let checked = sqlx::query_scalar("pragma integrity_check").fetch_one(&mut file).await;
    let checked: String = checked.unwrap_or_else(|error| panic!("{moment}: {error}"));
    assert_eq!(checked, "ok", "{moment}");
    let stored = sqlx::query_scalar("select body from messages").fetch_all(&mut file).await;
    let stored: Vec<String> = stored.unwrap_or_else(|error| panic!("{moment}: {error}"));
    let stored: Vec<u64> = stored.iter().map(|body| body.parse().expect("a number")).collect();
    let once: HashSet<_> = stored.iter().collect();
    assert_eq!(once.len(), stored.len(), "{moment}: something is there twice");
    let lost: Vec<_> = seen.iter().filter(|number| !once.contains(number)).collect();
    assert!(lost.is_empty(), "{moment}: {lost:?} were seen and are lost");
    file.close().await.expect("close the file");
    for other in ["chat.db-shm", "chat.db-wal"] {
        drop(std::fs::remove_file(directory.join(other)));
    }
}
