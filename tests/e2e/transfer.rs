//! `netrox-chat export --all` and `netrox-chat import jsonl`: a whole chat as JSON lines and files, into either engine and back.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Child, Command, Stdio},
};

use netrox_harness::{
    Arrangement, Role, TestChat, User,
    database::Database,
    each, eventually,
    process::{self, Ended},
    within,
};
use netrox_proto::v1::{
    DeleteMessageRequest, DeleteUserRequest, EditMessageRequest, ExternalId, MarkSeenRequest,
    RevokeTokensRequest, SendMessageRequest, UpsertUsersRequest, UserChange,
    revoke_tokens_request::Tokens,
};
use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use uuid::Uuid;

mod blocks;
mod removed;
mod search;

each![
    ; serve: a_chat_goes_through_both_engines_and_comes_back_the_same,
        an_export_that_lacks_files_is_imported_without_them,
        what_is_deleted_while_it_is_exported_is_imported_as_deleted,
        an_import_that_is_killed_ends_as_one_that_is_not,
        an_import_goes_on_where_it_was_cut_off_and_tells_each_bad_line,
        an_import_into_a_used_chat_shows_nobody_old_messages_as_new;
    cluster: nothing_is_imported_beside_cores
];

async fn run(chat: &TestChat, arguments: &[&str]) -> Ended {
    process::run(chat.directory(), arguments, [("", ""); 0]).await
}

#[track_caller]
fn assert_ended(ended: &Ended, code: i32, said: &str) {
    assert_eq!(ended.status.code(), Some(code), "{ended:?}");
    assert!(ended.stderr.contains(said), "{said:?}: {ended:?}");
}

async fn printed(chat: &TestChat, arguments: &[&str]) -> Value {
    let ended = run(chat, arguments).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    serde_json::from_str(&ended.stdout).expect("a line of JSON")
}

fn lines(chat: &TestChat, directory: &str) -> String {
    fs::read_to_string(chat.directory().join(directory).join("data.jsonl")).expect("lines")
}

/// All that can be in a chat.
async fn talk(chat: &TestChat) -> [User; 3] {
    let users = [chat.user("ada").await, chat.user("bob").await, chat.user("cyd").await];
    let [ada, bob, cyd] = &users;
    let mut service = chat.chat_service();
    let mut send = async |from: &User, to: &User, more: SendMessageRequest| {
        let request =
            SendMessageRequest { sender_id: from.id.clone(), receiver_id: to.id.clone(), ..more };
        service.send_message(request).await.expect("stored").into_inner().message_id
    };
    let text = |body: &str| SendMessageRequest { body: body.to_owned(), ..Default::default() };
    let first = send(ada, bob, text("canary, später 🙂")).await;
    let second = SendMessageRequest {
        reply_to_id: Some(first),
        meta_json: Some("{\"n\":10000000000000000000000}".to_owned()),
        client_ref: Some(Uuid::new_v4().to_string()),
        from_client: true,
        ..text("canary, an answer")
    };
    let second = send(bob, ada, second).await;
    let edited = send(bob, ada, text("canary, edited")).await;
    let deleted = send(ada, bob, text("canary, deleted")).await;
    let hidden = send(cyd, bob, text("canary, hidden")).await;
    let edit = EditMessageRequest {
        user_id: bob.id.clone(),
        message_id: edited,
        body: "canary, edited\r\nonce".to_owned(),
        ..Default::default()
    };
    chat.chat_service().edit_message(edit).await.expect("edited");
    for (user, message_id, for_everyone) in [(ada, deleted, true), (bob, hidden, false)] {
        let request = DeleteMessageRequest { user_id: user.id.clone(), message_id, for_everyone };
        chat.chat_service().delete_message(request).await.expect("deleted");
    }
    let mark =
        MarkSeenRequest { user_id: ada.id.clone(), peer_id: bob.id.clone(), up_to_id: second };
    chat.chat_service().mark_seen(mark).await.expect("marked");
    let sent = chat.upload_file(ada, bob, "a.txt", "canary in a file").await;
    let mut at_ada = chat.connect(ada).await;
    let mut at_bob = chat.connect(bob).await;
    at_ada.dispatch(sent["id"].clone()).await;
    assert_eq!(at_bob.next().await["created_msg_id"], sent["id"]);
    chat.upload_file(bob, ada, "b.txt", "canary that was not sent").await;
    let erased = chat.upload_file(ada, cyd, "c.txt", "canary that was erased").await;
    let request = DeleteMessageRequest {
        user_id: ada.id.clone(),
        message_id: erased["id"].as_i64().expect("an id"),
        for_everyone: true,
    };
    chat.chat_service().delete_message(request).await.expect("deleted");
    let external_id =
        ExternalId { issuer: "https://issuer".to_owned(), subject: "ä|1".to_owned() };
    let change = UserChange {
        id: bob.id.clone(),
        profile_json: Some("{\"a\":\n [1.50]}".to_owned()),
        external_id: Some(external_id),
        ..Default::default()
    };
    let request = UpsertUsersRequest { users: vec![change] };
    chat.directory_service().upsert_users(request).await.expect("upserted");
    let request = DeleteUserRequest { user_id: cyd.id.clone(), erase_messages: false };
    chat.directory_service().delete_user(request).await.expect("deleted");
    let tokens = Some(Tokens::UserId(Uuid::new_v4().to_string()));
    let request = RevokeTokensRequest { tokens, ..Default::default() };
    chat.session_service().revoke_tokens(request).await.expect("revoked");
    users
}

async fn a_chat_goes_through_both_engines_and_comes_back_the_same(arrangement: Arrangement) {
    let mut chat = TestChat::start(arrangement).await;
    let [ada, bob, _] = talk(&chat).await;
    let before = chat.history(&ada, &bob).await;
    // Beside the server.
    let exported = printed(&chat, &["export", "--all", "one", "--data-dir", "data"]).await;
    let counts = ["users", "threads", "messages", "marks", "revocations", "files"];
    let counts = counts.map(|count| exported[count].as_u64().expect("a count"));
    let [users, threads, messages, marks, revocations, files] = counts;
    let counted = [users, threads, messages, revocations, files];
    assert!(counted == [3, 3, 8, 1, 2] && marks > 0, "{exported}");
    let first = lines(&chat, "one");
    assert_eq!(first.lines().count() as u64, counts[..5].iter().sum::<u64>());

    let postgres = Database::create_on_shared().await;
    let url = postgres.url();
    let on_postgres = ["--database-url", &url, "--media-url", "file://postgres-media"];
    let import = [&["import", "jsonl", "one"][..], &on_postgres].concat();
    let trial = run(&chat, &[&import[..], &["--dry-run"]].concat()).await;
    assert_ended(&trial, 2, "it has no tables of netrox-chat");
    let imported = printed(&chat, &import).await;
    assert_eq!((&imported["messages"], &imported["files"]), (&json!(8), &json!(2)), "{imported}");
    assert_eq!(imported["not_younger"], 0, "{imported}");
    let export = [&["export", "--all", "two"][..], &on_postgres].concat();
    let exported = printed(&chat, &export).await;
    assert_eq!(exported["missing_files"], json!([]), "{exported}");
    assert_eq!(lines(&chat, "two"), first, "through PostgreSQL");

    let imported = printed(&chat, &["import", "jsonl", "two", "--data-dir", "moved"]).await;
    assert_eq!((&imported["users"], &imported["known"]), (&json!(3), &json!(0)), "{imported}");
    printed(&chat, &["export", "--all", "three", "--data-dir", "moved"]).await;
    assert_eq!(lines(&chat, "three"), first, "back in SQLite");

    // A server goes on with it.
    assert!(chat.terminate(Role::Serve).await.success());
    let moved = TestChat::builder(arrangement)
        .set("data-dir", chat.directory().join("moved"))
        .set("require-existing-data", "true")
        .start()
        .await;
    assert_eq!(moved.history(&ada, &bob).await, before);
    let path = before.iter().find_map(|message| message["attached_file"].as_str());
    let path = path.expect("a file");
    assert_eq!(moved.get(path).send().await.body, "canary in a file");
    let (mut at_ada, mut at_bob) = (moved.connect(&ada).await, moved.connect(&bob).await);
    at_bob.say(&ada, "canary, goes on").await;
    at_ada.expect_body("canary, goes on").await;
    let after = moved.history(&ada, &bob).await;
    assert_eq!(after.len(), before.len() + 1);
    let id = |messages: &[Value]| messages.last().expect("a message")["id"].as_i64();
    assert!(id(&after) > id(&before));
    let unread = moved.edge().get("/v2/threads").bearer(&bob.token).send().await;
    assert_eq!(unread.status, 200, "{unread:?}");
}

async fn an_export_that_lacks_files_is_imported_without_them(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    talk(&chat).await;
    let file = chat.media_files().into_iter().next().expect("a file");
    let path = file.strip_prefix(chat.media_dir()).expect("one of ours").to_owned();
    let bytes = fs::read(&file).expect("a file");
    fs::remove_file(&file).expect("removed");
    let exported = run(&chat, &["export", "--all", "all", "--data-dir", "data"]).await;
    assert_ended(&exported, 3, "1 files of messages are missing");
    let import = async |more: &[&str]| {
        let ended =
            run(&chat, &[&["import", "jsonl", "all", "--data-dir", "new"][..], more].concat())
                .await;
        let told: Value = serde_json::from_str(&ended.stdout).unwrap_or_default();
        (ended, told)
    };
    for more in [&["--dry-run"][..], &[]] {
        let (ended, told) = import(more).await;
        assert_ended(&ended, 3, "1 files of messages are missing, as the export says");
        assert_eq!((&told["messages"], &told["missing_files"]), (&json!(8), &json!(1)), "{told}");
    }
    // Once it is found it is taken.
    let beside = chat.directory().join("all").join(&path);
    fs::create_dir_all(beside.parent().expect("a directory")).expect("made");
    std::os::unix::fs::symlink("/etc/hostname", &beside).expect("a link");
    assert_ended(&import(&[]).await.0, 3, "1 files");
    fs::remove_file(&beside).expect("removed");
    fs::write(&beside, &bytes).expect("written");
    let (ended, told) = import(&[]).await;
    assert_ended(&ended, 0, "");
    assert_eq!((&told["files"], &told["missing_files"]), (&json!(1), &json!(0)), "{told}");
    assert_eq!(fs::read(chat.directory().join("new/media").join(&path)).expect("a file"), bytes);

    // That of a message which was deleted between the lines and the copying of its file.
    let manifest = chat.directory().join("all/export.json");
    let text = fs::read_to_string(&manifest).expect("a manifest");
    let mut said: Value = serde_json::from_str(&text).expect("JSON");
    said["erased_files"] = said["missing_files"].take();
    said["missing_files"] = json!([]);
    fs::write(&manifest, said.to_string()).expect("written");
    fs::remove_file(&beside).expect("removed");
    let arguments = ["import", "jsonl", "all", "--data-dir", "erased"];
    let imported = printed(&chat, &arguments).await;
    assert_eq!((&imported["messages"], &imported["files"]), (&json!(8), &json!(1)), "{imported}");
    printed(&chat, &["export", "--all", "again", "--data-dir", "erased"]).await;
    let (path, again) = (path.to_string_lossy().into_owned(), lines(&chat, "again"));
    let line = again.lines().find(|line| line.contains(&path)).expect("the message");
    let line: Value = serde_json::from_str(line).expect("JSON");
    assert_eq!((&line["deleted"], &line["body"]), (&json!(true), &json!("")), "{line}");

    // One that was cut off at the end of a line.
    let whole = lines(&chat, "all");
    let cut = whole.trim_end().rfind('\n').expect("lines") + 1;
    fs::write(chat.directory().join("all/data.jsonl"), &whole[..cut]).expect("written");
    for more in [&["--dry-run"][..], &[]] {
        let arguments = ["import", "jsonl", "all", "--data-dir", "cut"];
        let ended = run(&chat, &[&arguments[..], more].concat()).await;
        assert_ended(&ended, 1, "it is not whole, or not as it was exported");
    }
}

async fn what_is_deleted_while_it_is_exported_is_imported_as_deleted(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let sent = chat.upload_file(&ada, &bob, "a.txt", "canary in a file").await;
    let path = sent["attached_file"].as_str().expect("a path").trim_start_matches("/mediafiles/");
    // Whoever opens it waits for one who writes, by whatever name it has then.
    let (file, link) = (chat.media_dir().join(path), chat.directory().join("link"));
    fs::remove_file(&file).expect("removed");
    let made = Command::new("mkfifo").arg(&file).status().expect("run mkfifo");
    assert!(made.success());
    fs::hard_link(&file, &link).expect("linked");
    let deleting = async {
        eventually("the lines", async || {
            let lines = fs::read_to_string(chat.directory().join("all/data.jsonl")).ok()?;
            lines.contains("see this").then_some(())
        })
        .await;
        let request = DeleteMessageRequest {
            user_id: ada.id.clone(),
            message_id: sent["id"].as_i64().expect("an id"),
            for_everyone: true,
        };
        chat.chat_service().delete_message(request).await.expect("deleted");
        fs::File::options().read(true).write(true).open(&link).expect("opened")
    };
    let export = ["export", "--all", "all", "--data-dir", "data"];
    let (exported, _open) = tokio::join!(printed(&chat, &export), deleting);
    assert_eq!(exported["missing_files"], json!([]), "{exported}");
    assert_eq!(exported["erased_files"], json!([path]), "{exported}");
    assert!(!lines(&chat, "all").contains("\"deleted\""), "the lines are of before");
    let imported = printed(&chat, &["import", "jsonl", "all", "--data-dir", "new"]).await;
    assert_eq!((&imported["messages"], &imported["files"]), (&json!(1), &json!(0)), "{imported}");
    printed(&chat, &["export", "--all", "again", "--data-dir", "new"]).await;
    let again = lines(&chat, "again");
    assert!(again.contains("\"deleted\":true") && !again.contains("see this"), "{again}");
}

/// A chat as somebody else's program would write it.
fn foreign(messages: std::ops::RangeInclusive<i64>) -> String {
    let [one, two] =
        ["96bf0d3f-720d-4620-8dee-0f59f997cb51", "96bf0d3f-720d-4620-8dee-0f59f997cb52"];
    let at = |second: i64| {
        let (hour, minute) = (3 + second / 3_600, second / 60 % 60);
        format!("2020-01-02T{hour:02}:{minute:02}:{:02}.000007Z", second % 60)
    };
    let mut all = vec![
        json!({ "type": "user", "id": one, "email": "one@example.com" }),
        json!({ "type": "user", "id": two }),
        json!({ "type": "thread", "id": 7, "user_one": one, "user_two": two, "created": at(0) }),
    ];
    all.extend(messages.map(|number| {
        let (sender, receiver) = if number % 3 == 0 { (two, one) } else { (one, two) };
        json!({
            "type": "message", "id": 100 + number, "thread_id": 7, "sender_id": sender,
            "receiver_id": receiver, "created": at(number), "body": format!("canary {number}"),
        })
    }));
    let mut text = String::new();
    for line in all {
        text += &format!("{line}\n");
    }
    text
}

async fn an_import_goes_on_where_it_was_cut_off_and_tells_each_bad_line(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let write = |name: &str, text: &str| {
        fs::write(chat.directory().join(name), text).expect("written");
    };
    let import = async |name: &str, more: &[&str]| {
        run(&chat, &[&["import", "jsonl", name, "--data-dir", "new"][..], more].concat()).await
    };
    let count = |ended: &Ended, name: &str| {
        let printed: Value = serde_json::from_str(&ended.stdout).expect("JSON");
        printed[name].as_u64().unwrap_or_else(|| panic!("no {name}: {printed}"))
    };
    let mark_shown = |(seen, delivered): (i64, i64), (shown_seen, shown_delivered): (i64, i64)| {
        let mark = json!({
            "type": "mark", "thread_id": 7, "seen_id": seen,
            "user_id": "96bf0d3f-720d-4620-8dee-0f59f997cb51", "delivered_id": delivered, "shown_seen_id": shown_seen,
            "shown_delivered_id": shown_delivered,
        });
        mark.to_string()
    };
    let one = |number: i64| foreign(number..=number).lines().last().expect("a message").to_owned();
    let bad = [
        "{\"type\":\"message\"}",
        "no JSON",
        &format!(
            "{}",
            json!({ "type": "mark", "thread_id": 8, "user_id": Uuid::nil(), "seen_id": 1, "delivered_id": 1 })
        ),
        &one(3).replace("\"id\":103", &format!("\"id\":{}", 1_i64 << 52)),
        &one(4).replace("2020-", "2999-"),
        // Milliseconds.
        r#"{"type":"revocation","issued_until":1769851800000}"#,
        // What the other one is shown is no more than there is.
        &mark_shown((101, 102), (102, 102)),
        &mark_shown((101, 102), (101, 100)),
        &mark_shown((101, 102), (-1, 102)),
    ];
    write("bad.jsonl", &(foreign(1..=3) + &bad.join("\n")));
    let trial = import("bad.jsonl", &["--dry-run"]).await;
    assert_eq!(trial.status.code(), Some(1), "{trial:?}");
    for told in [
        "line 7: missing field",
        "line 8: expected a JSON object",
        "line 9: no such user",
        "line 10: an id above 4503599627370495",
        "line 11: created is more than a day ahead: 2999-",
        "line 12: issued_until is more than a day ahead",
        "line 13: shown_seen_id goes from 0 to shown_delivered_id",
        "line 14: shown_seen_id goes from 0 to shown_delivered_id",
        "line 15: shown_seen_id goes from 0 to shown_delivered_id",
    ] {
        assert!(trial.stderr.contains(told), "{told}: {trial:?}");
    }
    assert_eq!((count(&trial, "messages"), count(&trial, "refused")), (3, 9));
    assert!(!Path::new(&chat.directory().join("new")).exists(), "a trial made something");
    let ended = import("bad.jsonl", &[]).await;
    assert_ended(&ended, 1, "line 7: missing field");

    // More than a batch has; what was there already stays, and no message is there twice.
    write("first.jsonl", &foreign(1..=1_500));
    write("whole.jsonl", &foreign(1..=2_500));
    assert_eq!(count(&import("first.jsonl", &[]).await, "messages"), 1_500);
    let rest = import("whole.jsonl", &[]).await;
    assert_eq!((count(&rest, "messages"), count(&rest, "known")), (1_000, 1_503), "{rest:?}");
    let again = import("whole.jsonl", &[]).await;
    assert_eq!((count(&again, "messages"), count(&again, "known")), (0, 2_503), "{again:?}");
    let other = foreign(1..=1)
        .replace("\"id\":7", "\"id\":8")
        .replace("\"thread_id\":7", "\"thread_id\":8");
    write("other.jsonl", &other);
    assert_ended(&import("other.jsonl", &[]).await, 1, "line 3: the two have a thread already, 7");
    write("late.jsonl", &foreign(0..=0));
    assert_ended(&import("late.jsonl", &[]).await, 1, "line 4: the ids of a thread ascend");
    // A trial brings no tables up to date.
    let older = chat.directory().join("older");
    fs::create_dir(&older).expect("a directory");
    fs::copy(chat.directory().join("new/chat.db"), older.join("chat.db")).expect("copied");
    let file = SqliteConnectOptions::new().filename(older.join("chat.db"));
    let mut file = SqliteConnection::connect_with(&file).await.expect("open");
    let forget = "delete from _sqlx_migrations where version = (
        select max(version) from _sqlx_migrations)";
    sqlx::query(forget).execute(&mut file).await.expect("forgotten");
    file.close().await.expect("closed");
    let before = fs::read(older.join("chat.db")).expect("a database");
    let arguments = ["import", "jsonl", "whole.jsonl", "--data-dir", "older", "--dry-run"];
    assert_ended(&run(&chat, &arguments).await, 2, "its schema is that of migration");
    assert!(fs::read(older.join("chat.db")).expect("a database") == before, "it was changed");
    // Beside a server, and what is no export.
    let busy = run(&chat, &["import", "jsonl", "whole.jsonl", "--data-dir", "data"]).await;
    assert_ended(&busy, 2, "another process uses");
    fs::create_dir(chat.directory().join("half")).expect("a directory");
    assert_ended(&import("half", &[]).await, 2, "no whole export");
    assert_ended(&run(&chat, &["export", "somewhere", "--data-dir", "data"]).await, 2, "--all: ");

    // It is one long turn of each, as if a server had stored it.
    let new = TestChat::builder(arrangement)
        .set("data-dir", chat.directory().join("new"))
        .set("require-existing-data", "true")
        .start()
        .await;
    let file = SqliteConnectOptions::new().filename(chat.directory().join("new/chat.db"));
    let mut file = SqliteConnection::connect_with(&file.read_only(true)).await.expect("open");
    let mut count = async |query: &'static str| -> i64 {
        sqlx::query_scalar(query).fetch_one(&mut file).await.expect("a count")
    };
    assert_eq!(count("select count(*) from messages").await, 2_500);
    let not_noted = "select count(*) from threads where last_message_at is not last_activity
        or last_message is not 2600 or low_sent is not 2600 or low_shown is not 2600
        or high_sent is not 2599 or high_shown is not 2599";
    assert_eq!(count(not_noted).await, 0);
    let wrong_turns = "select count(*) from messages m where (m.continues is not null) is not (
        select p.sender = m.sender from messages p where p.id = m.id - 1) and m.id > 101";
    assert_eq!(count(wrong_turns).await, 0);
    let places = "select count(*) from feeds f where last_seq <> 2500";
    assert_eq!(count(places).await, 0);
    drop(new);
}

/// A program that is killed at the latest when the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn an_import_that_is_killed_ends_as_one_that_is_not(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let at = |name: &str| chat.directory().join(name);
    let path = format!("attachments/2020/01/02/{}.txt", Uuid::new_v4());
    fs::create_dir_all(at("attachments/2020/01/02")).expect("made");
    fs::write(at(&path), "canary").expect("written");
    let file =
        json!({ "path": path, "file_name": "a.txt", "size": 6, "content_type": "text/plain" });
    let (user, body) = ("\"type\":\"user\"", "\"body\":\"canary 10\"");
    let text = foreign(1..=21_500)
        .replace(body, &format!("\"attachment\":{file},{body}"))
        .replace(user, &format!("{user},\"updated\":\"2020-01-02T00:00:00Z\""));
    fs::write(at("whole.jsonl"), &text).expect("written");
    let made = Command::new("mkfifo").arg(at("pipe.jsonl")).status().expect("run mkfifo");
    assert!(made.success());

    let mut command = process::command(chat.directory());
    command.args(["import", "jsonl", "pipe.jsonl", "--data-dir", "killed"]);
    command.args(["--audit-log", "audit.log"]).stdout(Stdio::null());
    let running = Running(command.spawn().expect("start the program"));
    let pipe = at("pipe.jsonl");
    let half = text.lines().take(20_500).fold(String::new(), |half, line| half + line + "\n");
    let writing = tokio::task::spawn_blocking(move || {
        let mut pipe = fs::File::options().write(true).open(pipe)?;
        pipe.write_all(half.as_bytes()).map(|()| pipe)
    });
    let pipe = within("the reading of half of it", writing).await.expect("a thread");
    let options = SqliteConnectOptions::new().filename(at("killed/chat.db")).read_only(true);
    eventually("the first transaction", async || {
        let mut file = SqliteConnection::connect_with(&options).await.ok()?;
        let count = sqlx::query_scalar("select count(*) from messages").fetch_one(&mut file);
        (count.await.ok() == Some(19_997_i64)).then_some(())
    })
    .await;
    drop(running);
    drop(pipe.expect("written"));
    let told = fs::read_to_string(at("audit.log")).expect("an audit log");
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(told.contains("\"chat_imported\"") && told.contains("BEGUN"), "{told}");

    for (directory, messages) in [("killed", 1_503), ("straight", 21_500)] {
        let import = ["import", "jsonl", "whole.jsonl", "--data-dir", directory];
        assert_eq!(printed(&chat, &import).await["messages"], messages);
        let media = at(directory).join("media").join(&path);
        assert_eq!(fs::read_to_string(media).expect("a file"), "canary");
        let exported = format!("{directory}-exported");
        printed(&chat, &["export", "--all", &exported, "--data-dir", directory]).await;
    }
    assert!(lines(&chat, "killed-exported") == lines(&chat, "straight-exported"));
}

async fn an_import_into_a_used_chat_shows_nobody_old_messages_as_new(arrangement: Arrangement) {
    let mut chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let path = format!("/ws/chat/room/?protocol=2&token={}", ada.token);
    let mut socket = netrox_harness::Socket::open(chat.edge().address, &path, &[]).await;
    let hello = socket.next().await;
    let cursor = hello["cursor"].as_str().expect("a cursor").to_owned();
    drop(socket);
    assert!(chat.terminate(Role::Serve).await.success());
    let text = foreign(1..=3)
        .replace("96bf0d3f-720d-4620-8dee-0f59f997cb51", &bob.id)
        .replace("96bf0d3f-720d-4620-8dee-0f59f997cb52", &ada.id);
    fs::write(chat.directory().join("old.jsonl"), text).expect("written");
    let imported = printed(&chat, &["import", "jsonl", "old.jsonl", "--data-dir", "data"]).await;
    assert_eq!((&imported["messages"], &imported["known"]), (&json!(3), &json!(2)), "{imported}");
    chat.spawn(Role::Serve).await;
    chat.ready().await;
    // A client that comes back is told to read anew, and is shown none of it.
    let answer = chat.get(&format!("/v2/sync?after={cursor}")).bearer(&ada.token).send().await;
    assert_eq!(answer.status, 410, "{answer:?}");
    let path = format!("{path}&after={cursor}");
    let mut socket = netrox_harness::Socket::open(chat.edge().address, &path, &[]).await;
    let (hello, live) = (socket.next().await, socket.next().await);
    assert_eq!((&hello["action"], &hello["reset"]), (&json!("hello"), &json!("epoch")), "{hello}");
    assert_eq!(live["action"], "live", "{live}");
    assert_eq!(chat.history(&ada, &bob).await.len(), 3);
}

async fn nothing_is_imported_beside_cores(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    fs::write(chat.directory().join("old.jsonl"), foreign(1..=1)).expect("written");
    let url = chat.database().url();
    let arguments = ["import", "jsonl", "old.jsonl", "--database-url", &url];
    assert_ended(&run(&chat, &arguments).await, 2, "a core, or another import, uses it");
    let exported = printed(&chat, &["export", "--all", "all", "--database-url", &url]).await;
    assert_eq!(exported["messages"], 0, "{exported}");
}
