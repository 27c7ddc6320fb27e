//! How users come into the directory, and what is shown of them.

use netrox_harness::{
    Arrangement, TestChat, User, each,
    settings::JWT_SECRET,
    socket::End,
    token::{Claims, now},
};
use netrox_proto::v1::{DeleteUserRequest, UpsertUsersRequest, UserChange};
use serde_json::{Value, json};

each![
    a_valid_token_provisions_its_user,
    claims_refresh_the_directory,
    an_older_token_undoes_nothing,
    absent_claims_change_nothing,
    an_unknown_email_is_empty,
    a_profile_is_any_json,
    claims_that_cannot_be_stored_do_no_harm,
    a_service_upserts_users,
    a_deleted_user_is_locked_out;
    sqlite: a_reconnect_of_a_known_user_writes_nothing
];

/// How `user` is shown to `reader`: the user object of their thread.
async fn shown(chat: &TestChat, user: &User, reader: &User) -> Value {
    let answer = chat.get("/chat/get-user-threads/").bearer(&reader.token).send().await;
    let threads = answer.json()["entity"].clone();
    let users = threads
        .as_array()
        .expect("threads")
        .iter()
        .flat_map(|thread| [thread["user_one"].clone(), thread["user_two"].clone()]);
    let mut found = users.filter(|shown| shown["id"] == *user.id);
    found.next().unwrap_or_else(|| panic!("{} is not in {threads}", user.id))
}

/// A user `ada` with a token of these claims more or less, and `bob`, to whom ada has written.
async fn ada_and_bob(chat: &TestChat, claims: impl Fn(Claims) -> Claims) -> (User, User) {
    let (bob, mut bob_socket) = chat.join("bob").await;
    let ada = chat.stranger("ada");
    let ada = ada.with_token(claims(Claims::access(&ada.id)).sign(JWT_SECRET));
    // Not dropped before it is there: of a client that is gone, what has not been read may be lost.
    let mut ada_socket = chat.connect(&ada).await;
    ada_socket.say(&bob, "hello").await;
    bob_socket.expect_body("hello").await;
    (ada, bob)
}

/// Makes a request with a token of these claims more or less.
async fn come_back(chat: &TestChat, user: &User, claims: impl Fn(Claims) -> Claims) {
    let token = claims(Claims::access(&user.id)).sign(JWT_SECRET);
    let answer = chat.get("/chat/get-user-threads/").bearer(&token).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

async fn a_valid_token_provisions_its_user(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    let bob = chat.stranger("bob");
    ada_socket.say(&bob, "too early").await;
    ada_socket.expect_error("invalid_receiver").await;
    let mut bob_socket = chat.connect(&bob).await;
    ada_socket.say(&bob, "welcome").await;
    bob_socket.expect_body("welcome").await;
    let user = json!({"id": bob.id, "email": bob.email, "profile": null});
    assert_eq!(shown(&chat, &bob, &ada).await, user);
}

async fn claims_refresh_the_directory(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = ada_and_bob(&chat, |claims| claims.claim("email", "old@example.com")).await;
    assert_eq!(shown(&chat, &ada, &bob).await["email"], "old@example.com");
    come_back(&chat, &ada, |claims| {
        claims.claim("email", "new@example.com").claim("profile", json!({"name": "Ada"}))
    })
    .await;
    let user = json!({"id": ada.id, "email": "new@example.com", "profile": {"name": "Ada"}});
    assert_eq!(shown(&chat, &ada, &bob).await, user);
    let history = chat.history(&bob, &ada).await;
    assert_eq!(history[0]["sender"], user);
    // A null is a value like any other.
    let (ada, bob) = ada_and_bob(&chat, |claims| claims.claim("profile", "Ada")).await;
    assert_eq!(shown(&chat, &ada, &bob).await["profile"], "Ada");
    come_back(&chat, &ada, |claims| claims.claim("profile", Value::Null)).await;
    assert_eq!(shown(&chat, &ada, &bob).await["profile"], Value::Null);
}

/// A device that still has it, and is asked for at every edge.
async fn an_older_token_undoes_nothing(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = ada_and_bob(&chat, |claims| {
        claims.claim("iat", now() - 100).claim("email", "old@example.com")
    })
    .await;
    come_back(&chat, &ada, |claims| claims.claim("email", "new@example.com")).await;
    assert_eq!(shown(&chat, &ada, &bob).await["email"], "new@example.com");
    for _ in 0..4 {
        come_back(&chat, &ada, |claims| {
            claims.claim("iat", now() - 100).claim("email", "old@example.com")
        })
        .await;
        come_back(&chat, &ada, |claims| claims.without("iat").claim("email", "undated")).await;
        assert_eq!(shown(&chat, &ada, &bob).await["email"], "new@example.com");
    }
}

async fn absent_claims_change_nothing(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = ada_and_bob(&chat, |claims| {
        claims.claim("email", "ada@example.com").claim("profile", json!([1, 2]))
    })
    .await;
    let user = json!({"id": ada.id, "email": "ada@example.com", "profile": [1, 2]});
    come_back(&chat, &ada, |claims| claims).await;
    assert_eq!(shown(&chat, &ada, &bob).await, user);
    come_back(&chat, &ada, |claims| claims.claim("email", "ada@new.example")).await;
    let user = json!({"id": ada.id, "email": "ada@new.example", "profile": [1, 2]});
    assert_eq!(shown(&chat, &ada, &bob).await, user);
}

async fn an_unknown_email_is_empty(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = ada_and_bob(&chat, |claims| claims).await;
    let user = json!({"id": ada.id, "email": "", "profile": null});
    assert_eq!(shown(&chat, &ada, &bob).await, user);
}

async fn a_profile_is_any_json(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    for profile in [
        json!("a string with \"quotes\" and \u{1f9e9}"),
        json!(3.25),
        json!(false),
        json!([]),
        json!({"name": "Ada", "links": ["https://a.example"], "nested": {"deep": [null, {}]}}),
    ] {
        let (ada, bob) =
            ada_and_bob(&chat, |claims| claims.claim("profile", profile.clone())).await;
        assert_eq!(shown(&chat, &ada, &bob).await["profile"], profile);
    }
}

async fn claims_that_cannot_be_stored_do_no_harm(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = ada_and_bob(&chat, |claims| claims.claim("email", "ada@example.com")).await;
    let deep = (0..40).fold(json!(1), |inner, _| json!([inner]));
    for (name, value) in [
        ("email", json!(7)),
        ("email", json!(["ada@example.com"])),
        ("email", json!("a\0b")),
        ("email", json!("x".repeat(400))),
        ("profile", json!({"bio": "x".repeat(5_000)})),
        ("profile", deep),
    ] {
        let token = Claims::access(&ada.id).claim(name, value.clone()).sign(JWT_SECRET);
        let answer = chat.get("/chat/get-user-threads/").bearer(&token).send().await;
        assert!(matches!(answer.status, 200 | 401), "{name} {value}: {answer:?}");
    }
    // It is still the same user.
    assert_eq!(shown(&chat, &ada, &bob).await["email"], "ada@example.com");
}

async fn a_service_upserts_users(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    let bob = chat.stranger("bob");
    let change = UserChange {
        id: bob.id.to_uppercase(),
        email: Some("bob@service.example".to_owned()),
        profile_json: Some(r#"{"name":"Bob"}"#.to_owned()),
        external_id: None,
    };
    let request = UpsertUsersRequest { users: vec![change] };
    chat.directory_service().upsert_users(request).await.expect("upsert");
    // Bob has never come here, yet one can write to him.
    ada_socket.say(&bob, "hello").await;
    ada_socket.expect_no_answer().await;
    let user = json!({"id": bob.id, "email": "bob@service.example", "profile": {"name": "Bob"}});
    assert_eq!(shown(&chat, &bob, &ada).await, user);
}

async fn a_reconnect_of_a_known_user_writes_nothing(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let ada = chat.user("ada").await;
    let database =
        || ["chat.db", "chat.db-wal"].map(|name| std::fs::read(chat.data_dir().join(name)).ok());
    let before = database();
    assert!(before[0].is_some(), "no database in {:?}", chat.data_dir());
    for _ in 0..5 {
        chat.connect(&ada).await.close().await;
        let fresh = ada.with_token(
            Claims::access(&ada.id).claim("email", ada.email.as_str()).sign(JWT_SECRET),
        );
        chat.connect(&fresh).await.close().await;
    }
    assert!(before == database(), "the database has changed");
}

async fn a_deleted_user_is_locked_out(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    ada_socket.say(&bob, "hello").await;
    bob_socket.expect_body("hello").await;

    let request = DeleteUserRequest { user_id: ada.id.clone(), erase_messages: false };
    chat.directory_service().delete_user(request).await.expect("delete");
    assert_eq!(ada_socket.end().await, End::Closed(1008));
    for answer in [
        chat.get("/chat/get-user-threads/").bearer(&ada.token).send().await,
        chat.get(&format!("/ws/chat/room/?token={}", ada.token)).websocket().send().await,
    ] {
        answer.assert_failure(401);
    }
    bob_socket.say(&ada, "are you there").await;
    bob_socket.expect_error("invalid_receiver").await;
    // The conversation stays readable, its erased user without an email.
    let history = chat.history(&bob, &ada).await;
    assert_eq!(history.len(), 1);
    assert_eq!(history[0]["sender"], json!({"id": ada.id, "email": "", "profile": null}));
}
