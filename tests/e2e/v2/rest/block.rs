//! Blocks: every way in against every way out.

use netrox_harness::{Arrangement, Socket, TestChat, each, multipart::Form};
use netrox_proto::v1::{BlockUserRequest, SendMessageRequest};
use serde_json::{Value, json};
use uuid::Uuid;

use super::client::{Client, assert_problem, reference, texts};

each![
    whatever_a_blocked_user_does_reaches_the_blocker_by_no_way_out,
    the_blocker_is_read_and_nothing_comes_back_after_the_block,
    blocks_are_listed_and_told_to_the_blockers_devices_alone,
    who_cannot_be_blocked_is_not_found,
];

/// By which a blocked user may try to reach the blocker.
#[derive(Debug, Clone, Copy)]
enum WayIn {
    DocumentedSocket,
    Socket,
    Rest,
    Grpc,
    DocumentedUpload,
    Upload,
    UploadAndDispatch,
    EditBySocket,
    EditByRest,
    Deletion,
    DeliveredByRest,
    SeenBySocket,
}

const WAYS_IN: [WayIn; 12] = [
    WayIn::DocumentedSocket,
    WayIn::Socket,
    WayIn::Rest,
    WayIn::Grpc,
    WayIn::DocumentedUpload,
    WayIn::Upload,
    WayIn::UploadAndDispatch,
    WayIn::EditBySocket,
    WayIn::EditByRest,
    WayIn::Deletion,
    WayIn::DeliveredByRest,
    WayIn::SeenBySocket,
];

/// Sends a frame of the second generation; gives its ack.
async fn ask(client: &Client, mut frame: Value) -> Value {
    let (mut socket, _) = client.connect("").await;
    frame["ref"] = json!("asked");
    socket.send(&frame).await;
    loop {
        let frame = socket.next().await;
        if frame["ref"] == "asked" {
            assert_eq!(frame["action"], "ack", "{frame}");
            return frame;
        }
    }
}

/// What `client` does to `peer`; gives the path of the file that came of it. `shared` is a message that both see.
async fn go_in(
    chat: &TestChat,
    way: WayIn,
    client: &Client,
    peer: &Client,
    shared: &Value,
) -> Option<String> {
    let form = || Form::new().text("message_body", "canary").file("a.txt", "canary");
    let url = |message: &Value| Some(message["attachment"]["url"].as_str()?.to_owned());
    match way {
        WayIn::DocumentedSocket => {
            let mut socket = client.edge.connect(&client.user).await;
            socket.say(&peer.user, "canary").await;
            // An error would be its only answer.
            socket.send(&json!({"action": "fence"})).await;
            socket.expect_error("unknown_action").await;
            None
        }
        WayIn::Socket => {
            let ack = ask(
                client,
                json!({
                    "action": "chat_message", "message_body": "canary", "receiver_id": peer.id(),
                    "client_ref": reference(), "meta": {"canary": 1},
                }),
            )
            .await;
            assert!(ack["message_id"].is_i64() && ack["repeated"] == false, "{ack}");
            None
        }
        WayIn::Rest => {
            let client_ref = reference();
            let answer = client.send(peer, &client_ref, "canary").await;
            assert_eq!(answer.status, 201, "{answer:?}");
            let again = client.at(chat.edge_at(1)).send(peer, &client_ref, "canary").await;
            assert_eq!((again.status, again.json()), (200, answer.json()));
            None
        }
        WayIn::Grpc => {
            let request = SendMessageRequest {
                sender_id: client.id().to_owned(),
                receiver_id: peer.id().to_owned(),
                body: "canary".to_owned(),
                ..SendMessageRequest::default()
            };
            chat.chat_service().send_message(request).await.expect("stored");
            None
        }
        WayIn::DocumentedUpload => {
            let file = chat.upload_file(&client.user, &peer.user, "canary.txt", "canary").await;
            let mut socket = client.edge.connect(&client.user).await;
            socket.dispatch(file["id"].clone()).await;
            socket.send(&json!({"action": "fence"})).await;
            socket.expect_error("unknown_action").await;
            file["attached_file"].as_str().map(str::to_owned)
        }
        WayIn::Upload => {
            let answer = client.upload(peer, &reference(), form()).await;
            assert_eq!(answer.status, 201, "{answer:?}");
            assert!(answer.json()["dispatched"].is_string(), "{answer:?}");
            url(&answer.json())
        }
        WayIn::UploadAndDispatch => {
            let request = client.upload_request(peer, &reference(), "&dispatch=false", form());
            let file = request.send().await.json();
            let path = format!("/v2/messages/{}/dispatch", file["id"]);
            let answer = client.request("POST", &path).send().await;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert!(answer.json()["dispatched"].is_string(), "{answer:?}");
            url(&file)
        }
        WayIn::EditBySocket => {
            let id = shared["id"].clone();
            let frame =
                json!({"action": "message_edit", "message_id": id, "message_body": "canary"});
            assert!(ask(client, frame).await["updated"].is_string());
            None
        }
        WayIn::EditByRest => {
            assert_eq!(client.edit(&shared["id"], "canary again").await["message"], "canary again");
            None
        }
        WayIn::Deletion => {
            let sent = client.say(peer, "canary").await;
            client.delete(&sent["id"], "everyone").await;
            None
        }
        WayIn::SeenBySocket => {
            let up_to = client.thread(peer).await["last_id"].clone();
            let frame = json!({"action": "seen", "peer_id": peer.id(), "up_to": up_to});
            assert_eq!(ask(client, frame).await["seen_id"], up_to);
            None
        }
        WayIn::DeliveredByRest => {
            let up_to = client.thread(peer).await["last_id"].clone();
            assert_eq!(client.mark("delivered", peer, &up_to).await["delivered_id"], up_to);
            None
        }
    }
}

/// All that `client` is shown by each way out, but what comes live.
async fn view(client: &Client, peer: &Client) -> Vec<Value> {
    let messages = format!("/v2/threads/{}/messages", peer.id());
    let documented = async |path: &str| {
        let answer = client.request("GET", path).send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    };
    let sync = client.get("/v2/sync").await;
    vec![
        json!(client.pages(&messages, 2, "messages").await),
        json!(client.pages(&format!("{messages}?order=oldest"), 50, "messages").await),
        json!(client.pages("/v2/threads", 1, "threads").await),
        client.get(&format!("/v2/threads/{}", peer.id())).await,
        client.get("/v2/me").await["unread_total"].clone(),
        json!([sync["threads"], sync["unread_total"]]),
        documented(&format!("/chat/messages/{}/", peer.id())).await,
        documented("/chat/get-user-threads/").await,
    ]
}

async fn cursor_of(client: &Client) -> String {
    client.get("/v2/sync").await["cursor"].as_str().expect("a cursor").to_owned()
}

/// Whether anything has changed since, which the cursor then has behind it.
async fn has_news(client: &Client, cursor: &mut String) -> bool {
    let page = client.get(&format!("/v2/sync?after={cursor}")).await;
    *cursor = page["cursor"].as_str().expect("a cursor").to_owned();
    page["changes"].as_array().is_some_and(|changes| !changes.is_empty())
}

/// Nothing but a message of this text comes next.
async fn expect_next(sockets: &mut [Socket], text: &str) {
    for socket in sockets {
        let frame = socket.next().await;
        let body = if frame["action"] == "message" {
            &frame["message"]["message"]
        } else {
            &frame["message_body"]
        };
        assert_eq!(body, text, "{frame}");
    }
}

async fn whatever_a_blocked_user_does_reaches_the_blocker_by_no_way_out(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("media-access", "participants");
    // Sockets that are not read meanwhile answer no ping.
    let chat = chat.set("ping-interval", "10m").start().await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let carol = Client::join(&chat, "carol").await;
    let shared = bob.say(&ada, "shared").await;
    ada.say(&bob, "mine").await;
    let mut sockets = Vec::new();
    for index in 0..2 {
        let (mut socket, _) = ada.at(chat.edge_at(index)).connect("").await;
        assert_eq!(socket.next().await["action"], "live");
        sockets.push(socket);
        sockets.push(chat.edge_at(index).connect(&ada.user).await);
    }
    ask(&ada.at(chat.edge_at(1)), json!({"action": "block", "peer_id": bob.id()})).await;
    for socket in [0, 2] {
        assert_eq!(sockets[socket].next().await["thread"]["blocked"], true);
    }
    let before = view(&ada, &bob).await;
    let cursor = cursor_of(&ada).await;
    let mut of_bob = cursor_of(&bob).await;
    for (number, way) in WAYS_IN.into_iter().enumerate() {
        let from = bob.at(chat.edge_at(number));
        let file = go_in(&chat, way, &from, &ada, &shared).await;
        assert_eq!(view(&ada.at(from.edge), &bob).await, before, "{way:?}");
        let changes = ada.get(&format!("/v2/sync?after={cursor}")).await;
        assert_eq!((&changes["changes"], &changes["more"]), (&json!([]), &json!(false)), "{way:?}");
        if let Some(path) = file {
            let get = |client: &Client| chat.get(&path).bearer(&client.user.token);
            get(&ada).send().await.assert_failure(404);
            assert_eq!(get(&bob).send().await.text(), "canary", "{way:?}");
        }
        // Its sender is shown it. One's own "delivered" is no change for one's devices.
        let is_quiet = matches!(way, WayIn::DeliveredByRest);
        assert_eq!(has_news(&bob, &mut of_bob).await, !is_quiet, "{way:?}");
    }
    carol.say(&ada, "fence").await;
    expect_next(&mut sockets, "fence").await;
    let (mut resumed, hello) = ada.connect(&cursor).await;
    assert_eq!((&hello["resumed"], &hello["behind"]), (&json!(true), &json!(1)), "{hello}");
    expect_next(std::slice::from_mut(&mut resumed), "fence").await;
    // Who is not blocked is seen, whatever they do.
    let shared = carol.say(&ada, "shared").await;
    let mut cursor = cursor_of(&ada).await;
    for way in WAYS_IN {
        go_in(&chat, way, &carol, &ada, &shared).await;
        assert!(has_news(&ada, &mut cursor).await, "{way:?}");
    }
}

async fn the_blocker_is_read_and_nothing_comes_back_after_the_block(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    let path = format!("/v2/blocks/{}", bob.id());
    let there = ada.at(chat.edge_at(1));
    let answer = there.request("PUT", &path).send().await;
    assert_eq!((answer.status, &*answer.body), (204, &b""[..]), "{answer:?}");
    // A block as first contact makes no thread.
    let mut at_bob = chat.connect(&bob.user).await;
    bob.say(&ada, "canary").await;
    assert_eq!(ada.pages("/v2/threads", 50, "threads").await, Vec::<Value>::new());
    let answer = ada.request("GET", &format!("/v2/threads/{}", bob.id())).send().await;
    assert_problem(&answer, 404, "not_found");
    let shown = ada.say(&bob, "hello").await;
    at_bob.expect_body("hello").await;
    let thread = ada.thread(&bob).await;
    assert_eq!((&thread["last_id"], &thread["blocked"]), (&shown["id"], &json!(true)));
    assert_eq!((&thread["created"], &thread["unread"]), (&shown["created"], &json!(0)));
    assert_eq!(bob.thread(&ada).await["blocked"], false);
    let answer = there.request("DELETE", &path).send().await;
    assert_eq!(answer.status, 204, "{answer:?}");
    bob.say(&ada, "after it").await;
    let messages = format!("/v2/threads/{}/messages?order=oldest", bob.id());
    assert_eq!(texts(&ada.pages(&messages, 50, "messages").await), ["hello", "after it"]);
    let messages = format!("/v2/threads/{}/messages?order=oldest", ada.id());
    assert_eq!(texts(&bob.pages(&messages, 50, "messages").await), ["canary", "hello", "after it"]);
}

async fn blocks_are_listed_and_told_to_the_blockers_devices_alone(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (Client::join(&chat, "ada").await, Client::join(&chat, "bob").await);
    bob.say(&ada, "one").await;
    bob.say(&ada, "two").await;
    let cursor = ada.get("/v2/sync").await["cursor"].as_str().expect("a cursor").to_owned();
    let (mut at_bob, _) = bob.connect("").await;
    assert_eq!(at_bob.next().await["action"], "live");
    // Of one without a thread no frame tells.
    let stranger = Client::join(&chat, "stranger").await;
    ask(&ada, json!({"action": "block", "peer_id": stranger.id()})).await;
    // A service may do it for the user.
    let (user_id, peer_id) = (ada.id().to_owned(), bob.id().to_owned());
    let request = BlockUserRequest { user_id, peer_id };
    chat.chat_service().block_user(request).await.expect("blocked");
    let changes = ada.get(&format!("/v2/sync?after={cursor}")).await;
    assert_eq!(changes["changes"].as_array().map(Vec::len), Some(1), "{changes}");
    let thread = &changes["changes"][0]["thread"];
    assert_eq!((&thread["blocked"], &thread["unread"]), (&json!(true), &json!(2)), "{changes}");
    assert_eq!(changes["unread_total"], 0);
    let blocks = ada.pages("/v2/blocks", 1, "blocks").await;
    let mut listed: Vec<_> = blocks.iter().map(|block| block["peer_id"].clone()).collect();
    listed.sort_by_key(Value::to_string);
    let mut expected = [json!(bob.id()), json!(stranger.id())];
    expected.sort_by_key(Value::to_string);
    assert_eq!(listed, expected);
    assert!(blocks.iter().all(|block| block["created"].is_string()), "{blocks:?}");
    assert_eq!(bob.pages("/v2/blocks", 50, "blocks").await, Vec::<Value>::new());
    ask(&ada, json!({"action": "unblock", "peer_id": bob.id()})).await;
    assert_eq!(ada.get("/v2/me").await["unread_total"], 2);
    // The blocked one is told of neither.
    ada.say(&bob, "fence").await;
    expect_next(std::slice::from_mut(&mut at_bob), "fence").await;
}

async fn who_cannot_be_blocked_is_not_found(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let ada = Client::join(&chat, "ada").await;
    let (mut socket, _) = ada.connect("").await;
    assert_eq!(socket.next().await["action"], "live");
    let unknown = Uuid::new_v4().to_string();
    for peer in ["nobody", unknown.as_str(), ada.id()] {
        for method in ["PUT", "DELETE"] {
            let answer = ada.request(method, &format!("/v2/blocks/{peer}")).send().await;
            assert_problem(&answer, 404, "not_found");
        }
        for action in ["block", "unblock"] {
            socket.send(&json!({"action": action, "ref": "r", "peer_id": peer})).await;
            let error = socket.next().await;
            assert_eq!((&error["action"], &error["code"]), (&json!("error"), &json!("not_found")));
        }
    }
    let answer = ada.request("GET", "/v2/blocks?next=x").send().await;
    assert_problem(&answer, 400, "invalid_field");
    let answer = ada.request("POST", &format!("/v2/blocks/{unknown}")).send().await;
    assert_problem(&answer, 405, "method_not_allowed");
}
