//! Limits, users that are deleted, and a core that is away.

use futures_util::future::join_all;
use netrox_harness::{Arrangement, TestChat, each};
use netrox_proto::v1::DeleteUserRequest;
use serde_json::json;

use super::client::{Client, assert_problem, reference, texts};

each![
    sends_over_their_rate_are_refused_and_may_be_repeated,
    a_deleted_user_is_told_and_their_thread_stays;
    split: what_meets_no_core_is_stored_by_its_repetition;
    cluster: a_killed_core_costs_nothing_that_was_answered
];

async fn sends_over_their_rate_are_refused_and_may_be_repeated(arrangement: Arrangement) {
    let chat =
        TestChat::builder(arrangement).set("send-rate", "1").set("send-burst", "2").start().await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let references: Vec<_> = (0..10).map(|_| reference()).collect();
    let sends = references.iter().map(|client_ref| ada.send(&bob, client_ref, "canary"));
    let answers = join_all(sends).await;
    let mut stored = 0;
    for (client_ref, answer) in references.iter().zip(&answers) {
        let path = format!("/v2/sends/{client_ref}");
        if answer.status == 201 {
            stored += 1;
            assert_eq!(ada.get(&path).await, answer.json());
            continue;
        }
        assert_problem(answer, 429, "rate_limited");
        assert_problem(&ada.request("GET", &path).send().await, 404, "not_found");
    }
    assert!(stored >= 2 && stored < answers.len(), "{stored}");
    assert_eq!(chat.history(&ada.user, &bob.user).await.len(), stored);
    // Others are not touched.
    bob.say(&ada, "canary").await;
}

async fn a_deleted_user_is_told_and_their_thread_stays(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let client_ref = reference();
    let sent = ada.send(&bob, &client_ref, "canary sent").await.json();
    let received = bob.say(&ada, "canary received").await;
    let request = DeleteUserRequest { user_id: bob.id().to_owned(), erase_messages: false };
    chat.directory_service().delete_user(request).await.expect("deleted");
    netrox_harness::eventually("the edge to know", async || {
        let answer = bob.request("GET", "/v2/me").send().await;
        // Once, it is only known that there is no such user.
        let is_known = ![200, 503].contains(&answer.status);
        is_known.then(|| assert_problem(&answer, 403, "user_deleted"))
    })
    .await;
    let refused = ada.send(&bob, &reference(), "canary").await;
    assert_problem(&refused, 404, "invalid_receiver");
    // An answer that was lost before is found after it.
    let again = ada.send(&bob, &client_ref, "canary sent").await;
    assert_eq!((again.status, again.json()), (200, sent.clone()));
    let page = ada.get(&format!("/v2/threads/{}/messages", bob.id())).await;
    assert_eq!(
        texts(page["messages"].as_array().expect("messages")),
        ["canary received", "canary sent"]
    );
    assert_eq!(ada.get("/v2/me").await["unread_total"], 1);
    assert_eq!(ada.mark("seen", &bob, &received["id"]).await["unread"], 0);
    assert_eq!(ada.edit(&sent["id"], "canary edited").await["message"], "canary edited");
    ada.delete(&sent["id"], "everyone").await;
    assert_eq!(ada.get("/v2/threads").await["threads"].as_array().map(Vec::len), Some(1));
}

async fn what_meets_no_core_is_stored_by_its_repetition(arrangement: Arrangement) {
    let mut chat = TestChat::builder(arrangement).set("store-wait", "1s").start().await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let stored = ada.say(&bob, "canary before").await;
    let client_ref = reference();
    let core = chat.core_role();
    chat.kill(core);
    for path in ["/v2/sync", "/v2/threads", "/v2/me", &format!("/v2/messages/{}", stored["id"])] {
        assert_problem(&ada.request("GET", path).send().await, 503, "unavailable");
    }
    let path = format!("/v2/messages/{}", stored["id"]);
    let delete = format!("{path}?for=everyone");
    for answer in [
        ada.send(&bob, &client_ref, "canary lost").await,
        ada.call("PATCH", &path, &json!({"message_body": "canary"})).await,
        ada.request("DELETE", &delete).send().await,
    ] {
        let code = answer.json()["code"].as_str().unwrap_or_default().to_owned();
        assert!(["unavailable", "outcome_unknown"].contains(&&*code), "{answer:?}");
        assert_problem(&answer, 503, &code);
    }
    chat.spawn(core).await;
    chat.ready().await;
    assert_eq!(ada.get(&path).await, stored);
    let again = ada.send(&bob, &client_ref, "canary lost").await;
    assert_eq!(again.status, 201, "{again:?}");
    assert_eq!(chat.history(&ada.user, &bob.user).await.len(), 2);
}

/// Sends go on while a core is killed: what was answered is there once, and what was refused is there after its repetition.
async fn a_killed_core_costs_nothing_that_was_answered(arrangement: Arrangement) {
    const MESSAGES: usize = 60;
    let mut chat = TestChat::builder(arrangement).set("send-rate", "0").start().await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let mut stored = Vec::new();
    let roles = chat.core_roles();
    for number in 0..MESSAGES {
        if number % 20 == 10 {
            chat.spawn(roles[number / 20 % roles.len()]).await;
        }
        if number % 20 == 5 {
            chat.kill(roles[number / 20 % roles.len()]);
        }
        let client_ref = reference();
        let mut attempt = 0;
        let message = loop {
            let client = ada.at(chat.edge_at(number + attempt));
            let answer = client.send(&bob, &client_ref, &format!("canary {number:02}")).await;
            if [200, 201].contains(&answer.status) {
                break answer.json();
            }
            assert_eq!(answer.status, 503, "{answer:?}");
            attempt += 1;
        };
        stored.push(message["id"].clone());
    }
    let all =
        bob.pages(&format!("/v2/threads/{}/messages?order=oldest", ada.id()), 7, "messages").await;
    let ids: Vec<_> = all.iter().map(|message| message["id"].clone()).collect();
    assert_eq!(ids, stored);
    assert_eq!(bob.thread(&ada).await["unread"], MESSAGES);
}
