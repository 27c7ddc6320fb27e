//! Backups that are not sound, and restores that were cut off.

use std::{fs, os::unix::fs::FileExt as _};

use netrox_harness::{Arrangement, TestChat, each, process};

use super::{assert_ended, back_up, backed_up, printed, restore, run, start_on, whole};

each![
    ; serve: what_is_damaged_is_named,
    what_cannot_be_removed_costs_no_backup,
    a_restore_that_was_cut_off_is_not_taken_for_a_chat,
];

async fn what_is_damaged_is_named(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let lost = chat.upload_file(&ada, &bob, "a.txt", "canary of a lost file").await;
    let changed = chat.upload_file(&ada, &bob, "b.txt", "canary of a changed file").await;
    let older = back_up(&chat, &[]).await;
    let newer = back_up(&chat, &[]).await;
    let name = |made: &serde_json::Value| made["backup"].as_str().expect("a name").to_owned();
    let (older, newer) = (name(&older), name(&newer));
    let [lost, changed] = [lost, changed].map(|message| backed_up(&chat, &message));
    // Paths are quoted.
    let file_name = |path: &std::path::Path| format!("{}\"", path.file_name().unwrap().display());
    let files = chat.directory().join("backups/files");

    fs::remove_file(&lost).expect("remove a file");
    let file = fs::File::options().write(true).open(&changed).expect("a file");
    file.write_all_at(b"C", 0).expect("write a file");
    let dry = ["restore", "--from", "backups", "--dry-run"];
    let ended = run(&chat, &dry).await;
    assert_ended(&ended, 3, &format!("{} is missing", file_name(&lost)));
    assert_ended(&ended, 3, &format!("{} is not what it was", file_name(&changed)));
    // All else is restored, and said.
    let ended = restore(&chat, None, "restored").await;
    assert_ended(&ended, 3, &format!("{} is missing", file_name(&lost)));
    let restored = start_on(&chat.directory().join("restored")).await;
    assert_eq!(restored.history(&bob, &ada).await.len(), 2);
    drop(restored);
    // The next copies what is not there, and what is not what it was, unless the server has it no better.
    let arguments = ["backup", "--data-dir", "data", "--to", "backups", "--verify"];
    let of_server = chat.media_dir().join(changed.strip_prefix(&files).expect("a file"));
    let sound = fs::read(&of_server).expect("read a file");
    fs::write(&of_server, "canary of a changed FILE").expect("write a file");
    let ended = run(&chat, &arguments).await;
    assert_ended(&ended, 3, &format!("{} is not what it was", file_name(&changed)));
    assert!(lost.exists());
    fs::write(&of_server, sound).expect("write a file");
    let ended = run(&chat, &arguments).await;
    assert_ended(&ended, 0, &format!("{} is not what it was", file_name(&changed)));
    let mended = printed(&ended);
    assert_eq!(mended["files_copied"], 1, "{mended}");
    let mended = name(&mended);
    assert!(run(&chat, &dry).await.status.success());

    let of =
        |name: &str, file: &str| chat.directory().join("backups/backups").join(name).join(file);
    let database = fs::File::options().write(true).open(of(&newer, "chat.db")).expect("a file");
    database.write_all_at(&[0xff; 3_000], 100).expect("write a file");
    let ended = run(&chat, &[&dry[..], &["--backup", &newer]].concat()).await;
    assert_ended(&ended, 3, "its database");
    fs::write(of(&mended, "manifest.json"), "{").expect("write a file");
    assert_ended(&run(&chat, &dry).await, 3, "its manifest");
    fs::remove_file(of(&mended, "manifest.json")).expect("remove a file");
    let ended = run(&chat, &[&dry[..], &["--backup", &mended]].concat()).await;
    assert_ended(&ended, 2, "is not whole");
    assert_eq!(whole(&chat), [older.clone(), newer].into());
    assert!(restore(&chat, Some(&older), "older").await.status.success());
    // Files that the server itself has lost.
    fs::remove_dir_all(chat.media_dir().join("attachments")).expect("remove files");
    fs::remove_file(&lost).expect("remove a file");
    let ended = run(&chat, &["backup", "--data-dir", "data", "--to", "backups"]).await;
    assert_ended(&ended, 3, &format!("{} is missing", file_name(&lost)));
    assert_eq!(whole(&chat).len(), 3, "it has all else");
}

async fn what_cannot_be_removed_costs_no_backup(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let older = back_up(&chat, &[]).await["backup"].as_str().expect("a name").to_owned();
    let backups = chat.directory().join("backups/backups");
    // No file, and so not removed as one.
    let database = backups.join(&older).join("chat.db");
    fs::remove_file(&database).expect("remove a file");
    fs::create_dir(&database).expect("a directory");
    let arguments = ["backup", "--data-dir", "data", "--to", "backups", "--keep", "1"];
    for _ in 0..2 {
        let ended = run(&chat, &arguments).await;
        assert_ended(&ended, 1, "is whole");
        let made: serde_json::Value = serde_json::from_str(&ended.stdout).expect("a line of JSON");
        assert_eq!(whole(&chat), [made["backup"].as_str().expect("a name").to_owned()].into());
        let dry = run(&chat, &["restore", "--from", "backups", "--dry-run"]).await;
        assert!(dry.status.success(), "{dry:?}");
    }
    fs::remove_dir(&database).expect("remove a directory");
    back_up(&chat, &["--keep", "1"]).await;
    assert!(!backups.join(&older).exists() && whole(&chat).len() == 1);
}

async fn a_restore_that_was_cut_off_is_not_taken_for_a_chat(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let name = back_up(&chat, &[]).await["backup"].as_str().expect("a name").to_owned();
    assert_ended(&restore(&chat, None, "data").await, 2, "--data-dir: it has data/chat.db");
    let database = chat.directory().join("backups/backups").join(&name).join("chat.db");
    let sound = fs::read(&database).expect("read a file");
    fs::write(&database, &sound[..sound.len() / 2]).expect("write a file");
    assert_ended(&restore(&chat, None, "restored").await, 3, "its database");
    fs::write(&database, &sound).expect("write a file");
    for _ in 0..2 {
        assert_ended(&restore(&chat, None, "restored").await, 2, "was interrupted");
    }
    let ended = process::run(chat.directory(), ["serve", "--data-dir", "restored"], [("", ""); 0]);
    assert_ended(&ended.await, 2, "restored/chat.db");
    fs::remove_dir_all(chat.directory().join("restored")).expect("remove a directory");
    assert!(restore(&chat, None, "restored").await.status.success());
    drop(start_on(&chat.directory().join("restored")).await);
}
