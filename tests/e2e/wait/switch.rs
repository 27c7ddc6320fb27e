//! A planned switch from the primary to its standby, under load.

use netrox_harness::{
    Arrangement, Engine, Role, TestChat, engine::ReplicatedPostgres, proxy::Proxy, run_test,
};

use super::{
    load::{Load, Scale},
    unrefused,
};

#[tokio::test]
async fn a_planned_switch_of_the_database_costs_no_send_and_no_socket() {
    run_test(async {
        let mut postgres = ReplicatedPostgres::start().await;
        let ways = [(); 2].map(|()| Proxy::start(postgres.primary().address()));
        let chat = TestChat::builder(Arrangement::Cluster)
            .engine(Engine::Postgres, postgres.primary().server())
            .route(Role::Core(0), Engine::Postgres, ways[0].address())
            .route(Role::Core(1), Engine::Postgres, ways[1].address())
            .set("store-wait", "30s")
            .start()
            .await;
        postgres.caught_up().await;
        // A socket that were closed would fail it.
        let load = Load::start(&chat, Scale::get()).await;
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        postgres.switch_over().await;
        for way in &ways {
            way.lead_to(postgres.standby_address());
        }
        unrefused(&chat, load, "a planned switch").await;
    })
    .await;
}
