//! Quotas of users: `--new-conversations-rate` and `--max-storage-per-user`, as clients of both generations meet them.

use netrox_harness::{
    Arrangement, Response, Role, TestChat, User, each,
    multipart::{Form, certain},
};
use serde_json::json;
use uuid::Uuid;

use crate::v2::client::{Client, message};

each![
    conversations_beyond_the_rate_are_refused_on_every_way_and_replies_are_not,
    files_beyond_the_storage_of_a_user_are_413_until_others_are_deleted,
];

const HOUR_SECONDS: u64 = 3600;

/// Of a refusal: close to the hour that it takes until the first counts no more.
fn assert_waits_an_hour(answer: &Response) {
    let seconds: u64 = answer.header("retry-after").expect("a time").parse().expect("seconds");
    assert!((HOUR_SECONDS - 300..=HOUR_SECONDS).contains(&seconds), "{answer:?}");
}

fn cores(chat: &TestChat) -> Vec<Role> {
    match chat.arrangement() {
        Arrangement::Serve => vec![Role::Serve],
        Arrangement::Split | Arrangement::Cluster => chat.core_roles(),
    }
}

/// What the cores have counted of refusals.
async fn refusals(chat: &TestChat, quota: &str) -> u64 {
    let series = format!("netrox_chat_quota_refusals_total{{quota=\"{quota}\"}} ");
    let mut sum = 0;
    for role in cores(chat) {
        let metrics = chat.admin(role).get("/metrics").send().await;
        let line = metrics.text().lines().find_map(|line| line.strip_prefix(&series));
        sum += line.expect("a series").parse::<u64>().expect("a number");
    }
    sum
}

async fn post(chat: &TestChat, sender: &User, receiver: &User, client_ref: &str) -> Response {
    let body = json!({"message_body": "hello", "client_ref": client_ref}).to_string();
    let request = chat.edge_of(sender);
    let request = request.request("POST", &format!("/v2/threads/{}/messages", receiver.id));
    let request = request.bearer(&sender.token).header("content-type", "application/json");
    request.body(body).send().await
}

async fn conversations_beyond_the_rate_are_refused_on_every_way_and_replies_are_not(
    arrangement: Arrangement,
) {
    let chat = TestChat::builder(arrangement).set("new-conversations-rate", "3/1h").start().await;
    let (ada, mut socket) = chat.join("ada").await;
    let mut others = Vec::new();
    for number in 0..6 {
        others.push(chat.user(&format!("other{number}")).await);
    }
    // One on each way.
    let mut first = chat.connect(&others[0]).await;
    socket.say(&others[0], "by a socket").await;
    first.expect_body("by a socket").await;
    let client_ref = Uuid::new_v4().to_string();
    assert_eq!(post(&chat, &ada, &others[1], &client_ref).await.status, 201);
    chat.upload_file(&ada, &others[2], "a.txt", b"by a form").await;

    socket.say(&others[3], "one too many").await;
    socket.expect_error("rate_limited").await;
    let form = Form::new().text("receiver", &others[3].id).file("a.txt", b"one too many");
    let refused = chat.upload(&ada, form).await;
    refused.assert_failure(429);
    assert_waits_an_hour(&refused);
    let refused = post(&chat, &ada, &others[3], &Uuid::new_v4().to_string()).await;
    assert_eq!((refused.status, &refused.json()["code"]), (429, &json!("rate_limited")));
    assert_waits_an_hour(&refused);
    let mut client = Client::live(chat.edge_of(&ada), &ada).await;
    let frame = message(&others[3], "one too many", &Uuid::new_v4().to_string());
    let error = client.refused(frame, "rate_limited").await;
    let wait = error["retry_after_ms"].as_u64().expect("a time");
    assert!((HOUR_SECONDS - 300..=HOUR_SECONDS).contains(&wait.div_ceil(1_000)), "{error}");
    assert!(refusals(&chat, "new_conversations").await >= 4);

    // What is there goes on, on both sides, and a repetition is answered as ever.
    for receiver in &others[..3] {
        client.say(receiver, "again").await;
    }
    socket.say(&others[0], "and again").await;
    first.expect_body("again").await;
    first.expect_body("and again").await;
    assert_eq!(post(&chat, &ada, &others[1], &client_ref).await.status, 200);
    // Who was written to answers, and that begins nothing.
    let mut other = Client::live(chat.edge_of(&others[4]), &others[4]).await;
    other.say(&ada, "begun by another").await;
    client.say(&others[4], "a reply").await;
    let threads = chat.get("/chat/get-user-threads/").bearer(&ada.token).send().await;
    assert_eq!(threads.json()["entity"].as_array().expect("threads").len(), 4);
}

async fn attach(
    chat: &TestChat,
    sender: &User,
    receiver: &User,
    content: &[u8],
    client_ref: &str,
) -> Response {
    let path = format!("/v2/threads/{}/attachments?client_ref={client_ref}", receiver.id);
    let form = Form::new().file("a.bin", content);
    let (content_type, body) = (form.content_type(), form.finish());
    certain(async || {
        let request = chat.edge_of(sender).request("POST", &path).bearer(&sender.token);
        request.header("content-type", &content_type).body(body.clone()).send().await
    })
    .await
}

async fn files_beyond_the_storage_of_a_user_are_413_until_others_are_deleted(
    arrangement: Arrangement,
) {
    const LIMIT: usize = 300_000;
    let chat =
        TestChat::builder(arrangement).set("max-storage-per-user", LIMIT.to_string()).start().await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let first = chat.upload_file(&ada, &bob, "a.bin", vec![1; 200_000]).await;
    let over = |seed: u8| Form::new().text("receiver", &bob.id).file("b.bin", vec![seed; 100_001]);
    let refused = chat.upload(&ada, over(2)).await;
    let message = refused.assert_failure(413);
    assert!(message.contains("storage"), "{message}");
    assert_eq!(refused.header("retry-after"), None);
    let client_ref = Uuid::new_v4().to_string();
    for _ in 0..2 {
        let refused = attach(&chat, &ada, &bob, &[3; 190_000], &client_ref).await;
        let code = refused.json()["code"].clone();
        assert_eq!((refused.status, code), (413, json!("message_too_large")), "{refused:?}");
        assert_eq!(refused.header("retry-after"), None);
    }
    chat.keeps_files(1).await;
    assert!(refusals(&chat, "storage").await >= 3);
    // Others have their own, and text takes nothing.
    chat.upload_file(&bob, &ada, "c.bin", vec![4; LIMIT]).await;
    let mut client = Client::live(chat.edge_of(&ada), &ada).await;
    client.say(&bob, "text").await;

    // Room that was given back is there for the same upload.
    let id = first["id"].as_i64().expect("an id");
    client.ask(json!({"action": "message_delete", "message_id": id, "for": "everyone"})).await;
    let stored = attach(&chat, &ada, &bob, &[3; 190_000], &client_ref).await;
    assert_eq!(stored.status, 201, "{stored:?}");
    chat.keeps_files(2).await;
}
