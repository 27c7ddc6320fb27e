//! A copy of the database on the files of the original: notes of uploads that were under way came along with it.

use std::fs;

use netrox_harness::{
    Arrangement, Builder, Role, TestChat, User, each, eventually, multipart::Form, raw::Raw,
};
use serde_json::Value;

use super::{back_up, talk};

each![;
    sqlite: a_copy_removes_no_file_of_the_original, what_a_crash_cut_off_is_removed;
    cluster: notes_of_another_start_are_let_alone
];

const FILE_BYTES: usize = 900_000;

/// The beginning of an upload, which is noted.
async fn begin(chat: &TestChat, sender: &User, receiver: &User) -> (Raw, Vec<u8>) {
    let form = || Form::new().text("receiver", &receiver.id).file("a.bin", [7; FILE_BYTES]);
    let whole = form().finish();
    let mut connection = chat.edge().raw().await;
    let head = format!(
        "POST /chat/chat-attachment/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Type: {}\r\nContent-Length: {}\r\n\r\n",
        sender.token,
        Form::CONTENT_TYPE,
        whole.len()
    );
    let before = chat.media_files().len();
    connection.write(head).await;
    let (sent, rest) = whole.split_at(whole.len() - 1_000);
    connection.write(sent).await;
    eventually("a file that is begun", async || (chat.media_files().len() > before).then_some(()))
        .await;
    (connection, rest.to_vec())
}

/// A deployment of its own on a copy, with the files of the original.
fn on_copy(original: &TestChat, copy: &str) -> Builder {
    let database = original.directory().join(copy);
    let media = original.media_dir();
    TestChat::builder(original.arrangement())
        .set("database-url", format!("sqlite://{}", database.display()))
        .set("media-url", format!("file://{}", media.display()))
}

async fn says_that_it_removes_nothing(copy: &TestChat) {
    let kept = |event: &Value| {
        let is_it = event["message"] == "files of uploads that were cut off are not removed";
        (is_it && event["level"] == "WARN" && event["count"] == 1).then_some(())
    };
    copy.log(copy.core_role()).event("what is not removed", kept).await;
}

async fn a_copy_removes_no_file_of_the_original(arrangement: Arrangement) {
    let mut original = TestChat::start(arrangement).await;
    let (ada, bob, _) = talk(&original).await;
    let (mut upload, rest) = begin(&original, &ada, &bob).await;
    for name in ["first.db", "second.db"] {
        back_up(&original, &original.directory().join(name)).await;
    }
    upload.write(rest).await;
    let head = upload.head().await;
    assert!(head.starts_with("HTTP/1.1 201 "), "{head}");
    let history = original.history(&ada, &bob).await;
    let path = history.last().expect("a message")["attached_file"].as_str().expect("a path");
    let is_whole = async |chat: &TestChat| {
        // An edge connects anew to a core that came back, for each kind of call.
        let answer = eventually("an answer of the core", async || {
            let answer = chat.get(path).send().await;
            (answer.status != 503).then_some(answer)
        })
        .await;
        assert_eq!((answer.status, answer.body.len()), (200, FILE_BYTES));
    };

    // While the original runs.
    let copy = on_copy(&original, "first.db").start().await;
    says_that_it_removes_nothing(&copy).await;
    is_whole(&original).await;
    drop(copy);
    let core = original.core_role();
    original.kill(core);
    // Alone with the files, and then once more, when it has put one there itself.
    let mut copy = on_copy(&original, "second.db").start().await;
    says_that_it_removes_nothing(&copy).await;
    copy.upload_file(&ada, &bob, "b.txt", "of the copy").await;
    let core_of_copy = copy.core_role();
    copy.restart(core_of_copy).await;
    copy.upload_file(&ada, &bob, "c.txt", "of the copy").await;
    copy.kill(core_of_copy);
    original.spawn(core).await;
    original.ready().await;
    is_whole(&original).await;
}

/// As long as it is certain whose it was.
async fn what_a_crash_cut_off_is_removed(arrangement: Arrangement) {
    let mut chat = TestChat::start(arrangement).await;
    let (ada, bob, _) = talk(&chat).await;
    let core = chat.core_role();
    for count in 2..4 {
        let (_upload, _rest) = begin(&chat, &ada, &bob).await;
        // A second one is stored meanwhile.
        chat.upload_file(&ada, &bob, "b.txt", "stored").await;
        chat.restart(core).await;
        chat.keeps_files(count).await;
    }
    assert!(!chat.log(core).contains("are not removed"));
    // Where it is not certain, they are let alone.
    let (_upload, _rest) = begin(&chat, &ada, &bob).await;
    let lock = chat.media_dir().join("attachments.lock");
    let of_another = "attachments/2024/06/17/4908f104-b77b-4677-b563-b693a893fef3.jpg\n";
    chat.kill(core);
    fs::write(lock, of_another).expect("another name");
    chat.spawn(core).await;
    chat.ready().await;
    says_that_it_removes_nothing(&chat).await;
    chat.keeps_files(4).await;
}

/// A note is of the run of the server in which it was made; a copy runs on a server of its own.
async fn notes_of_another_start_are_let_alone(arrangement: Arrangement) {
    let mut chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let mut database = chat.database().connect().await;
    let mut paths = Vec::new();
    for start in [0, 12_345] {
        let file = chat.upload_file(&ada, &bob, "a.txt", "0123456789").await;
        let path = file["attached_file"].as_str().expect("a path").to_owned();
        let noted = sqlx::query("insert into uploads (path, begun, start) values ($1, 0, $2)")
            .bind(path.strip_prefix("/mediafiles/").expect("the prefix"))
            .bind(i64::from(start));
        noted.execute(&mut database).await.expect("a note");
        paths.push(path);
    }
    // Those of a core of an earlier version tell by their age alone.
    chat.restart(Role::Core(0)).await;
    eventually("the end of a file", async || {
        (chat.get(&paths[0]).send().await.status == 404).then_some(())
    })
    .await;
    eventually("the end of its note", async || {
        let noted = sqlx::query_scalar("select count(*) from uploads");
        let noted: i64 = noted.fetch_one(&mut database).await.expect("a count");
        (noted == 1).then_some(())
    })
    .await;
    assert_eq!(chat.get(&paths[1]).send().await.text(), "0123456789");
}
