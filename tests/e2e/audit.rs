//! The audit log: who did what and who was refused, on a stream of its own, whatever becomes of its disk.

use std::{
    fs,
    path::{Path, PathBuf},
};

use futures_util::{StreamExt as _, stream};
use netrox_harness::{
    Arrangement, Builder, Role, TestChat, User,
    alarms::Before,
    each, eventually,
    settings::{JWT_SECRET, SERVICE_TOKEN, variable_name},
    small_disk::SmallDisk,
};
use netrox_proto::v1::{DeleteUserRequest, UpsertUsersRequest, UserChange};
use serde_json::Value;
use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

each![
    what_is_done_and_who_is_refused_is_told;
    serve: a_file_that_was_moved_away_is_left_for_a_new_one,
        a_full_disk_of_the_audit_log_stops_no_chat,
        what_keeps_a_start_is_told
];

const CANARY: &str = "canary in a body";

fn roles(arrangement: Arrangement) -> Vec<Role> {
    match arrangement {
        Arrangement::Serve => vec![Role::Serve],
        Arrangement::Split => vec![Role::Core(0), Role::Edge(0)],
        Arrangement::Cluster => vec![Role::Core(0), Role::Core(1), Role::Edge(0), Role::Edge(1)],
    }
}

fn path(directory: &Path, role: Role) -> PathBuf {
    directory.join(format!("{role:?}.log"))
}

/// With an audit log of each process.
fn builder(arrangement: Arrangement, directory: &Path) -> Builder {
    roles(arrangement).into_iter().fold(TestChat::builder(arrangement), |builder, role| {
        builder.variable(role, variable_name("audit-log"), path(directory, role))
    })
}

/// The events of a text whose lines are whole.
fn events_in(text: &str) -> Vec<Value> {
    assert!(text.is_empty() || text.ends_with('\n'), "{text:?}");
    for secret in [SERVICE_TOKEN, JWT_SECRET, "eyJ", CANARY] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    let events = text.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    let events: Vec<Value> = events.collect();
    for event in &events {
        let time = event["time"].as_str().expect("a time");
        assert!(time.len() == 24 && time.ends_with('Z'), "{event}");
        assert!(event["role"].is_string() && event["outcome"].is_string(), "{event}");
    }
    events
}

fn events(path: &Path) -> Vec<Value> {
    events_in(&fs::read_to_string(path).expect("an audit log"))
}

fn named<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == name).collect()
}

/// One call of the directory for each.
async fn upsert(chat: &TestChat, ids: Vec<String>) {
    let directory = chat.directory_service();
    let calls = stream::iter(ids).map(|id| {
        let mut directory = directory.clone();
        async move {
            let users = vec![UserChange { id, ..Default::default() }];
            directory.upsert_users(UpsertUsersRequest { users }).await.expect("upserted")
        }
    });
    calls.buffer_unordered(64).for_each(async |_| ()).await;
}

async fn delete(chat: &TestChat, id: &str, request: &str) -> Result<(), Status> {
    let mut call = Request::new(DeleteUserRequest { user_id: id.into(), erase_messages: false });
    call.metadata_mut().insert("x-request-id", request.parse().expect("an id"));
    chat.directory_service().delete_user(call).await.map(|_: Response<_>| ())
}

async fn what_is_done_and_who_is_refused_is_told(arrangement: Arrangement) {
    const REFUSED: u64 = 7;
    let directory = tempfile::tempdir().expect("a directory");
    let mut chat = builder(arrangement, directory.path()).start().await;
    let (ada, mut at_ada) = chat.join("ada").await;
    let (bob, mut at_bob) = chat.join("bob").await;
    at_ada.say(&bob, CANARY).await;
    at_bob.expect_body(CANARY).await;
    let tampered = format!("{}x", ada.token);
    for _ in 0..REFUSED {
        let answer = chat.get("/chat/get-user-threads/").bearer(&tampered).send().await;
        assert_eq!(answer.status, 401);
    }
    let many: Vec<_> = (0..60).map(|_| Uuid::new_v4().to_string()).collect();
    let users = many.iter().map(|id| UserChange { id: id.clone(), ..Default::default() });
    let request = UpsertUsersRequest { users: users.collect() };
    chat.directory_service().upsert_users(request).await.expect("upserted");
    delete(&chat, &many[0], "the-call-1").await.expect("deleted");
    let unknown = Uuid::new_v4().to_string();
    let refused = delete(&chat, &unknown, "the-call-2").await.expect_err("unknown");
    assert_eq!(refused.code(), Code::NotFound);

    delete(&chat, &bob.id, "the-call-3").await.expect("deleted");
    // An edge may hear of it by the first one only.
    for _ in 0..4 {
        let answer = chat.get("/chat/get-user-threads/").bearer(&bob.token).send().await;
        assert_eq!(answer.status, 401);
    }

    // The edge still takes this one for a user of the directory: the core refuses.
    let carol = chat.stranger("carol");
    let threads = async || chat.get("/chat/get-user-threads/").bearer(&carol.token).send().await;
    assert_eq!(threads().await.status, 200);
    delete(&chat, &carol.id, "the-call-4").await.expect("deleted");
    assert_eq!(threads().await.status, 401);

    let roles = roles(arrangement);
    for role in roles.iter().rev() {
        assert!(chat.terminate(*role).await.success());
    }
    let logs = roles.iter().map(|role| events(&path(directory.path(), *role)));
    let logs: Vec<_> = logs.collect();
    for log in &logs {
        assert_eq!(log.first().expect("a line")["event"], "started");
        let last = log.last().expect("a line");
        assert_eq!((&last["event"], &last["outcome"]), (&"stopped".into(), &"ok".into()));
    }
    let all = logs.concat();
    let refused = named(&all, "authentication_refused");
    let of_token = refused.iter().filter(|event| event["reason"] == "signature");
    assert_eq!(of_token.filter_map(|event| event["count"].as_u64()).sum::<u64>(), REFUSED);
    // Those alike are one line, which names the first.
    let of_deleted = || refused.iter().filter(|event| event["reason"] == "user_deleted");
    assert_eq!(of_deleted().next().expect("a line")["target"], *bob.id);
    let count = of_deleted().map(|event| event["count"].as_u64().unwrap_or(1)).sum::<u64>();
    assert_eq!(count, 5, "{refused:?}");
    for User { id, .. } in [&ada, &bob] {
        let provisioned = named(&all, "user_provisioned");
        assert!(provisioned.iter().any(|event| event["target"] == **id), "{provisioned:?}");
    }
    let upserted = named(&all, "users_upserted");
    let told = upserted.iter().filter_map(|event| event["targets"].as_array()).flatten();
    assert_eq!(told.filter_map(Value::as_str).collect::<Vec<_>>(), many);
    let deleted = named(&all, "user_deleted");
    let of = |id: &str| deleted.iter().find(|event| event["target"] == *id).expect("a line");
    let (ok, unknown_user) = (of(&many[0]), of(&unknown));
    assert_eq!(deleted.len(), 4);
    assert_eq!(ok["target"], *many[0]);
    assert_eq!(ok["request_id"], "the-call-1");
    assert_eq!(ok["actor"], "service-token");
    assert_eq!(ok["outcome"], "ok");
    assert!(ok["peer"].as_str().expect("an address").starts_with("127."), "{ok}");
    assert_eq!(
        (&unknown_user["outcome"], &unknown_user["reason"]),
        (&"refused".into(), &"USER_UNKNOWN".into())
    );
    assert_eq!(unknown_user["target"], *unknown);
}

async fn a_file_that_was_moved_away_is_left_for_a_new_one(arrangement: Arrangement) {
    let directory = tempfile::tempdir().expect("a directory");
    let chat = builder(arrangement, directory.path()).start().await;
    let (current, old) = (path(directory.path(), Role::Serve), directory.path().join("old"));
    let [first, second] = [(); 2].map(|()| Uuid::new_v4().to_string());
    upsert(&chat, vec![first.clone(), second.clone()]).await;
    delete(&chat, &first, "before").await.expect("deleted");
    eventually("the first line", async || {
        (!named(&events(&current), "user_deleted").is_empty()).then_some(())
    })
    .await;
    fs::rename(&current, &old).expect("moved");
    eventually("a new file", async || {
        let events = current.exists().then(|| events(&current))?;
        (events.first()?["event"] == "audit_log_reopened").then_some(())
    })
    .await;
    delete(&chat, &second, "after").await.expect("deleted");
    let line = eventually("the second line", async || {
        named(&events(&current), "user_deleted").first().map(|event| (*event).clone())
    })
    .await;
    assert_eq!(line["request_id"], "after");
    let deleted = events(&old);
    assert_eq!(named(&deleted, "user_deleted").len(), 1);
}

async fn a_full_disk_of_the_audit_log_stops_no_chat(arrangement: Arrangement) {
    /// More than wait to be written.
    const MANY: usize = 1_200;
    let disk = SmallDisk::mount(256 * 1024);
    let builder = TestChat::builder(arrangement).launcher(Role::Serve, disk.launcher());
    let audit_log = disk.path().join("audit.log");
    let chat = builder.variable(Role::Serve, variable_name("audit-log"), audit_log).start().await;
    let log = chat.log(Role::Serve);
    let (_ada, mut at_ada) = chat.join("ada").await;
    let (bob, mut at_bob) = chat.join("bob").await;
    let before = Before::of(&chat).await;
    disk.fill();
    // Its last page has some room inside.
    let ids: Vec<_> = (0..MANY).map(|_| Uuid::new_v4().to_string()).collect();
    upsert(&chat, ids.clone()).await;
    eventually("a word about it", async || {
        log.contains("the audit log cannot be written").then_some(())
    })
    .await;
    before.alarms(&chat, &[], &["AuditLogFails"]).await;
    at_ada.say(&bob, CANARY).await;
    at_bob.expect_body(CANARY).await;
    disk.free();
    // What waited is written, and how much found no room to wait.
    eventually("all events", async || {
        let text = disk.read("audit.log");
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        let events = events_in(&text[..whole]);
        let dropped = named(&events, "events_dropped");
        let dropped = dropped.iter().filter_map(|event| event["count"].as_u64()).sum::<u64>();
        let written = named(&events, "users_upserted").len() as u64;
        (dropped > 0 && dropped + written == MANY as u64).then_some(())
    })
    .await;
    eventually("a word about its end", async || {
        let texts = ["the audit log is written again", "events are missing in the audit log"];
        texts.iter().all(|text| log.contains(text)).then_some(())
    })
    .await;
}

async fn what_keeps_a_start_is_told(arrangement: Arrangement) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut chat = builder(arrangement, directory.path()).start().await;
    assert!(chat.terminate(Role::Serve).await.success());
    fs::write(chat.data_dir().join("chat.db"), "no database at all, but long enough")
        .expect("written");
    chat.begin(Role::Serve);
    assert!(!chat.ended(Role::Serve).await.success());
    let events = events(&path(directory.path(), Role::Serve));
    let last = events.last().expect("a line");
    assert_eq!(last["event"], "start_failed");
    assert_eq!(last["outcome"], "failed");
    assert!(last["reason"].as_str().expect("a reason").contains("chat.db"), "{last}");
}
