//! PROTOCOL section 1: who a token makes its bearer.

mod algorithm;
mod claim;
mod directory;
mod expiry;
mod external;
mod keys;
mod placement;

use netrox_harness::{Response, TestChat};

/// What the program says to a token, on a REST route.
async fn with_token(chat: &TestChat, token: &str) -> Response {
    chat.get("/chat/get-user-threads/").bearer(token).send().await
}

async fn assert_accepted(chat: &TestChat, what: &str, token: &str) {
    let answer = with_token(chat, token).await;
    assert_eq!(answer.status, 200, "{what}: {answer:?}");
}

async fn assert_refused(chat: &TestChat, what: &str, token: &str) {
    let answer = with_token(chat, token).await;
    assert_eq!(answer.status, 401, "{what}: {answer:?}");
}
