//! What went wrong is found by the id that the user was given, wherever it was logged.

use netrox_harness::{Arrangement, Role, TestChat, each};
use serde_json::Value;

each![a_socket_is_opened_with_an_id; cluster: an_internal_error_is_found_by_one_id];

async fn a_socket_is_opened_with_an_id(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let user = chat.user("ada").await;
    let path = format!("/ws/chat/room/?token={}", user.token);
    let answer = chat.get(&path).websocket().header("x-request-id", "mine-1").send().await;
    assert_eq!(answer.status, 101, "{answer:?}");
    assert_eq!(answer.header("x-request-id"), Some("mine-1"));
}

/// The value of a line, or of one of the spans that it is in.
fn has_id(line: &Value, id: &str) -> bool {
    let spans = line["spans"].as_array().into_iter().flatten();
    let mut places = spans.chain([&line["span"], line]);
    places.any(|place| place["request_id"] == id)
}

/// One of the processes has logged it as an error, with a text in the line.
async fn is_logged(chat: &TestChat, roles: &[Role], id: &str, text: &str) {
    let found = roles.iter().map(|role| {
        let mut log = chat.log(*role);
        Box::pin(async move {
            let what = format!("a line about {id} with {text:?}");
            let is_it = |line: &Value| {
                let is_told = line["level"] == "ERROR" && line.to_string().contains(text);
                (is_told && has_id(line, id)).then_some(())
            };
            log.event(&what, is_it).await
        })
    });
    futures_util::future::select_all(found).await;
}

async fn an_internal_error_is_found_by_one_id(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    ada_socket.say(&bob, "before").await;
    bob_socket.expect_body("before").await;
    // A table that is gone counts as a database that is away; one that has changed is a defect.
    chat.change_rows(&["alter table threads rename column low_key to elsewhere"]).await;
    let (cores, edges) = (chat.core_roles(), chat.edge_roles());
    let cause = "low_key";

    // A read, under a name that the client gave, and under one of ours.
    for given in [None, Some("mine-2")] {
        let path = format!("/chat/messages/{}/", bob.id);
        let request = chat.edge_of(&ada).get(&path).bearer(&ada.token);
        let answer = match given {
            Some(given) => request.header("x-request-id", given).send().await,
            None => request.send().await,
        };
        let message = answer.assert_failure(500);
        let id = message.strip_prefix("Internal error ").expect("an id");
        assert_eq!(answer.header("x-request-id"), Some(id));
        assert!(given.is_none_or(|given| given == id), "{message}");
        is_logged(&chat, &edges, id, "internal error").await;
        is_logged(&chat, &cores, id, cause).await;
    }

    // Sends of several users at once: each has its own.
    ada_socket.say(&bob, "lost").await;
    bob_socket.say(&ada, "lost as well").await;
    let mut ids = Vec::new();
    for socket in [&mut ada_socket, &mut bob_socket] {
        let message = socket.expect_error("internal").await;
        let id = message.strip_prefix("internal error ").expect("an id").to_owned();
        assert_eq!(id.len(), 36, "{message}");
        is_logged(&chat, &edges, &id, "internal error").await;
        is_logged(&chat, &cores, &id, cause).await;
        ids.push(id);
    }
    assert_ne!(ids[0], ids[1]);

    chat.change_rows(&["alter table threads rename column elsewhere to low_key"]).await;
    ada_socket.say(&bob, "after").await;
    bob_socket.expect_body("after").await;
}
