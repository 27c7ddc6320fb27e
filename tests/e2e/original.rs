//! `netrox-chat import django`: all of the Django original, on either engine, once and again.

use std::{fs, path::Path, time::Duration};

use netrox_harness::{
    Arrangement, Role, TestChat, User, database::Database, each, eventually, process,
    process::Ended, settings::JWT_SECRET, token::Claims,
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

mod django;
mod kept;
mod way_back;

use self::django::{ADA, BOB, CYD, Django, Engine, Message, More, at, to_ada, to_bob, told};

each![
    ; serve: an_original_is_served_as_it_was,
        a_later_pass_takes_what_is_new_or_changed,
        a_file_that_was_missing_is_looked_for_again,
        what_is_older_there_is_taken_where_the_original_wins,
        what_cannot_be_taken_is_told_and_the_rest_is_there,
        whole_numbers_are_the_users_that_tokens_name,
        a_fixture_of_dumpdata_is_taken,
        a_pass_that_is_killed_is_run_again,
        what_is_wrong_is_told_before_anything_is_made
];

const MINUTES: &str = "attachments/2024/59/17/4908f104-b77b-4677-b563-b693a893fef3.txt";
const CAPITALS: &str = "attachments/2024/00/17/37f67ff8-f5b8-4761-996c-04b0acf50bb9.JPG";
const MISSING: &str = "attachments/2024/14/17/37f67ff8-f5b8-4761-996c-04b0acf50bba";

async fn run(directory: &Path, arguments: &[&str]) -> Ended {
    process::run(directory, arguments, [("", ""); 0]).await
}

/// A pass into a directory beside the original.
async fn pass(django: &Django, more: &[&str]) -> (Ended, Value) {
    let url = django.url();
    let arguments =
        [&["import", "django", "--from", &url, "--media", "mediafiles"][..], more].concat();
    let ended = run(django.path(), &arguments).await;
    let told = serde_json::from_str(&ended.stdout).unwrap_or_default();
    (ended, told)
}

const INTO: [&str; 2] = ["--data-dir", "data"];

#[track_caller]
fn assert_ended((ended, _): &(Ended, Value), code: i32, said: &str) {
    assert_eq!(ended.status.code(), Some(code), "{ended:?}");
    assert!(ended.stderr.contains(said), "{said:?}: {ended:?}");
}

#[track_caller]
fn assert_counts(told: &Value, counts: &[(&str, u64)]) {
    for (name, count) in counts {
        assert_eq!(told[name], *count, "{name}: {told}");
    }
}

/// A server on what was taken.
async fn serve(django: &Django, arrangement: Arrangement) -> TestChat {
    TestChat::builder(arrangement)
        .set("data-dir", django.path().join("data"))
        .set("require-existing-data", "true")
        .start()
        .await
}

fn users() -> [User; 3] {
    // Tokens of SimpleJWT have no email.
    [ADA, BOB, CYD].map(|id| User {
        id: id.to_owned(),
        email: String::new(),
        token: Claims::access(id).sign(JWT_SECRET),
    })
}

async fn count(django: &Django, query: &str) -> i64 {
    let file = SqliteConnectOptions::new().filename(django.path().join("data/chat.db"));
    let mut file = SqliteConnection::connect_with(&file.read_only(true)).await.expect("open");
    let query = AssertSqlSafe(query.to_owned());
    sqlx::query_scalar(query).fetch_one(&mut file).await.expect("a count")
}

/// What can be in an original.
async fn talk(django: &Django) {
    django.thread(1, BOB, ADA).await;
    django.thread(5, BOB, CYD).await;
    django.write(MINUTES, b"canary in a file");
    django.write(CAPITALS, b"\xff\xd8\xff\xe0\0\x10JFIF canary");
    let (text, picture) = ((MINUTES, "a b.txt", "0.02KB"), (CAPITALS, "IMG_1.JPG", "9.99KB"));
    for message in [
        Message { more: More::Seen, ..to_bob(30, "canary, später 🙂") },
        Message { more: More::Seen, ..to_ada(31, "canary, an answer") },
        Message { file: Some(text), ..to_ada(35, "") },
        Message { more: More::Deleted, ..to_bob(36, "canary, deleted") },
        Message { more: More::Edited, ..to_bob(40, "canary, edited") },
        // Seen, though one before it was not.
        Message { more: More::Seen, ..to_bob(41, "canary, seen") },
        Message { file: Some(picture), thread: 5, to: CYD, ..to_ada(2_042, "canary") },
    ] {
        django.message(message).await;
    }
}

fn expected() -> Vec<Value> {
    let profile = |id: &str| match id {
        ADA => json!({"id": ADA, "email": "ada@example.com", "profile": {"name": "Ada"}}),
        _ => json!({"id": BOB, "email": "bob@example.com", "profile": null}),
    };
    let message = |id: i64, from: &str, to: &str, body: &str| {
        json!({
            "id": id, "sender": profile(from), "receiver": profile(to),
            "attached_file_size": "0kb", "message": body, "updated": told(id),
            "created": told(id), "seen": false, "deleted": false, "attached_file": null,
            "attached_file_name": null, "thread": 1,
        })
    };
    let with = |mut message: Value, more: Value| {
        let more = more.as_object().expect("an object").clone();
        message.as_object_mut().expect("an object").extend(more);
        message
    };
    vec![
        with(message(30, ADA, BOB, "canary, später 🙂"), json!({"seen": true})),
        with(message(31, BOB, ADA, "canary, an answer"), json!({"seen": true})),
        with(
            message(35, BOB, ADA, ""),
            json!({"attached_file": format!("/mediafiles/{MINUTES}"),
                "attached_file_name": "a b.txt", "attached_file_size": "0.02KB"}),
        ),
        with(message(36, ADA, BOB, ""), json!({"deleted": true, "updated": told(1_036)})),
        with(message(40, ADA, BOB, "canary, edited"), json!({"updated": told(1_040)})),
        with(message(41, ADA, BOB, "canary, seen"), json!({"seen": true})),
    ]
}

async fn an_original_is_served_as_it_was(arrangement: Arrangement) {
    let mut exports = Vec::new();
    let on_postgres = Engine::Postgres(Database::create_on_shared().await);
    for engine in [Engine::Sqlite, on_postgres] {
        let django = Django::on(engine).await;
        talk(&django).await;
        let before = django.bytes();
        let trial = pass(&django, &[&INTO[..], &["--dry-run"]].concat()).await;
        assert_ended(&trial, 0, "users' ids are UUIDs and stay as they are");
        assert_counts(&trial.1, &[("messages", 7), ("files", 0), ("refused", 0)]);
        assert!(!django.path().join("data").exists(), "a trial made something");
        let taken = pass(&django, &INTO).await;
        assert_ended(&taken, 0, "note: message 2042 tells another size of its file");
        let (_, told_of) = &taken;
        assert_counts(
            told_of,
            &[
                ("users", 3),
                ("threads", 2),
                ("messages", 7),
                ("files", 2),
                ("read", 7),
                ("verified", 7),
                ("differences", 0),
                ("known", 0),
                // Ada has seen Bob's first, and Bob Ada's.
                ("marks", 2),
            ],
        );
        assert_eq!(told_of["user_ids"], "uuid", "{told_of}");
        let notes = json!({"size_differs": 1, "text_of_deleted": 1});
        assert_eq!(told_of["notes"], notes, "{told_of}");
        assert_eq!(django.bytes(), before, "the original was written");

        // The same into PostgreSQL.
        let target = Database::create_on_shared().await;
        let url = target.url();
        let elsewhere = ["--database-url", &url, "--media-url", "file://elsewhere"];
        let (ended, there) = pass(&django, &elsewhere).await;
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        assert_counts(&there, &[("messages", 7), ("verified", 7), ("files", 2), ("marks", 2)]);
        for (directory, from) in [("one", &INTO[..]), ("two", &elsewhere[..])] {
            let export = [&["export", "--all", directory][..], from].concat();
            let exported = run(django.path(), &export).await;
            assert_eq!(exported.status.code(), Some(0), "{exported:?}");
            let lines = fs::read_to_string(django.path().join(directory).join("data.jsonl"));
            exports.push(lines.expect("lines"));
        }

        let mut chat = serve(&django, arrangement).await;
        let [ada, bob, cyd] = users();
        for reader in [(&ada, &bob), (&bob, &ada)] {
            assert_eq!(chat.history(reader.0, reader.1).await, expected());
        }
        let threads = chat.get("/chat/get-user-threads/").bearer(&bob.token).send().await.json();
        let ids: Vec<_> = threads["entity"].as_array().expect("threads").iter().collect();
        let of_ada = ids.iter().find(|thread| thread["id"] == 1).expect("the thread");
        assert_eq!((&of_ada["user_one"]["id"], &of_ada["craeted"]), (&json!(BOB), &json!(told(0))));
        let files = [
            (MINUTES, &b"canary in a file"[..], "application/octet-stream"),
            (CAPITALS, b"\xff\xd8\xff\xe0\0\x10JFIF canary", "image/jpeg"),
        ];
        for (path, content, kind) in files {
            let file = chat.get(&format!("/mediafiles/{path}")).send().await;
            assert_eq!((file.status, file.header("content-type")), (200, Some(kind)), "{file:?}");
            assert_eq!(file.body, content);
        }
        // Marks go as far as everything is seen.
        let state = chat.get("/v2/threads").bearer(&bob.token).send().await.json();
        let state = state["threads"].as_array().expect("threads").iter();
        let state = state.clone().find(|thread| thread["peer_id"] == ADA).expect("the thread");
        assert_eq!(
            (&state["seen_id"], &state["peer_seen_id"]),
            (&json!(30), &json!(31)),
            "{state}"
        );
        assert_eq!(state["unread"], 2, "{state}");
        // Whoever dispatches after the move a file of before is not refused, and nobody is told twice.
        let (mut at_bob, mut at_cyd) = (chat.connect(&bob).await, chat.connect(&cyd).await);
        at_bob.dispatch(json!(2_042)).await;
        at_bob.say(&cyd, "canary, goes on").await;
        at_cyd.expect_body("canary, goes on").await;
        let after = chat.history(&cyd, &bob).await;
        assert_eq!(after.len(), 2, "{after:?}");
        assert!(after[1]["id"].as_i64() > Some(2_042), "{after:?}");
        assert!(chat.terminate(Role::Serve).await.success());
    }
    // Whichever engine it was on, and whichever it is on; users' own lines have the time of their pass.
    let without_time = |lines: &String| {
        let lines = lines.lines().map(|line| {
            let mut line: Value = serde_json::from_str(line).expect("JSON");
            if line["type"] == "user" {
                line["updated"].take();
            }
            line.to_string()
        });
        lines.collect::<std::collections::BTreeSet<_>>()
    };
    let first = without_time(&exports[0]);
    for other in &exports[1..] {
        assert_eq!(without_time(other), first);
    }
}

async fn a_later_pass_takes_what_is_new_or_changed(arrangement: Arrangement) {
    let on_postgres = Engine::Postgres(Database::create_on_shared().await);
    for engine in [Engine::Sqlite, on_postgres] {
        let django = Django::on(engine).await;
        talk(&django).await;
        let first = pass(&django, &INTO).await;
        assert_ended(&first, 0, "");
        let again = pass(&django, &INTO).await;
        assert_ended(&again, 0, "");
        assert_counts(
            &again.1,
            &[("read", 0), ("messages", 0), ("changed", 0), ("known", 3), ("differences", 0)],
        );
        let epoch = count(&django, "select count(*) from starts").await;
        assert_ended(&pass(&django, &INTO).await, 0, "");
        assert_eq!(count(&django, "select count(*) from starts").await, epoch, "nothing was new");

        // A new message, and one that was committed behind it; a new conversation.
        django.thread(7, CYD, ADA).await;
        for message in [
            to_ada(2_050, "canary, newest"),
            to_bob(38, "canary, late"),
            Message { thread: 7, from: CYD, ..to_ada(2_051, "canary, another") },
        ] {
            django.message(message).await;
        }
        // Django's save() and its update().
        let changes = format!(
            "update chat_message set message = 'canary, edited again', updated = '{}' where id = 40;
            update chat_message set seen = true where id = 36 or id = 40;
            update chat_message set deleted = true where id = 35;
            update users_user set email = 'robert@example.com' where email = 'bob@example.com'",
            at(5_000)
        );
        django.execute(&changes).await;
        let trial = pass(&django, &[&INTO[..], &["--dry-run"]].concat()).await;
        let second = pass(&django, &INTO).await;
        for passed in [&trial, &second] {
            assert_ended(passed, 0, "");
            assert_counts(
                &passed.1,
                &[("messages", 3), ("late", 1), ("threads", 1), ("changed", 4), ("refused", 0)],
            );
        }
        // Bob has seen all that Ada sent, but for what came late.
        assert_counts(&second.1, &[("verified", 10), ("differences", 0), ("read", 10)]);
        let wrong_turns = "select count(*) from messages m where (m.continues is not null) is not
            coalesce((select p.sender = m.sender from messages p where p.thread_id = m.thread_id
                and p.id < m.id order by p.id desc limit 1), 0)";
        assert_eq!(count(&django, wrong_turns).await, 0);
        let wrong_ends = "select count(*) from threads t where last_message is not
            (select max(id) from messages where thread_id = t.id)";
        assert_eq!(count(&django, wrong_ends).await, 0);
        let third = pass(&django, &INTO).await;
        assert_ended(&third, 0, "");
        assert_counts(&third.1, &[("read", 0), ("messages", 0), ("changed", 0)]);
        // Another is seen, and as many as before.
        django.execute("update chat_message set seen = true where id = 2042").await;
        assert_ended(&pass(&django, &INTO).await, 0, "");
        django.execute("update chat_message set seen = not seen where id in (2050, 2042)").await;
        let swapped = pass(&django, &INTO).await;
        let seen = "select count(*) from messages where id = 2050 and seen";
        assert_eq!(count(&django, seen).await, 1, "{swapped:?}");
        // What was seen stays so here, and that is told.
        assert_ended(&swapped, 3, "another content");
        django.execute("update chat_message set seen = true where id = 2042").await;
        assert_ended(&pass(&django, &INTO).await, 0, "");
        let full = pass(&django, &[&INTO[..], &["--full"]].concat()).await;
        assert_ended(&full, 0, "");
        assert_counts(&full.1, &[("read", 10), ("changed", 0), ("known", 16), ("verified", 10)]);

        let file = django.path().join("data/media").join(MINUTES);
        assert!(file.exists());
        let chat = serve(&django, arrangement).await;
        let [ada, bob, _] = users();
        let history = chat.history(&ada, &bob).await;
        let ids: Vec<_> = history.iter().map(|message| message["id"].as_i64()).collect();
        assert_eq!(ids, [30, 31, 35, 36, 38, 40, 41, 2_050].map(Some));
        assert_eq!(history[0]["receiver"]["email"], "robert@example.com");
        assert_eq!(
            (&history[2]["deleted"], &history[2]["attached_file"]),
            (&json!(true), &Value::Null)
        );
        let edited = &history[5];
        assert_eq!(
            (&edited["message"], &edited["seen"]),
            (&json!("canary, edited again"), &json!(true))
        );
        assert_eq!(edited["updated"], told(5_000));
        // The file of the deleted message goes with the start.
        eventually("the file to be removed", async || (!file.exists()).then_some(())).await;
        drop(chat);
    }
}

async fn a_file_that_was_missing_is_looked_for_again(_: Arrangement) {
    let django = Django::on(Engine::Sqlite).await;
    talk(&django).await;
    let file = Some((MISSING, "c.bin", "86.73KB"));
    django.message(Message { file, ..to_bob(3_004, "canary") }).await;
    let first = pass(&django, &INTO).await;
    assert_ended(&first, 3, "message 3004: its file");
    // For as long as it is missing. Nothing else is read again, neither a file of unknown type that is there.
    let again = pass(&django, &INTO).await;
    assert_ended(&again, 3, "message 3004: its file");
    assert_counts(&again.1, &[("read", 1), ("missing_files", 1), ("changed", 0)]);
    django.write(MISSING, b"canary that came");
    let found = pass(&django, &INTO).await;
    assert_ended(&found, 0, "");
    assert_counts(&found.1, &[("read", 1), ("missing_files", 0), ("files", 1), ("changed", 1)]);
    let came = fs::read(django.path().join("data/media").join(MISSING)).expect("the file");
    assert_eq!(came, b"canary that came");
    let last = pass(&django, &INTO).await;
    assert_ended(&last, 0, "");
    assert_counts(&last.1, &[("read", 0), ("missing_files", 0)]);
}

async fn what_is_older_there_is_taken_where_the_original_wins(_: Arrangement) {
    let on_postgres = Engine::Postgres(Database::create_on_shared().await);
    for engine in [Engine::Sqlite, on_postgres] {
        let django = Django::on(engine).await;
        talk(&django).await;
        assert_ended(&pass(&django, &INTO).await, 0, "");
        // By a machine whose clock is behind.
        let edit = format!(
            "update chat_message set message = 'canary, by another', updated = '{}' where id = 40",
            at(500)
        );
        django.execute(&edit).await;
        let left = pass(&django, &INTO).await;
        assert_ended(&left, 3, "--original-wins");
        assert_counts(&left.1, &[("newer_here", 1), ("changed", 0)]);
        let wins = pass(&django, &[&INTO[..], &["--original-wins"]].concat()).await;
        assert_ended(&wins, 0, "");
        assert_counts(&wins.1, &[("newer_here", 0), ("changed", 1), ("differences", 0)]);
        let edited = "select count(*) from messages where id = 40 and body = 'canary, by another'";
        assert_eq!(count(&django, edited).await, 1);
        let last = pass(&django, &INTO).await;
        assert_ended(&last, 0, "");
        assert_counts(&last.1, &[("read", 0), ("differences", 0)]);
    }
}

async fn what_cannot_be_taken_is_told_and_the_rest_is_there(_: Arrangement) {
    let django = Django::on(Engine::Sqlite).await;
    talk(&django).await;
    django.thread(2, ADA, BOB).await;
    django.thread(3, ADA, ADA).await;
    let wrong_path = ("attachments/report.pdf", "report.pdf", "1.00KB");
    for message in [
        Message { thread: 2, ..to_bob(3_001, "canary of the second thread") },
        Message { to: CYD, ..to_bob(3_002, "canary of another") },
        Message { file: Some(wrong_path), ..to_bob(3_003, "canary") },
        Message { file: Some((MISSING, "", "86.73KB")), ..to_bob(3_004, "") },
        Message { more: More::At(1), ..to_bob(3_005, "canary, older") },
        to_bob(3_006, ""),
    ] {
        django.message(message).await;
    }
    let ahead = "update chat_message set created = '2999-01-01 00:00:00' where id = 41;
        update chat_message set sender_id = 'nobody' where id = 40";
    django.execute(ahead).await;
    let trial = pass(&django, &[&INTO[..], &["--dry-run"]].concat()).await;
    let first = pass(&django, &INTO).await;
    for (passed, code) in [(&trial, 1), (&first, 3)] {
        for said in [
            "thread 2: the two have a thread already, 1",
            "thread 3: two users",
            "message 3001: no such thread",
            "message 3002: sender and receiver are not the two users",
            "message 3003: the path of its file, \"attachments/report.pdf\"",
            "message 3004: its file \"attachments/2024/14/17/37f67ff8-f5b8-4761-996c-04b0acf50bba\"",
            "note: message 3004 has a file without a name",
            "note: message 3006 has neither text nor file",
            "message 41: created is more than a day ahead",
            "message 40: sender: \"nobody\"",
            "1 messages are not younger",
        ] {
            assert_ended(passed, code, said);
        }
        assert_counts(
            &passed.1,
            &[("refused", 7), ("missing_files", 1), ("not_younger", 1), ("messages", 8)],
        );
    }
    // Nothing else is amiss.
    assert_counts(&first.1, &[("differences", 0), ("verified", 8)]);
    let size = "select attachment_size from messages where id = 3004";
    assert_eq!(count(&django, size).await, 88_812, "as it is told");

    // What was put right is taken, and the file that came.
    django.execute("update chat_message set created = updated where id = 41").await;
    django.write(MISSING, b"canary that came");
    let second = pass(&django, &[&INTO[..], &["--full"]].concat()).await;
    assert_ended(&second, 3, "message 3001");
    assert_counts(
        &second.1,
        &[("refused", 6), ("missing_files", 0), ("files", 1), ("messages", 1), ("changed", 1)],
    );
    assert_counts(&second.1, &[("late", 1), ("differences", 0)]);
    assert_eq!(count(&django, size).await, 16);
}

async fn whole_numbers_are_the_users_that_tokens_name(arrangement: Arrangement) {
    let django = Django::with_ids(Engine::Sqlite, "integer").await;
    let rows = format!(
        "insert into users_user values (17, 'x', 'ada@example.com', null),
            (18, 'x', 'bob@example.com', null);
        insert into chat_thread values (1, 17, 18, '{0}');
        insert into chat_message values (30, 1, 17, 18, 'canary', null, null, '0kb', false, false,
            '{0}', '{0}')",
        at(30)
    );
    django.execute(&rows).await;
    let refused = pass(&django, &INTO).await;
    assert_ended(&refused, 2, "--jwt-user-ids");
    let trial = pass(&django, &[&INTO[..], &["--dry-run"]].concat()).await;
    assert_ended(&trial, 0, "clients that keep or send whole numbers need a release");
    assert_eq!(trial.1["user_ids"], "integer");
    let any = ["--jwt-user-ids", "any", "--jwt-issuer", "https://original"];
    let taken = pass(&django, &[&INTO[..], &any].concat()).await;
    assert_ended(&taken, 0, "");
    assert_counts(&taken.1, &[("users", 2), ("messages", 1), ("differences", 0)]);

    let chat = TestChat::builder(arrangement)
        .set("data-dir", django.path().join("data"))
        .set("require-existing-data", "true")
        .set("jwt-user-ids", "any")
        .set("jwt-issuer", "https://original")
        .start()
        .await;
    let token = |id: i64| {
        let claims = Claims::access("").claim("user_id", id).claim("iss", "https://original");
        claims.sign(JWT_SECRET)
    };
    let threads = chat.get("/chat/get-user-threads/").bearer(&token(17)).send().await.json();
    let thread = &threads["entity"][0];
    assert_eq!(thread["user_two"]["email"], "bob@example.com", "{threads}");
    let peer = thread["user_two"]["id"].as_str().expect("an id").to_owned();
    let history = chat.get(&format!("/chat/messages/{peer}/")).bearer(&token(17)).send().await;
    assert_eq!(history.json()["entity"]["messages"][0]["message"], "canary");

    // UUIDs stay, and are not mapped by mistake.
    let uuids = Django::on(Engine::Sqlite).await;
    assert_ended(&pass(&uuids, &[&INTO[..], &any].concat()).await, 2, "--jwt-user-ids");
}

async fn a_fixture_of_dumpdata_is_taken(arrangement: Arrangement) {
    let django = Django::on(Engine::Sqlite).await;
    let user = |id: &str, name: &str| {
        json!({"model": "users.user", "pk": id,
            "fields": {"email": format!("{name}@example.com"), "profile": null, "password": "x"}})
    };
    let message = |id: i64, body: &str| {
        let at = "2024-06-17T11:28:21.902Z";
        json!({"model": "chat.message", "pk": id, "fields": {
            "conversation": 1, "sender": ADA, "receiver": BOB, "message": body,
            "attached_file": "", "attached_file_name": null, "attached_file_size": "0kb",
            "seen": false, "deleted": false, "created": at, "updated": at}})
    };
    let fixture = json!([
        message(31, "canary 31"),
        message(30, "canary 30"),
        {"model": "chat.thread", "pk": 1, "fields": {"user_one": ADA, "user_two": BOB,
            "created": "2024-06-17T11:00:00Z"}},
        user(ADA, "ada"),
        user(BOB, "bob"),
    ]);
    fs::write(django.path().join("dump.json"), fixture.to_string()).expect("written");
    fs::write(django.path().join("mapping.json"), r#"{"messages": {"thread": "conversation_id"}}"#)
        .expect("written");
    let import = ["import", "django", "--from", "dump.json", "--media", "mediafiles"];
    let import = [&import[..], &INTO, &["--mapping", "mapping.json"]].concat();
    let ended = run(django.path(), &import).await;
    let told_of: Value = serde_json::from_str(&ended.stdout).unwrap_or_default();
    let ended = (ended, told_of);
    assert_ended(&ended, 0, "milliseconds");
    assert_counts(&ended.1, &[("users", 2), ("messages", 2), ("not_younger", 1), ("verified", 2)]);
    let chat = serve(&django, arrangement).await;
    let [ada, bob, _] = users();
    let bodies: Vec<_> =
        chat.history(&ada, &bob).await.iter().map(|it| it["message"].clone()).collect();
    assert_eq!(bodies, ["canary 30", "canary 31"]);
}

async fn a_pass_that_is_killed_is_run_again(_: Arrangement) {
    let django = Django::on(Engine::Sqlite).await;
    django.thread(1, ADA, BOB).await;
    let (ada, bob) = (django.id(ADA), django.id(BOB));
    let many = format!(
        "with recursive n (id) as (select 1 union all select id + 1 from n where id < 45000)
        insert into chat_message select id, 1, '{ada}', '{bob}', 'canary ' || id, null, null, '0kb',
            id < 100, false, datetime(1718623701 + id, 'unixepoch'),
            datetime(1718623701 + id, 'unixepoch') from n"
    );
    django.execute(&many).await;
    let url = django.url();
    let mut command = process::command(django.path());
    command.args(["import", "django", "--from", &url, "--media", "mediafiles"]).args(INTO);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut child = command.spawn().expect("start the program");
    let database = django.path().join("data/chat.db");
    // Some of it is committed, or it has ended already.
    let mut is_over = false;
    while !is_over {
        is_over = child.try_wait().expect("asked").is_some();
        let taken = async {
            let file = SqliteConnectOptions::new().filename(&database).read_only(true);
            let mut file = SqliteConnection::connect_with(&file).await.ok()?;
            let query = "select count(*) from messages";
            sqlx::query_scalar::<_, i64>(query).fetch_one(&mut file).await.ok()
        };
        is_over |= taken.await.unwrap_or_default() > 0;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
    let rest = pass(&django, &INTO).await;
    assert_ended(&rest, 0, "");
    assert_counts(&rest.1, &[("differences", 0), ("refused", 0)]);
    assert_eq!(count(&django, "select count(*) from messages").await, 45_000);
    assert_eq!(count(&django, "select max(seen_id) from thread_states").await, 99);
    assert_eq!(count(&django, "select count(*) from users").await, 3);
    let again = pass(&django, &INTO).await;
    assert_counts(&again.1, &[("read", 0), ("differences", 0), ("marks", 0)]);
}

async fn what_is_wrong_is_told_before_anything_is_made(_: Arrangement) {
    let django = Django::on(Engine::Sqlite).await;
    talk(&django).await;
    fs::write(django.path().join("other.json"), r#"{"threads": {"table": "thread"}}"#)
        .expect("written");
    fs::write(django.path().join("wrong.json"), r#"{"tables": {}}"#).expect("written");
    let url = django.url();
    let from = ["--from", &url, "--media", "mediafiles"];
    for (arguments, said) in [
        (&["django"][..], "--from: must be given"),
        (&["django", "--from", &url], "--media: must be given"),
        (&[&["django", "lines.jsonl"][..], &from].concat(), "DIR|FILE: "),
        (&["django", "--from", "mysql://x", "--media", "mediafiles"], "--from: must be postgres"),
        (&["django", "--from", "sqlite://none", "--media", "mediafiles"], "--from: "),
        (&["django", "--from", &url, "--media", "none"], "--media: none: is not there"),
        (&[&["django", "--mapping", "none.json"][..], &from].concat(), "--mapping: none.json: "),
        (&[&["django", "--mapping", "wrong.json"][..], &from].concat(), "`tables`"),
        (&[&["django", "--mapping", "other.json"][..], &from].concat(), "no table \"thread\""),
        (&["jsonl"], "DIR|FILE: must be given"),
        (&["jsonl", "lines.jsonl", "--full"], "--full: is of `import django`"),
    ] {
        let arguments = [&["import"][..], arguments, &INTO, &["--dry-run"]].concat();
        let ended = run(django.path(), &arguments).await;
        assert_ended(&(ended, Value::Null), 2, said);
    }
    assert!(!django.path().join("data").exists(), "something was made");
}
