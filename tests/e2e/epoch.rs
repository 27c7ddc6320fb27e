//! `netrox-chat epoch renew`: an operator says that the database has gone back, where nothing else can tell.

use std::{fs, os::unix::fs::FileExt as _};

use netrox_harness::{
    Arrangement, TestChat, each,
    process::{self, Ended},
    socket::End,
};

each![
    a_renewed_epoch_closes_every_socket, a_database_that_is_not_there_is_not_made;
    serve: a_renewal_that_fails_says_at_what
];

async fn renew(chat: &TestChat, database: &str) -> Ended {
    process::run(chat.directory(), ["epoch", "renew"], [("NETROX_CHAT_DATABASE_URL", database)])
        .await
}

fn database(chat: &TestChat) -> String {
    match chat.arrangement() {
        Arrangement::Cluster => chat.database().url(),
        _ => format!("sqlite://{}", chat.data_dir().join("chat.db").display()),
    }
}

async fn a_renewed_epoch_closes_every_socket(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    ada_socket.say(&bob, "before").await;
    let before = bob_socket.expect_body("before").await;
    let renewed = renew(&chat, &database(&chat)).await;
    assert!(renewed.status.success(), "{}", renewed.stderr);
    assert_eq!(renewed.stdout.trim().len(), 25, "the name of the history: {}", renewed.stdout);
    // Both have a position, also who has only sent.
    for socket in [&mut ada_socket, &mut bob_socket] {
        assert_eq!(socket.end().await, End::Closed(1001));
    }
    let (mut ada_socket, mut bob_socket) = (chat.connect(&ada).await, chat.connect(&bob).await);
    ada_socket.say(&bob, "after").await;
    let after = bob_socket.expect_body("after").await;
    let id = |frame: &serde_json::Value| frame["created_msg_id"].as_i64().expect("an id");
    assert!(id(&after) > id(&before) + 100_000, "clients may have seen ids in between");
    bob_socket.expect_silence(&bob, &mut ada_socket).await;
    let history = chat.history(&bob, &ada).await;
    let bodies: Vec<_> = history.iter().map(|message| &message["message"]).collect();
    assert_eq!(bodies[..2], ["before", "after"]);
}

async fn a_database_that_is_not_there_is_not_made(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let missing = chat.directory().join("missing.db");
    let ended = renew(&chat, &format!("sqlite://{}", missing.display())).await;
    assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("missing.db"), "{}", ended.stderr);
    assert!(!missing.exists());
}

async fn a_renewal_that_fails_says_at_what(arrangement: Arrangement) {
    const HEADER_BYTES: u64 = 100;
    let mut chat = TestChat::start(arrangement).await;
    let renew_in = async |directory: &str| {
        let arguments = ["epoch", "renew", "--data-dir", directory];
        process::run(chat.directory(), arguments, [("", ""); 0]).await
    };
    let ended = renew_in("missing").await;
    assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
    assert!(ended.stderr.starts_with("error: --data-dir: "), "{}", ended.stderr);

    // Nobody listens there.
    let ended = renew(&chat, "postgres://127.0.0.1:1/chat").await;
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert!(ended.stderr.starts_with("error: the renewal failed: "), "{}", ended.stderr);

    let role = chat.core_role();
    assert!(chat.terminate(role).await.success());
    let path = chat.data_dir().join("chat.db");
    let file = fs::File::options().write(true).open(&path).expect("the database");
    file.write_all_at(&[0xff; 3_000], HEADER_BYTES).expect("damaged");
    let ended = renew(&chat, &database(&chat)).await;
    assert_eq!(ended.status.code(), Some(3), "{}", ended.stderr);
    assert!(ended.stderr.starts_with("error: the storage is damaged: "), "{}", ended.stderr);
}
