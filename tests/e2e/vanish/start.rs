//! A database is made only where there is nothing of another.

use std::{
    fs::{self, remove_file as remove},
    os::unix::fs::symlink,
    path::Path,
    time::Duration,
};

use netrox_harness::{Arrangement, TestChat, each};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{content, refused, restore, talk};
use crate::flow::seed;

each![;
    sqlite: a_database_that_vanished_is_not_made_anew,
        a_database_elsewhere_is_missed,
        another_database_in_its_place_is_refused,
        one_of_an_earlier_version_is_known_by_its_log,
        a_first_start_that_was_killed_is_gone_on_with
];

async fn a_database_that_vanished_is_not_made_anew(arrangement: Arrangement) {
    let mut chat = TestChat::start(arrangement).await;
    let (ada, bob, _) = talk(&chat).await;
    let stored = chat.history(&ada, &bob).await;
    let (core, data) = (chat.core_role(), chat.data_dir());
    chat.kill(core);
    let whole = content(&data);
    let log = fs::metadata(data.join("chat.db-wal")).expect("a log").len();
    assert!(log > 0, "messages are in the log");

    type Harm = fn(&Path);
    // What is done, and what of the rest is named.
    let harms: [(Harm, &str, &[&str]); 6] = [
        (
            |data| remove(data.join("chat.db")).expect("removed"),
            "missing",
            &["chat.db-wal", "chat.db.lock"],
        ),
        (
            |data| fs::write(data.join("chat.db"), "").expect("emptied"),
            "empty",
            &["chat.db-wal", "attachments"],
        ),
        (
            |data| {
                for name in ["chat.db", "chat.db-wal", "chat.db-shm"] {
                    remove(data.join(name)).expect("removed");
                }
                fs::remove_dir_all(data.join("media")).expect("removed");
            },
            "missing",
            &["chat.db.lock", "data/lock"],
        ),
        (
            |data| {
                for name in ["chat.db", "chat.db-wal", "chat.db-shm", "chat.db.lock", "lock"] {
                    remove(data.join(name)).expect("removed");
                }
            },
            "missing",
            &["media/attachments"],
        ),
        // The locks of an earlier version say nothing.
        (
            |data| {
                remove(data.join("chat.db")).expect("removed");
                fs::remove_dir_all(data.join("media")).expect("removed");
                for name in ["chat.db.lock", "lock"] {
                    fs::write(data.join(name), "").expect("emptied");
                }
            },
            "missing",
            &["chat.db-wal"],
        ),
        (
            |data| {
                let target = data.join("elsewhere.db");
                remove(data.join("chat.db")).expect("removed");
                symlink(target, data.join("chat.db")).expect("a link");
            },
            "missing",
            &["media/attachments"],
        ),
    ];
    for (number, (harm, state, named)) in harms.into_iter().enumerate() {
        harm(&data);
        let left: Vec<_> = fs::read_dir(&data).expect("a directory").flatten().collect();
        let left: Vec<_> = left.into_iter().map(|entry| entry.file_name()).collect();
        let line = refused(&chat, &[]).await;
        assert!(line.contains(&format!("chat.db is {state}")), "{number}: {line}");
        for name in named {
            assert!(line.contains(name), "{number}: {name} is not in {line}");
        }
        let there: Vec<_> = fs::read_dir(&data).expect("a directory").flatten().collect();
        let there: Vec<_> = there.into_iter().map(|entry| entry.file_name()).collect();
        assert_eq!(there, left, "{number}: something was touched");
        restore(&data, &whole);
    }
    chat.spawn(core).await;
    chat.ready().await;
    assert_eq!(chat.history(&bob, &ada).await, stored);
}

/// A file system that is not mounted leaves an empty directory.
async fn a_database_elsewhere_is_missed(arrangement: Arrangement) {
    let elsewhere = tempfile::tempdir().expect("a directory");
    let volume = elsewhere.path().join("volume");
    fs::create_dir(&volume).expect("a directory");
    let url = format!("sqlite://{}", volume.join("other.db").display());
    let mut chat = TestChat::builder(arrangement).set("database-url", &url).start().await;
    let (ada, mut at_ada) = chat.join("ada").await;
    let (bob, mut at_bob) = chat.join("bob").await;
    at_ada.say(&bob, "hello").await;
    at_bob.expect_body("hello").await;
    let core = chat.core_role();
    assert!(chat.terminate(core).await.success());

    let unmounted = elsewhere.path().join("unmounted");
    fs::rename(&volume, &unmounted).expect("renamed");
    fs::create_dir(&volume).expect("a directory");
    let line = refused(&chat, &[("NETROX_CHAT_DATABASE_URL", &url)]).await;
    assert!(line.starts_with("error: NETROX_CHAT_DATABASE_URL: "), "{line}");
    assert!(line.contains("other.db is missing") && line.contains("data/lock"), "{line}");
    assert_eq!(fs::read_dir(&volume).expect("a directory").count(), 0, "something was made");

    fs::remove_dir(&volume).expect("removed");
    fs::rename(&unmounted, &volume).expect("renamed");
    chat.spawn(core).await;
    chat.ready().await;
    assert_eq!(chat.history(&ada, &bob).await.len(), 1);
}

/// A database without a table is as good as none.
async fn another_database_in_its_place_is_refused(arrangement: Arrangement) {
    let mut chat = TestChat::start(arrangement).await;
    talk(&chat).await;
    let (core, data) = (chat.core_role(), chat.data_dir());
    assert!(chat.terminate(core).await.success());
    let database = data.join("chat.db");
    remove(&database).expect("removed");
    let options = SqliteConnectOptions::new().filename(&database).create_if_missing(true);
    let mut other = SqliteConnection::connect_with(&options).await.expect("another database");
    sqlx::query("create table other (id integer)").execute(&mut other).await.expect("a table");
    other.close().await.expect("closed");
    let line = refused(&chat, &[]).await;
    assert!(line.contains("chat.db") && line.contains("no table of netrox-chat"), "{line}");
}

/// Its locks are written at the first start of this version.
async fn one_of_an_earlier_version_is_known_by_its_log(arrangement: Arrangement) {
    let mut chat = TestChat::start(arrangement).await;
    let (ada, mut at_ada) = chat.join("ada").await;
    let (bob, mut at_bob) = chat.join("bob").await;
    at_ada.say(&bob, "hello").await;
    at_bob.expect_body("hello").await;
    let (core, data) = (chat.core_role(), chat.data_dir());
    assert!(chat.terminate(core).await.success());
    for name in ["chat.db.lock", "lock"] {
        fs::write(data.join(name), "").expect("emptied");
    }
    chat.spawn(core).await;
    chat.ready().await;
    assert_eq!(chat.history(&ada, &bob).await.len(), 1);
    assert!(chat.terminate(core).await.success());
    remove(data.join("chat.db")).expect("removed");
    let line = refused(&chat, &[]).await;
    assert!(
        line.contains("chat.db is missing, but there is") && line.contains("chat.db.lock"),
        "{line}"
    );
}

/// Whatever it has left is nothing that anybody wrote.
async fn a_first_start_that_was_killed_is_gone_on_with(arrangement: Arrangement) {
    let mut random = StdRng::seed_from_u64(seed());
    let mut chat = TestChat::start(arrangement).await;
    let (core, data) = (chat.core_role(), chat.data_dir());
    chat.kill(core);
    let empty = |name: &str| fs::write(data.join(name), "").expect("emptied");
    for left in [&["lock"][..], &["lock", "chat.db.lock"], &["lock", "chat.db.lock", "chat.db"]] {
        fs::remove_dir_all(&data).expect("removed");
        fs::create_dir(&data).expect("a directory");
        left.iter().for_each(|name| empty(name));
        chat.spawn(core).await;
        chat.kill(core);
    }
    for _ in 0..10 {
        fs::remove_dir_all(&data).expect("removed");
        // Any moment is as good as another.
        chat.begin(core);
        tokio::time::sleep(Duration::from_millis(random.random_range(5..80))).await;
        chat.kill(core);
        chat.spawn(core).await;
        chat.kill(core);
    }
    chat.spawn(core).await;
    chat.ready().await;
    talk(&chat).await;
}
