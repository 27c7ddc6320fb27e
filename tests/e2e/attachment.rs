//! PROTOCOL section 2: `POST /chat/chat-attachment/`.

mod cut_off;
mod field;
mod limit;
mod name;
mod size;

use netrox_harness::{TestChat, User};

/// Fails if an upload has left anything behind.
async fn assert_no_trace(chat: &TestChat, sender: &User, receiver: &User) {
    assert!(chat.history(sender, receiver).await.is_empty());
    netrox_harness::eventually("unfinished files to be removed", || async {
        chat.media_files().is_empty().then_some(())
    })
    .await;
}
