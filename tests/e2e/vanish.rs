//! Files that are not where they were: nothing is made in their place, nothing is acknowledged without them, and those of
//! another are let alone.

mod attachment;
mod copy;
mod running;
mod start;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use netrox_harness::{Role, TestChat, User, process};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

/// Every file below a directory, with its bytes.
fn content(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).expect("a directory").flatten() {
            let path = entry.path();
            if path.is_dir() {
                directories.push(path);
            } else {
                let bytes = fs::read(&path).expect("a file");
                files.insert(path, bytes);
            }
        }
    }
    files
}

/// Removes what is in a directory, and puts such content in.
fn restore(directory: &Path, content: &BTreeMap<PathBuf, Vec<u8>>) {
    fs::remove_dir_all(directory).expect("removed");
    fs::create_dir_all(directory).expect("a directory");
    for (path, bytes) in content {
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, bytes).expect("a file");
    }
}

/// Another program's connection to the database of a core that runs.
async fn open(database: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(database);
    SqliteConnection::connect_with(&options).await.expect("a database")
}

/// A backup, as the operator's page says.
async fn back_up(chat: &TestChat, to: &Path) {
    let mut connection = open(&chat.data_dir().join("chat.db")).await;
    let copied = sqlx::query("vacuum into $1").bind(to.to_str().expect("a path of text"));
    copied.execute(&mut connection).await.expect("a copy");
    connection.close().await.expect("closed");
}

/// Starts a core, or all in one, that is to be refused. Gives its one line.
async fn refused(chat: &TestChat, settings: &[(&str, &str)]) -> String {
    let role = if chat.core_role() == Role::Serve { "serve" } else { "core" };
    let data_dir = chat.data_dir();
    let mut variables = vec![
        ("NETROX_CHAT_DATA_DIR", data_dir.to_str().expect("a path of text")),
        ("NETROX_CHAT_HTTP_ADDR", "127.0.0.1:0"),
        ("NETROX_CHAT_GRPC_ADDR", "127.0.0.1:0"),
        ("NETROX_CHAT_JWT_SECRET", netrox_harness::settings::JWT_SECRET),
        ("NETROX_CHAT_SERVICE_TOKEN", netrox_harness::settings::SERVICE_TOKEN),
    ];
    variables.extend(settings);
    let ended = process::run(chat.directory(), [role], variables).await;
    assert_eq!(ended.status.code(), Some(2), "{ended:?}");
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(lines.len(), 1, "{ended:?}");
    lines[0].to_owned()
}

/// Two users, of whom the first has sent a message and a file.
async fn talk(chat: &TestChat) -> (User, User, String) {
    let (ada, mut at_ada) = chat.join("ada").await;
    let (bob, mut at_bob) = chat.join("bob").await;
    at_ada.say(&bob, "hello").await;
    at_bob.expect_body("hello").await;
    let file = chat.upload_file(&ada, &bob, "a.txt", "0123456789").await;
    let path = file["attached_file"].as_str().expect("a path").to_owned();
    (ada, bob, path)
}
