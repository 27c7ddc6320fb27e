//! A backup is recovered up to a point in time, on another server that takes the place of the first.

use netrox_harness::{
    engine::{ArchivedPostgres, RecoveryTarget},
    proxy::Network,
    run_test,
};

use super::{story::Story, ways::behind_proxies};

/// The cores go on, and have no way to a database meanwhile.
async fn recover(target: RecoveryTarget, lost: usize) {
    run_test(async {
        let mut postgres = ArchivedPostgres::start().await;
        let (cluster, ways) = behind_proxies(postgres.server());
        let chat = cluster.start().await;
        let story = Story::begin(&chat).await;
        let point = postgres.now(target).await;
        let story = story.lose(&chat, lost).await;
        ways.iter().for_each(|way| way.set(Network::Refused));
        postgres.recover(&point).await;
        for way in &ways {
            way.lead_to(postgres.recovered_address());
            way.set(Network::Open);
        }
        let mut story = story.go_on(&chat, chat.edge()).await;
        story.send_on(&chat, chat.core_roles()[1]).await;
        story.verify(&chat).await;
    })
    .await;
}

#[tokio::test]
async fn a_recovery_up_to_a_place_in_the_log_is_told() {
    recover(RecoveryTarget::Lsn, 25).await;
}

#[tokio::test]
async fn a_recovery_up_to_a_time_is_told() {
    recover(RecoveryTarget::Time, 60).await;
}
