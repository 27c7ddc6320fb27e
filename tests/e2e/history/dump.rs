//! An older copy is restored on the same PostgreSQL server, which goes on: neither its identifier nor its timeline tells.

use netrox_harness::{TestChat, engine::PostgresServer, proxy::Network, run_test};

use super::{story::Story, ways::behind_proxies};

/// All cores end while what is done is done to their database.
async fn without_cores(chat: &mut TestChat, act: impl AsyncFnOnce(&TestChat)) {
    for core in chat.core_roles() {
        assert!(chat.terminate(core).await.success());
    }
    act(chat).await;
    for core in chat.core_roles() {
        chat.spawn(core).await;
    }
}

async fn restore_under_stopped_cores(lost: usize) {
    run_test(async {
        let postgres = PostgresServer::start().await;
        let (cluster, _ways) = behind_proxies(&postgres);
        let mut chat = cluster.start().await;
        let dump = chat.directory().join("dump");
        let story = Story::begin(&chat).await;
        chat.database().dump(&dump);
        let story = story.lose(&chat, lost).await;
        without_cores(&mut chat, async |chat| chat.database().restore(&dump)).await;
        let story = story.go_on(&chat, chat.edge()).await;
        story.verify(&chat).await;
    })
    .await;
}

#[tokio::test]
async fn a_dump_that_lacks_nothing_closes_nothing() {
    restore_under_stopped_cores(0).await;
}

#[tokio::test]
async fn a_dump_that_lacks_less_than_what_follows_is_told() {
    restore_under_stopped_cores(25).await;
}

/// Cores that go on, and had no way to the database meanwhile.
#[tokio::test]
async fn a_dump_that_is_restored_under_running_cores_is_told() {
    run_test(async {
        let postgres = PostgresServer::start().await;
        let (cluster, ways) = behind_proxies(&postgres);
        let chat = cluster.start().await;
        let dump = chat.directory().join("dump");
        let story = Story::begin(&chat).await;
        chat.database().dump(&dump);
        let story = story.lose(&chat, 60).await;
        ways.iter().for_each(|way| way.set(Network::Refused));
        chat.database().restore(&dump);
        ways.iter().for_each(|way| way.set(Network::Open));
        let mut story = story.go_on(&chat, chat.edge()).await;
        story.send_on(&chat, chat.core_roles()[1]).await;
        story.verify(&chat).await;
    })
    .await;
}

/// A copy of the files of a database, in which also the numbers of transactions are those of the original.
#[tokio::test]
async fn a_copy_of_the_files_of_a_database_is_told() {
    run_test(async {
        let postgres = PostgresServer::start().await;
        let (cluster, _ways) = behind_proxies(&postgres);
        let mut chat = cluster.start().await;
        let story = Story::begin(&chat).await;
        without_cores(&mut chat, async |chat| drop(chat.database().copy_as("copy_of_it").await))
            .await;
        chat.ready().await;
        let story = story.lose(&chat, 25).await;
        without_cores(&mut chat, async |chat| chat.database().replace_by("copy_of_it").await).await;
        let story = story.go_on(&chat, chat.edge()).await;
        story.verify(&chat).await;
    })
    .await;
}
