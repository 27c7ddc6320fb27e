//! A history that moves from SQLite to PostgreSQL is the same history.

use netrox_harness::{Arrangement, database::Database, process, run_test};

use super::{crowd::Crowd, ways::builder};

#[tokio::test]
async fn a_move_to_postgres_closes_nothing() {
    run_test(async {
        let mut chat = builder(Arrangement::Split).edges(2).start().await;
        let core = chat.core_role();
        let mut crowd = Crowd::gather(&chat).await;
        let mut bookmarks = Vec::new();
        for what in ["early", "before"] {
            crowd.send_all(&chat, core, what, 10).await;
            crowd.all_shown().await;
            bookmarks.push(crowd.bookmark(&chat).await);
        }
        assert!(chat.terminate(core).await.success());
        let source = format!("sqlite://{}", chat.data_dir().join("chat.db").display());
        let target = Database::create_on_shared().await;
        let variables = [("NETROX_CHAT_FROM", source), ("NETROX_CHAT_TO", target.url())];
        let ended = process::run(chat.directory(), ["migrate"], variables).await;
        assert!(ended.status.success(), "{ended:?}");
        chat.move_to(target);
        chat.spawn(core).await;
        let mut resumed = Vec::new();
        for bookmark in &bookmarks {
            resumed.push(crowd.resume(&chat, core, bookmark).await);
        }
        crowd.send_all(&chat, core, "after", 10).await;
        crowd.all_shown().await;
        crowd.newcomers_are_shown_everything(&chat, core).await;
        for (resumed, bookmark) in resumed.into_iter().zip(&bookmarks) {
            crowd.goes_on(resumed, bookmark).await;
            crowd.devices_go_on(&chat, bookmark).await;
            bookmark.names_its_history();
        }
        crowd.histories_are_whole(&chat).await;
    })
    .await;
}
