//! A full disk: clear refusals, nothing lost, service back when there is room (ARCHITECTURE.md, G7).

mod second;

use std::time::Duration;

use netrox_harness::{
    Arrangement, Role, Socket, TestChat, User, alarms::Before, each, eventually, multipart::Form,
    small_disk::SmallDisk,
};
use serde_json::Value;

use self::second::Second;

each![;
    sqlite: a_full_disk_is_survived_without_a_restart,
        the_log_alone_fills_no_disk
];

const CYCLES: usize = 5;
/// Enough messages of [`LONG`] bytes to use up whatever room a full disk's files have inside.
const MANY: usize = 5_000;
const LONG: usize = 8_000;

/// Sends one message and waits for its fate: delivered, or refused with this code.
async fn send(from: &mut Socket, to: &User, at: &mut Socket, body: &str) -> Result<(), String> {
    from.say(to, body).await;
    tokio::select! {
        answer = from.next() => {
            assert_eq!(answer["action"], "error", "{answer}");
            Err(answer["code"].as_str().expect("a code").to_owned())
        }
        frame = at.next() => {
            assert_eq!(frame["message_body"], body, "not what was sent last");
            Ok(())
        }
    }
}

/// All that the core keeps is on this disk. What finds no room is refused after that wait.
async fn start_on(disk: &SmallDisk, arrangement: Arrangement, wait: &str) -> TestChat {
    let core = if arrangement == Arrangement::Serve { Role::Serve } else { Role::Core(0) };
    let builder = TestChat::builder(arrangement).set("send-rate", "0").set("store-wait", wait);
    let data = disk.path().join("data");
    let builder = builder.launcher(core, disk.launcher());
    builder.variable(core, "NETROX_CHAT_DATA_DIR", data).start().await
}

async fn a_full_disk_is_survived_without_a_restart(arrangement: Arrangement) {
    let disk = SmallDisk::mount(48 * 1024 * 1024);
    let mut chat = start_on(&disk, arrangement, "0").await;
    let core = chat.core_role();
    let (ada, mut at_ada) = chat.join("ada").await;
    let (bob, mut at_bob) = chat.join("bob").await;
    let small_file = || Form::new().text("receiver", &bob.id).file("canary.bin", vec![7; 300_000]);
    let mut acknowledged = Vec::new();
    let first = chat.store(&ada, small_file()).await.json()["entity"]["message"].clone();
    acknowledged.push(first["message"].clone());
    let mut second = Second::join(&chat).await;

    let mut before = Some(Before::of(&chat).await);
    for cycle in 0..CYCLES {
        let unseen = second.receive(&chat).await;
        disk.fill();
        // Files that have room inside take some more; then it is over.
        let mut refused = 0;
        for number in 0.. {
            let body = format!("canary {cycle} {number} {}", "x".repeat(LONG));
            match send(&mut at_ada, &bob, &mut at_bob, &body).await {
                Ok(()) => acknowledged.push(body.into()),
                Err(code) => {
                    assert_eq!(code, "unavailable");
                    refused += 1;
                }
            }
            if refused == 20 {
                break;
            }
            assert!(number < MANY, "the disk is full, and {number} messages were stored");
        }
        let of_second = second.is_refused(&chat, unseen).await;
        let answer = chat.upload(&ada, small_file()).await;
        answer.assert_failure(503);
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
        if let Some(before) = before.take() {
            before
                .alarms_if_it_goes_on(&chat, &[], &["CoreTakesNoWrites", "UsersAreRefused"])
                .await;
            assert!(chat.log(core).contains("the database does not take writes"));
        }
        // Reading goes on.
        assert_stored(&chat, &ada, &bob, &acknowledged).await;
        let path = first["attached_file"].as_str().expect("a path");
        assert_eq!(chat.get(path).send().await.body.len(), 300_000);
        let answer = chat.get("/chat/get-user-threads/").bearer(&bob.token).send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let mut another = chat.connect(&bob).await;
        another.send_text("{").await;
        another.expect_error("invalid_json").await;
        another.close().await;

        disk.free();
        for number in 0.. {
            let body = format!("canary {cycle} after {number}");
            match send(&mut at_ada, &bob, &mut at_bob, &body).await {
                Ok(()) => {
                    acknowledged.push(body.into());
                    break;
                }
                Err(code) => assert_eq!(code, "unavailable"),
            }
            // Service is to be back within seconds.
            assert!(number < 100, "the disk is free, and messages are refused");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        second.goes_on(&chat, of_second).await;
        // As soon as there is room for it.
        chat.store(&ada, small_file()).await;
        acknowledged.push("".into());
        // Nothing that was refused came after all, and no socket was closed.
        at_bob.expect_silence(&bob, &mut at_ada).await;
        let fence = chat.history(&ada, &bob).await.pop().expect("the fence");
        acknowledged.push(fence["message"].clone());
        assert_stored(&chat, &ada, &bob, &acknowledged).await;
    }

    // What was acknowledged is what another process finds.
    chat.restart(core).await;
    assert_stored(&chat, &ada, &bob, &acknowledged).await;
    second.check(&chat).await;
    eventually("the end of unfinished files", async || {
        (disk.files_below("data/media/attachments") == 1 + CYCLES).then_some(())
    })
    .await;
}

/// Small messages change the same pages again and again: their log is long before their data is.
async fn the_log_alone_fills_no_disk(arrangement: Arrangement) {
    let disk = SmallDisk::mount(40 * 1024 * 1024);
    // A disk that is slow for a moment is not a full one.
    let mut chat = start_on(&disk, arrangement, "30s").await;
    let core = chat.core_role();
    let (ada, mut at_ada) = chat.join("ada").await;
    let (bob, mut at_bob) = chat.join("bob").await;
    let mut acknowledged: Vec<Value> = Vec::new();
    for number in 0..3_000 {
        let body = number.to_string();
        let sent = send(&mut at_ada, &bob, &mut at_bob, &body).await;
        assert_eq!(sent, Ok(()), "message {number}");
        acknowledged.push(body.into());
    }
    // Also where it is short from the start.
    chat.restart(core).await;
    let (mut at_ada, mut at_bob) = (chat.connect(&ada).await, chat.connect(&bob).await);
    send(&mut at_ada, &bob, &mut at_bob, "one more").await.expect("stored");
    acknowledged.push("one more".into());
    assert_stored(&chat, &ada, &bob, &acknowledged).await;
    // Nothing waited for room either.
    let log = chat.log(core);
    for full in ["is full", "no room"] {
        assert!(!log.contains(full), "{:#?}", log.lines());
    }
}

async fn assert_stored(chat: &TestChat, ada: &User, bob: &User, acknowledged: &[Value]) {
    let history = chat.history(bob, ada).await;
    let short = |text: &Value| text.as_str().expect("a text").chars().take(40).collect::<String>();
    let stored: Vec<_> = history.iter().map(|message| short(&message["message"])).collect();
    assert_eq!(stored, acknowledged.iter().map(short).collect::<Vec<_>>());
    assert!(history.iter().map(|message| &message["message"]).eq(acknowledged), "a text changed");
}
