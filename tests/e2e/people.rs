//! `netrox-chat user` and `netrox-chat tap`: what whoever runs the service does about one user, by way of a core.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Stdio},
    sync::mpsc::{Receiver, channel},
};

use netrox_core::TokenHash;
use netrox_harness::{
    Arrangement, Builder, Role, TestChat, each, eventually,
    process::{self, Ended},
    settings::variable_name,
    socket::End,
};
use netrox_proto::v1::DeleteMessageRequest;
use serde_json::{Value, json};
use tempfile::TempDir;

each![
    a_user_is_shown_ended_revoked_and_deleted;
    serve: a_person_gets_all_of_their_data_and_nobody_elses,
        a_tap_shows_no_bodies_unless_they_are_asked_for,
        who_may_not_is_told_so
];

const TOKEN: &str = "a-token-of-support-which-nobody-is-told";
const BODY: &str = "canary in a body";

/// With a service that has the scope `admin` alone, and an audit log.
fn builder(arrangement: Arrangement, directory: &TempDir) -> Builder {
    let path = directory.path().join("services.json");
    let hash = TokenHash::of(TOKEN).to_string();
    let services = json!([{ "name": "support", "token_sha256": hash, "scopes": ["admin"] }]);
    fs::write(&path, services.to_string()).expect("written");
    let core = match arrangement {
        Arrangement::Serve => Role::Serve,
        Arrangement::Split | Arrangement::Cluster => Role::Core(0),
    };
    let audit_log = directory.path().join("audit.log");
    let builder = TestChat::builder(arrangement).set("service-tokens-file", path);
    builder.variable(core, variable_name("audit-log"), audit_log)
}

async fn run_by(chat: &TestChat, token: &str, arguments: &[&str]) -> Ended {
    let core = format!("http://{}", chat.grpc_address());
    let variables = [("NETROX_CHAT_CORE", core.as_str()), ("NETROX_CHAT_SERVICE_TOKEN", token)];
    process::run(chat.directory(), arguments, variables).await
}

async fn run(chat: &TestChat, arguments: &[&str]) -> Ended {
    run_by(chat, TOKEN, arguments).await
}

/// What a command that succeeds prints.
async fn printed(chat: &TestChat, arguments: &[&str]) -> Value {
    let arguments = [arguments, &["--json"]].concat();
    let ended = run(chat, &arguments).await;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    serde_json::from_str(&ended.stdout).expect("a line of JSON")
}

#[track_caller]
fn assert_ended(ended: &Ended, code: i32, said: &str) {
    assert_eq!(ended.status.code(), Some(code), "{ended:?}");
    assert!(ended.stderr.contains(said), "{said:?}: {ended:?}");
    assert!(!ended.stderr.contains(TOKEN), "{ended:?}");
}

async fn told(directory: &TempDir, event: &str) -> Value {
    eventually(event, async || {
        let text = fs::read_to_string(directory.path().join("audit.log")).ok()?;
        let mut lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.rfind(|line| line["event"] == event)
    })
    .await
}

async fn a_user_is_shown_ended_revoked_and_deleted(arrangement: Arrangement) {
    let directory = tempfile::tempdir().expect("a directory");
    let chat = builder(arrangement, &directory).start().await;
    let (ada, mut at_ada) = chat.join("ada").await;
    let bob = chat.user("bob").await;
    at_ada.say(&bob, BODY).await;
    eventually("the message", async || (chat.history(&bob, &ada).await.len() == 1).then_some(()))
        .await;
    let shown = printed(&chat, &["user", "show", &ada.id]).await;
    assert_eq!((&shown["user_id"], &shown["deleted"]), (&json!(ada.id), &json!(false)), "{shown}");
    assert_eq!((&shown["email"], &shown["threads"]), (&json!(ada.email), &json!(1)), "{shown}");
    let in_words = run(&chat, &["user", "show", &ada.id]).await;
    assert!(in_words.stdout.contains(&format!("email: {}\n", ada.email)), "{in_words:?}");
    let sessions = printed(&chat, &["user", "sessions", &ada.id]).await;
    assert_eq!(sessions["sessions"].as_array().expect("a list").len(), 1, "{sessions}");
    assert_eq!(sessions["is_complete"], true);

    let session = sessions["sessions"][0]["session_id"].as_str().expect("an id");
    let ended = run(&chat, &["user", "end", &bob.id, "--session", session]).await;
    assert_ended(&ended, 1, "the user has no such session");
    printed(&chat, &["user", "end", &ada.id, "--session", session]).await;
    assert_eq!(at_ada.end().await, End::Closed(1008));
    let mut at_ada = chat.connect(&ada).await;
    printed(&chat, &["user", "end", &ada.id]).await;
    assert_eq!(at_ada.end().await, End::Closed(1008));
    let revoked = printed(&chat, &["user", "revoke", &ada.id]).await;
    assert_eq!(revoked["kept_until"], "for ever", "{revoked}");
    let edge = chat.edge_of(&ada);
    eventually("a refusal", async || {
        let answer = edge.get("/chat/get-user-threads/").bearer(&ada.token).send().await;
        (answer.status == 401).then_some(())
    })
    .await;
    let shown = printed(&chat, &["user", "show", &ada.id]).await;
    assert_eq!(shown["tokens_revoked_until"], revoked["revoked_until"], "{shown}");

    assert_ended(&run(&chat, &["user", "delete", &ada.id]).await, 2, "--yes: ");
    printed(&chat, &["user", "delete", &ada.id, "--yes"]).await;
    let shown = printed(&chat, &["user", "show", &ada.id]).await;
    assert_eq!((&shown["deleted"], &shown["email"]), (&json!(true), &json!("")), "{shown}");
    for event in
        ["user_shown", "sessions_listed", "sessions_ended", "tokens_revoked", "user_deleted"]
    {
        let line = told(&directory, event).await;
        assert_eq!((&line["actor"], &line["outcome"]), (&json!("support"), &json!("ok")), "{line}");
    }
    let ended = run(&chat, &["user", "show", "canary of nobody", "--issuer", ""]).await;
    assert_ended(&ended, 1, "no such user");
    eventually("the refusal", async || {
        let line = told(&directory, "user_shown").await;
        (line["outcome"] == "refused" && line["reason"] == "USER_UNKNOWN").then_some(())
    })
    .await;
}

/// Lines by their type.
fn lines(directory: &std::path::Path) -> BTreeMap<String, Vec<Value>> {
    let text = fs::read_to_string(directory.join("data.jsonl")).expect("lines");
    let mut lines: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        lines.entry(line["type"].as_str().expect("a type").to_owned()).or_default().push(line);
    }
    lines
}

async fn a_person_gets_all_of_their_data_and_nobody_elses(arrangement: Arrangement) {
    let directory = tempfile::tempdir().expect("a directory");
    let chat = builder(arrangement, &directory).start().await;
    let (ada, mut at_ada) = chat.join("ada").await;
    let (bob, mut at_bob) = chat.join("bob").await;
    let cyd = chat.user("cyd").await;
    at_ada.say(&bob, BODY).await;
    at_bob.expect_body(BODY).await;
    at_bob.say(&ada, "canary for ada").await;
    at_ada.expect_body("canary for ada").await;
    at_bob.say(&cyd, "canary for cyd").await;
    let file = chat.upload_file(&ada, &bob, "a.txt", "canary in a file").await;
    at_ada.dispatch(file["id"].clone()).await;
    at_bob.next().await;
    let not_sent = chat.upload_file(&bob, &ada, "canary.txt", "canary that was not sent").await;
    let messages = chat.history(&ada, &bob).await;
    let id = messages[0]["id"].as_i64().expect("an id");

    let manifest = printed(&chat, &["user", "export", &ada.id, "person"]).await;
    let person = chat.directory().join("person");
    let found = lines(&person);
    assert_eq!(found["user"][0]["email"], ada.email);
    assert_eq!(found["session"].len(), 1);
    assert_eq!(found["thread"].len(), 1);
    let bodies: Vec<_> = found["message"].iter().map(|line| line["body"].clone()).collect();
    assert_eq!(bodies, [BODY, "canary for ada", "see this"]);
    let path = found["message"][2]["attachment"]["path"].as_str().expect("a path");
    assert_eq!(fs::read_to_string(person.join(path)).expect("a file"), "canary in a file");
    assert_eq!((&manifest["messages"], &manifest["files"]), (&json!(3), &json!(1)), "{manifest}");
    let all = fs::read_to_string(person.join("data.jsonl")).expect("lines");
    let not_sent = not_sent["attached_file"].as_str().expect("a path");
    for others in [&*bob.email, &*cyd.id, not_sent.trim_start_matches("/mediafiles/")] {
        assert!(!all.contains(others), "{others}: {all}");
    }
    let line = told(&directory, "user_exported").await;
    assert_eq!((&line["actor"], &line["target"]), (&json!("support"), &json!(ada.id)), "{line}");

    // What a person has deleted for themselves is gone from it.
    let request =
        DeleteMessageRequest { user_id: ada.id.clone(), message_id: id, for_everyone: false };
    chat.chat_service().delete_message(request).await.expect("hidden");
    assert_ended(&run(&chat, &["user", "export", &ada.id, "person"]).await, 2, "not empty");
    assert_ended(&run(&chat, &["user", "export", &ada.id]).await, 2, "DIR: must be given");
    printed(&chat, &["user", "export", &ada.id, "again"]).await;
    let found = lines(&chat.directory().join("again"));
    assert_eq!(found["message"].len(), 2);
    fs::remove_file(chat.media_dir().join(path)).expect("removed");
    let ended = run(&chat, &["user", "export", &ada.id, "without"]).await;
    assert_ended(&ended, 3, "1 files of messages are missing");
    assert_eq!(lines(&chat.directory().join("without"))["message"].len(), 2);
    // It is no chat that can be imported.
    let arguments = ["import", "jsonl", "again", "--data-dir", "elsewhere"];
    assert_ended(&run(&chat, &arguments).await, 2, "of one user");
}

/// A tap that runs.
struct Tap {
    child: Child,
    lines: Receiver<String>,
}

impl Tap {
    async fn start(chat: &TestChat, arguments: &[&str]) -> Self {
        let mut command = process::command(chat.directory());
        command.arg("tap").args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env("NETROX_CHAT_CORE", format!("http://{}", chat.grpc_address()));
        command.env("NETROX_CHAT_SERVICE_TOKEN", TOKEN);
        let mut child = command.spawn().expect("start the program");
        let (stdout, stderr) = (child.stdout.take().expect("a pipe"), child.stderr.take());
        let (heard, lines) = channel();
        let stdout_heard = heard.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = stdout_heard.send(line);
            }
        });
        let stderr = stderr.expect("a pipe");
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = heard.send(line);
            }
        });
        let tap = Self { child, lines };
        let first = tap.next().await;
        assert!(first.starts_with("listening to "), "{first}");
        tap
    }

    async fn next(&self) -> String {
        eventually("a line of the tap", async || self.lines.try_recv().ok()).await
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn a_tap_shows_no_bodies_unless_they_are_asked_for(arrangement: Arrangement) {
    let directory = tempfile::tempdir().expect("a directory");
    let chat = builder(arrangement, &directory).start().await;
    let (ada, mut at_ada) = chat.join("ada").await;
    let (bob, mut at_bob) = chat.join("bob").await;
    let blind = Tap::start(&chat, &[&ada.id, "--json"]).await;
    let line = told(&directory, "user_tapped").await;
    assert_eq!((&line["actor"], &line["reason"]), (&json!("support"), &Value::Null), "{line}");
    let seeing = Tap::start(&chat, &[&ada.id, "--bodies"]).await;
    eventually("the word about bodies", async || {
        (told(&directory, "user_tapped").await["reason"] == "WITH_BODIES").then_some(())
    })
    .await;
    at_bob.say(&ada, BODY).await;
    at_ada.expect_body(BODY).await;
    let line = blind.next().await;
    let event: Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(event["message"]["sender_id"], bob.id, "{line}");
    assert_eq!(event["message"]["body"], "", "{line}");
    let line = seeing.next().await;
    assert!(line.contains(BODY) && line.contains("message new"), "{line}");
}

async fn who_may_not_is_told_so(arrangement: Arrangement) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("services.json");
    let hash = TokenHash::of(TOKEN).to_string();
    let services = json!([{ "name": "bot", "token_sha256": hash, "scopes": ["read"] }]);
    fs::write(&path, services.to_string()).expect("written");
    let chat = TestChat::builder(arrangement).set("service-tokens-file", path).start().await;
    let ada = chat.user("ada").await;
    let show = ["user", "show", &ada.id];
    assert_ended(&run(&chat, &show).await, 2, "lacks the scope admin");
    assert_ended(&run_by(&chat, "unknown", &show).await, 2, "does not know this service token");
    let admin = async |arguments: &[&str]| {
        run_by(&chat, netrox_harness::settings::SERVICE_TOKEN, arguments).await
    };
    let nobody = "96bf0d3f-720d-4620-8dee-0f59f997cb51";
    assert_ended(&admin(&["user", "show", nobody]).await, 1, "no such user");
    assert_ended(&admin(&["user", "show", "ada"]).await, 2, "USER: not a hyphenated UUID");
    assert_ended(&admin(&["user", "show", "ada", "--issuer", ""]).await, 1, "no such user");
    assert_ended(&admin(&["user", "show", &ada.id, "--session", nobody]).await, 2, "--session: ");
    let variables =
        [("NETROX_CHAT_CORE", "http://127.0.0.1:1"), ("NETROX_CHAT_SERVICE_TOKEN", "x")];
    let ended = process::run(chat.directory(), show, variables).await;
    assert_ended(&ended, 1, "reaching a core failed: http://127.0.0.1:1");
    let ended = process::run(chat.directory(), show, [("", ""); 0]).await;
    assert_ended(&ended, 2, "--service-token: must be given");
}
