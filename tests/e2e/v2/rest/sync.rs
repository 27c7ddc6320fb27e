//! One cursor for all conversations.

use netrox_harness::{Arrangement, TestChat, each};
use serde_json::{Value, json};

use super::client::{Client, assert_problem, texts};

each![
    a_snapshot_and_the_feed_behind_it_are_everything,
    a_cursor_goes_from_rest_to_the_socket_and_back,
    pages_of_changes_show_each_once_in_its_newest_state,
    a_cursor_that_is_no_place_of_the_user_is_reset,
    a_cursor_stays_good_after_kills,
];

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

async fn sync(client: &Client, cursor: &str, limit: u16) -> Value {
    client.get(&format!("/v2/sync?after={cursor}&limit={limit}")).await
}

fn messages(changes: &Value) -> Vec<Value> {
    let changes = changes["changes"].as_array().expect("changes");
    let messages = changes.iter().filter(|change| change["action"] == "message");
    messages.map(|change| change["message"].clone()).collect()
}

async fn a_snapshot_and_the_feed_behind_it_are_everything(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let empty = bob.get("/v2/sync").await;
    assert_eq!((&empty["threads"], &empty["next"]), (&json!([]), &json!(null)));
    assert_eq!(empty["unread_total"], 0);
    let cursor = text(&empty["cursor"]);
    let nothing = sync(&bob, &cursor, 50).await;
    assert_eq!((&nothing["changes"], &nothing["more"]), (&json!([]), &json!(false)));

    let stored = ada.say(&bob, "canary hello").await;
    let changes = sync(&bob, &cursor, 50).await;
    assert_eq!((&changes["unread_total"], &changes["more"]), (&json!(1), &json!(false)));
    let found = &changes["changes"][0];
    assert_eq!((&found["new"], &found["message"]["id"]), (&json!(true), &stored["id"]));
    assert!(found.get("cursor").is_none(), "{found}");
    let snapshot = bob.get("/v2/sync").await;
    let thread = &snapshot["threads"][0];
    assert_eq!((&thread["peer"]["id"], &thread["unread"]), (&json!(ada.id()), &json!(1)));
    assert_eq!(thread["last_message"]["id"], stored["id"]);
    // Its cursor is up to date.
    let later = sync(&bob, &text(&snapshot["cursor"]), 50).await;
    assert_eq!(later["changes"], json!([]));
    // The sender's other devices learn of it, too.
    let own = ada.get("/v2/sync").await;
    assert_eq!((&own["unread_total"], &own["threads"][0]["unread"]), (&json!(0), &json!(0)));
}

async fn a_cursor_goes_from_rest_to_the_socket_and_back(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let cursor = text(&bob.get("/v2/sync").await["cursor"]);
    ada.say(&bob, "canary one").await;
    ada.say(&bob, "canary two").await;

    let elsewhere = bob.at(chat.edge_at(1));
    let (mut socket, hello) = elsewhere.connect(&cursor).await;
    assert_eq!((&hello["resumed"], &hello["reset"]), (&json!(true), &json!(null)));
    let first = socket.next().await;
    assert_eq!((&first["message"]["message"], &first["new"]), (&json!("canary one"), &json!(true)));
    // It breaks here: REST goes on where the last frame was.
    drop(socket);
    let changes = sync(&bob, &text(&first["cursor"]), 50).await;
    assert_eq!(texts(&messages(&changes)), ["canary two"]);
    assert_eq!(changes["changes"][0]["new"], true);
    let (mut socket, hello) = elsewhere.connect(&text(&changes["cursor"])).await;
    assert_eq!((&hello["resumed"], &hello["behind"]), (&json!(true), &json!(0)));
    let live = socket.next().await;
    assert_eq!((&live["action"], &live["unread_total"]), (&json!("live"), &json!(2)));
    // A cursor of the live connection.
    ada.say(&bob, "canary three").await;
    let live = socket.next().await;
    let changes = sync(&bob, &text(&live["cursor"]), 50).await;
    assert_eq!((&changes["changes"], &changes["unread_total"]), (&json!([]), &json!(3)));
}

async fn pages_of_changes_show_each_once_in_its_newest_state(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    ada.say(&bob, "canary old").await;
    let old = bob.get(&format!("/v2/threads/{}", ada.id())).await["last_id"].clone();
    let mut cursor = text(&bob.get("/v2/sync").await["cursor"]);
    let mut ids = Vec::new();
    for number in 0..7 {
        ids.push(ada.say(&bob, &format!("canary {number}")).await["id"].clone());
    }
    ada.edit(&ids[1], "canary edited").await;
    ada.edit(&old, "canary older").await;
    ada.delete(&ids[4], "everyone").await;

    let mut found = Vec::new();
    loop {
        let page = sync(&bob, &cursor, 3).await;
        let changes = page["changes"].as_array().expect("changes");
        assert!(changes.len() <= 3, "{page}");
        found.extend(changes.iter().filter(|change| change["action"] == "message").cloned());
        cursor = text(&page["cursor"]);
        if page["more"] == false {
            assert_eq!(page["unread_total"], 7);
            break;
        }
    }
    let told: Vec<_> = found
        .iter()
        .map(|change| (change["message"]["message"].as_str().expect("text"), &change["new"]))
        .collect();
    let new = |text| (text, &Value::Bool(true));
    assert_eq!(
        told,
        [
            new("canary 0"),
            new("canary 2"),
            new("canary 3"),
            new("canary 5"),
            new("canary 6"),
            new("canary edited"),
            ("canary older", &Value::Bool(false)),
            new(""),
        ]
    );
    assert_eq!(found[7]["message"]["deleted"], true);
    // What has been read comes again when it changes again.
    ada.edit(&ids[0], "canary changed").await;
    let page = sync(&bob, &cursor, 3).await;
    assert_eq!((page["changes"].as_array().map(Vec::len), &page["more"]), (Some(1), &json!(false)));
    assert_eq!(page["changes"][0]["new"], false);
}

async fn a_cursor_that_is_no_place_of_the_user_is_reset(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    ada.say(&bob, "canary").await;
    let of_ada = text(&ada.get("/v2/sync").await["cursor"]);
    let of_bob = text(&bob.get("/v2/sync").await["cursor"]);
    for cursor in [&*of_ada, "", "garbage", &of_bob[1..], &"x".repeat(64), "%00", "a%20b"] {
        let path = format!("/v2/sync?after={cursor}");
        let answer = bob.request("GET", &path).send().await;
        let problem = assert_problem(&answer, 410, "reset");
        assert_eq!(problem["reset"], "unknown", "{cursor}");
    }
    for query in ["limit=0", "limit=201", "limit=x"] {
        let path = format!("/v2/sync?after={of_bob}&{query}");
        assert_problem(&bob.request("GET", &path).send().await, 400, "invalid_field");
    }
    assert_eq!(sync(&bob, &of_bob, 200).await["changes"], json!([]));
}

async fn a_cursor_stays_good_after_kills(arrangement: Arrangement) {
    let mut chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    ada.say(&bob, "canary before").await;
    let cursor = text(&bob.get("/v2/sync").await["cursor"]);
    ada.say(&bob, "canary missed").await;
    for role in chat.roles() {
        chat.restart(role).await;
    }
    for index in 0..2 {
        let changes = sync(&bob.at(chat.edge_at(index)), &cursor, 50).await;
        assert_eq!(texts(&messages(&changes)), ["canary missed"]);
    }
}
