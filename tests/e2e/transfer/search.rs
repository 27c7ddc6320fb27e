//! What was indexed for search is found again, by each way that a chat moves.

use netrox_harness::{
    Arrangement, Role, TestChat, User, database::Database, each, eventually, process,
};
use netrox_proto::v1::{DeleteMessageRequest, EditMessageRequest, SearchMessagesRequest};

use super::{assert_ended, blocks::send, printed};

each![; serve: what_is_found_is_found_again_by_every_way_that_a_chat_moves];

async fn found(chat: &TestChat, user: &User) -> Vec<i64> {
    let request = SearchMessagesRequest {
        user_id: user.id.clone(),
        query: "lanterns canary".to_owned(),
        limit: 200,
        ..Default::default()
    };
    let found = chat.chat_service().search_messages(request).await.expect("searched").into_inner();
    found.messages.into_iter().map(|message| message.id).collect()
}

async fn finds(chat: &TestChat, user: &User, expected: &[i64]) {
    eventually("what was found before", async || {
        (found(chat, user).await == expected).then_some(())
    })
    .await;
}

async fn what_is_found_is_found_again_by_every_way_that_a_chat_moves(arrangement: Arrangement) {
    let mut chat = TestChat::builder(arrangement).set("search", "true").start().await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let mut sent = Vec::new();
    for number in 0..150 {
        sent.push(send(&chat, &ada, &bob, &format!("canary lantern {number}")).await);
    }
    let edit = EditMessageRequest {
        user_id: ada.id.clone(),
        message_id: sent[7],
        body: "canary candle".to_owned(),
        meta_json: None,
    };
    chat.chat_service().edit_message(edit).await.expect("edited");
    let deletion =
        DeleteMessageRequest { user_id: bob.id.clone(), message_id: sent[9], for_everyone: false };
    chat.chat_service().delete_message(deletion).await.expect("hidden");
    let mut expected = sent.clone();
    expected.retain(|id| ![sent[7], sent[9]].contains(id));
    expected.reverse();
    assert_eq!(found(&chat, &bob).await, expected);

    // A copy on the same engine is imported into an index that is there.
    printed(&chat, &["export", "--all", "one", "--data-dir", "data"]).await;
    assert!(chat.terminate(Role::Serve).await.success());
    let with_index = TestChat::builder(arrangement)
        .set("search", "true")
        .set("data-dir", chat.directory().join("moved"));
    let mut moved = with_index.clone().start().await;
    assert!(moved.terminate(Role::Serve).await.success());
    printed(&chat, &["import", "jsonl", "one", "--data-dir", "moved"]).await;
    moved.spawn(Role::Serve).await;
    moved.ready().await;
    finds(&moved, &bob, &expected).await;

    let copied = Database::create_on_shared().await;
    let source = format!("sqlite://{}", chat.data_dir().join("chat.db").display());
    let target = copied.url();
    let variables = [("NETROX_CHAT_FROM", source.as_str()), ("NETROX_CHAT_TO", target.as_str())];
    for _ in 0..2 {
        assert_ended(&process::run(chat.directory(), ["migrate"], variables).await, 0, "");
    }
    chat.move_to(copied);
    chat.spawn(Role::Serve).await;
    chat.ready().await;
    finds(&chat, &bob, &expected).await;
    let new = send(&chat, &ada, &bob, "canary lantern, new").await;
    assert_eq!(found(&chat, &ada).await[0], new);
}
