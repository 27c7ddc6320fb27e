//! Restarts and crashes lose nothing, and no history ends with them.

use netrox_harness::{
    Arrangement, Engine, TestChat, engine::PostgresServer, process::Signal, run_test,
};

use super::{bookmark::Bookmark, crowd::Crowd, ways::builder};

/// All that was there before goes on, and so do positions of every age.
async fn goes_on(chat: &TestChat, crowd: &mut Crowd, bookmarks: &mut Vec<Bookmark>) {
    crowd.send_all(chat, chat.core_role(), "after", 5).await;
    crowd.all_shown().await;
    crowd.newcomers_are_shown_everything(chat, chat.core_role()).await;
    for bookmark in &*bookmarks {
        for core in chat.core_roles() {
            let resumed = crowd.resume(chat, core, bookmark).await;
            crowd.goes_on(resumed, bookmark).await;
        }
        crowd.devices_go_on(chat, bookmark).await;
        bookmark.names_its_history();
    }
    bookmarks.push(crowd.bookmark(chat).await);
}

#[tokio::test]
async fn a_restart_of_postgres_closes_nothing() {
    run_test(async {
        let mut postgres = PostgresServer::start().await;
        let cluster = builder(Arrangement::Cluster);
        let chat = cluster.engine(Engine::Postgres, postgres.server()).start().await;
        let mut crowd = Crowd::gather(&chat).await;
        let mut bookmarks = vec![crowd.bookmark(&chat).await];
        crowd.send_all(&chat, chat.core_role(), "before", 5).await;
        crowd.all_shown().await;
        bookmarks.push(crowd.bookmark(&chat).await);
        for round in 0..3 {
            match round {
                0 => postgres.stop().await,
                1 => postgres.stop_immediately().await,
                _ => postgres.kill(),
            }
            postgres.start_again().await;
            goes_on(&chat, &mut crowd, &mut bookmarks).await;
        }
        crowd.histories_are_whole(&chat).await;
    })
    .await;
}

#[tokio::test]
async fn a_crash_of_cores_on_postgres_closes_nothing() {
    run_test(async {
        let mut chat = builder(Arrangement::Cluster).start().await;
        let mut crowd = Crowd::gather(&chat).await;
        let mut bookmarks = vec![crowd.bookmark(&chat).await];
        crowd.send_all(&chat, chat.core_role(), "before", 5).await;
        crowd.all_shown().await;
        bookmarks.push(crowd.bookmark(&chat).await);
        let cores = chat.core_roles();
        for ended in [&cores[..1], &cores[1..], &cores] {
            for core in ended {
                chat.kill(*core);
            }
            for core in ended {
                chat.spawn(*core).await;
            }
            chat.ready().await;
            goes_on(&chat, &mut crowd, &mut bookmarks).await;
        }
        crowd.histories_are_whole(&chat).await;
    })
    .await;
}

#[tokio::test]
async fn a_crash_of_a_core_on_sqlite_closes_nothing() {
    run_test(async {
        let mut chat = builder(Arrangement::Split).edges(2).start().await;
        let core = chat.core_role();
        let mut crowd = Crowd::gather(&chat).await;
        let mut bookmarks = vec![crowd.bookmark(&chat).await];
        crowd.send_all(&chat, core, "before", 5).await;
        crowd.all_shown().await;
        bookmarks.push(crowd.bookmark(&chat).await);
        for end in [Signal::KILL, Signal::TERM, Signal::KILL] {
            chat.process(core).signal(end);
            chat.ended(core).await;
            chat.spawn(core).await;
            goes_on(&chat, &mut crowd, &mut bookmarks).await;
        }
        crowd.histories_are_whole(&chat).await;
    })
    .await;
}
