//! A backup is recovered up to a point in time, on another server that takes the place of the first.

use netrox_harness::{engine::ArchivedPostgres, proxy::Network, run_test};

use super::{story::Story, ways::behind_proxies};

/// The cores go on, and have no way to a database meanwhile.
#[tokio::test]
async fn a_recovery_up_to_a_point_in_time_is_told() {
    run_test(async {
        let mut postgres = ArchivedPostgres::start().await;
        let (cluster, ways) = behind_proxies(postgres.server());
        let chat = cluster.start().await;
        let story = Story::begin(&chat).await;
        let point = postgres.now().await;
        let story = story.lose(&chat, 25).await;
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
