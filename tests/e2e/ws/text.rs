//! Text is stored and returned exactly as sent.

use netrox_harness::{Arrangement, TestChat, each};
use proptest::{
    prelude::any,
    strategy::{Strategy as _, ValueTree as _},
    test_runner::TestRunner,
};
use serde_json::json;

each![
    notable_texts_are_exact,
    any_text_is_exact,
    escapes_mean_their_characters,
    a_body_may_have_16384_bytes_and_no_more,
    a_configured_body_limit_holds,
];

async fn assert_exact(arrangement: Arrangement, texts: &[String]) {
    let chat = TestChat::builder(arrangement).set("send-rate", "0").start().await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    for text in texts {
        ada_socket.say(&bob, text).await;
        bob_socket.expect_body(text).await;
    }
    let history = chat.history(&bob, &ada).await;
    assert_eq!(history.len(), texts.len());
    for (message, text) in history.iter().zip(texts) {
        assert_eq!(message["message"], **text);
    }
}

async fn notable_texts_are_exact(arrangement: Arrangement) {
    let texts = [
        " ",
        "\n",
        "  leading and trailing  ",
        "tab\tnew\nline\r\nfeed\u{c}",
        "\u{1}\u{1f}\u{7f}\u{80}\u{9f}",
        "\"quotes\" and \\backslashes\\ and /slashes/",
        "</script><!-- <b>&amp;</b> -->",
        "'; DROP TABLE messages; --",
        "%s %n ${x} {{x}} {0}",
        "null",
        "{\"action\":\"chat_message\"}",
        "שלום עולם",
        "السلام عليكم",
        "\u{202e}reversed\u{202c}",
        "\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467}\u{200d}\u{1f466} \u{1f1f3}\u{1f1ec} \u{1f44d}\u{1f3fe}",
        "e\u{301} is not \u{e9}",
        "\u{212b} \u{fb01} \u{ff21}",
        "\u{2028}\u{2029}\u{feff}\u{200b}",
        "\u{fffd}\u{fffe}\u{ffff}\u{10ffff}\u{e000}",
        "日本語と中文",
    ];
    assert_exact(arrangement, &texts.map(str::to_owned)).await;
}

async fn any_text_is_exact(arrangement: Arrangement) {
    let mut runner = TestRunner::deterministic();
    let texts = any::<String>().prop_filter("an empty text or a NUL is refused", |text| {
        !text.is_empty() && !text.contains('\0')
    });
    let texts: Vec<String> =
        (0..200).map(|_| texts.new_tree(&mut runner).expect("a text").current()).collect();
    assert_exact(arrangement, &texts).await;
}

async fn escapes_mean_their_characters(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (_, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    let frame = format!(
        r#" {{ "\u0061ction" : "chat_\u006dessage" , "message_body":"\u00e9\ud83e\udde9\/\b\"", "receiver_id":"{}" }} "#,
        bob.id
    );
    ada_socket.send_text(&frame).await;
    bob_socket.expect_body("\u{e9}\u{1f9e9}/\u{8}\"").await;
}

async fn a_body_may_have_16384_bytes_and_no_more(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    let pieces = "\u{1f9e9}".repeat(4_096);
    for body in ["x".repeat(16_384), pieces.clone(), "\"".repeat(16_384)] {
        ada_socket.say(&bob, &body).await;
        bob_socket.expect_body(&body).await;
        let over = format!("{body}x");
        ada_socket.say(&bob, &over).await;
        ada_socket.expect_error("message_too_large").await;
    }
    // Bytes of UTF-8 count, not characters or escapes.
    let escaped = format!(
        r#"{{"action":"chat_message","receiver_id":"{}","message_body":"{}"}}"#,
        bob.id,
        "\\u0041".repeat(10_000)
    );
    ada_socket.send_text(&escaped).await;
    bob_socket.expect_body(&"A".repeat(10_000)).await;
    assert_eq!(chat.history(&bob, &ada).await.len(), 4);
}

async fn a_configured_body_limit_holds(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("max-body-bytes", "10").start().await;
    let (_, mut ada_socket) = chat.join("ada").await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    ada_socket.say(&bob, "0123456789x").await;
    ada_socket.expect_error("message_too_large").await;
    ada_socket.say(&bob, "0123456789").await;
    bob_socket.expect_body("0123456789").await;
    let frame = json!({"action": "chat_message", "message_body": "ééééé", "receiver_id": bob.id});
    ada_socket.send(&frame).await;
    bob_socket.expect_body("ééééé").await;
}
