//! Random actions of four users with three devices each, over connections that break at any byte, sends that are
//! repeated, cursors of any age and kills of cores: afterwards each device holds what the server does, each message is
//! there once, every acknowledgement was true, and nobody was rung twice. A documented socket beside them is shown each
//! message once. What each finds by its words is what each sees; whoever is shown who types and who is online may be, and
//! is right in the end; a ticket opens one socket.
//!
//! `NETROX_CHAT_TEST_CASES` asks for more cases than the few of a usual run, and gives them the time that they take.
//! `NETROX_CHAT_TEST_SEED`, which a run prints, draws the same ones again.

use std::{collections::VecDeque, sync::Arc};

use netrox_harness::{Arrangement, TestChat, cases, each};
use proptest::test_runner::{Config, RngSeed, TestRunner};
use tokio::{runtime::Handle, sync::Mutex};

use self::{
    action::{Action, action},
    case::Case,
    left::Left,
};
use crate::flow::seed;

mod action;
mod asked;
mod blocks;
mod case;
mod check;
mod device;
mod documented;
mod left;
mod search;
mod signals;
mod ticket;
mod told;
mod wire;

each![every_device_ends_with_what_the_server_holds];

const CASES: u32 = 5;
const ACTIONS: usize = 100;
/// From so many actions on, a case may kill a core.
const MANY: usize = 60;
/// Cases of which it is looked that all have left.
const LEFT: usize = 6;
/// To make a failing case smaller, in milliseconds.
const SHRINK: u32 = 90_000;

async fn every_device_ends_with_what_the_server_holds(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("send-rate", "0").set("receipt-rate", "1000");
    let chat = chat.set("search", "true").set("search-rate", "0").set("typing-rate", "0");
    let (chat, left) = (chat.start().await, VecDeque::new());
    let world = Arc::new(Mutex::new(World { chat, left, kills: 0 }));
    let config = Config {
        cases: cases().unwrap_or(CASES),
        rng_seed: RngSeed::Fixed(seed()),
        failure_persistence: None,
        max_shrink_time: SHRINK,
        ..Config::default()
    };
    // Held to the end of a test that fails, which shows the logs.
    let (handle, shared) = (Handle::current(), Arc::clone(&world));
    let tried = tokio::task::spawn_blocking(move || {
        let actions = proptest::collection::vec(action(), 1..ACTIONS);
        let tried = TestRunner::new(config).run(&actions, |actions| {
            handle.block_on(async { shared.lock().await.run(&actions).await });
            Ok(())
        });
        // A process that was started in a case ends with this thread.
        tried.map(|()| handle.block_on(async { shared.lock().await.check_left().await }))
    });
    if let Err(error) = tried.await.expect("the cases") {
        panic!("{error}");
    }
}

struct World {
    chat: TestChat,
    /// Of the last cases.
    left: VecDeque<Left>,
    kills: usize,
}

impl World {
    async fn run(&mut self, actions: &[Action]) {
        let mut case = Case::begin(&mut self.chat, actions.len() >= MANY).await;
        for action in actions {
            case.act(action).await;
            case.pump().await;
        }
        let left = case.check().await;
        self.kills += left.kills;
        self.left.push_back(left);
        if self.left.len() > LEFT {
            self.left.pop_front();
        }
    }

    async fn check_left(&self) {
        self.chat.ready().await;
        for left in &self.left {
            left.check(&self.chat, self.kills > 0).await;
        }
    }
}
