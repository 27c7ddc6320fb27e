//! Attachments in a bucket of a server that speaks S3.

use std::{pin::pin, time::Duration};

use bytes::Bytes;
use netrox_harness::{
    Arrangement, Role, TestChat,
    alarms::Before,
    each, eventually,
    multipart::Form,
    process,
    s3::{ACCESS_KEY_ID, BUCKET, S3Server, SECRET_ACCESS_KEY},
};
use tokio::time::interval;

each![
    files_come_back_as_they_were_sent,
    a_file_that_is_not_finished_leaves_nothing,
    a_server_that_is_gone_or_hangs_is_survived,
    an_object_that_is_missing_or_truncated_is_not_found;
    serve: memory_does_not_grow_with_the_file;
    cluster: each_core_has_the_files_of_the_other,
];

/// Of the parts in which a file is uploaded.
const PART_BYTES: usize = 5 * 1024 * 1024;

async fn start(arrangement: Arrangement, s3: &S3Server) -> TestChat {
    let roles = [Role::Serve, Role::Core(0), Role::Core(1)];
    s3.serves(TestChat::builder(arrangement), &roles, "some/prefix").start().await
}

/// Bytes of which no two places look alike.
fn content(size: usize) -> Bytes {
    (0u32..).flat_map(|number| number.wrapping_mul(0x9e37_79b9).to_le_bytes()).take(size).collect()
}

async fn files_come_back_as_they_were_sent(arrangement: Arrangement) {
    let s3 = S3Server::start();
    let chat = start(arrangement, &s3).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    // In one piece, at the border of the parts, and as large as it may be.
    for size in [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 25 * 1024 * 1024] {
        let sent = content(size);
        let message = chat.upload_file(&ada, &bob, "a.bin", &sent).await;
        let path = message["attached_file"].as_str().expect("a path");
        let answer = chat.get(path).send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.body == sent, "{size} bytes changed on their way");
        let middle = size / 2;
        if middle > 0 {
            let range = format!("bytes={middle}-{}", size - 1);
            let answer = chat.get(path).header("range", &range).send().await;
            assert_eq!(answer.status, 206, "{answer:?}");
            assert!(answer.body == sent[middle..], "the second half of {size} bytes changed");
        }
        let key = format!("some/prefix/{}", path.trim_start_matches("/mediafiles/"));
        assert!(s3.keys().contains(&key), "{key} is not in {:?}", s3.keys());
    }
    assert_eq!(s3.keys().len(), 6);
    assert!(s3.unfinished_parts().is_empty());
    assert!(chat.media_files().is_empty());
}

async fn each_core_has_the_files_of_the_other(arrangement: Arrangement) {
    let s3 = S3Server::start();
    let mut chat = start(arrangement, &s3).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let sent = content(PART_BYTES + 1);
    // One core alone takes it, and another alone gives it.
    chat.kill(Role::Core(1));
    eventually("an edge that knows", async || {
        let form = Form::new().text("receiver", &bob.id).file("a.bin", &sent);
        (chat.upload(&ada, form).await.status == 201).then_some(())
    })
    .await;
    let history = chat.history(&ada, &bob).await;
    let path = history[0]["attached_file"].as_str().expect("a path").to_owned();
    chat.spawn(Role::Core(1)).await;
    chat.kill(Role::Core(0));
    let answer = eventually("an edge that knows", async || {
        let answer = chat.get(&path).send().await;
        (answer.status == 200).then_some(answer)
    })
    .await;
    assert!(answer.body == sent, "the file changed");
}

async fn an_object_that_is_missing_or_truncated_is_not_found(arrangement: Arrangement) {
    let s3 = S3Server::start();
    let chat = start(arrangement, &s3).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let message = chat.upload_file(&ada, &bob, "a.txt", "0123456789").await;
    let path = message["attached_file"].as_str().expect("a path");
    let [key] = &s3.keys()[..] else { panic!("one object") };
    std::fs::write(s3.object(key), "01234").expect("truncated");
    for range in ["bytes=0-", "bytes=3-8", "bytes=5-"] {
        chat.get(path).header("range", range).send().await.assert_failure(404);
    }
    std::fs::remove_file(s3.object(key)).expect("removed");
    chat.get(path).send().await.assert_failure(404);
    assert_eq!(chat.edge().request("HEAD", path).send().await.status, 404);
}

async fn a_file_that_is_not_finished_leaves_nothing(arrangement: Arrangement) {
    let s3 = S3Server::start();
    let chat = start(arrangement, &s3).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let mut connection = chat.edge().raw().await;
    let head = format!(
        "POST /chat/chat-attachment/ HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Type: {}\r\nContent-Length: 20000000\r\n\r\n",
        ada.token,
        Form::CONTENT_TYPE
    );
    connection.write(head).await;
    let form = Form::new().text("receiver", &bob.id).file("a.bin", content(2 * PART_BYTES + 1));
    connection.write(form.unfinished()).await;
    eventually("parts in the bucket", async || (s3.unfinished_parts().len() > 1).then_some(()))
        .await;
    drop(connection);
    eventually("their end", async || s3.unfinished_parts().is_empty().then_some(())).await;

    // Refused when all of it is there.
    let form = || Form::new().text("receiver", &chat.stranger("unknown").id);
    for size in [1000, PART_BYTES + 1000] {
        chat.upload(&ada, form().file("a.bin", content(size))).await.assert_failure(404);
    }
    eventually("nothing to be left", async || s3.unfinished_parts().is_empty().then_some(())).await;
    assert_eq!(s3.keys(), Vec::<String>::new());
    assert!(chat.history(&ada, &bob).await.is_empty());
}

async fn a_server_that_is_gone_or_hangs_is_survived(arrangement: Arrangement) {
    let mut s3 = S3Server::start();
    let chat = start(arrangement, &s3).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let file = content(PART_BYTES + 1);
    let message = chat.upload_file(&ada, &bob, "a.bin", &file).await;
    let path = message["attached_file"].as_str().expect("a path");
    let before = Before::of(&chat).await;

    for hangs in [false, true] {
        if hangs {
            s3.pause(true)
        } else {
            s3.stop()
        }
        // One that hangs takes its time.
        let sizes = if hangs { &[1000][..] } else { &[1000, PART_BYTES + 1] };
        for &size in sizes {
            let form = Form::new().text("receiver", &bob.id).file("b.bin", content(size));
            let answer = chat.upload(&ada, form).await;
            answer.assert_failure(503);
            assert!(answer.header("retry-after").is_some(), "{answer:?}");
        }
        chat.get(path).send().await.assert_failure(503);
        // Nothing else is the worse for it.
        let (mut at_ada, mut at_bob) = (chat.connect(&ada).await, chat.connect(&bob).await);
        at_ada.say(&bob, "hello").await;
        assert_eq!(at_bob.next().await["message_body"], "hello");
        chat.ready().await;

        if !hangs {
            before.alarms_if_it_goes_on(&chat, &[], &["MediaStoreFails", "UsersAreRefused"]).await;
            let mut logs = chat.core_roles().into_iter().map(|core| chat.log(core));
            assert!(logs.any(|log| log.contains("the media store is unavailable")));
        }
        if hangs {
            s3.pause(false)
        } else {
            s3.start_again()
        }
        // As soon as the bucket takes it.
        chat.upload_file(&ada, &bob, "c.bin", &file).await;
        assert!(chat.get(path).send().await.body == file);
    }
    // The first file, and one of each recovery; no message has come of what was refused.
    let files = chat.history(&bob, &ada).await;
    let files = files.iter().filter(|message| !message["attached_file"].is_null());
    assert_eq!(files.count(), 3);
}

/// An upload holds one part, and a download less.
async fn memory_does_not_grow_with_the_file(arrangement: Arrangement) {
    const LARGEST: usize = 25 * 1024 * 1024;
    const MAX_GROWTH: u64 = 16 * 1024 * 1024;
    let s3 = S3Server::start();
    let chat = start(arrangement, &s3).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let sent = content(LARGEST);
    chat.upload_file(&ada, &bob, "a.bin", &sent[..1_000_000]).await;
    let before = chat.resident_bytes();
    let form = Form::new().text("receiver", &bob.id).file("a.bin", &sent);
    let (grown, answer) = growth(&chat, before, chat.store(&ada, form)).await;
    assert!(grown < MAX_GROWTH, "{grown} bytes to take a file of {LARGEST}");
    let answer = answer.json();
    let path = answer["entity"]["message"]["attached_file"].as_str().expect("a path");
    let (grown, answer) = growth(&chat, before, chat.get(path).send()).await;
    assert!(answer.body == sent, "the file changed");
    assert!(grown < MAX_GROWTH, "{grown} bytes to give a file of {LARGEST}");
}

/// The most that the processes are beyond `before` while `work` goes on.
async fn growth<T>(chat: &TestChat, before: u64, work: impl Future<Output = T>) -> (u64, T) {
    let mut peak = before;
    let mut work = pin!(work);
    let mut clock = interval(Duration::from_millis(5));
    loop {
        tokio::select! {
            done = &mut work => return (peak - before, done),
            _ = clock.tick() => peak = peak.max(chat.resident_bytes()),
        }
    }
}

#[tokio::test]
async fn a_bucket_that_cannot_be_used_is_named_at_the_start() {
    let s3 = S3Server::start();
    let directory = tempfile::tempdir().expect("a directory");
    let bucket = format!("s3://{BUCKET}");
    let set = |name: &'static str, value: &str| {
        let mut variables = s3.variables().to_vec();
        variables.retain(|(known, _)| *known != name);
        variables.push((name, value.to_owned()));
        variables
    };
    // The machine's own, which has none to give.
    let keys = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
    let mut without_keys = set("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1");
    without_keys.retain(|(name, _)| !keys.contains(name));
    for (url, variables, reason) in [
        (&bucket, without_keys, "no credentials: neither AWS_ACCESS_KEY_ID"),
        (&bucket, set("AWS_SECRET_ACCESS_KEY", "canary-another"), "SignatureDoesNotMatch"),
        (&bucket, set("AWS_ACCESS_KEY_ID", "another"), "NotSignedUp"),
        (&"s3://no-such-bucket".to_owned(), set("AWS_REGION", "us-east-1"), "NoSuchBucket"),
        (&bucket, set("AWS_ENDPOINT_URL", "http://127.0.0.1:1"), "refused"),
        (&bucket, set("AWS_ALLOW_HTTP", "false"), "AWS_ALLOW_HTTP=true"),
    ] {
        let ended = process::run(
            directory.path(),
            ["core", "--grpc-addr", "127.0.0.1:0", "--media-url", url],
            variables,
        )
        .await;
        assert_eq!(ended.status.code(), Some(2), "{ended:?}");
        let [line] = ended.stderr.lines().collect::<Vec<_>>()[..] else {
            panic!("more than one line: {ended:?}")
        };
        assert!(line.starts_with("error: --media-url: "), "{ended:?}");
        assert!(line.contains(reason), "{reason} is not in {line}");
        for secret in [SECRET_ACCESS_KEY, ACCESS_KEY_ID, "canary"] {
            assert!(!ended.stderr.contains(secret), "{ended:?}");
        }
    }
    assert_eq!(s3.keys(), Vec::<String>::new());
}
