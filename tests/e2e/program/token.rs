//! `netrox-chat token`.

use netrox_harness::{
    Arrangement, TestChat, User,
    process::{self, Ended},
    settings::JWT_SECRET,
    token::now,
};
use serde_json::{Value, json};

const ID: &str = "96bf0d3f-720d-4620-8dee-0f59f997cb51";

async fn run(chat: &TestChat, more: &[&str]) -> Ended {
    let arguments = ["token", "--user-id", ID].iter().chain(more);
    process::run(chat.directory(), arguments, [("NETROX_CHAT_JWT_SECRET", JWT_SECRET)]).await
}

fn printed(ended: &Ended) -> String {
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    let token = ended.stdout.strip_suffix('\n').unwrap_or_else(|| panic!("no line: {ended:?}"));
    assert!(!token.contains(char::is_whitespace), "{ended:?}");
    token.to_owned()
}

fn claims(token: &str) -> Value {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let payload = token.split('.').nth(1).expect("a payload");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64")).expect("JSON")
}

#[tokio::test]
async fn it_prints_a_token_that_is_accepted() {
    let chat = TestChat::start(Arrangement::Serve).await;
    let token = printed(&run(&chat, &["--email", "ada@example.com"]).await);
    assert_eq!(claims(&token)["token_type"], "access");
    let ada = User { id: ID.to_owned(), email: "ada@example.com".to_owned(), token };
    let mut ada_socket = chat.connect(&ada).await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    ada_socket.say(&bob, "hello").await;
    bob_socket.expect_body("hello").await;
    let history = chat.history(&bob, &ada).await;
    let user = json!({"id": ID, "email": "ada@example.com", "profile": null});
    assert_eq!(history[0]["sender"], user);
}

#[tokio::test]
async fn its_time_to_live_is_in_seconds() {
    let chat = TestChat::start(Arrangement::Serve).await;
    let before = now();
    let claims = claims(&printed(&run(&chat, &["--ttl", "600"]).await));
    let expiry = claims["exp"].as_u64().expect("exp");
    assert!((before + 600..=now() + 600).contains(&expiry), "{claims}");
    assert_eq!(claims.get("email"), None, "{claims}");
}

#[tokio::test]
async fn it_needs_a_user_id() {
    let directory = tempfile::tempdir().expect("a directory");
    let secret = [("NETROX_CHAT_JWT_SECRET", JWT_SECRET)];
    for arguments in [&["token"][..], &["token", "--user-id", "bob"]] {
        let ended = process::run(directory.path(), arguments, secret).await;
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
        assert!(ended.stderr.contains("--user-id"), "{ended:?}");
    }
}

#[tokio::test]
async fn it_uses_the_generated_secret_of_the_data_directory() {
    let builder = TestChat::builder(Arrangement::Serve).unset("jwt-secret");
    let chat = builder.start().await;
    let data_dir = chat.data_dir();
    let data_dir = data_dir.to_str().expect("a path");
    let arguments = ["token", "--user-id", ID, "--data-dir", data_dir];
    let none: [(&str, &str); 0] = [];
    let token = printed(&process::run(chat.directory(), arguments, none).await);
    let answer = chat.get("/chat/get-user-threads/").bearer(&token).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
}
