//! `netrox-chat backup` and `netrox-chat restore`, beside a server that runs.

mod damage;
mod load;
mod returning;

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use netrox_harness::{
    Arrangement, Role, TestChat, each,
    process::{self, Ended},
    s3::{BUCKET, S3Server},
    small_disk::SmallDisk,
};
use serde_json::{Value, json};

each![
    ; serve: files_are_copied_once_and_go_when_no_kept_backup_names_them,
    a_bucket_takes_backups_and_gives_them_back,
    a_bucket_out_of_reach_is_no_wrong_setting,
    a_full_disk_leaves_the_backups_before,
    one_backup_at_a_time_and_of_sqlite_alone,
];

/// A command line of the program, and what it left behind.
async fn run(chat: &TestChat, arguments: &[&str]) -> Ended {
    process::run(chat.directory(), arguments, [("", ""); 0]).await
}

#[track_caller]
fn assert_ended(ended: &Ended, code: i32, said: &str) {
    assert_eq!(ended.status.code(), Some(code), "{ended:?}");
    assert!(ended.stderr.contains(said), "{said:?}: {ended:?}");
}

/// What a command that succeeds prints.
#[track_caller]
fn printed(ended: &Ended) -> Value {
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    serde_json::from_str(&ended.stdout).expect("a line of JSON")
}

/// Backs up the server into `backups` of its directory.
async fn back_up(chat: &TestChat, more: &[&str]) -> Value {
    let arguments = [&["backup", "--data-dir", "data", "--to", "backups"], more].concat();
    printed(&run(chat, &arguments).await)
}

async fn restore(chat: &TestChat, backup: Option<&str>, data_dir: &str) -> Ended {
    let mut arguments = vec!["restore", "--from", "backups", "--data-dir", data_dir];
    arguments.extend(backup.into_iter().flat_map(|name| ["--backup", name]));
    run(chat, &arguments).await
}

/// A server on a data directory that is there.
async fn start_on(data_dir: &Path) -> TestChat {
    TestChat::builder(Arrangement::Serve)
        .set("data-dir", data_dir)
        .set("require-existing-data", "true")
        .start()
        .await
}

/// The names of the backups that say they are whole.
fn whole(chat: &TestChat) -> BTreeSet<String> {
    let backups = fs::read_dir(chat.directory().join("backups/backups")).into_iter().flatten();
    let backups = backups.map(|entry| entry.expect("an entry"));
    let backups = backups.filter(|entry| entry.path().join("manifest.json").exists());
    backups.map(|entry| entry.file_name().into_string().expect("a name")).collect()
}

/// The one file of a conversation, in the backups.
fn backed_up(chat: &TestChat, message: &Value) -> PathBuf {
    let path = message["attached_file"].as_str().expect("a path");
    let path = path.trim_start_matches("/mediafiles/");
    chat.directory().join("backups/files").join(path)
}

async fn files_are_copied_once_and_go_when_no_kept_backup_names_them(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let erased = chat.upload_file(&ada, &bob, "a.txt", "canary of the first file").await;
    let kept = chat.upload_file(&ada, &bob, "b.txt", "canary of the second file").await;
    let first = back_up(&chat, &["--verify"]).await;
    assert_eq!((&first["files"], &first["files_copied"]), (&json!(2), &json!(2)), "{first}");
    let inode = || backed_up(&chat, &kept).metadata().expect("a file").ino();
    let before = inode();
    let mode = backed_up(&chat, &kept).metadata().expect("a file").mode();
    assert_eq!(mode & 0o777, 0o600);

    chat.upload_file(&ada, &bob, "c.txt", "").await;
    let delete = format!("/v2/messages/{}?for=everyone", erased["id"]);
    let deleted = chat.edge().request("DELETE", &delete).bearer(&ada.token).send().await;
    assert_eq!(deleted.status, 204, "{deleted:?}");
    let second = back_up(&chat, &["--verify"]).await;
    assert_eq!((&second["files"], &second["files_copied"]), (&json!(2), &json!(1)), "{second}");
    assert_eq!(inode(), before, "it was copied again");
    // The first one names it.
    assert!(backed_up(&chat, &erased).exists());

    // What a backup that was killed leaves.
    let unfinished = chat.directory().join("backups/backups/20200101T000000.000000Z");
    fs::create_dir(&unfinished).expect("a directory");
    fs::write(unfinished.join("chat.db"), "half").expect("a file");
    let staged = backed_up(&chat, &kept).with_extension("txt#1");
    fs::write(&staged, "half").expect("a file");
    let third = back_up(&chat, &["--keep", "2"]).await;
    assert_eq!(third["removed"], json!([first["backup"]]), "{third}");
    assert_eq!((&third["files_copied"], &third["files_removed"]), (&json!(0), &json!(1)));
    assert!(!backed_up(&chat, &erased).exists() && backed_up(&chat, &kept).exists());
    assert!(!unfinished.exists() && !staged.exists());
    let names = [&second, &third].map(|made| made["backup"].as_str().expect("a name").to_owned());
    assert_eq!(whole(&chat), names.into());
    assert_eq!(
        printed(&run(&chat, &["restore", "--from", "backups", "--dry-run"]).await)["files"],
        2
    );
}

async fn a_bucket_takes_backups_and_gives_them_back(arrangement: Arrangement) {
    let s3 = S3Server::start();
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let large = vec![7; 6 * 1024 * 1024];
    let message = chat.upload_file(&ada, &bob, "a.bin", &large).await;
    let place = format!("s3://{BUCKET}/backups");
    let with_bucket =
        async |arguments: &[&str]| process::run(chat.directory(), arguments, s3.variables()).await;
    let arguments = ["backup", "--data-dir", "data", "--to", &place, "--verify", "--keep", "1"];
    let first = printed(&with_bucket(&arguments).await);
    assert_eq!(first["files_copied"], 1, "{first}");
    let second = printed(&with_bucket(&arguments).await);
    assert_eq!(
        (&second["files_copied"], &second["removed"]),
        (&json!(0), &json!([first["backup"]]))
    );
    assert_eq!(s3.keys().len(), 3, "{:?}", s3.keys());
    let arguments = ["restore", "--from", &place, "--data-dir", "restored"];
    assert_eq!(printed(&with_bucket(&arguments).await)["restored"], second["backup"]);
    let restored = start_on(&chat.directory().join("restored")).await;
    let path = message["attached_file"].as_str().expect("a path");
    assert!(restored.get(path).send().await.body == large, "it is another file");

    let key = s3.keys().into_iter().find(|key| key.contains("attachments")).expect("the file");
    fs::remove_file(s3.object(&key)).expect("remove a file");
    let ended = with_bucket(&["restore", "--from", &place, "--dry-run"]).await;
    assert_ended(&ended, 3, path.trim_start_matches("/mediafiles/"));

    // Files in a bucket are not copied.
    let media = format!("s3://{BUCKET}/media");
    let arguments = ["backup", "--data-dir", "data", "--media-url", &media, "--to", "backups"];
    let ended = run(&chat, &arguments).await;
    assert_ended(&ended, 0, &media);
    assert_eq!(printed(&ended)["files"], 0);
}

async fn a_bucket_out_of_reach_is_no_wrong_setting(arrangement: Arrangement) {
    let s3 = S3Server::start();
    let chat = TestChat::start(arrangement).await;
    let place = format!("s3://{BUCKET}/backups");
    let missing = "s3://no-such-bucket/backups";
    let arguments = |to| ["backup", "--data-dir", "data", "--to", to];
    let ended = process::run(chat.directory(), arguments(missing), s3.variables()).await;
    assert_ended(&ended, 2, "--to: ");
    // Nobody listens there.
    let variables = s3.variables().into_iter().map(|(name, value)| match name {
        "AWS_ENDPOINT" | "AWS_ENDPOINT_URL" => (name, "http://127.0.0.1:1".to_owned()),
        name => (name, value),
    });
    let variables: Vec<_> = variables.collect();
    let ended = process::run(chat.directory(), arguments(&place), variables).await;
    assert_ended(&ended, 1, "error: the backup failed: ");
}

async fn a_full_disk_leaves_the_backups_before(arrangement: Arrangement) {
    let disk = SmallDisk::mount(4 * 1024 * 1024);
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    chat.upload_file(&ada, &bob, "a.bin", vec![7; 10_000]).await;
    let place = disk.path().join("backups");
    let backup = async || {
        let mut command = process::command_by(&disk.launcher(), chat.directory());
        command.args(["backup", "--data-dir"]).arg(chat.data_dir());
        command.arg("--to").arg(&place).arg("--verify");
        process::run_command(command).await
    };
    printed(&backup().await);
    let files = disk.files_below("backups");
    disk.fill();
    for _ in 0..2 {
        let ended = backup().await;
        assert_ended(&ended, 1, "error: the backup failed: ");
    }
    chat.upload_file(&ada, &bob, "b.bin", vec![7; 200_000]).await;
    assert_ended(&backup().await, 1, "error: the backup failed: ");
    assert_eq!(disk.files_below("backups"), files, "what failed left something");
    disk.free();
    let made = printed(&backup().await);
    assert_eq!((&made["files"], &made["files_copied"]), (&json!(2), &json!(1)), "{made}");
    let mut command = process::command_by(&disk.launcher(), chat.directory());
    let from: [OsString; 3] = ["restore".into(), "--from".into(), place.into()];
    command.args(from).arg("--dry-run");
    assert_eq!(printed(&process::run_command(command).await)["sound"], made["backup"]);
}

async fn one_backup_at_a_time_and_of_sqlite_alone(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    back_up(&chat, &[]).await;
    let lock = fs::File::open(chat.directory().join("backups/lock")).expect("the lock");
    lock.try_lock().expect("nobody has it");
    let arguments = ["backup", "--data-dir", "data", "--to", "backups"];
    assert_ended(&run(&chat, &arguments).await, 1, "another backup");
    drop(lock);
    let postgres = [&arguments[..], &["--database-url", "postgres://127.0.0.1:1/chat"]].concat();
    assert_ended(&run(&chat, &postgres).await, 2, "--database-url: a PostgreSQL database");
    let missing = ["backup", "--data-dir", "missing", "--to", "backups"];
    assert_ended(&run(&chat, &missing).await, 2, "--data-dir: ");
    assert!(!chat.directory().join("missing").exists());
    // Nor of two chats in a place.
    let other = TestChat::start(arrangement).await;
    let arguments = ["backup", "--data-dir", "data", "--to"].map(Into::into);
    let target = chat.directory().join("backups");
    let arguments: Vec<OsString> =
        arguments.into_iter().chain([target.into(), "--keep".into(), "1".into()]).collect();
    let ended = process::run(other.directory(), arguments, [("", ""); 0]).await;
    assert_ended(&ended, 2, "is of another database");
    drop(other);
    assert_eq!(whole(&chat).len(), 1);
    // It hinders no start, nor does it need a server.
    let mut chat = chat;
    assert!(chat.terminate(Role::Serve).await.success());
    back_up(&chat, &["--verify"]).await;
    chat.spawn(Role::Serve).await;
    chat.ready().await;
    assert_eq!(whole(&chat).len(), 2);
}
