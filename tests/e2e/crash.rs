//! kill -9 at any moment loses nothing that anybody saw, and doubles nothing (ARCHITECTURE.md, G1 to G4).
//!
//! `NETROX_CHAT_TEST_KILLS` asks for more kills than the few of a usual run; 200 fit the deadline of a test.

use std::time::Duration;

use netrox_harness::{Arrangement, Role, TestChat, each};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::flow::{Flow, seed};

each![what_anybody_saw_survives_kills_of_the_core];

const KILLS: usize = 15;

async fn what_anybody_saw_survives_kills_of_the_core(arrangement: Arrangement) {
    let kills = std::env::var("NETROX_CHAT_TEST_KILLS").ok();
    let kills = kills.map_or(KILLS, |kills| kills.parse().expect("a number"));
    let seed = seed();
    let mut random = StdRng::seed_from_u64(seed);
    let mut chat = TestChat::builder(arrangement).set("send-rate", "0").start().await;
    // An edge that is left alone keeps its sockets.
    let keeps_sockets = arrangement != Arrangement::Serve;
    let mut flow = Flow::start(&chat, &chat.edges(), keeps_sockets, seed).await;
    let cores = chat.core_roles();
    for core in cores.iter().cycle().take(kills) {
        // Any moment is as good as another: in full flow, or while clients are still coming back.
        tokio::time::sleep(Duration::from_millis(random.random_range(0..300))).await;
        chat.restart(*core).await;
    }
    flow.progress(1_000).await;
    if keeps_sockets {
        flow.verify_live(&chat).await;
    }
    // The last word is that of a process which was not there when it was written.
    flow.stop_sending();
    for core in cores {
        chat.restart(core).await;
    }
    let stored = flow.verify(&chat).await;
    assert!(stored >= 1_000, "{stored} messages are no flow");
}

/// Both processes at once, so that neither remembers anything.
#[tokio::test]
async fn what_anybody_saw_survives_kills_of_everything() {
    netrox_harness::run_test(async {
        let seed = seed();
        let mut random = StdRng::seed_from_u64(seed);
        let builder = TestChat::builder(Arrangement::Split).set("send-rate", "0");
        let mut chat = builder.start().await;
        let mut flow = Flow::start(&chat, &[chat.edge()], false, seed).await;
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_millis(random.random_range(100..400))).await;
            for role in [Role::Edge(0), Role::Core(0)] {
                chat.kill(role);
            }
            for role in [Role::Core(0), Role::Edge(0)] {
                chat.spawn(role).await;
            }
            chat.ready().await;
        }
        flow.progress(500).await;
        flow.verify(&chat).await;
    })
    .await;
}
