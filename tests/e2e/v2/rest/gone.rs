//! What is gone for its age, or with its sender.

use std::time::{SystemTime, UNIX_EPOCH};

use netrox_harness::{
    Arrangement, Role, TestChat, each, eventually, multipart::Form, s3::S3Server,
};
use netrox_proto::v1::DeleteUserRequest;
use serde_json::{Value, json};

use super::client::{Client, assert_problem, reference, texts};

each![
    the_peer_sees_what_is_erased_with_its_sender,
    what_is_too_old_is_gone_and_clients_go_on,
    files_in_a_bucket_go_with_their_messages,
];

const DAY_MICROS: u128 = 24 * 3600 * 1_000_000;

async fn delete_with_messages(chat: &TestChat, user: &Client) {
    let request = DeleteUserRequest { user_id: user.id().to_owned(), erase_messages: true };
    chat.directory_service().delete_user(request).await.expect("deleted");
}

/// Makes all that was sent so far two days older.
async fn age_all(chat: &TestChat) {
    let age = format!("update messages set created = created - {}", 2 * DAY_MICROS);
    chat.change_rows(&[&age]).await;
}

#[expect(clippy::disallowed_methods, reason = "compared with what is stored")]
fn yesterday() -> u128 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time");
    now.as_micros() - DAY_MICROS
}

/// Starts all with messages kept for a day, and waits for what follows from it.
async fn retain(chat: &mut TestChat) {
    chat.set("retain-messages", "24h");
    let roles = chat.roles();
    for role in &roles {
        chat.kill(*role);
    }
    for role in roles {
        chat.spawn(role).await;
    }
    let due = format!(
        "select count(*) from messages where removed is null and created < {}",
        yesterday()
    );
    eventually("nothing that is too old", async || (chat.count(&due).await == 0).then_some(()))
        .await;
    chat.ready().await;
}

fn messages(changes: &Value) -> Vec<Value> {
    let changes = changes["changes"].as_array().expect("changes").iter();
    let messages = changes.filter(|change| change["action"] == "message");
    messages.map(|change| change["message"].clone()).collect()
}

async fn the_peer_sees_what_is_erased_with_its_sender(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let of_bob = bob.say(&ada, "canary of bob").await;
    let text = ada.say(&bob, "canary of ada").await;
    let file = ada.upload(&bob, &reference(), Form::new().file("canary.txt", "canary")).await;
    let file = file.json();
    let path = file["attachment"]["url"].as_str().expect("a path").to_owned();
    assert_eq!(chat.get(&path).send().await.status, 200);
    assert_eq!(bob.thread(&ada).await["unread"], 2);
    let cursor = bob.get("/v2/sync").await["cursor"].as_str().expect("a cursor").to_owned();
    let (mut socket, hello) = bob.connect(&cursor).await;
    assert_eq!(hello["resumed"], true, "{hello}");

    delete_with_messages(&chat, &ada).await;
    let mut told = Vec::new();
    while told.len() < 2 {
        let frame = socket.next().await;
        if frame["action"] == "message" {
            told.push(frame["message"].clone());
        }
    }
    // So too to one who was away.
    let missed = eventually("both changes", async || {
        let missed = messages(&bob.get(&format!("/v2/sync?after={cursor}")).await);
        (missed.len() == 2).then_some(missed)
    })
    .await;
    for of_one in [&told, &missed] {
        let ids: Vec<_> = of_one.iter().map(|message| &message["id"]).collect();
        assert_eq!(ids, [&text["id"], &file["id"]]);
        for message in of_one {
            let told = ["deleted", "hidden", "message", "meta", "attachment"];
            let told = told.map(|key| message[key].clone());
            assert_eq!(told, [json!(true), json!(false), json!(""), Value::Null, Value::Null]);
        }
    }
    eventually("nothing unread", async || (bob.thread(&ada).await["unread"] == 0).then_some(()))
        .await;
    let history = chat.history(&bob.user, &ada.user).await;
    assert_eq!(texts(&history), ["canary of bob", "", ""]);
    let deleted: Vec<_> = history.iter().map(|message| message["deleted"].clone()).collect();
    assert_eq!(deleted, [json!(false), json!(true), json!(true)]);
    assert!(history.iter().all(|message| message["attached_file"].is_null()), "{history:?}");
    chat.get(&path).send().await.assert_failure(404);
    chat.keeps_files(0).await;
    assert_eq!(bob.get(&format!("/v2/messages/{}", of_bob["id"])).await["deleted"], false);
}

async fn what_is_too_old_is_gone_and_clients_go_on(arrangement: Arrangement) {
    let mut chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    assert_eq!(bob.get("/v2/me").await["limits"]["retain_s"], Value::Null);
    let seen = ada.say(&bob, "canary one").await;
    let first = bob.get("/v2/sync").await["cursor"].as_str().expect("a cursor").to_owned();
    let file = Form::new().file("canary.txt", "canary");
    let file = ada.upload(&bob, &reference(), file).await.json();
    let path = file["attachment"]["url"].as_str().expect("a path").to_owned();
    let last = ada.say(&bob, "canary three").await;
    bob.mark("seen", &ada, &seen["id"]).await;
    age_all(&chat).await;
    let kept = bob.say(&ada, "canary kept").await;
    let before = bob.get("/v2/sync").await;
    let cursor = before["cursor"].as_str().expect("a cursor").to_owned();
    assert_eq!(before["unread_total"], 2);

    retain(&mut chat).await;
    let limits = &bob.get("/v2/me").await["limits"];
    assert_eq!(limits["retain_s"], 86_400);
    // From where it was, nothing has happened; from before, less than there was.
    let now = bob.get(&format!("/v2/sync?after={cursor}")).await;
    assert_eq!((&now["changes"], &now["unread_total"]), (&json!([]), &json!(0)));
    let missed = messages(&bob.get(&format!("/v2/sync?after={first}")).await);
    assert_eq!(missed.iter().map(|it| &it["id"]).collect::<Vec<_>>(), [&kept["id"]]);
    let (_, hello) = bob.connect(&first).await;
    assert_eq!((&hello["resumed"], &hello["reset"]), (&json!(true), &Value::Null), "{hello}");
    assert_eq!(hello["limits"]["retain_s"], 86_400);
    let thread = bob.thread(&ada).await;
    let told = ["last_id", "unread", "seen_id"].map(|key| thread[key].clone());
    assert_eq!(told, [kept["id"].clone(), json!(0), seen["id"].clone()]);
    assert_eq!(thread["last_message"]["id"], kept["id"]);
    assert_eq!(ada.thread(&bob).await["peer_seen_id"], seen["id"]);
    let page = bob.get(&format!("/v2/threads/{}/messages", ada.id())).await;
    assert_eq!(texts(page["messages"].as_array().expect("messages")), ["canary kept"]);
    assert_eq!(texts(&chat.history(&ada.user, &bob.user).await), ["canary kept"]);
    for gone in [&seen, &file, &last] {
        let path = format!("/v2/messages/{}", gone["id"]);
        assert_problem(&bob.request("GET", &path).send().await, 404, "not_found");
    }
    chat.get(&path).send().await.assert_failure(404);
    chat.keeps_files(0).await;
    // A mark on what is gone is one, and what is said next comes next.
    bob.mark("seen", &ada, &last["id"]).await;
    let next = ada.say(&bob, "canary next").await;
    assert!(next["id"].as_i64() > kept["id"].as_i64());
    let now = bob.get(&format!("/v2/sync?after={cursor}")).await;
    let ids: Vec<_> = messages(&now).iter().map(|message| message["id"].clone()).collect();
    assert_eq!((ids, &now["unread_total"]), (vec![next["id"].clone()], &json!(1)));
}

async fn files_in_a_bucket_go_with_their_messages(arrangement: Arrangement) {
    let s3 = S3Server::start();
    let roles = [Role::Serve, Role::Core(0), Role::Core(1)];
    let mut chat = s3.serves(TestChat::builder(arrangement), &roles, "some/prefix").start().await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let upload = async |from: &Client, to: &Client| {
        from.upload(to, &reference(), Form::new().file("canary.txt", "canary")).await.json()
    };
    upload(&ada, &bob).await;
    upload(&bob, &ada).await;
    age_all(&chat).await;
    let of_ada = upload(&ada, &bob).await;
    let of_bob = upload(&bob, &ada).await;
    assert_eq!(s3.keys().len(), 4);
    retain(&mut chat).await;
    eventually("the old ones to go", async || (s3.keys().len() == 2).then_some(())).await;
    delete_with_messages(&chat, &ada).await;
    let left = eventually("another one to go", async || {
        let keys = s3.keys();
        (keys.len() == 1).then_some(keys)
    })
    .await;
    let key_of = |message: &Value| {
        let path = message["attachment"]["url"].as_str().expect("a path").to_owned();
        format!("some/prefix/{}", path.trim_start_matches("/mediafiles/"))
    };
    assert_eq!(left, [key_of(&of_bob)], "{of_ada}");
}
