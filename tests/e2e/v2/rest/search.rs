//! Search over REST.

use netrox_harness::{Arrangement, TestChat, each, multipart::Form};
use serde_json::{Value, json};

use super::client::{Client, assert_problem, reference};

each![
    messages_are_found_at_every_edge_from_the_answer_on,
    what_a_user_may_not_see_is_not_found,
    search_is_off_unless_it_is_turned_on,
    searches_beyond_the_rate_are_refused,
];

async fn start(arrangement: Arrangement) -> TestChat {
    TestChat::builder(arrangement).set("search", "true").set("search-rate", "0").start().await
}

async fn found(client: &Client, query: &str) -> Vec<Value> {
    let found = client.pages(&format!("/v2/search?q={query}"), 2, "messages").await;
    found.into_iter().map(|message| message["id"].clone()).collect()
}

async fn messages_are_found_at_every_edge_from_the_answer_on(arrangement: Arrangement) {
    let chat = start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let cyd = Client::join(&chat, "cyd").await;
    assert_eq!(ada.get("/v2/me").await["limits"]["search"], true);
    let mut sent = Vec::new();
    for number in 0..5 {
        sent.push(ada.say(&bob, &format!("canary lantern {number}")).await["id"].clone());
        let newest = &sent[number];
        for client in [ada.at(chat.edge_at(1)), bob.clone(), bob.at(chat.edge_at(1))] {
            assert_eq!(
                found(&client, &format!("lantern+{number}")).await,
                std::slice::from_ref(newest)
            );
        }
    }
    sent.reverse();
    assert_eq!(found(&bob, "LANTE").await, sent);
    assert_eq!(found(&bob, "lantern%20canary").await, sent);
    assert_eq!(found(&cyd, "lantern").await, Vec::<Value>::new());
    // By a socket, and by the documented way.
    let mut socket = chat.connect(&cyd.user).await;
    socket.say(&bob.user, "canary lantern of another").await;
    socket.send(&json!({"action": "fence"})).await;
    socket.expect_error("unknown_action").await;
    let of_cyd = found(&cyd, "lantern").await;
    assert_eq!(of_cyd.len(), 1);
    let path = format!("/v2/search?q=lantern&peer_id={}", cyd.id());
    let page = bob.get(&path).await;
    assert_eq!(page["messages"][0]["id"], of_cyd[0]);
    assert_eq!((page["messages"].as_array().map(Vec::len), &page["next"]), (Some(1), &json!(null)));
    assert_eq!(page["messages"][0], bob.get(&format!("/v2/messages/{}", of_cyd[0])).await);

    ada.edit(&sent[0], "canary candle").await;
    ada.delete(&sent[1], "everyone").await;
    bob.delete(&sent[2], "me").await;
    for client in [bob.clone(), bob.at(chat.edge_at(1))] {
        let page = client.get(&format!("/v2/search?q=lantern&peer_id={}", ada.id())).await;
        let left: Vec<_> = page["messages"].as_array().expect("a list").iter().collect();
        assert_eq!(left.len(), 2, "{page}");
        assert_eq!(found(&client, "candle").await, [sent[0].clone()]);
    }
    assert_eq!(found(&ada, "lantern").await, sent[2..]);
}

async fn what_a_user_may_not_see_is_not_found(arrangement: Arrangement) {
    let chat = start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let shared = bob.say(&ada, "canary lantern").await["id"].clone();
    let form = Form::new().text("message_body", "canary lantern").file("a.txt", "canary");
    let upload = bob.upload_request(&ada, &reference(), "&dispatch=false", form).send().await;
    assert_eq!(upload.status, 201, "{upload:?}");
    let file = upload.json()["id"].clone();
    assert_eq!(found(&bob, "lantern").await, [file.clone(), shared.clone()]);
    assert_eq!(found(&ada, "lantern").await, std::slice::from_ref(&shared));
    let dispatched = bob.call("POST", &format!("/v2/messages/{file}/dispatch"), &json!({})).await;
    assert_eq!(dispatched.status, 200, "{dispatched:?}");
    assert_eq!(found(&ada, "lantern").await, [file.clone(), shared.clone()]);

    let blocked = ada.request("PUT", &format!("/v2/blocks/{}", bob.id())).send().await;
    assert_eq!(blocked.status, 204, "{blocked:?}");
    let swallowed = bob.say(&ada, "canary lantern").await["id"].clone();
    bob.edit(&shared, "canary candle").await;
    let edge = chat.edge_at(1);
    assert_eq!(found(&bob.at(edge), "lantern").await, [swallowed, file.clone()]);
    let page = ada.get("/v2/search?q=lantern&limit=2").await;
    assert_eq!(page["next"], json!(null), "{page}");
    assert_eq!(found(&ada, "lantern").await, [file, shared.clone()]);
    assert_eq!(found(&ada, "candle").await, Vec::<Value>::new());
    assert_eq!(found(&bob, "candle").await, [shared]);
    for (path, status, code) in [
        ("/v2/search?q=x".to_owned(), 400, "invalid_field"),
        ("/v2/search?q=lantern&next=x".into(), 400, "invalid_field"),
        (format!("/v2/search?q=lantern&peer_id={}", ada.id()), 404, "not_found"),
        ("/v2/search?q=lantern&peer_id=x".into(), 404, "not_found"),
        (format!("/v2/search?q=lantern&peer_id={}", reference()), 404, "not_found"),
    ] {
        assert_problem(&ada.request("GET", &path).send().await, status, code);
    }
}

async fn search_is_off_unless_it_is_turned_on(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let ada = Client::join(&chat, "ada").await;
    assert_eq!(ada.get("/v2/me").await["limits"]["search"], false);
    let (_, hello) = ada.connect("").await;
    assert_eq!(hello["limits"]["search"], false);
    let refused = ada.request("GET", "/v2/search?q=lantern").send().await;
    assert_problem(&refused, 404, "not_enabled");
}

async fn searches_beyond_the_rate_are_refused(arrangement: Arrangement) {
    let builder = TestChat::builder(arrangement).set("search", "true").set("search-rate", "1");
    let chat = builder.start().await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let mut refused = None;
    for _ in 0..100 {
        let answer = ada.request("GET", "/v2/search?q=lantern").send().await;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    assert_problem(&refused.expect("a refusal"), 429, "rate_limited");
    bob.get("/v2/search?q=lantern").await;
}
