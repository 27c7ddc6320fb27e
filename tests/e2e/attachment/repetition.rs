//! An upload that an HTTP library sends again by itself, byte for byte, is one upload.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use netrox_harness::{
    Arrangement, Edge, Response, TestChat, User, each,
    multipart::{Form, certain},
    raw::Raw,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::flow::seed;

each![
    the_same_form_is_one_upload,
    copies_at_once_are_one_upload,
    a_copy_does_not_wait_for_one_that_stands,
    a_copy_of_one_that_broke_off_is_the_upload,
    a_copy_after_a_kill_is_one_upload,
    other_bytes_are_another_upload,
    another_user_is_another_upload,
    a_boundary_of_ones_own_says_nothing,
    a_form_counts_for_ten_minutes,
];

fn form(boundary: &str, receiver: &User, text: &str) -> Form {
    let form = Form::with_boundary(boundary).text("receiver", &receiver.id).text("message", text);
    form.file("a.bin", vec![7; 300_000])
}

/// Uploads a form that is one upload, however often it is sent.
async fn send(edge: Edge, sender: &User, form: &Form) -> Response {
    certain(async || edge.upload(sender, form.clone()).await).await
}

/// The id of what was stored.
fn stored(answer: &Response) -> i64 {
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["entity"]["message"]["id"].as_i64().expect("an id")
}

async fn the_same_form_is_one_upload(arrangement: Arrangement) {
    let mut chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let form = form(&Form::drawn_boundary(), &bob, "once");
    let first = send(chat.edge(), &ada, &form).await;
    stored(&first);
    for edge in chat.edges() {
        // To the letter, the path of the file too.
        assert_eq!(send(edge, &ada, &form).await.json(), first.json());
    }
    // What copies had written is removed after their answers: a kill before that would leave it.
    chat.keeps_files(1).await;
    // Nobody remembers it but the database.
    for role in chat.roles() {
        chat.kill(role);
    }
    for role in chat.roles() {
        chat.spawn(role).await;
    }
    chat.ready().await;
    for edge in chat.edges() {
        assert_eq!(send(edge, &ada, &form).await.json(), first.json());
    }
    assert_eq!(chat.history(&ada, &bob).await.len(), 1);
    chat.keeps_files(1).await;
}

async fn copies_at_once_are_one_upload(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let edges = chat.edges();
    for round in 0..10 {
        let form = form(&Form::drawn_boundary(), &bob, &format!("round {round}"));
        let copies = (0..4).map(|copy| send(edges[copy % edges.len()], &ada, &form));
        let ids: Vec<_> = join_all(copies).await.iter().map(stored).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        assert_eq!(chat.history(&ada, &bob).await.len(), round + 1);
    }
    chat.keeps_files(10).await;
}

/// Sends so much of an upload on a connection of its own; the rest is given back.
async fn begin(edge: &Edge, sender: &User, form: &Form, bytes: usize) -> (Raw, Bytes) {
    let (content_type, mut body) = (form.content_type(), form.clone().finish());
    let mut connection = edge.raw().await;
    let head = format!(
        "POST /chat/chat-attachment/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        sender.token,
        body.len()
    );
    connection.write(head).await;
    connection.write(body.split_to(bytes)).await;
    (connection, body)
}

/// As where the first connection of a phone hangs: which of them is the first to end is the upload.
async fn a_copy_does_not_wait_for_one_that_stands(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let form = form(&Form::drawn_boundary(), &bob, "once");
    let (mut standing, rest) = begin(&chat.edge(), &ada, &form, 250_000).await;
    let edges = chat.edges();
    let answer = send(edges[edges.len() - 1], &ada, &form).await;
    stored(&answer);
    standing.write(rest).await;
    let head = standing.head().await;
    assert!(head.starts_with("HTTP/1.1 201 "), "{head}");
    let body = standing.exactly(answer.body.len()).await;
    assert_eq!(body, answer.body);
    assert_eq!(chat.history(&ada, &bob).await.len(), 1);
    chat.keeps_files(1).await;
}

async fn a_copy_of_one_that_broke_off_is_the_upload(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let form = form(&Form::drawn_boundary(), &bob, "once");
    let (broken, _) = begin(&chat.edge(), &ada, &form, 250_000).await;
    drop(broken);
    stored(&send(chat.edge_of(&ada), &ada, &form).await);
    assert_eq!(chat.history(&ada, &bob).await.len(), 1);
    chat.keeps_files(1).await;
}

/// The answers are lost with the process, at any moment.
async fn a_copy_after_a_kill_is_one_upload(arrangement: Arrangement) {
    const UPLOADS: usize = 12;
    const KILLS: usize = 4;
    let mut random = StdRng::seed_from_u64(seed());
    let mut chat = TestChat::builder(arrangement).set("send-rate", "0").start().await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let roles = chat.roles();
    for kill in 0..KILLS {
        let forms: Vec<_> = (0..UPLOADS)
            .map(|upload| form(&Form::drawn_boundary(), &bob, &format!("{kill} {upload}")))
            .collect();
        let edges = chat.edges();
        let uploads = join_all(forms.iter().enumerate().map(|(index, form)| {
            edges[index % edges.len()].upload_request(&ada, form.clone()).try_send()
        }));
        let killed = async {
            tokio::time::sleep(Duration::from_millis(random.random_range(0..150))).await;
            roles.iter().for_each(|role| chat.kill(*role));
        };
        tokio::join!(uploads, killed);
        for role in &roles {
            chat.spawn(*role).await;
        }
        chat.ready().await;
        let edges = chat.edges();
        for (index, form) in forms.iter().enumerate() {
            stored(&send(edges[(index + 1) % edges.len()], &ada, form).await);
        }
        assert_eq!(chat.history(&ada, &bob).await.len(), (kill + 1) * UPLOADS);
    }
}

async fn other_bytes_are_another_upload(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let boundary = Form::drawn_boundary();
    let [one, other] = ["a text", "a tex1"].map(|text| form(&boundary, &bob, text));
    // A boundary that comes with other bytes is a fixed one, of some code: nothing with it is a copy from then on.
    for form in [&one, &other, &one, &other, &other] {
        stored(&chat.upload(&ada, form.clone()).await);
    }
    let history = chat.history(&ada, &bob).await;
    let texts: Vec<_> = history.iter().map(|message| message["message"].as_str()).collect();
    assert_eq!(texts.len(), 5, "{texts:?}");
    chat.keeps_files(5).await;
}

async fn another_user_is_another_upload(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let [ada, eve, bob] = [chat.user("ada").await, chat.user("eve").await, chat.user("bob").await];
    let form = form(&Form::drawn_boundary(), &bob, "the same");
    let edges = chat.edges();
    let mut ids = Vec::new();
    for (index, sender) in [&ada, &eve, &ada, &eve, &eve].into_iter().enumerate() {
        ids.push(stored(&edges[index % edges.len()].upload(sender, form.clone()).await));
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 5);
}

async fn a_boundary_of_ones_own_says_nothing(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    for boundary in ["AaB03x", "---------------------------9051914041544843365972754266"] {
        let form = form(boundary, &bob, "twice");
        assert_ne!(
            stored(&chat.upload(&ada, form.clone()).await),
            stored(&chat.upload(&ada, form).await)
        );
    }
    assert_eq!(chat.history(&ada, &bob).await.len(), 4);
}

async fn a_form_counts_for_ten_minutes(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let [one, other] = [Form::drawn_boundary(), Form::drawn_boundary()]
        .map(|boundary| form(&boundary, &bob, "later"));
    let edge = chat.edge_of(&ada);
    let first = stored(&send(edge, &ada, &one).await);
    let age = |micros| format!("update sent_forms set sent = sent - {micros}");
    chat.change_rows(&[&age(590_000_000)]).await;
    assert_eq!(stored(&send(edge, &ada, &one).await), first);
    chat.change_rows(&[&age(600_000_000)]).await;
    let second = stored(&send(edge, &ada, &one).await);
    assert_ne!(second, first);
    // From then on it is that one.
    assert_eq!(stored(&send(edge, &ada, &one).await), second);
    // What nobody can need any more is forgotten with the next.
    chat.change_rows(&[&age(600_000_001)]).await;
    stored(&send(edge, &ada, &other).await);
    let forgotten = "select count(*) from sent_forms where message_id is null";
    assert_eq!(chat.count(forgotten).await, 1);
    assert_eq!(chat.history(&ada, &bob).await.len(), 3);
}
