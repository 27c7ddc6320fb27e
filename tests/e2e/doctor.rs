//! `netrox-chat doctor` and `netrox-chat check`: each fault is one finding with what to do, what is well is none, and nothing is
//! left, also beside servers that run.
//!
//! * [`faults`]: what is wrong with settings and engines.

mod faults;

use std::{collections::BTreeSet, fs, path::Path};

use netrox_harness::{
    Arrangement, Role, TestChat, each,
    process::Ended,
    s3::{BUCKET, S3Server},
};
use serde_json::Value;

each![
    ; sqlite: a_server_on_sqlite_is_well_while_it_runs_and_after_it;
    serve: a_bucket_is_well_and_nothing_is_left_in_it;
    cluster: a_cluster_is_well_and_goes_on,
];

/// All paths below a directory.
fn paths(directory: &Path) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(next) = directories.pop() {
        for entry in fs::read_dir(next).expect("a directory") {
            let path = entry.expect("an entry").path();
            paths.insert(path.to_string_lossy().into_owned());
            if path.is_dir() {
                directories.push(path);
            }
        }
    }
    paths
}

#[track_caller]
fn assert_well(ended: &Ended) {
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(ended.stdout, "", "{ended:?}");
    assert!(ended.stderr.contains("nothing is wrong"), "{ended:?}");
}

/// What a process works on, as `doctor` and `check` find it.
async fn look(chat: &TestChat, role: Role) {
    let before = paths(chat.directory());
    assert_well(&chat.run_before(&["doctor"], role).await);
    let json = chat.run_before(&["doctor", "--json"], role).await;
    assert_eq!(json.status.code(), Some(0), "{json:?}");
    let report: Value = serde_json::from_str(&json.stdout).expect("a line of JSON");
    assert_eq!(report["findings"], serde_json::json!([]), "{report}");
    assert!(!report["facts"].as_array().expect("facts").is_empty(), "{report}");
    let checked = chat.run_before(&["check"], role).await;
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
    assert!(checked.stdout.ends_with("are good\n"), "{checked:?}");
    assert_eq!(paths(chat.directory()), before);
}

async fn a_cluster_is_well_and_goes_on(arrangement: Arrangement) {
    let builder = TestChat::builder(arrangement).cores(1).edges(1);
    let chat = builder.set("max-connections", "100").start().await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    ada_socket.say(&bob, "before").await;
    bob_socket.expect_body("before").await;
    for role in chat.roles() {
        look(&chat, role).await;
    }
    let left = "select count(*) from pg_namespace where nspname like 'pg_temp%'";
    assert_eq!(chat.count(left).await, 0);
    assert_eq!(chat.count("select count(*) from messages").await, 1);
    bob_socket.say(&ada, "after").await;
    ada_socket.expect_body("after").await;
}

async fn a_server_on_sqlite_is_well_while_it_runs_and_after_it(arrangement: Arrangement) {
    let mut chat = TestChat::builder(arrangement).set("max-connections", "100").start().await;
    let (_ada, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    for role in chat.roles() {
        look(&chat, role).await;
    }
    ada_socket.say(&bob, "after").await;
    bob_socket.expect_body("after").await;
    // With the log of a server that was killed, and without one.
    let core = chat.core_role();
    chat.kill(core);
    look(&chat, core).await;
    chat.spawn(core).await;
    assert_eq!(chat.terminate(core).await.code(), Some(0));
    look(&chat, core).await;
}

async fn a_bucket_is_well_and_nothing_is_left_in_it(arrangement: Arrangement) {
    let s3 = S3Server::start();
    let builder = TestChat::builder(arrangement).set("max-connections", "100");
    let chat = s3.serves(builder, &[Role::Serve], "some/prefix").start().await;
    let before = s3.keys();
    let ended = chat.run_before(&["doctor"], Role::Serve).await;
    assert_well(&ended);
    assert!(ended.stderr.contains(&format!("s3://{BUCKET}/some/prefix takes")), "{ended:?}");
    assert_eq!(s3.keys(), before);
    assert!(s3.unfinished_parts().is_empty(), "{:?}", s3.unfinished_parts());
}
