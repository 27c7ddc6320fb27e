//! PROTOCOL section 4: `GET /mediafiles/attachments/…`.

mod access;
mod conditional;
mod header;
mod path;

use netrox_harness::TestChat;

/// The path of a file that one user has sent to another.
async fn uploaded(chat: &TestChat, name: &str, content: impl AsRef<[u8]>) -> String {
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let message = chat.upload_file(&ada, &bob, name, content).await;
    message["attached_file"].as_str().expect("a path").to_owned()
}
