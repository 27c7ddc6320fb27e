//! Every payload of the documented API, compared byte for byte in order.

use netrox_harness::{
    Arrangement, Socket, TestChat, User, each, multipart::Form, settings::JWT_SECRET,
};
use serde_json::json;

mod template;

use template::Values;

each![
    messages,
    no_messages,
    invalid_receipient,
    threads,
    upload_and_its_frame,
    error_frame,
    unauthorized,
];

const CODEBEE: (&str, &str) = ("96bf0d3f-720d-4620-8dee-0f59f997cb51", "codebee345@outlook.com");
const ONUH: (&str, &str) = ("87c8b8e2-3efc-4a4a-b667-1f9c0d7e8437", "onuhudoudo@gmail.com");

/// The two users of the documented examples.
async fn documented_users(chat: &TestChat) -> [(User, Socket); 2] {
    let [codebee, onuh] = [CODEBEE, ONUH].map(|(id, email)| User::known_as(id, email, JWT_SECRET));
    let sockets = [chat.connect(&codebee).await, chat.connect(&onuh).await];
    let [codebee_socket, onuh_socket] = sockets;
    [(codebee, codebee_socket), (onuh, onuh_socket)]
}

async fn messages(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let [(codebee, mut codebee_socket), (onuh, mut onuh_socket)] = documented_users(&chat).await;
    codebee_socket.say(&onuh, "hello").await;
    codebee_socket.say(&onuh, "hello").await;
    let frame = onuh_socket.next_text().await;
    onuh_socket.next_text().await;

    let mut values = Values::default();
    values.assert_matches(&frame, include_str!("golden/re_message.json"));
    for (reader, peer) in [(&codebee, &onuh), (&onuh, &codebee)] {
        let path = format!("/chat/messages/{}/", peer.id);
        let answer = chat.get(&path).bearer(&reader.token).send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        values.assert_matches(answer.text(), include_str!("golden/messages.json"));
    }
    assert!(values.integer("first") < values.integer("second"));
    assert!(values.get("first-created") < values.get("second-created"));
}

async fn no_messages(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    for peer in [&bob, &ada] {
        let path = format!("/chat/messages/{}/", peer.id);
        let answer = chat.get(&path).bearer(&ada.token).send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let documented = include_str!("golden/no_messages.json");
        Values::default().assert_matches(answer.text(), documented);
    }
}

async fn invalid_receipient(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let ada = chat.user("ada").await;
    let unknown = chat.stranger("unknown").id;
    let answers = [
        chat.get(&format!("/chat/messages/{unknown}/")).bearer(&ada.token).send().await,
        chat.upload(&ada, Form::new().text("receiver", &unknown).file("a.txt", "x")).await,
    ];
    for answer in answers {
        assert_eq!(answer.status, 404, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let documented = include_str!("golden/invalid_receipient.json");
        Values::default().assert_matches(answer.text(), documented);
    }
}

async fn threads(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let [(codebee, mut codebee_socket), (onuh, mut onuh_socket)] = documented_users(&chat).await;
    for user in [&codebee, &onuh] {
        let answer = chat.get("/chat/get-user-threads/").bearer(&user.token).send().await;
        Values::default().assert_matches(answer.text(), include_str!("golden/no_threads.json"));
    }
    onuh_socket.say(&codebee, "I write first").await;
    codebee_socket.expect_body("I write first").await;

    let mut values = Values::default();
    for user in [&codebee, &onuh] {
        let answer = chat.get("/chat/get-user-threads/").bearer(&user.token).send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        values.assert_matches(answer.text(), include_str!("golden/threads.json"));
    }
}

async fn upload_and_its_frame(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let [(codebee, mut codebee_socket), (onuh, mut onuh_socket)] = documented_users(&chat).await;
    let form = Form::new()
        .text("receiver", &codebee.id)
        .text("message", "Hello, this is my message")
        .file("pexels-nappy-936119.jpg", vec![0xff; 88_812]);
    let answer = chat.store(&onuh, form).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let mut values = Values::default();
    values.assert_matches(answer.text(), include_str!("golden/upload.json"));
    let date = values.get("created")[..10].replace('-', "/");
    let path = answer.json()["entity"]["message"]["attached_file"].clone();
    assert!(path.as_str().expect("a path").contains(&date), "{path} of {date}");

    let chat_id = values.get("message").to_owned();
    let frame = json!({
        "action": "chat_message_file",
        "message_body": "hello there",
        "chat_id": chat_id,
    });
    onuh_socket.send(&frame).await;
    let frame = codebee_socket.next_text().await;
    values.assert_matches(&frame, include_str!("golden/re_message_file.json"));
    assert!(values.get("dispatched") > values.get("created"));
}

async fn error_frame(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (_, mut socket) = chat.join("ada").await;
    socket.send_text("hello").await;
    let frame = socket.next_text().await;
    Values::default().assert_matches(&frame, include_str!("golden/error.json"));
}

async fn unauthorized(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let user = chat.stranger("ada");
    let requests = [
        chat.get(&format!("/chat/messages/{}/", user.id)),
        chat.get("/chat/get-user-threads/"),
        chat.post("/chat/chat-attachment/"),
        chat.get("/ws/chat/room/").websocket(),
    ];
    let mut values = Values::default();
    for request in requests {
        let answer = request.send().await;
        assert_eq!(answer.status, 401, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        values.assert_matches(answer.text(), include_str!("golden/unauthorized.json"));
    }
}
