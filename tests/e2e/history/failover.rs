//! A standby takes the place of a primary that has told it everything, or not.

use netrox_harness::{Role, alarms::Before, engine::ReplicatedPostgres, proxy::Network, run_test};

use super::{story::Story, ways::behind_proxies};

/// The standby lacks the last messages, and takes the place of the primary behind the same address. A second core is cut
/// off from the database meanwhile, but not from the broker, and comes back when more is stored.
async fn fail_over(lost: usize) {
    run_test(async {
        let mut postgres = ReplicatedPostgres::start().await;
        let (cluster, ways) = behind_proxies(postgres.primary());
        let chat = cluster.start().await;
        let before = Before::of(&chat).await;
        let story = Story::begin(&chat).await;
        postgres.caught_up().await;
        if lost > 0 {
            postgres.cut_off();
        }
        let story = story.lose(&chat, lost).await;
        ways[1].set(Network::BlackHole);
        postgres.fail_over().await;
        ways[0].lead_to(postgres.standby_address());
        let mut story = story.go_on(&chat, chat.edge()).await;
        ways[1].lead_to(postgres.standby_address());
        ways[1].set(Network::Open);
        story.send_on(&chat, Role::Core(1)).await;
        story.verify(&chat).await;
        if lost > 0 {
            before.alarms(&chat, &[], &["PositionsAreLost"]).await;
            let mut logs = chat.core_roles().into_iter().map(|core| chat.log(core));
            assert!(logs.any(|log| log.contains("the database may have gone back")));
        }
    })
    .await;
}

#[tokio::test]
async fn a_failover_that_lost_nothing_closes_nothing() {
    fail_over(0).await;
}

#[tokio::test]
async fn a_failover_that_lost_less_than_what_follows_is_told() {
    fail_over(20).await;
}

#[tokio::test]
async fn a_failover_that_lost_more_than_what_follows_is_told() {
    fail_over(60).await;
}
