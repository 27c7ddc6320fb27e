//! A database that crashes, or stands still.

use std::time::Duration;

use netrox_harness::run_test;

use super::scene::Scene;

#[tokio::test]
async fn a_crash_of_the_database_is_survived() {
    run_test(async {
        let mut scene = Scene::start_without_waits().await;
        for round in 0..4 {
            if round % 2 == 0 {
                scene.engines.postgres.stop_immediately().await;
            } else {
                scene.engines.postgres.kill();
            }
            scene.refuses().await;
            scene.engines.postgres.start_again().await;
            scene.recovered("a crash of PostgreSQL").await;
        }
        scene.verify().await;
    })
    .await;
}

#[tokio::test]
async fn a_database_that_stands_still_is_survived() {
    run_test(async {
        let mut scene = Scene::start_without_waits().await;
        for pause in [Duration::from_millis(300), Duration::from_secs(5)] {
            scene.engines.postgres.pause();
            // Long enough for what waits to be refused, or too short for that.
            tokio::time::sleep(pause).await;
            scene.engines.postgres.resume();
            scene.recovered("a pause of PostgreSQL").await;
        }
        assert!(scene.flow.refusals().0 > 0, "nothing was refused in 5 s");
        scene.verify().await;
    })
    .await;
}
