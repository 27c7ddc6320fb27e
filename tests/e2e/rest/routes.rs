//! Which paths and methods there are, and who may use them.

use netrox_harness::{
    Arrangement, TestChat, each,
    multipart::{Form, certain},
};

each![
    paths_are_served_with_and_without_their_last_slash,
    paths_are_served_with_a_doubled_slash_at_their_start,
    an_unknown_route_is_404,
    a_known_route_with_another_method_is_405,
    no_token_is_401_before_the_body_is_read,
];

async fn paths_are_served_with_and_without_their_last_slash(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    for path in ["/chat/get-user-threads".to_owned(), format!("/chat/messages/{}", bob.id)] {
        let without = chat.get(&path).bearer(&ada.token).send().await;
        let with = chat.get(&format!("{path}/")).bearer(&ada.token).send().await;
        assert_eq!((without.status, with.status), (200, 200), "{path}");
        assert_eq!(without.text(), with.text());
    }
    for path in ["/chat/chat-attachment", "/chat/chat-attachment/"] {
        let form = Form::new().text("receiver", &bob.id).file("a.txt", "a").repeatable();
        let (content_type, body) = (form.content_type(), form.finish());
        let request = || chat.post(path).bearer(&ada.token).header("content-type", &content_type);
        let answer = certain(async || request().body(body.clone()).send().await).await;
        assert_eq!(answer.status, 201, "{path}: {answer:?}");
    }
    for path in ["/ws/chat/room", "/ws/chat/room/"] {
        let path = format!("{path}?token={}", ada.token);
        let mut connection = chat.edge().raw().await;
        connection.upgrade(&path).await;
    }
}

/// The documented host ends in a slash, and the paths begin with one.
async fn paths_are_served_with_a_doubled_slash_at_their_start(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let message = chat.upload_file(&ada, &bob, "a.txt", "a small file").await;
    let file = message["attached_file"].as_str().expect("a path");
    for path in ["/chat/get-user-threads/", &format!("/chat/messages/{}/", bob.id), file, "/readyz"]
    {
        let single = chat.get(path).bearer(&ada.token).send().await;
        let doubled = chat.get(&format!("/{path}")).bearer(&ada.token).send().await;
        assert_eq!((single.status, doubled.status), (200, 200), "{path}");
        assert_eq!(single.body, doubled.body);
        chat.get(&format!("//{path}")).bearer(&ada.token).send().await.assert_failure(404);
    }
    chat.edge().raw().await.upgrade(&format!("//ws/chat/room/?token={}", ada.token)).await;
}

async fn an_unknown_route_is_404(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let ada = chat.user("ada").await;
    for path in [
        "/",
        "/chat/",
        "/chat/messages/",
        "/chat/messages",
        "/chat/get-user-threads/more/",
        "/chat//get-user-threads/",
        "/Chat/get-user-threads/",
        "/ws/",
        "/nope?token=a",
    ] {
        chat.get(path).bearer(&ada.token).send().await.assert_failure(404);
    }
    chat.post("/nope").bearer(&ada.token).body("{}").send().await.assert_failure(404);
}

async fn a_known_route_with_another_method_is_405(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let ada = chat.user("ada").await;
    let history = format!("/chat/messages/{}/", ada.id);
    for (method, path, allowed) in [
        ("POST", history.as_str(), "GET"),
        ("DELETE", &history, "GET"),
        ("PUT", "/chat/get-user-threads/", "GET"),
        ("PATCH", "/chat/get-user-threads", "GET"),
        ("GET", "/chat/chat-attachment/", "POST"),
        ("DELETE", "/chat/chat-attachment", "POST"),
        ("POST", "/ws/chat/room/", "GET"),
        ("POST", "/mediafiles/attachments/2024/01/01/4908f104-b77b-4677-b563-b693a893fef3", "GET"),
    ] {
        let answer = chat.edge().request(method, path).bearer(&ada.token).send().await;
        answer.assert_failure(405);
        let allow = answer.header("allow").unwrap_or_else(|| panic!("no Allow: {answer:?}"));
        let mut methods = allow.split(',').map(str::trim);
        assert!(methods.any(|method| method == allowed), "{method} {path}: {allow}");
        assert!(!allow.split(',').any(|allow| allow.trim() == method), "{method} {path}: {allow}");
    }
}

async fn no_token_is_401_before_the_body_is_read(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    for authorization in ["", "Authorization: Bearer garbage\r\n"] {
        let mut connection = chat.edge().raw().await;
        let head = format!(
            "POST /chat/chat-attachment/ HTTP/1.1\r\nHost: localhost\r\n{authorization}\
             Content-Type: {}\r\nContent-Length: 1000000\r\n\r\n",
            Form::CONTENT_TYPE
        );
        // Not a byte of the body is ever sent.
        connection.write(head).await;
        let head = connection.head().await;
        assert!(head.starts_with("HTTP/1.1 401 "), "{head}");
    }
}
