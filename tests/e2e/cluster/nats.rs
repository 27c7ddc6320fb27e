//! A broker that crashes, or stands still: it is late, and nothing is lost.

use netrox_harness::run_test;

use super::scene::Scene;

#[tokio::test]
async fn a_crash_of_the_broker_only_delays() {
    run_test(async {
        let mut scene = Scene::start().await;
        for _ in 0..3 {
            scene.engines.nats.kill();
            // Cores find in the database what nobody tells them.
            scene.recovered("the end of NATS").await;
            scene.engines.nats.start_again().await;
            scene.recovered("the return of NATS").await;
        }
        // The last that is sent is found as well, with nothing after it.
        scene.engines.nats.kill();
        scene.recovered("the last end of NATS").await;
        assert_eq!(scene.flow.refusals().0, 0, "the broker is not needed for a send");
        scene.verify().await;
    })
    .await;
}

#[tokio::test]
async fn a_broker_that_stands_still_only_delays() {
    run_test(async {
        let mut scene = Scene::start().await;
        for _ in 0..2 {
            scene.engines.nats.pause();
            scene.recovered("a pause of NATS").await;
            scene.engines.nats.resume();
            scene.recovered("the end of a pause of NATS").await;
        }
        assert_eq!(scene.flow.refusals().0, 0, "the broker is not needed for a send");
        scene.verify().await;
    })
    .await;
}
