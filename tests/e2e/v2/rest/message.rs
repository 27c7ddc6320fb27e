//! Histories, and single messages.

use netrox_harness::{Arrangement, TestChat, each};
use serde_json::{Value, json};

use super::client::{Client, assert_problem, texts};

each![
    a_history_is_read_from_either_end_and_from_any_place,
    a_page_holds_its_query,
    a_page_of_long_messages_is_cut_and_goes_on,
    a_message_is_there_for_its_two_users_alone,
];

async fn a_history_is_read_from_either_end_and_from_any_place(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let mut ids = Vec::new();
    for number in 0..10 {
        let (from, to) = if number % 2 == 0 { (&ada, &bob) } else { (&bob, &ada) };
        ids.push(from.say(to, &number.to_string()).await["id"].clone());
    }
    let path = format!("/v2/threads/{}/messages", bob.id());
    let (third, seventh) = (&ids[3], &ids[7]);
    for (query, expected) in [
        (String::new(), "9876543210"),
        ("?limit=3".into(), "987"),
        ("?order=oldest".into(), "0123456789"),
        ("?order=oldest&limit=2".into(), "01"),
        (format!("?before={third}"), "210"),
        (format!("?after={seventh}"), "98"),
        (format!("?after={third}&order=oldest&limit=2"), "45"),
        (format!("?after={third}&before={seventh}"), "654"),
        (format!("?after={third}&before={seventh}&order=oldest"), "456"),
        (format!("?after={seventh}&before={third}"), ""),
        ("?after=0&order=oldest&limit=1".into(), "0"),
        ("?unknown=x&limit=1".into(), "9"),
    ] {
        let page = ada.get(&format!("{path}{query}")).await;
        assert_eq!(
            texts(page["messages"].as_array().expect("messages")).concat(),
            expected,
            "{query}"
        );
    }
    for query in ["order=newer", "before=0", "before=x", "after=-1", "limit=0", "limit=1&limit=1"] {
        let answer = ada.request("GET", &format!("{path}?{query}")).send().await;
        assert_problem(&answer, 400, "invalid_field");
    }
    // Both see the same, but for the reference, which is the sender's.
    let by_bob = bob.get(&format!("/v2/threads/{}/messages?limit=1", ada.id())).await;
    let last = &by_bob["messages"][0];
    assert!(last["client_ref"].is_string(), "{last}");
    let by_ada = ada.get(&format!("{path}?limit=1")).await;
    assert_eq!(by_ada["messages"][0]["client_ref"], Value::Null);
    assert_eq!(by_ada["messages"][0]["id"], last["id"]);
}

async fn a_page_holds_its_query(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let mut ids = Vec::new();
    for number in 0..10 {
        ids.push(ada.say(&bob, &number.to_string()).await["id"].clone());
    }
    let path = format!("/v2/threads/{}/messages", bob.id());
    for limit in [1, 3, 10, 200] {
        assert_eq!(texts(&ada.pages(&path, limit, "messages").await).concat(), "9876543210");
        let oldest = format!("{path}?order=oldest&after={}&before={}", ids[1], ids[8]);
        assert_eq!(texts(&ada.pages(&oldest, limit, "messages").await).concat(), "234567");
    }
    // What comes while one pages up is no part of what is older, and is found paging down.
    let up = ada.get(&format!("{path}?limit=5")).await["next"].as_str().expect("next").to_owned();
    let down = ada.get(&format!("{path}?limit=5&order=oldest")).await;
    let down = down["next"].as_str().expect("next").to_owned();
    bob.say(&ada, "!").await;
    for (next, expected) in [(up, "43210"), (down, "56789!")] {
        let page = ada.get(&format!("{path}?next={next}")).await;
        assert_eq!(texts(page["messages"].as_array().expect("messages")).concat(), expected);
        assert_eq!(page["next"], Value::Null);
    }
}

async fn a_page_of_long_messages_is_cut_and_goes_on(arrangement: Arrangement) {
    const MESSAGES: usize = 12;
    let chat = TestChat::builder(arrangement)
        .set("max-body-bytes", "131072")
        .set("max-frame-bytes", "262144")
        .start()
        .await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    for number in 0..MESSAGES {
        ada.say(&bob, &format!("canary {number:02} {}", "x".repeat(120_000))).await;
    }
    let path = format!("/v2/threads/{}/messages?limit=200", bob.id());
    let page = ada.get(&path).await;
    let first = page["messages"].as_array().expect("messages");
    assert!(first.len() < MESSAGES && page["next"].is_string(), "{}", first.len());
    let bare = format!("/v2/threads/{}/messages", bob.id());
    let all = ada.pages(&bare, 200, "messages").await;
    let numbers: Vec<_> = texts(&all).into_iter().map(|text| text[7..9].to_owned()).collect();
    let expected: Vec<_> = (0..MESSAGES).rev().map(|number| format!("{number:02}")).collect();
    assert_eq!(numbers, expected);
    // The feed is cut likewise.
    let page = bob.get("/v2/sync?limit=1").await;
    assert_eq!(page["threads"][0]["unread"], MESSAGES);
}

async fn a_message_is_there_for_its_two_users_alone(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let carol = Client::join(&chat, "carol").await;
    let stored = ada.say(&bob, "canary hello").await;
    let path = format!("/v2/messages/{}", stored["id"]);
    assert_eq!(ada.get(&path).await, stored);
    let received = bob.get(&path).await;
    assert_eq!(
        (&received["message"], &received["client_ref"]),
        (&json!("canary hello"), &json!(null))
    );
    assert_problem(&carol.request("GET", &path).send().await, 404, "not_found");
    for id in ["0", "-1", "x", "9007199254740992", "9007199254740991", "%00"] {
        let answer = ada.request("GET", &format!("/v2/messages/{id}")).send().await;
        assert_problem(&answer, 404, "not_found");
    }
    bob.delete(&stored["id"], "me").await;
    assert_problem(&bob.request("GET", &path).send().await, 404, "not_found");
    assert_eq!(ada.get(&path).await["hidden"], false);
}
