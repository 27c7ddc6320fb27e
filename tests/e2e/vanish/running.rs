//! A core whose database is no longer where it was ends with status 3, after which nobody starts it again by himself.

use std::{
    fs::{self, remove_file as remove},
    os::unix::fs::FileExt as _,
    path::Path,
};

use netrox_harness::{Arrangement, TestChat, each, eventually};
use sqlx::Connection as _;

use super::{back_up, open, refused, talk};

each![;
    sqlite: a_core_ends_whose_files_are_gone,
        a_backup_put_in_the_place_of_an_open_database_stays_sound,
        what_is_left_of_a_removed_database_is_kept,
        damage_ends_a_core
];

const DAMAGED: Option<i32> = Some(3);

/// The process has ended as damaged, and said once which file it was.
async fn ends(chat: &mut TestChat, file: &str) {
    let core = chat.core_role();
    let log = chat.log(core);
    assert_eq!(chat.ended(core).await.code(), DAMAGED, "{:#?}", log.lines());
    let said = log.lines().into_iter().filter(|line| {
        line.contains("was removed or replaced while it was open") && line.contains(file)
    });
    assert_eq!(said.count(), 1, "{:#?}", log.lines());
}

async fn a_core_ends_whose_files_are_gone(arrangement: Arrangement) {
    type Harm = fn(&Path);
    let harms: [(Harm, &str); 4] = [
        // Whichever went first.
        (|data| fs::remove_dir_all(data).expect("removed"), ""),
        (|data| fs::rename(data, data.with_extension("moved")).expect("moved"), "chat.db"),
        (|data| remove(data.join("chat.db-wal")).expect("removed"), "chat.db-wal"),
        // A second process could start.
        (
            |data| {
                remove(data.join("chat.db.lock")).expect("removed");
                fs::write(data.join("chat.db.lock"), "").expect("replaced");
            },
            "chat.db.lock",
        ),
    ];
    for (harm, file) in harms {
        let mut chat = TestChat::builder(arrangement).set("store-wait", "0").start().await;
        let (ada, bob, _) = talk(&chat).await;
        let stored = chat.history(&ada, &bob).await;
        let (_, mut at_cyd) = chat.join("cyd").await;
        harm(&chat.data_dir());
        ends(&mut chat, file).await;
        if arrangement == Arrangement::Split {
            // What is sent from now on is refused.
            eventually("a refusal", async || {
                at_cyd.say(&bob, "into the void").await;
                (at_cyd.next().await["code"] == "unavailable").then_some(())
            })
            .await;
        }
        if chat.data_dir().join("chat.db").exists() {
            // What was in the log was saved.
            let core = chat.core_role();
            chat.spawn(core).await;
            chat.ready().await;
            assert_eq!(chat.history(&ada, &bob).await, stored);
        }
    }
}

async fn a_backup_put_in_the_place_of_an_open_database_stays_sound(arrangement: Arrangement) {
    let mut chat = TestChat::start(arrangement).await;
    let (ada, bob, _) = talk(&chat).await;
    let (core, data) = (chat.core_role(), chat.data_dir());
    let backup = chat.directory().join("backup.db");
    back_up(&chat, &backup).await;
    let stored = chat.history(&ada, &bob).await;
    let mut at_ada = chat.connect(&ada).await;
    let mut at_bob = chat.connect(&bob).await;
    at_ada.say(&bob, "after the backup").await;
    at_bob.expect_body("after the backup").await;
    // The log of the old database stays, as an operator forgets it.
    fs::rename(&backup, data.join("chat.db")).expect("replaced");
    ends(&mut chat, "chat.db").await;
    let line = refused(&chat, &[]).await;
    assert!(line.contains("chat.db was put in the place of") && line.contains("-wal"), "{line}");

    remove(data.join("chat.db-wal")).expect("removed");
    chat.spawn(core).await;
    chat.ready().await;
    assert_eq!(chat.history(&bob, &ada).await, stored);
    let mut connection = open(&data.join("chat.db")).await;
    let check: String = sqlx::query_scalar("pragma integrity_check")
        .fetch_one(&mut connection)
        .await
        .expect("a check");
    assert_eq!(check, "ok");
    connection.close().await.expect("closed");
}

/// The log may be all that there is.
async fn what_is_left_of_a_removed_database_is_kept(arrangement: Arrangement) {
    let mut chat = TestChat::start(arrangement).await;
    talk(&chat).await;
    let data = chat.data_dir();
    let log = fs::metadata(data.join("chat.db-wal")).expect("a log").len();
    remove(data.join("chat.db")).expect("removed");
    ends(&mut chat, "chat.db").await;
    assert_eq!(fs::metadata(data.join("chat.db-wal")).expect("a log").len(), log);
    let line = refused(&chat, &[]).await;
    assert!(line.contains("chat.db is missing") && line.contains("chat.db-wal"), "{line}");
}

/// Found when it is read.
async fn damage_ends_a_core(arrangement: Arrangement) {
    const PAGE_BYTES: u64 = 4096;
    let mut chat = TestChat::start(arrangement).await;
    let (ada, bob, _) = talk(&chat).await;
    let (core, database) = (chat.core_role(), chat.data_dir().join("chat.db"));
    let mut connection = open(&database).await;
    let roots = "select rootpage from sqlite_schema where tbl_name = 'messages' and rootpage > 0";
    let roots: Vec<i64> =
        sqlx::query_scalar(roots).fetch_all(&mut connection).await.expect("the pages of a table");
    connection.close().await.expect("closed");
    assert!(chat.terminate(core).await.success());
    chat.spawn(core).await;
    chat.ready().await;
    let file = fs::File::options().write(true).open(&database).expect("the database");
    for page in roots {
        let at = (u64::try_from(page).expect("a page") - 1) * PAGE_BYTES;
        file.write_all_at(&[0xff; PAGE_BYTES as usize], at).expect("damaged");
    }
    let path = format!("/chat/messages/{}/", bob.id);
    let edge = chat.edge_of(&ada);
    eventually("the end of the core", async || {
        // It may be gone before it has answered, and the edge may refuse what has not come to it.
        let _ = edge.get(&path).bearer(&ada.token).try_send().await;
        (!chat.process(core).is_running()).then_some(())
    })
    .await;
    assert_eq!(chat.ended(core).await.code(), DAMAGED);
}
