//! The list of threads.

use std::collections::BTreeMap;

use netrox_harness::{Arrangement, TestChat, each};
use serde_json::{Value, json};

use super::client::{Client, assert_problem};

each![
    a_thread_is_there_from_its_first_message_on,
    threads_are_paged_while_new_messages_arrive,
    a_place_in_a_list_is_of_that_user_and_list_alone,
];

async fn a_thread_is_there_from_its_first_message_on(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let path = format!("/v2/threads/{}", bob.id());
    assert_problem(&ada.request("GET", &path).send().await, 404, "not_found");
    assert_eq!(ada.get(&format!("{path}/messages")).await["messages"], json!([]));
    assert_eq!(ada.get("/v2/threads/").await["threads"], json!([]));
    for nobody in [ada.id(), &chat.stranger("nobody").id, "garbage"] {
        for rest in ["", "/messages"] {
            let path = format!("/v2/threads/{nobody}{rest}");
            assert_problem(&ada.request("GET", &path).send().await, 404, "not_found");
        }
    }
    let stored = ada.say(&bob, "canary hello").await;
    let (by_ada, by_bob) = (ada.thread(&bob).await, bob.thread(&ada).await);
    assert_eq!(
        (&by_ada["peer_id"], &by_ada["peer"]["email"]),
        (&json!(bob.id()), &json!("bob@example.com"))
    );
    assert_eq!((&by_ada["unread"], &by_bob["unread"]), (&json!(0), &json!(1)));
    for thread in [&by_ada, &by_bob] {
        assert_eq!((&thread["id"], &thread["last_id"]), (&stored["thread"], &stored["id"]));
        assert_eq!(thread["last_message"]["message"], "canary hello");
    }
    assert_eq!(by_bob["last_message"]["client_ref"], Value::Null);
    assert_eq!(by_ada["last_message"]["client_ref"], stored["client_ref"]);
    assert_eq!(ada.get("/v2/threads").await["threads"], json!([by_ada]));
}

/// As section 5 says: the cursor of the first page, the feed from it, and further pages whenever wanted.
async fn threads_are_paged_while_new_messages_arrive(arrangement: Arrangement) {
    const PEERS: usize = 9;
    let chat = TestChat::builder(arrangement).set("send-rate", "0").start().await;
    let ada = Client::join(&chat, "ada").await;
    let mut peers = Vec::new();
    for number in 0..PEERS {
        peers.push(Client::join(&chat, &format!("peer-{number}")).await);
        peers[number].say(&ada, &format!("canary {number}")).await;
    }
    let late = Client::join(&chat, "late").await;
    let mut held: BTreeMap<String, Value> = BTreeMap::new();
    let mut page = ada.get("/v2/sync?limit=2").await;
    let cursor = page["cursor"].as_str().expect("a cursor").to_owned();
    let mut round = 0;
    loop {
        for thread in page["threads"].as_array().expect("threads") {
            let peer = thread["peer_id"].as_str().expect("a peer").to_owned();
            let is_older =
                held.get(&peer).is_some_and(|held| held["rev"].as_u64() > thread["rev"].as_u64());
            if !is_older {
                held.insert(peer, thread.clone());
            }
        }
        // One that is shown already, one that is to come, and a new one.
        for index in [PEERS - 1, round] {
            peers[index].say(&ada, &format!("canary again {round}")).await;
        }
        if round == 1 {
            late.say(&ada, "canary late").await;
        }
        round += 1;
        let Some(next) = page["next"].as_str() else { break };
        page = ada.get(&format!("/v2/threads?limit=2&next={next}")).await;
    }
    assert!(round > 2, "{round}");
    let changes = ada.get(&format!("/v2/sync?after={cursor}&limit=200")).await;
    assert_eq!(changes["more"], false);
    for change in changes["changes"].as_array().expect("changes") {
        let peer = match change["action"].as_str() {
            Some("message") => change["message"]["sender_id"].as_str(),
            _ => change["thread"]["peer_id"].as_str(),
        };
        let peer = peer.expect("a peer");
        held.insert(peer.to_owned(), ada.get(&format!("/v2/threads/{peer}")).await);
    }
    let mut by_last: Vec<_> = held.into_values().collect();
    by_last.sort_by_key(|thread| std::cmp::Reverse(thread["last_id"].as_i64()));
    let all = ada.pages("/v2/threads", 4, "threads").await;
    let told = |thread: &Value| {
        let keys = ["peer_id", "last_id", "unread", "last_message"];
        keys.map(|key| thread[key].clone())
    };
    let (held, listed): (Vec<_>, Vec<_>) =
        (by_last.iter().map(told).collect(), all.iter().map(told).collect());
    assert_eq!(held, listed);
    assert_eq!(listed.len(), PEERS + 1);
    let unread: i64 = all.iter().filter_map(|thread| thread["unread"].as_i64()).sum();
    assert_eq!(ada.get("/v2/me").await["unread_total"], unread);
}

async fn a_place_in_a_list_is_of_that_user_and_list_alone(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let ada = Client::join(&chat, "ada").await;
    let mut peers = Vec::new();
    for name in ["bob", "carol"] {
        let peer = Client::join(&chat, name).await;
        for number in 0..2 {
            ada.say(&peer, &format!("canary {number}")).await;
        }
        peers.push(peer);
    }
    let threads = ada.get("/v2/threads?limit=1").await["next"].as_str().expect("next").to_owned();
    let path = format!("/v2/threads/{}/messages", peers[0].id());
    let messages =
        ada.get(&format!("{path}?limit=1")).await["next"].as_str().expect("next").to_owned();
    for (client, path, next) in [
        (&peers[0], "/v2/threads", &*threads),
        (&ada, "/v2/threads", &messages),
        (&ada, "/v2/threads", "garbage"),
        (&ada, "/v2/threads", ""),
        (&ada, &path, &threads),
        (&peers[1], &path, &messages),
    ] {
        let path = format!("{path}?next={next}");
        assert_problem(&client.request("GET", &path).send().await, 400, "invalid_field");
    }
    // It is good at another edge.
    let elsewhere = ada.at(chat.edge_at(1));
    let page = elsewhere.get(&format!("/v2/threads?limit=5&next={threads}")).await;
    assert_eq!((page["threads"].as_array().map(Vec::len), &page["next"]), (Some(1), &json!(null)));
}
