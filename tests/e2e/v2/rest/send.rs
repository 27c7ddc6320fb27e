//! Messages sent by REST.

use futures_util::future::join_all;
use netrox_harness::{Arrangement, TestChat, each};
use serde_json::{Value, json};

use super::client::{Client, assert_problem, reference};

each![
    a_send_is_created_once_and_its_repetition_gets_its_newest_state,
    one_reference_at_once_on_every_edge_is_one_message,
    what_goes_with_a_message_is_kept_as_it_was_sent,
    a_refused_send_is_a_problem_and_is_not_remembered,
    what_became_of_a_send_can_be_asked,
    a_body_is_read_by_the_rules_of_frames,
];

async fn a_send_is_created_once_and_its_repetition_gets_its_newest_state(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let carol = Client::join(&chat, "carol").await;
    let (mut at_bob, _) = bob.connect("").await;
    assert_eq!(at_bob.next().await["action"], "live");
    let client_ref = reference();
    let stored = ada.send(&bob, &client_ref.to_uppercase(), "canary once").await;
    assert_eq!(stored.status, 201, "{stored:?}");
    let stored = stored.json();
    assert_eq!(
        (&stored["client_ref"], &stored["message"]),
        (&json!(client_ref), &json!("canary once"))
    );
    assert_eq!(
        (&stored["sender_id"], &stored["receiver_id"]),
        (&json!(ada.id()), &json!(bob.id()))
    );
    assert_eq!(stored["created"], stored["updated"]);
    let frame = at_bob.next().await;
    assert_eq!((&frame["message"]["id"], &frame["new"]), (&stored["id"], &json!(true)));
    // Whatever it says, on any edge.
    for (index, peer) in [(0, &bob), (1, &bob), (1, &carol)] {
        let again = ada.at(chat.edge_at(index)).send(peer, &client_ref, "canary another").await;
        assert_eq!((again.status, again.json()), (200, stored.clone()), "{again:?}");
    }
    let edited = ada.edit(&stored["id"], "canary edited").await;
    let again = ada.send(&bob, &client_ref, "canary once").await;
    assert_eq!((again.status, again.json()), (200, edited), "{again:?}");
    ada.delete(&stored["id"], "me").await;
    let again = ada.send(&bob, &client_ref, "canary once").await;
    assert_eq!(again.status, 200, "{again:?}");
    let again = again.json();
    assert_eq!((&again["hidden"], &again["message"]), (&json!(true), &json!("")));
    assert_eq!(chat.history(&bob.user, &ada.user).await.len(), 1);
    assert_eq!(chat.history(&ada.user, &carol.user).await.len(), 0);
    // Another user's reference is another one.
    assert_eq!(bob.send(&ada, &client_ref, "canary").await.status, 201);
}

async fn one_reference_at_once_on_every_edge_is_one_message(arrangement: Arrangement) {
    const ROUNDS: usize = 5;
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    for round in 0..ROUNDS {
        let client_ref = reference();
        let clients: Vec<_> = (0..6).map(|index| ada.at(chat.edge_at(index))).collect();
        let sends = clients.iter().enumerate().map(async |(index, client)| {
            client.send(&bob, &client_ref, &format!("canary {round} {index}")).await
        });
        let answers = join_all(sends).await;
        let created = answers.iter().filter(|answer| answer.status == 201).count();
        let repeated = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!((created, repeated), (1, 5), "{answers:?}");
        assert!(answers.iter().all(|answer| answer.json() == answers[0].json()), "{answers:?}");
    }
    assert_eq!(chat.history(&ada.user, &bob.user).await.len(), ROUNDS);
}

async fn what_goes_with_a_message_is_kept_as_it_was_sent(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let question = bob.say(&ada, "canary question").await["id"].clone();
    let path = format!("/v2/threads/{}/messages", bob.id());
    let body = format!(
        r#"{{"message_body":"canary answer","client_ref":"{}","reply_to":{question},"other":1,
            "meta":{{ "b" : 9007199254740993, "a" : [ 1.50, "x  y" ] }}}}"#,
        reference()
    );
    let request =
        ada.request("POST", &path).header("content-type", "Application/JSON; charset=utf-8");
    let stored = request.body(body).send().await;
    assert_eq!(stored.status, 201, "{stored:?}");
    let meta = r#""meta":{"b":9007199254740993,"a":[1.50,"x  y"]},"#;
    let expected = format!(r#""reply_to":{question},{meta}"#);
    assert!(stored.text().contains(&expected), "{stored:?}");
    let read = bob.request("GET", &format!("/v2/messages/{}", stored.json()["id"])).send().await;
    assert!(read.text().contains(&expected), "{read:?}");
}

async fn a_refused_send_is_a_problem_and_is_not_remembered(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let carol = Client::join(&chat, "carol").await;
    let of_others = bob.say(&carol, "canary").await["id"].clone();
    let client_ref = reference();
    let stranger = chat.stranger("nobody").id;
    for receiver in [ada.id(), &stranger, "garbage", "%ff"] {
        let path = format!("/v2/threads/{receiver}/messages");
        let json = json!({"message_body": "canary", "client_ref": client_ref});
        assert_problem(&ada.call("POST", &path, &json).await, 404, "invalid_receiver");
    }
    let path = format!("/v2/threads/{}/messages", bob.id());
    let mut deep = json!({});
    for _ in 0..8 {
        deep = json!({ "a": deep });
    }
    let long = "x".repeat(16_385);
    for (json, status, code) in [
        (json!({"message_body": "canary"}), 400, "invalid_field"),
        (json!({"message_body": "canary", "client_ref": "x"}), 400, "invalid_field"),
        (json!({"client_ref": client_ref}), 400, "invalid_field"),
        (json!({"message_body": "", "client_ref": client_ref}), 400, "invalid_field"),
        (json!({"message_body": 1, "client_ref": client_ref}), 400, "invalid_field"),
        (json!({"message_body": "a\0", "client_ref": client_ref}), 400, "invalid_field"),
        (
            json!({"message_body": "canary", "client_ref": client_ref, "meta": []}),
            400,
            "invalid_field",
        ),
        (
            json!({"message_body": "canary", "client_ref": client_ref, "meta": deep}),
            400,
            "invalid_field",
        ),
        (
            json!({"message_body": "canary", "client_ref": client_ref, "reply_to": "1"}),
            400,
            "invalid_field",
        ),
        (
            json!({"message_body": "canary", "client_ref": client_ref, "reply_to": of_others}),
            404,
            "not_found",
        ),
        (json!({"message_body": long, "client_ref": client_ref}), 413, "message_too_large"),
    ] {
        assert_problem(&ada.call("POST", &path, &json).await, status, code);
    }
    assert_eq!(ada.send(&bob, &client_ref, "canary").await.status, 201);
}

async fn what_became_of_a_send_can_be_asked(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let client_ref = reference();
    let path = format!("/v2/sends/{client_ref}");
    assert_problem(&ada.request("GET", &path).send().await, 404, "not_found");
    let stored = ada.send(&bob, &client_ref, "canary").await.json();
    let upper = format!("/v2/sends/{}", client_ref.to_uppercase());
    assert_eq!((ada.get(&path).await, ada.get(&upper).await), (stored.clone(), stored.clone()));
    assert_problem(&bob.request("GET", &path).send().await, 404, "not_found");
    assert_problem(&ada.request("GET", "/v2/sends/garbage").send().await, 404, "not_found");
    ada.delete(&stored["id"], "everyone").await;
    assert_eq!(ada.get(&path).await["deleted"], true);
    ada.delete(&stored["id"], "me").await;
    let hidden = ada.get(&path).await;
    assert_eq!((&hidden["id"], &hidden["hidden"]), (&stored["id"], &json!(true)));
}

async fn a_body_is_read_by_the_rules_of_frames(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let path = format!("/v2/threads/{}/messages", bob.id());
    let good = json!({"message_body": "canary", "client_ref": reference()}).to_string();
    for (content_type, status, code) in [
        (None, 415, "unsupported_media_type"),
        (Some("text/plain"), 415, "unsupported_media_type"),
        (Some("multipart/form-data; boundary=x"), 415, "unsupported_media_type"),
    ] {
        let mut request = ada.request("POST", &path).body(good.clone());
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        assert_problem(&request.send().await, status, code);
    }
    let twice = r#"{"message_body":"a","message_body":"b","client_ref":"x"}"#;
    for (body, status, code) in [
        ("", 400, "invalid_json"),
        ("{", 400, "invalid_json"),
        ("[]", 400, "invalid_json"),
        ("null", 400, "invalid_json"),
        (twice, 400, "invalid_field"),
        (&*format!(r#"{{"message_body":"{}"}}"#, "x".repeat(65_536)), 413, "message_too_large"),
    ] {
        let request = ada.request("POST", &path).header("content-type", "application/json");
        let answer = request.body(body.to_owned()).send().await;
        // Which of the two a body is that is no object, frames decide.
        let told = answer.json()["code"].clone();
        if body == "[]" || body == "null" || body == twice {
            assert!(
                [json!("invalid_json"), json!("invalid_field")].contains(&told),
                "{body}: {answer:?}"
            );
            continue;
        }
        assert_problem(&answer, status, code);
    }
    for (method, path, status, code) in [
        ("POST", "/v2/nothing", 404, "not_found"),
        ("GET", "/v2", 404, "not_found"),
        ("PUT", "/v2/me", 405, "method_not_allowed"),
    ] {
        assert_problem(&ada.call(method, path, &Value::Null).await, status, code);
    }
    assert_eq!(chat.history(&ada.user, &bob.user).await.len(), 0);
}
