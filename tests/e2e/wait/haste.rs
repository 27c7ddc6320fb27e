//! One user who sends as fast as one may.

use std::time::Duration;

use netrox_harness::{Arrangement, TestChat, each};
use tokio::time::sleep;

use super::{
    Scene, hold_file,
    load::{Load, Scale},
    unrefused,
};

each![a_user_in_haste_waits_like_others];

/// As many a second as `--send-rate` allows.
const HASTE: Scale = Scale { pairs: 1, rate: 50, ..Scale::LITTLE };

async fn a_user_in_haste_waits_like_others(arrangement: Arrangement) {
    let what = |hold| format!("50 a second of one user through {hold:?}");
    for hold in Scale::get().holds {
        if arrangement == Arrangement::Cluster {
            let mut scene = Scene::start().await;
            let load = Load::start(&scene.chat, HASTE).await;
            sleep(Duration::from_millis(500)).await;
            scene.postgres.pause();
            sleep(*hold).await;
            scene.postgres.resume();
            unrefused(&scene.chat, load, &what(hold)).await;
        } else {
            let chat = TestChat::start(arrangement).await;
            let load = Load::start(&chat, HASTE).await;
            sleep(Duration::from_millis(500)).await;
            hold_file(&chat, *hold).await;
            unrefused(&chat, load, &what(hold)).await;
        }
    }
}
