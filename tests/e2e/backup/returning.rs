//! What clients learn where a backup is restored: what they were shown before is to be read anew.

use std::fs;

use netrox_harness::{Arrangement, Edge, Role, Socket, TestChat, User, each, socket::End};
use netrox_proto::v1::SubscribeRequest;
use serde_json::{Value, json};
use tonic::Code;

use super::{back_up, printed, restore};

each![; split: everyone_learns_that_the_history_went_back];

/// The first frame of a client of the second generation.
async fn hello(edge: Edge, user: &User, after: Option<&str>) -> Value {
    let after = after.map(|cursor| format!("&after={cursor}")).unwrap_or_default();
    let path = format!("/ws/chat/room/?protocol=2&token={}{after}", user.token);
    Socket::open(edge.address, &path, &[]).await.next().await
}

async fn everyone_learns_that_the_history_went_back(arrangement: Arrangement) {
    let mut chat = TestChat::start(arrangement).await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    ada_socket.say(&bob, "before").await;
    let before = bob_socket.expect_body("before").await;
    let cursor = hello(chat.edge(), &bob, None).await["cursor"].as_str().expect("one").to_owned();
    let request = SubscribeRequest { user_id: bob.id.clone(), ..Default::default() };
    let stream = chat.chat_service().subscribe(request.clone()).await.expect("a stream");
    let first = stream.into_inner().message().await.expect("a response").expect("the first");

    let made = back_up(&chat, &[]).await;
    assert!(chat.terminate(Role::Core(0)).await.success());
    fs::rename(chat.data_dir(), chat.directory().join("old")).expect("move a directory");
    let restored = printed(&restore(&chat, None, "data").await);
    assert_eq!(restored["restored"], made["backup"]);
    assert_ne!(restored["epoch"], made["epoch"]);
    chat.spawn(Role::Core(0)).await;

    // Documented clients whose edge stayed, also who has only sent.
    for socket in [&mut ada_socket, &mut bob_socket] {
        assert_eq!(socket.end().await, End::Closed(1001));
    }
    chat.ready().await;
    let told = hello(chat.edge(), &bob, Some(&cursor)).await;
    assert_eq!((&told["resumed"], &told["reset"]), (&json!(false), &json!("epoch")), "{told}");
    let (after_seq, epoch) = (Some(first.last_seq), Some(first.epoch));
    let resumed = SubscribeRequest { after_seq, epoch, ..request };
    let refused = match chat.chat_service().subscribe(resumed).await {
        Ok(stream) => stream.into_inner().message().await.expect_err("a refusal"),
        Err(refused) => refused,
    };
    assert_eq!(refused.code(), Code::OutOfRange, "{refused}");

    // It goes on, and no id is given twice.
    let (mut ada_socket, mut bob_socket) = (chat.connect(&ada).await, chat.connect(&bob).await);
    ada_socket.say(&bob, "after").await;
    let after = bob_socket.expect_body("after").await;
    let id = |frame: &Value| frame["created_msg_id"].as_i64().expect("an id");
    assert!(id(&after) > id(&before) + 100_000, "clients may have seen ids in between");
    let history = chat.history(&bob, &ada).await;
    let bodies: Vec<_> = history.iter().map(|message| &message["message"]).collect();
    assert_eq!(bodies, ["before", "after"]);
}
