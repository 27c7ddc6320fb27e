//! PROTOCOL section 2: `POST /chat/chat-attachment/`.

mod cut_off;
mod early_answer;
mod field;
mod limit;
mod name;
mod repetition;
mod size;

use netrox_harness::{TestChat, User};

/// Fails if an upload has left anything behind.
async fn assert_no_trace(chat: &TestChat, sender: &User, receiver: &User) {
    assert!(chat.history(sender, receiver).await.is_empty());
    chat.keeps_files(0).await;
}
