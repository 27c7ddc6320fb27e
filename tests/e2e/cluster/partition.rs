//! One core that does not reach an engine, while the others do.

use std::time::Duration;

use netrox_harness::{Engine, Role, proxy::Network, run_test};

use super::scene::Scene;

const FAULTS: [Network; 3] =
    [Network::BlackHole, Network::Refused, Network::Delayed(Duration::from_millis(100))];

#[tokio::test]
async fn a_core_without_the_broker_only_delays() {
    run_test(async {
        let mut scene = Scene::start().await;
        for (round, fault) in FAULTS.into_iter().enumerate() {
            let core = Role::Core(round % 2);
            scene.proxy(core, Engine::Nats).set(fault);
            scene.recovered("a core being cut off from NATS").await;
            scene.proxy(core, Engine::Nats).set(Network::Open);
            scene.recovered("a core reaching NATS again").await;
            scene.proxy(core, Engine::Nats).reset();
            scene.recovered("a reset of the connection to NATS").await;
        }
        assert_eq!(scene.flow.refusals().0, 0, "the broker is not needed for a send");
        scene.verify().await;
    })
    .await;
}

#[tokio::test]
async fn a_core_without_the_database_is_survived() {
    run_test(async {
        let mut scene = Scene::start().await;
        for (round, fault) in FAULTS.into_iter().enumerate() {
            let core = Role::Core(round % 2);
            scene.proxy(core, Engine::Postgres).set(fault);
            match fault {
                Network::Delayed(_) => scene.recovered("a slow way to PostgreSQL").await,
                // Another core may take over before anybody is refused.
                _ => scene.notices_without_database(core).await,
            }
            scene.proxy(core, Engine::Postgres).set(Network::Open);
            scene.recovered("a core reaching PostgreSQL again").await;
            scene.proxy(core, Engine::Postgres).reset();
            scene.recovered("a reset of the connections to PostgreSQL").await;
        }
        scene.verify().await;
    })
    .await;
}

#[tokio::test]
async fn another_core_takes_over_from_one_without_the_database() {
    run_test(async {
        let mut scene = Scene::start().await;
        for (round, fault) in [Network::Refused, Network::BlackHole].into_iter().enumerate() {
            let core = Role::Core(round % 2);
            scene.proxy(core, Engine::Postgres).set(fault);
            scene.recovered("a core being cut off from PostgreSQL").await;
            scene.proxy(core, Engine::Postgres).set(Network::Open);
            scene.recovered("a core reaching PostgreSQL again").await;
        }
        scene.verify().await;
    })
    .await;
}
