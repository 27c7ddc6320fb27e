//! What blocks have kept from whom goes with the chat, by each way.

use std::fs;

use netrox_harness::{Arrangement, Role, TestChat, User, database::Database, each, process};
use netrox_proto::v1::{
    BlockUserRequest, EditMessageRequest, MarkSeenRequest, SendMessageRequest, SetPresenceRequest,
    UnblockUserRequest, Visibility,
};
use serde_json::{Value, json};

use super::{assert_ended, lines, printed};

each![; serve: what_was_swallowed_stays_so_by_every_way_that_a_chat_moves];

pub(super) async fn send(chat: &TestChat, from: &User, to: &User, body: &str) -> i64 {
    let request = SendMessageRequest {
        sender_id: from.id.clone(),
        receiver_id: to.id.clone(),
        body: body.to_owned(),
        ..Default::default()
    };
    chat.chat_service().send_message(request).await.expect("stored").into_inner().message_id
}

async fn block(chat: &TestChat, user: &User, peer: &User) {
    let request = BlockUserRequest { user_id: user.id.clone(), peer_id: peer.id.clone() };
    chat.chat_service().block_user(request).await.expect("blocked");
}

async fn seen(chat: &TestChat, user: &User, peer: &User, up_to_id: i64) {
    let request = MarkSeenRequest { user_id: user.id.clone(), peer_id: peer.id.clone(), up_to_id };
    chat.chat_service().mark_seen(request).await.expect("marked");
}

/// What a user sees, but for places in feeds.
async fn view(chat: &TestChat, user: &User) -> Vec<Value> {
    fn without_places(value: &mut Value) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(without_places),
            Value::Object(fields) => {
                fields.remove("rev");
                fields.values_mut().for_each(without_places);
            }
            _ => {}
        }
    }
    let mut seen = Vec::new();
    let mut threads = Value::Null;
    for path in ["/v2/threads", "/v2/blocks", "/v2/me", "/chat/get-user-threads/"] {
        let answer = chat.get(path).bearer(&user.token).send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        if path == "/v2/threads" {
            threads = answer.json()["threads"].clone();
        }
        seen.push(answer.json());
    }
    for thread in threads.as_array().expect("threads") {
        let peer = thread["peer_id"].as_str().expect("a peer");
        for path in [format!("/v2/threads/{peer}/messages"), format!("/chat/messages/{peer}/")] {
            seen.push(chat.get(&path).bearer(&user.token).send().await.json());
        }
    }
    seen.iter_mut().for_each(without_places);
    seen
}

async fn views(chat: &TestChat, users: &[User]) -> Vec<Vec<Value>> {
    let mut all = Vec::new();
    for user in users {
        all.push(view(chat, user).await);
    }
    all
}

async fn what_was_swallowed_stays_so_by_every_way_that_a_chat_moves(arrangement: Arrangement) {
    let mut chat = TestChat::start(arrangement).await;
    let mut users = Vec::new();
    for name in ["ada", "bob", "cyd", "dan"] {
        users.push(chat.user(name).await);
    }
    let [ada, bob, cyd, dan] = &users[..] else { unreachable!() };
    let shared = send(&chat, bob, ada, "shared").await;
    let waiting = chat.upload_file(bob, ada, "waiting.txt", "canary").await;
    block(&chat, ada, bob).await;
    let edit_of_waiting = EditMessageRequest {
        user_id: bob.id.clone(),
        message_id: waiting["id"].as_i64().expect("an id"),
        body: "canary".to_owned(),
        meta_json: None,
    };
    chat.chat_service().edit_message(edit_of_waiting).await.expect("edited");
    let edit = EditMessageRequest {
        user_id: bob.id.clone(),
        message_id: shared,
        body: "canary, edited".to_owned(),
        meta_json: Some("{\"n\":10000000000000000000000}".to_owned()),
    };
    chat.chat_service().edit_message(edit).await.expect("edited");
    send(&chat, bob, ada, "canary").await;
    let file = chat.upload_file(bob, ada, "canary.txt", "canary").await;
    let mut at_bob = chat.connect(bob).await;
    at_bob.dispatch(file["id"].clone()).await;
    at_bob.dispatch(waiting["id"].clone()).await;
    seen(&chat, ada, bob, shared).await;
    // Ended, with what it kept.
    block(&chat, dan, cyd).await;
    send(&chat, cyd, dan, "canary").await;
    send(&chat, dan, cyd, "a first word").await;
    let request = UnblockUserRequest { user_id: dan.id.clone(), peer_id: cyd.id.clone() };
    chat.chat_service().unblock_user(request).await.expect("unblocked");
    // What `/v2/me` tells.
    let hides =
        SetPresenceRequest { user_id: cyd.id.clone(), visibility: Visibility::Nobody.into() };
    chat.chat_service().set_presence(hides).await.expect("hidden");
    send(&chat, cyd, dan, "after it").await;
    at_bob.send(&json!({"action": "fence"})).await;
    at_bob.expect_error("unknown_action").await;
    let before = views(&chat, &users).await;

    // Its end notes when users were last seen.
    assert!(chat.terminate(Role::Serve).await.success());
    let exported = printed(&chat, &["export", "--all", "one", "--data-dir", "data"]).await;
    assert_eq!((&exported["blocks"], &exported["files"]), (&json!(1), &json!(2)), "{exported}");
    let first = lines(&chat, "one");
    for part in ["\"swallowed\":true", "receiver_sees", "shown_seen_id", "begun_for_two"] {
        assert!(first.contains(part), "{part}: {first}");
    }

    let (postgres, copied) =
        (Database::create_on_shared().await, Database::create_on_shared().await);
    let url = postgres.url();
    let on_postgres = ["--database-url", &url, "--media-url", "file://postgres-media"];
    printed(&chat, &[&["import", "jsonl", "one"][..], &on_postgres].concat()).await;
    printed(&chat, &[&["export", "--all", "two"][..], &on_postgres].concat()).await;
    assert_eq!(lines(&chat, "two"), first, "through PostgreSQL");
    let imported = printed(&chat, &["import", "jsonl", "two", "--data-dir", "moved"]).await;
    assert_eq!((&imported["blocks"], &imported["known"]), (&json!(1), &json!(0)), "{imported}");
    printed(&chat, &["export", "--all", "three", "--data-dir", "moved"]).await;
    assert_eq!(lines(&chat, "three"), first, "back in SQLite");
    let again = printed(&chat, &["import", "jsonl", "one", "--data-dir", "moved"]).await;
    assert_eq!(again["blocks"], json!(0), "{again}");

    // Who exported nothing of what is shown of marks does not change it.
    printed(&chat, &["import", "jsonl", "one", "--data-dir", "marked"]).await;
    let of_ada = first.lines().find(|line| line.contains("shown_seen_id")).expect("a mark");
    let of_ada: Value = serde_json::from_str(of_ada).expect("JSON");
    let mut marks = String::new();
    for user in [ada, bob] {
        let mark = json!({
            "type": "mark", "thread_id": of_ada["thread_id"], "user_id": user.id, "seen_id": shared,
            "delivered_id": shared + 1,
        });
        marks += &format!(
            "{mark}
"
        );
    }
    fs::write(chat.directory().join("marks.jsonl"), marks).expect("written");
    let more = printed(&chat, &["import", "jsonl", "marks.jsonl", "--data-dir", "marked"]).await;
    assert_eq!(more["marks"], json!(2), "{more}");
    printed(&chat, &["export", "--all", "five", "--data-dir", "marked"]).await;
    let marked = lines(&chat, "five");
    assert_eq!(
        marked.matches(r#""shown_seen_id":0,"shown_delivered_id":0"#).count(),
        2,
        "{marked}"
    );

    let source = format!("sqlite://{}", chat.data_dir().join("chat.db").display());
    let target = copied.url();
    let variables = [("NETROX_CHAT_FROM", source.as_str()), ("NETROX_CHAT_TO", target.as_str())];
    for _ in 0..2 {
        assert_ended(&process::run(chat.directory(), ["migrate"], variables).await, 0, "");
    }
    let media = format!("file://{}", chat.media_dir().display());
    let of_copy = ["--database-url", &target, "--media-url", &media];
    printed(&chat, &[&["export", "--all", "four"][..], &of_copy].concat()).await;
    assert_eq!(lines(&chat, "four"), first, "by migrate");

    let moved = TestChat::builder(arrangement)
        .set("data-dir", chat.directory().join("moved"))
        .set("require-existing-data", "true")
        .start()
        .await;
    assert_eq!(views(&moved, &users).await, before);
    // The block goes on.
    send(&moved, bob, ada, "canary").await;
    let now = view(&moved, ada).await;
    assert_eq!(now, before[0]);
}
