//! A database that does not take writes: clear refusals at once, reading goes on, and service is back
//! when the database is.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use netrox_harness::{
    Role, alarms::Before, eventually, scrape::Metrics, small_disk::SmallDisk, within,
};
use netrox_proto::v1::{
    EnsureUserRequest, ErrorReason, GetUsersRequest, SendMessageRequest, UpsertUsersRequest,
    UserChange, send_messages_response::Result as Answer,
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::{
    attachment::upload,
    pipeline::Pipeline,
    refusal::{assert_failure, assert_refused},
    running::{Core, text},
    subscribe::Subscription,
};

impl Core {
    /// A core whose data is on a small disk.
    async fn start_on(disk: &SmallDisk) -> Self {
        let data_dir = disk.path().join("data");
        let builder = Self::builder().launcher(Role::Core(0), disk.launcher());
        // What is refused is refused at once.
        Self::launch(builder.set("data-dir", data_dir).set("store-wait", "0")).await
    }

    fn database(&self) -> PathBuf {
        self.process.data_dir().join("chat.db")
    }
}

/// What is logged when the health is good again.
const AGAIN: &str = "the database takes writes again";
const UNAVAILABLE: ErrorReason = ErrorReason::StoreUnavailable;

fn change(id: &str) -> UserChange {
    UserChange { id: id.into(), email: Some(format!("{id}@x.y")), ..Default::default() }
}

async fn health(core: &Core) -> ServingStatus {
    let mut health = HealthClient::new(core.channel().await);
    let answer = health.check(HealthCheckRequest { service: String::new() }).await;
    answer.expect("an answer").into_inner().status()
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_nothing_else() {
    let disk = SmallDisk::mount(48 * 1024 * 1024);
    let core = Core::start_on(&disk).await;
    let [ada, bob] = core.users().await;
    let file = upload(&core, &ada, &bob, "a.txt", b"content").await.expect("stored");
    let mut stored = vec![file.id];
    let mut subscription = Subscription::open(&core, &bob).await;
    let mut request = SendMessageRequest {
        client_ref: Some(Uuid::new_v4().to_string()),
        ..text(&ada, &bob, &"x".repeat(16_000))
    };
    disk.fill();
    // Files that have room inside take some more.
    let refused = loop {
        request.client_ref = Some(Uuid::new_v4().to_string());
        match core.chat().send_message(request.clone()).await {
            Ok(answer) => stored.push(answer.into_inner().message_id),
            Err(status) => break status,
        }
        assert!(stored.len() < 5_000, "the disk is full");
    };
    assert_refused(Err::<(), _>(refused), UNAVAILABLE);
    // So much at once that the database fails in the middle of a transaction, and not at its end.
    let pipeline = Pipeline::open(&core).await;
    for request_id in 0..1_000 {
        let client_ref = Some(Uuid::new_v4().to_string());
        pipeline.message(request_id, SendMessageRequest { client_ref, ..request.clone() }).await;
    }
    for answer in pipeline.finish().await.expect("a good end").into_values() {
        let Answer::Failure(failure) = answer else { panic!("instead of a failure: {answer:?}") };
        assert_failure(&failure, UNAVAILABLE, "");
    }
    let large = vec![7; 1_000_000];
    assert_refused(upload(&core, &ada, &bob, "b.bin", &large).await, UNAVAILABLE);
    let strangers: Vec<_> = (0..1_000).map(|_| change(&Uuid::new_v4().to_string())).collect();
    let upsert = UpsertUsersRequest { users: strangers.clone() };
    assert_refused(core.directory().upsert_users(upsert.clone()).await, UNAVAILABLE);
    assert_eq!(health(&core).await, ServingStatus::NotServing);
    // Whatever little room files have inside is not taken for room.
    assert!(!core.log_contains(AGAIN), "it took writes on a full disk");

    // What writes nothing goes on: reading, and a user who comes back.
    let known = UserChange { id: ada.clone(), ..Default::default() };
    core.directory()
        .ensure_user(EnsureUserRequest { user: Some(known), issued_at: None })
        .await
        .expect("known");
    let asked = GetUsersRequest {
        user_ids: vec![ada.clone(), strangers[0].id.clone()],
        ..Default::default()
    };
    let found = core.directory().get_users(asked).await.expect("found").into_inner().users;
    assert_eq!(found.len(), 1);
    let ids = async || {
        let history = core.history(&bob, &ada).await.expect("a history");
        history.iter().map(|message| message.id).collect::<Vec<_>>()
    };
    assert_eq!(ids().await, stored);
    assert_eq!(core.threads(&ada).await.expect("threads").len(), 1);
    for id in &stored[1..] {
        assert_eq!(subscription.message().await.id, *id);
    }

    assert!(!core.log_contains(AGAIN), "it took writes on a full disk");
    disk.free();
    // The same request, as a client repeats it.
    let repeated = eventually("room for a message", async || {
        core.chat().send_message(request.clone()).await.ok()
    })
    .await;
    stored.push(repeated.into_inner().message_id);
    eventually("good health", async || {
        (health(&core).await == ServingStatus::Serving).then_some(())
    })
    .await;
    core.directory().upsert_users(upsert).await.expect("stored");
    let file = upload(&core, &ada, &bob, "b.bin", &large).await.expect("stored");
    stored.push(file.id);
    assert_eq!(subscription.message().await.id, stored[stored.len() - 2]);
    assert_eq!(ids().await, stored);
}

/// Another process that has begun to write into a database, and does not end.
struct ForeignWriter(Child);

impl ForeignWriter {
    fn begin(database: &Path) -> Self {
        const PROGRAM: &str = "\
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute('begin immediate')
print('begun', flush=True)
sys.stdin.read()
connection.execute('rollback')
";
        let mut child = Command::new("python3")
            .args(["-c", PROGRAM])
            .arg(database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("read from python3");
        assert_eq!(line, "begun\n");
        Self(child)
    }

    fn end(mut self) {
        drop(self.0.stdin.take());
        self.0.wait().expect("the end of python3");
    }
}

impl Drop for ForeignWriter {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// More than can wait is refused at once, what waits too long is refused, and none of it is stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_stands_still_is_not_queued_for_without_end() {
    let core = Core::start_with(&[("store-wait", "2s")]).await;
    let [ada, bob, cyd] = core.users().await;
    let before = core.send(&ada, &bob, "before").await.expect("stored").message_id;
    // Two of these have more text than may wait.
    let profile = format!("\"{}\"", "x".repeat(16_382));
    let strangers = (0..1_000).map(|_| UserChange {
        id: Uuid::new_v4().to_string(),
        email: Some("x".repeat(320)),
        profile_json: Some(profile.clone()),
        external_id: None,
    });
    let upsert = UpsertUsersRequest { users: strangers.collect() };
    let well = Before::of(&core.process).await;
    for round in 1.. {
        let writer = ForeignWriter::begin(&core.database());
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..3 {
            let (mut directory, request) = (core.directory(), upsert.clone());
            calls.spawn(async move { directory.upsert_users(request).await.map(drop) });
        }
        for _ in 0..100 {
            let (mut chat, request) = (core.chat(), text(&ada, &bob, "never"));
            calls.spawn(async move { chat.send_message(request).await.map(drop) });
        }
        let (mut overloaded, mut unavailable) = (0, 0);
        while let Some(call) = within("an answer to every call", calls.join_next()).await {
            let status = call.expect("a task").expect_err("nothing can be stored");
            let info = status.get_details_error_info().expect("a reason");
            if info.reason == "OVERLOADED" {
                overloaded += 1;
                assert_refused(Err::<(), _>(status), ErrorReason::Overloaded);
            } else {
                unavailable += 1;
                assert_refused(Err::<(), _>(status), UNAVAILABLE);
            }
        }
        assert!(unavailable > 0);
        // Reading goes on.
        assert_eq!(core.history(&bob, &ada).await.expect("a history")[0].id, before);
        writer.end();
        eventually("a database that moves", async || core.send(&cyd, &bob, "after").await.ok())
            .await;
        // On a starved machine the calls come so far apart that none meets another in the queue.
        let shown = Metrics::of(core.process.admin(Role::Core(0))).await;
        let refused = "netrox_chat_queue_refusals_total{queue=\"write_bytes\"}";
        if overloaded > 0 && shown.get(refused) > 0.0 {
            break;
        }
        assert!(round < 10, "more than can wait was not refused");
    }
    well.alarms_if_it_goes_on(&core.process, &[], &["QueueRefuses"]).await;
    assert_eq!(core.history(&bob, &ada).await.expect("a history").len(), 1);
    let user_ids = upsert.users.into_iter().map(|user| user.id).collect();
    let found = core
        .directory()
        .get_users(GetUsersRequest { user_ids, ..Default::default() })
        .await
        .expect("an answer");
    assert!(found.into_inner().users.is_empty());
}

/// A pause that is short is only a pause.
#[tokio::test]
async fn a_short_wait_for_the_database_is_waited_for() {
    let core = Core::start().await;
    let [ada, bob] = core.users().await;
    let writer = ForeignWriter::begin(&core.database());
    let mut chat = core.chat();
    let request = text(&ada, &bob, "patience");
    let sent = tokio::spawn(async move { chat.send_message(request).await });
    // Long enough for the send to arrive, and far shorter than any timeout.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    writer.end();
    within("an answer", sent).await.expect("a task").expect("stored");
    assert_eq!(core.history(&ada, &bob).await.expect("a history").len(), 1);
}

/// What is refused at a lock is never stored, also where the lock is given up while it is still waited for.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_at_a_lock_is_not_stored() {
    let core = Core::start_with(&[("store-wait", "1s")]).await;
    let [ada, bob] = core.users().await;
    for round in 1..=3 {
        let writer = ForeignWriter::begin(&core.database());
        assert_refused(core.send(&ada, &bob, "never").await, UNAVAILABLE);
        writer.end();
        eventually("a database that moves", async || core.send(&ada, &bob, "after").await.ok())
            .await;
        let history = core.history(&bob, &ada).await.expect("a history");
        assert_eq!(history.len(), round, "refused and stored");
        assert!(history.iter().all(|message| message.body == "after"));
    }
}
