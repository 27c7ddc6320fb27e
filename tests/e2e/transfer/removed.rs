//! What retention has left of messages, through exports, imports and `migrate`.

use netrox_harness::{
    Arrangement, Role, TestChat, User, database::Database, each, eventually, process,
};
use netrox_proto::v1::{GetThreadRequest, ListThreadsRequest, MarkSeenRequest, ThreadState};
use prost_types::Timestamp;
use serde_json::Value;

use super::{lines, printed};

each![; serve: a_thread_of_which_all_is_gone_goes_wherever_the_chat_goes];

const DAY_MICROS: i64 = 24 * 3600 * 1_000_000;

async fn state(chat: &TestChat, user: &User, peer: &User) -> ThreadState {
    let request = GetThreadRequest { user_id: user.id.clone(), peer_id: peer.id.clone() };
    let thread = chat.chat_service().get_thread(request).await.expect("a thread").into_inner();
    let thread = thread.thread.expect("a thread");
    assert_eq!(thread.last_message, None);
    ThreadState { rev: 0, ..thread.state.expect("a state") }
}

/// The threads of a user in their order, with their latest activity.
async fn order(chat: &TestChat, user: &User) -> Vec<(i64, Option<Timestamp>)> {
    let request = ListThreadsRequest { user_id: user.id.clone(), ..Default::default() };
    let mut answer = chat.chat_service().list_threads(request).await.expect("threads").into_inner();
    let mut order = Vec::new();
    while let Some(part) = answer.message().await.expect("threads") {
        order.extend(part.threads.into_iter().map(|it| (it.id, it.last_activity)));
    }
    order
}

async fn a_thread_of_which_all_is_gone_goes_wherever_the_chat_goes(arrangement: Arrangement) {
    let mut chat = TestChat::start(arrangement).await;
    let ((ada, mut at_ada), (bob, mut at_bob)) = (chat.join("ada").await, chat.join("bob").await);
    for text in ["canary one", "canary two"] {
        at_ada.say(&bob, text).await;
        at_bob.expect_body(text).await;
    }
    at_bob.say(&ada, "canary three").await;
    at_ada.expect_body("canary three").await;
    let cyd = chat.user("cyd").await;
    at_bob.say(&cyd, "canary to another").await;
    // A file that is not dispatched is the newest of all, and was never shown to its receiver.
    chat.upload_file(&ada, &bob, "canary.txt", "canary").await;
    let last: Value = chat.history(&ada, &bob).await.pop().expect("a message");
    let up_to_id = last["id"].as_i64().expect("an id") - 3;
    let mark = MarkSeenRequest { user_id: bob.id.clone(), peer_id: ada.id.clone(), up_to_id };
    chat.chat_service().mark_seen(mark).await.expect("marked");
    let days = 2 * DAY_MICROS;
    chat.change_rows(&[
        &format!("update messages set created = created - {days}"),
        &format!(
            "update threads set last_activity = last_activity - {days},
                last_message_at = last_message_at - {days}"
        ),
    ])
    .await;
    let orders = [order(&chat, &ada).await, order(&chat, &bob).await];
    assert_eq!((orders[0][0].0, orders[1].len()), (orders[1][0].0, 2));
    chat.set("retain-messages", "24h");
    chat.restart(Role::Serve).await;
    let left = "select count(*) from messages where removed is null";
    eventually("nothing", async || (chat.count(left).await == 0).then_some(())).await;
    chat.keeps_files(0).await;
    let before = [state(&chat, &ada, &bob).await, state(&chat, &bob, &ada).await];
    assert_eq!((before[1].seen_id, before[1].unread), (up_to_id, 0));
    assert!(chat.history(&bob, &ada).await.is_empty());
    assert_eq!([order(&chat, &ada).await, order(&chat, &bob).await], orders);

    printed(&chat, &["export", "--all", "one", "--data-dir", "data"]).await;
    let first = lines(&chat, "one");
    assert!(first.contains("\"removed\":true") && !first.contains("canary"), "{first}");
    assert!(chat.terminate(Role::Serve).await.success());
    let postgres = Database::create_on_shared().await;
    let source = format!("sqlite://{}", chat.data_dir().join("chat.db").display());
    let variables = [("NETROX_CHAT_FROM", &*source), ("NETROX_CHAT_TO", &postgres.url())];
    let ended = process::run(chat.directory(), ["migrate"], variables).await;
    assert!(ended.status.success(), "{ended:?}");
    printed(&chat, &["import", "jsonl", "one", "--data-dir", "moved"]).await;
    printed(&chat, &["export", "--all", "two", "--data-dir", "moved"]).await;
    assert_eq!(lines(&chat, "two"), first);

    let migrated = TestChat::builder(arrangement).set("database-url", postgres.url());
    let imported = TestChat::builder(arrangement)
        .set("data-dir", chat.directory().join("moved"))
        .set("require-existing-data", "true");
    for builder in [migrated, imported] {
        let moved = builder.set("retain-messages", "24h").start().await;
        assert_eq!([state(&moved, &ada, &bob).await, state(&moved, &bob, &ada).await], before);
        assert!(moved.history(&ada, &bob).await.is_empty());
        assert!(moved.history(&bob, &ada).await.is_empty());
        assert_eq!([order(&moved, &ada).await, order(&moved, &bob).await], orders);
        let (mut at_ada, mut at_bob) = (moved.connect(&ada).await, moved.connect(&bob).await);
        at_ada.say(&bob, "canary next").await;
        at_bob.expect_body("canary next").await;
        let next = moved.history(&bob, &ada).await;
        assert!(next[0]["id"].as_i64() > last["id"].as_i64(), "{next:?}");
    }
}
