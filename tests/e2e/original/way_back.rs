//! `netrox-chat export django`: what was written since goes back to the original, by a fixture and files.

use netrox_proto::v1::{
    BlockUserRequest, DeleteMessageRequest, EditMessageRequest, MarkSeenRequest, SendMessageRequest,
};

use super::*;

each![; serve: what_was_written_since_goes_back, what_cannot_go_back_is_told];

pub(super) async fn back(django: &Django, directory: &str, more: &[&str]) -> (Ended, Value) {
    let url = django.url();
    let arguments = ["export", "django", directory, "--original", &url, "--data-dir", "data"];
    let ended = run(django.path(), &[&arguments[..], more].concat()).await;
    let told = serde_json::from_str(&ended.stdout).unwrap_or_default();
    (ended, told)
}

pub(super) fn fixture(django: &Django, directory: &str) -> Vec<Value> {
    let text = fs::read(django.path().join(directory).join("fixture.json")).expect("a fixture");
    serde_json::from_slice(&text).expect("a list")
}

/// As `manage.py loaddata` does: each row is written as a whole, whatever was there.
async fn load(django: &Django, directory: &str) {
    for row in fixture(django, directory) {
        let table = row["model"].as_str().expect("a model").replace('.', "_");
        let fields = row["fields"].as_object().expect("fields");
        let value = |name: &str, value: &Value| match value {
            Value::String(id) if ["sender", "receiver", "user_one", "user_two"].contains(&name) => {
                format!("'{}'", django.id(id))
            }
            // Of UTC, without microseconds where there are none.
            Value::String(time) if ["created", "updated"].contains(&name) => {
                let time = time.replace('T', " ").replace('Z', "").replace(".000000", "");
                format!("'{time}'")
            }
            Value::String(text) => format!("'{}'", text.replace('\'', "''")),
            Value::Object(_) => format!("'{}'", value.to_string().replace('\'', "''")),
            other => other.to_string(),
        };
        let column = |name: &String| match name.as_str() {
            "thread" | "sender" | "receiver" | "user_one" | "user_two" => format!("{name}_id"),
            _ => name.clone(),
        };
        let id = match &row["pk"] {
            Value::String(id) => format!("'{}'", django.id(id)),
            other => other.to_string(),
        };
        let columns: Vec<_> = fields.keys().map(column).collect();
        let values: Vec<_> = fields.iter().map(|(name, field)| value(name, field)).collect();
        let sql = format!(
            "delete from {table} where id = {id}; insert into {table} (id, {}) values ({id}, {})",
            columns.join(", "),
            values.join(", ")
        );
        django.execute(&sql).await;
    }
    let media = django.path().join(directory).join("media");
    let mut directories = vec![media.clone()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            match entry.path() {
                path if path.is_dir() => directories.push(path),
                path => {
                    let name = path.strip_prefix(&media).expect("a file of it");
                    let name = name.to_str().expect("UTF-8");
                    django.write(name, &fs::read(&path).expect("a file"));
                }
            }
        }
    }
}

async fn write_since(chat: &TestChat) -> User {
    let [ada, bob, cyd] = users();
    let dan = chat.user("dan").await;
    let (mut at_ada, mut at_bob) = (chat.connect(&ada).await, chat.connect(&bob).await);
    at_ada.say(&bob, "canary, new: it's 🙂 \"\\").await;
    at_bob.expect_body("canary, new: it's 🙂 \"\\").await;
    chat.connect(&dan).await.say(&ada, "canary of a new user").await;
    at_ada.expect_body("canary of a new user").await;
    chat.connect(&cyd).await.say(&ada, "canary of a new thread").await;
    at_ada.expect_body("canary of a new thread").await;
    chat.upload_file(&bob, &ada, "ä new.txt", "canary in a new file").await;
    let edit = EditMessageRequest {
        user_id: ADA.to_owned(),
        message_id: 30,
        body: "canary, edited since".to_owned(),
        ..Default::default()
    };
    chat.chat_service().edit_message(edit).await.expect("edited");
    let user_id = BOB.to_owned();
    let delete = DeleteMessageRequest { user_id, message_id: 35, for_everyone: true };
    chat.chat_service().delete_message(delete).await.expect("deleted");
    let (user_id, peer_id) = (BOB.to_owned(), ADA.to_owned());
    let mark = MarkSeenRequest { user_id, peer_id, up_to_id: 41 };
    chat.chat_service().mark_seen(mark).await.expect("marked");
    dan
}

async fn what_was_written_since_goes_back(arrangement: Arrangement) {
    let on_postgres = Engine::Postgres(Database::create_on_shared().await);
    for engine in [Engine::Sqlite, on_postgres] {
        let django = Django::on(engine).await;
        talk(&django).await;
        assert_ended(&pass(&django, &INTO).await, 0, "");
        let before = django.bytes();
        let nothing = back(&django, "nothing", &[]).await;
        assert_ended(&nothing, 0, "");
        assert_counts(&nothing.1, &[("messages", 0), ("changed_messages", 0), ("users", 0)]);
        assert_eq!(fixture(&django, "nothing"), Vec::<Value>::new());

        let chat = TestChat::builder(arrangement)
            .set("data-dir", django.path().join("data"))
            .set("edit-window", "unlimited")
            .start()
            .await;
        let dan = write_since(&chat).await;
        // Beside the server.
        let exported = back(&django, "back", &[]).await;
        assert_ended(&exported, 0, "files of messages that were deleted are in the original's");
        let counts = [
            ("users", 1),
            ("threads", 2),
            ("messages", 4),
            ("changed_messages", 3),
            ("files", 1),
            ("unread", 0),
            ("only_in_original", 0),
        ];
        assert_counts(&exported.1, &counts);
        assert_eq!(exported.1["erased_files"], json!([MINUTES]), "{}", exported.1);
        let left_out = exported.1["left_out"].as_object().expect("counts");
        assert!(left_out.values().all(|count| *count == 0), "{left_out:?}");
        assert_ended(&back(&django, "twice", &[]).await, 0, "");
        let text = |directory: &str| fs::read(django.path().join(directory).join("fixture.json"));
        assert_eq!(text("back").expect("a fixture"), text("twice").expect("a fixture"));
        assert_eq!(django.bytes(), before, "the original was written");

        let rows = fixture(&django, "back");
        let row = |pk: Value| {
            rows.iter().find(|row| row["pk"] == pk).unwrap_or_else(|| panic!("no {pk}")).clone()
        };
        let expected = json!({ "model": "chat.message", "pk": 40, "fields": {
            "thread": 1, "sender": ADA, "receiver": BOB, "message": "canary, edited",
            "attached_file": null, "attached_file_name": null, "attached_file_size": "0kb",
            "seen": true, "deleted": false, "created": told(40), "updated": told(1_040) } });
        assert_eq!(row(json!(40)), expected);
        let edited = row(json!(30));
        assert_eq!(edited["fields"]["message"], "canary, edited since", "{edited}");
        assert_eq!(edited["fields"]["created"], told(30), "{edited}");
        let deleted = row(json!(35))["fields"].clone();
        assert_eq!((&deleted["message"], &deleted["deleted"]), (&json!(""), &json!(true)));
        let new = json!({ "email": "dan@example.com", "profile": null });
        let new = json!({ "model": "users.user", "pk": dan.id, "fields": new });
        assert_eq!(row(json!(dan.id)), new);
        assert!(rows.iter().all(|row| row["pk"] != ADA && row["pk"] != 1 && row["pk"] != 31));

        load(&django, "back").await;
        let again = back(&django, "again", &[]).await;
        assert_ended(&again, 0, "");
        assert_eq!(fixture(&django, "again"), Vec::<Value>::new());
        // What the original has by now is what users see here.
        let moved = pass(&django, &["--data-dir", "moved"]).await;
        assert_ended(&moved, 0, "");
        let moved =
            TestChat::builder(arrangement).set("data-dir", django.path().join("moved")).start();
        let moved = moved.await;
        let ids: Vec<_> = [ADA, BOB, CYD, &dan.id].iter().map(|id| format!("{id}\n")).collect();
        fs::write(django.path().join("users"), ids.concat()).expect("a file");
        let servers = [&chat, &moved].map(|chat| format!("http://{}", chat.edge().address));
        let [original, candidate] = &servers;
        let shadow = ["shadow", "--original", original, "--candidate", candidate, "--users"];
        let shadow =
            [&shadow[..], &["users", "--rate", "10000", "--jwt-secret", JWT_SECRET]].concat();
        let compared = run(django.path(), &shadow).await;
        assert_eq!(compared.status.code(), Some(0), "{compared:?}");
        assert!(compared.stdout.contains("compared: 4 of 4 users, 8 threads,"), "{compared:?}");
    }
}

async fn what_cannot_go_back_is_told(arrangement: Arrangement) {
    let django = Django::on(Engine::Sqlite).await;
    talk(&django).await;
    assert_ended(&pass(&django, &INTO).await, 0, "");
    let chat = serve(&django, arrangement).await;
    let [ada, bob, cyd] = users();
    let mut service = chat.chat_service();
    let mut send = async |from: &User, to: &User, more: SendMessageRequest| {
        let (sender_id, receiver_id) = (from.id.clone(), to.id.clone());
        let request = SendMessageRequest { sender_id, receiver_id, ..more };
        service.send_message(request).await.expect("stored").into_inner().message_id
    };
    let text = |body: &str| SendMessageRequest { body: body.to_owned(), ..Default::default() };
    let answer = SendMessageRequest {
        reply_to_id: Some(30),
        meta_json: Some("{\"colour\":1}".to_owned()),
        ..text("canary, an answer")
    };
    let answer = send(&bob, &ada, answer).await;
    let (user_id, peer_id) = (CYD.to_owned(), ADA.to_owned());
    chat.chat_service().block_user(BlockUserRequest { user_id, peer_id }).await.expect("blocked");
    let swallowed = send(&ada, &cyd, text("canary that is swallowed")).await;
    let (user_id, message_id) = (BOB.to_owned(), 31);
    let hide = DeleteMessageRequest { user_id, message_id, for_everyone: false };
    chat.chat_service().delete_message(hide).await.expect("hidden");
    let sent = chat.upload_file(&bob, &ada, "new.txt", "canary in a new file").await;
    let path = sent["attached_file"].as_str().expect("a file").replace("/mediafiles/", "");
    fs::remove_file(django.path().join("data/media").join(&path)).expect("removed");

    let exported = back(&django, "back", &[]).await;
    assert_ended(&exported, 3, "1 files of messages are missing");
    let (ended, told_of) = &exported;
    assert!(ended.stderr.contains("warning: 1 blocks are left out"), "{ended:?}");
    let expected = [
        ("blocks", 1),
        ("hidden_messages", 1),
        ("meta", 1),
        ("replies", 1),
        ("swallowed_messages", 1),
    ];
    assert_counts(&told_of["left_out"], &expected);
    assert_eq!(told_of["missing_files"], json!([path]), "{told_of}");
    let rows = fixture(&django, "back");
    let ids: Vec<_> = rows.iter().map(|row| row["pk"].as_i64()).collect();
    assert_eq!(ids, [Some(answer), sent["id"].as_i64()], "{rows:?}");
    assert!(!ids.contains(&Some(swallowed)));
    // It is no chat that can be imported.
    let import = ["import", "jsonl", "back", "--data-dir", "elsewhere"];
    let imported = run(django.path(), &import).await;
    assert_ended(&(imported, Value::Null), 2, "a way back to the original server");

    for (directory, more, said) in [
        ("back", &[][..], "not empty: nothing was changed"),
        ("other", &["--all"], "--all: is of JSON lines"),
        ("other", &["--mapping", "none"], "--mapping: none: "),
    ] {
        let refused = back(&django, directory, more).await;
        assert_ended(&refused, 2, said);
        assert!(!django.path().join("other").exists());
    }
    for (arguments, said) in [
        (&["export", "django", "other"][..], "--original: must be given, or --original-file"),
        (&["export", "django", "other", "--original", "mysql://x"], "--original: must be postgres"),
        (&["export", "django", "other", "--original", "sqlite://none"], "--original: "),
        (
            &["export", "--all", "other", "--original", "a.json"],
            "--original: is of `export django`",
        ),
        (&["export", "jsonl", "other"], "not one of django"),
    ] {
        let refused = run(django.path(), arguments).await;
        assert_ended(&(refused, Value::Null), 2, said);
        assert!(!django.path().join("other").exists());
    }
}
