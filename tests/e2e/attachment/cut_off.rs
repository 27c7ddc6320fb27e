//! An upload that does not come to its end.

use netrox_harness::{Arrangement, TestChat, User, each, multipart::Form, raw::Raw};

use super::assert_no_trace;

each![
    a_connection_that_breaks_leaves_nothing,
    a_chunked_body_that_breaks_leaves_nothing,
    a_refused_upload_leaves_the_connection_or_closes_it,
];

/// The beginning of an upload, after which the program has taken in a part of the file.
async fn begin(chat: &TestChat, sender: &User, receiver: &User, length: &str) -> Raw {
    let mut connection = chat.edge().raw().await;
    let head = format!(
        "POST /chat/chat-attachment/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Type: {}\r\n{length}\r\nExpect: 100-continue\r\n\r\n",
        sender.token,
        Form::CONTENT_TYPE
    );
    connection.write(head).await;
    let head = connection.head().await;
    assert!(head.starts_with("HTTP/1.1 100 "), "{head}");
    let form = Form::new().text("receiver", &receiver.id).file("a.txt", vec![b'a'; 900_000]);
    let body = form.unfinished();
    if length.starts_with("Transfer-Encoding") {
        connection.write(format!("{:x}\r\n", body.len())).await;
        connection.write(body).await;
        connection.write("\r\n").await;
    } else {
        connection.write(body).await;
    }
    connection
}

async fn a_connection_that_breaks_leaves_nothing(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    for _ in 0..3 {
        drop(begin(&chat, &ada, &bob, "Content-Length: 2000000").await);
    }
    // One that says that it has nothing more.
    let mut connection = begin(&chat, &ada, &bob, "Content-Length: 2000000").await;
    connection.finish().await;
    connection.rest().await;
    assert_no_trace(&chat, &ada, &bob).await;
    // They count no longer as uploads of this user.
    netrox_harness::eventually("an upload to be taken", || async {
        let form = Form::new().text("receiver", &bob.id).file("a.txt", "a");
        (chat.upload(&ada, form).await.status == 201).then_some(())
    })
    .await;
}

async fn a_chunked_body_that_breaks_leaves_nothing(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    drop(begin(&chat, &ada, &bob, "Transfer-Encoding: chunked").await);
    // A proper end of the body in the middle of the file.
    let mut connection = begin(&chat, &ada, &bob, "Transfer-Encoding: chunked").await;
    connection.write("0\r\n\r\n").await;
    let head = connection.head().await;
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    // Garbage instead of a chunk.
    let mut connection = begin(&chat, &ada, &bob, "Transfer-Encoding: chunked").await;
    connection.write("not a length\r\n").await;
    let answer = String::from_utf8(connection.rest().await).expect("text");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_no_trace(&chat, &ada, &bob).await;
}

async fn a_refused_upload_leaves_the_connection_or_closes_it(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let ada = chat.user("ada").await;
    let unknown = chat.stranger("unknown");
    let mut connection = begin(&chat, &ada, &unknown, "Content-Length: 2000000").await;
    // The rest of the body must not be taken for a request.
    let smuggled = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    connection.try_write(smuggled.repeat(10)).await;
    connection.finish().await;
    let answers = String::from_utf8_lossy(&connection.rest().await).into_owned();
    assert!(!answers.contains("HTTP/1.1 200 "), "{answers}");
    assert_no_trace(&chat, &ada, &ada).await;
}
