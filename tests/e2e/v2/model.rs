//! Random actions of four users with three devices each, over connections that break at any byte, sends that are
//! repeated, cursors of any age and kills of cores: afterwards each device holds what the server does, each message is
//! there once, every acknowledgement was true, and nobody was rung twice. A documented socket beside them is shown each
//! message once.
//!
//! `NETROX_CHAT_TEST_CASES` asks for more cases than the few of a usual run; 100 fit the deadline of a test.
//! `NETROX_CHAT_TEST_SEED`, which a run prints, draws the same ones again.

use std::sync::Arc;

use netrox_harness::{Arrangement, TestChat, each};
use proptest::test_runner::{Config, RngSeed, TestRunner};
use tokio::{runtime::Handle, sync::Mutex};

use self::{
    action::{Action, action},
    case::Case,
};
use crate::flow::seed;

mod action;
mod blocks;
mod case;
mod check;
mod device;
mod documented;
mod wire;

each![every_device_ends_with_what_the_server_holds];

const CASES: u32 = 5;
const ACTIONS: usize = 100;
/// From so many actions on, a case may kill a core.
const MANY: usize = 60;
/// To make a failing case smaller, in milliseconds.
const SHRINK: u32 = 90_000;

async fn every_device_ends_with_what_the_server_holds(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("send-rate", "0").set("receipt-rate", "1000");
    let chat = Arc::new(Mutex::new(chat.start().await));
    let cases = std::env::var("NETROX_CHAT_TEST_CASES").ok();
    let config = Config {
        cases: cases.map_or(CASES, |cases| cases.parse().expect("a number")),
        rng_seed: RngSeed::Fixed(seed()),
        failure_persistence: None,
        max_shrink_time: SHRINK,
        ..Config::default()
    };
    let handle = Handle::current();
    let shared = chat.clone();
    let tried = tokio::task::spawn_blocking(move || {
        let actions = proptest::collection::vec(action(), 1..ACTIONS);
        TestRunner::new(config).run(&actions, |actions| {
            handle.block_on(async { run(&mut *shared.lock().await, &actions).await });
            Ok(())
        })
    });
    if let Err(error) = tried.await.expect("the cases") {
        panic!("{error}");
    }
}

async fn run(chat: &mut TestChat, actions: &[Action]) {
    let mut case = Case::begin(chat, actions.len() >= MANY).await;
    for action in actions {
        case.act(action).await;
        case.pump().await;
    }
    case.check().await;
}
