//! What is kept where.

use netrox_harness::{Arrangement, TestChat, each, process};

each![
    two_processes_never_share_a_data_directory,
    messages_and_files_outlive_the_process;
    sqlite: database_and_media_go_where_they_are_told;
    split: an_edge_keeps_nothing
];

async fn two_processes_never_share_a_data_directory(arrangement: Arrangement) {
    let mut chat = TestChat::start(arrangement).await;
    let data_dir = chat.data_dir();
    let data_dir = data_dir.to_str().expect("a path");
    for role in ["serve", "core"] {
        let mut arguments = vec![role, "--data-dir", data_dir, "--grpc-addr", "127.0.0.1:0"];
        if role == "serve" {
            arguments.extend(["--http-addr", "127.0.0.1:0"]);
        }
        let none: [(&str, &str); 0] = [];
        let ended = process::run(chat.directory(), arguments, none).await;
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
        assert!(ended.stderr.contains(data_dir), "{ended:?}");
    }
    // The first one has not noticed, and leaves no lock behind when it is killed.
    chat.ready().await;
    let core = chat.core_role();
    chat.restart(core).await;
}

async fn messages_and_files_outlive_the_process(arrangement: Arrangement) {
    let mut chat = TestChat::start(arrangement).await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    ada_socket.say(&bob, "hello").await;
    bob_socket.expect_body("hello").await;
    let file = chat.upload_file(&ada, &bob, "a.txt", "content").await;
    let history = chat.history(&ada, &bob).await;
    for role in chat.roles() {
        chat.kill(role);
    }
    for role in chat.roles() {
        chat.spawn(role).await;
    }
    chat.ready().await;
    assert_eq!(chat.history(&bob, &ada).await, history);
    let path = file["attached_file"].as_str().expect("a path");
    assert_eq!(chat.get(path).send().await.text(), "content");
    let mut bob_socket = chat.connect(&bob).await;
    let mut ada_socket = chat.connect(&ada).await;
    ada_socket.say(&bob, "good morning").await;
    let frame = bob_socket.expect_body("good morning").await;
    assert!(frame["created_msg_id"].as_i64() > file["id"].as_i64(), "{frame}");
}

async fn database_and_media_go_where_they_are_told(arrangement: Arrangement) {
    let elsewhere = tempfile::tempdir().expect("a directory");
    let (database, media) = (elsewhere.path().join("other.db"), elsewhere.path().join("files"));
    let chat = TestChat::builder(arrangement)
        .set("database-url", format!("sqlite://{}", database.display()))
        .set("media-url", format!("file://{}", media.display()))
        .start()
        .await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let file = chat.upload_file(&ada, &bob, "a.txt", "content").await;
    let path = file["attached_file"].as_str().expect("a path");
    assert_eq!(chat.get(path).send().await.text(), "content");
    assert!(database.is_file());
    let stored = path.strip_prefix("/mediafiles/").expect("the prefix");
    assert_eq!(std::fs::read(media.join(stored)).expect("the file"), b"content");
    assert!(!chat.data_dir().join("chat.db").exists());
    assert!(chat.media_files().is_empty());
}

async fn an_edge_keeps_nothing(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    chat.upload_file(&ada, &bob, "a.txt", vec![b'a'; 300_000]).await;
    let mut entries = std::fs::read_dir(chat.directory()).expect("the directory");
    // The data directory of the core, and nothing beside it.
    assert_eq!(entries.next().expect("an entry").expect("an entry").path(), chat.data_dir());
    assert!(entries.next().is_none());
}
