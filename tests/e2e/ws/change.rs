//! What happens to a message later is no new message to a documented client. No verb changes one yet: the rows are changed
//! as one would.

use netrox_harness::{Arrangement, TestChat, each};

each![
    a_message_that_changes_is_not_shown_again;
    split: a_change_before_a_resumption_is_not_shown;
    cluster: a_change_before_a_resumption_is_not_shown
];

/// Gives it the next place in the feed of its receiver.
async fn change(chat: &TestChat, body: &str) {
    let row = format!(
        "update messages set seen = true, updated = updated + 1,
            receiver_first_seq = coalesce(receiver_first_seq, receiver_seq),
            receiver_seq = (select last_seq + 1 from feeds where user_key = receiver)
        where body = '{body}'"
    );
    let feed = format!(
        "update feeds set last_seq = last_seq + 1
        where user_key = (select receiver from messages where body = '{body}')"
    );
    chat.change_rows(&[&row, &feed]).await;
}

async fn a_message_that_changes_is_not_shown_again(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (_, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    for body in ["one", "two"] {
        ada_socket.say(&bob, body).await;
        bob_socket.expect_body(body).await;
    }
    change(&chat, "one").await;
    // The place before it is one of the change: what came between is read from the database.
    ada_socket.say(&bob, "three").await;
    bob_socket.expect_body("three").await;
    change(&chat, "three").await;
    change(&chat, "one").await;
    ada_socket.say(&bob, "four").await;
    bob_socket.expect_body("four").await;
    bob_socket.expect_silence(&bob, &mut ada_socket).await;
}

async fn a_change_before_a_resumption_is_not_shown(arrangement: Arrangement) {
    let mut chat = TestChat::start(arrangement).await;
    let (_, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    for body in ["one", "two"] {
        ada_socket.say(&bob, body).await;
        bob_socket.expect_body(body).await;
    }
    let cores = chat.core_roles();
    for core in &cores {
        chat.kill(*core);
    }
    change(&chat, "one").await;
    for core in cores {
        chat.spawn(core).await;
    }
    chat.ready().await;
    ada_socket.say(&bob, "three").await;
    bob_socket.expect_body("three").await;
}
