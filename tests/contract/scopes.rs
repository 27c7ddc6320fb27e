//! Services by name: each may do what its scopes say, and no more; their file is read again while the core runs.

use std::{fs, path::Path};

use netrox_core::TokenHash;
use netrox_harness::{eventually, settings::SERVICE_TOKEN, within};
use netrox_proto::v1::{DeleteUserRequest, ErrorReason, GetMessageRequest, SubscribeRequest};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, service::interceptor::InterceptedService};

use crate::{
    authentication::{Authorization, call_all},
    reflection,
    refusal::{assert_refused, assert_unauthenticated},
    running::{Connection, Core, authorized_by, text},
    wait::{Away, have_come},
};

const SCOPES: [&str; 5] = ["send", "read", "directory", "admin", "edge"];

/// Which scopes let a service call it, written down a second time on purpose.
fn allowed(method: &str) -> &'static [&'static str] {
    match method {
        "SendMessage" | "SendMessages" | "EditMessage" | "DeleteMessage" | "MarkSeen"
        | "MarkDelivered" | "BlockUser" | "UnblockUser" | "SetTyping" | "BatchSetTyping"
        | "SetPresence" | "UploadAttachment" | "DispatchAttachment" => &["send", "edge"],
        "ListBlocks" | "SearchMessages" | "GetThread" | "GetSend" | "GetMessage"
        | "ListMessages" | "ListThreads" | "Subscribe" | "GetPresence" | "WatchPresence"
        | "GetAttachment" | "DownloadAttachment" => &["read", "edge"],
        "EnsureUser" | "GetUsers" => &["directory", "edge"],
        "ListUsers" | "UpsertUsers" => &["directory"],
        "DeleteUser" | "RevokeTokens" | "EndSessions" | "ListSessions" | "GetUserRecord"
        | "ExportUser" | "TapUser" => &["admin"],
        "WatchSessions" | "ReportSockets" | "CreateTicket" | "RedeemTicket" => &["edge"],
        other => panic!("{other} needs a scope"),
    }
}

fn token(name: &str) -> String {
    format!("a-token-of-{name}-which-nobody-is-told")
}

/// A file of services, in a directory of its own.
struct File(TempDir);

impl File {
    fn new(services: &Value) -> Self {
        let file = Self(tempfile::tempdir().expect("a directory"));
        file.write(&services.to_string());
        file
    }

    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("services.json")
    }

    /// As tools do that manage files.
    fn write(&self, text: &str) {
        let new = self.0.path().join("new");
        fs::write(&new, text).expect("written");
        fs::rename(new, self.path()).expect("moved");
    }

    async fn core(&self) -> Core {
        let builder = Core::builder().set("search", "true");
        Core::launch(builder.set("service-tokens-file", self.path())).await
    }
}

fn service(name: &str, tokens: &[&str], scopes: &[&str]) -> Value {
    let hashes = tokens.iter().map(|token| TokenHash::of(token).to_string());
    json!({ "name": name, "token_sha256": hashes.collect::<Vec<_>>(), "scopes": scopes })
}

async fn by(core: &Core, token: &str) -> Connection {
    authorized_by(core.channel().await, token)
}

/// How the core answers a call that reads.
async fn code(connection: &Connection) -> Code {
    let request = GetMessageRequest::default();
    connection.chat().get_message(request).await.expect_err("nothing is asked for").code()
}

#[tokio::test]
async fn a_service_may_do_what_its_scopes_say_and_no_more() {
    let services = SCOPES.map(|scope| service(scope, &[&token(scope)], &[scope]));
    let file = File::new(&json!(services));
    let core = file.core().await;
    for scope in SCOPES {
        let authorization = Authorization::bearer(&token(scope));
        let answers = call_all(core.channel().await, authorization.clone()).await;
        let mut called: Vec<_> = answers.iter().map(|(method, _)| (*method).to_owned()).collect();
        called.sort();
        assert_eq!(called, crate::released::method_names());
        for (method, answer) in answers {
            if allowed(method).contains(&scope) {
                let code = answer.err().map_or(Code::Ok, |status| status.code());
                let taken = [Code::Ok, Code::InvalidArgument, Code::NotFound];
                assert!(taken.contains(&code), "{scope}: {method}: {code:?}");
            } else {
                assert_refused(answer, ErrorReason::ScopeMissing);
            }
        }
        let any = InterceptedService::new(core.channel().await, authorization);
        reflection::services(any).await.expect("services");
    }
    // The one that may do all goes on.
    for (method, answer) in
        call_all(core.channel().await, Authorization::bearer(SERVICE_TOKEN)).await
    {
        let code = answer.err().map_or(Code::Ok, |status| status.code());
        assert_ne!(code, Code::PermissionDenied, "{method}");
    }
    assert!(core.log_contains("the service lacks the scope admin"));
    assert!(core.log_contains("a token of a service is used"));
    for scope in SCOPES {
        assert!(!core.log_contains(&token(scope)));
        assert!(!core.log_contains(&TokenHash::of(&token(scope)).to_string()));
    }
}

#[tokio::test]
async fn scopes_add_up_and_none_is_left_beside_them() {
    let file = File::new(&json!([service("sync", &["a"], &["directory", "admin"])]));
    let core = file.core().await;
    for (method, answer) in call_all(core.channel().await, Authorization::bearer("a")).await {
        let is_allowed = allowed(method).iter().any(|scope| ["directory", "admin"].contains(scope));
        let code = answer.err().map_or(Code::Ok, |status| status.code());
        assert_eq!(code == Code::PermissionDenied, !is_allowed, "{method}: {code:?}");
    }
}

#[tokio::test]
async fn tokens_are_rotated_without_a_restart_and_streams_of_the_old_one_end() {
    let file = File::new(&json!([service("bot", &["old"], &["read"])]));
    let audit_log = file.0.path().join("audit.log");
    let builder = Core::builder().set("service-tokens-file", file.path());
    let core = Core::launch(builder.set("audit-log", &audit_log)).await;
    let [ada] = core.users().await;
    let (old, new) = (by(&core, "old").await, by(&core, "new").await);
    assert_eq!(code(&old).await, Code::InvalidArgument);
    assert_eq!(code(&new).await, Code::Unauthenticated);
    let subscribe = async |connection: &Connection| {
        let request = SubscribeRequest { user_id: ada.clone(), ..Default::default() };
        let mut stream = connection.chat().subscribe(request).await.expect("a stream").into_inner();
        within("the first response", stream.message()).await.expect("a response");
        stream
    };
    let mut of_old = subscribe(&old).await;

    file.write(&json!([service("bot", &["old", "new"], &["read"])]).to_string());
    eventually("the new token", async || (code(&new).await == Code::InvalidArgument).then_some(()))
        .await;
    assert_eq!(code(&old).await, Code::InvalidArgument);
    let mut of_new = subscribe(&new).await;

    file.write(&json!([service("bot", &["new"], &["read", "send"])]).to_string());
    let end = within("the end of a stream", of_old.message()).await.expect_err("an end");
    assert_eq!(end.code(), Code::Unauthenticated);
    assert_eq!(code(&old).await, Code::Unauthenticated);
    assert_eq!(code(&new).await, Code::InvalidArgument);
    // The other stream lives: it is shown what comes.
    let [bob] = core.users().await;
    core.send(&bob, &ada, "canary").await.expect("sent");
    within("an event", of_new.message()).await.expect("no end").expect("an event");

    // It may do less: whatever it had is asked for again.
    let (requests, sent) = tokio::sync::mpsc::channel(1);
    let sends = new.chat().send_messages(ReceiverStream::new(sent)).await;
    let mut sends = sends.expect("a stream").into_inner();
    file.write(&json!([service("bot", &["new"], &["send"])]).to_string());
    for end in [
        within("the end of a stream", of_new.message()).await.err(),
        within("the end of a pipeline", sends.message()).await.err(),
    ] {
        assert_refused(end.map_or(Ok(()), Err), ErrorReason::ShuttingDown);
    }
    drop(requests);
    assert_eq!(code(&new).await, Code::PermissionDenied);
    assert_eq!(code(&by(&core, "").await).await, Code::Unauthenticated);

    let short = |token| TokenHash::of(token).to_string()[..8].to_owned();
    let (old, new) = (short("old"), short("new"));
    eventually("the audit log", async || {
        let text = fs::read_to_string(&audit_log).expect("an audit log");
        let ended = text.lines().filter(|line| line.contains("\"stream_ended\""));
        let ended = ended.map(|line| serde_json::from_str(line).expect("a line"));
        let mut ended: Vec<_> = ended
            .map(|event: Value| {
                assert_eq!(event["actor"], "bot", "{event}");
                [&event["method"], &event["reason"]].map(|it| it.as_str().unwrap_or("").to_owned())
            })
            .collect();
        ended.sort();
        let are_told = ended
            == [
                ["SendMessages", "fewer_scopes"],
                ["Subscribe", "credential_gone"],
                ["Subscribe", "fewer_scopes"],
            ];
        let changes = [
            format!("bot: token {new} added, scopes read, without end"),
            format!("bot: token {old} removed"),
            format!("bot: token {new} changed, scopes send, without end; before: scopes send read"),
        ];
        (are_told && changes.iter().all(|change| text.contains(change))).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_was_taken_is_answered_truly_although_its_token_is_gone() {
    let file = File::new(&json!([service("bot", &["old"], &["send", "admin"])]));
    let builder = Core::builder().set("service-tokens-file", file.path()).set("store-wait", "30s");
    let core = Core::launch(builder).await;
    let [ada, bob, cyd] = core.users().await;
    let old = by(&core, "old").await;
    let away = Away::begin(&core).await;
    let sent = {
        let (mut chat, message) = (old.chat(), text(&ada, &bob, "canary"));
        tokio::spawn(async move { chat.send_message(message).await })
    };
    have_come(&core, 1).await;
    let deleted = {
        let (mut directory, user_id) = (old.directory(), cyd.clone());
        tokio::spawn(async move {
            directory.delete_user(DeleteUserRequest { user_id, erase_messages: false }).await
        })
    };
    have_come(&core, 2).await;
    file.write(&json!([service("bot", &["new"], &["send"])]).to_string());
    eventually("the end of the token", async || {
        (code(&old).await == Code::Unauthenticated).then_some(())
    })
    .await;
    away.end().await;
    within("an answer", sent).await.expect("a call").expect("it is stored");
    within("an answer", deleted).await.expect("a call").expect("it is done");
    assert_eq!(core.history(&ada, &bob).await.expect("a history").len(), 1);
}

#[tokio::test]
async fn a_file_that_cannot_be_used_changes_nothing() {
    let file = File::new(&json!([service("bot", &["good"], &["read"])]));
    let core = file.core().await;
    let bot = by(&core, "good").await;
    for (text, told) in [
        ("[{", "not JSON"),
        (r#"[{"name": "bot", "token": "good", "scopes": ["read"]}]"#, "would be a plain token"),
    ] {
        file.write(text);
        eventually("a word about it", async || core.log_contains(told).then_some(())).await;
        assert_eq!(code(&bot).await, Code::InvalidArgument, "{text}");
    }
    fs::remove_file(file.path()).expect("removed");
    eventually("a word about it", async || core.log_contains("No such file").then_some(())).await;
    assert_eq!(code(&bot).await, Code::InvalidArgument);
    file.write(&json!([service("bot", &["other"], &["read"])]).to_string());
    eventually("the new services", async || {
        (code(&bot).await == Code::Unauthenticated).then_some(())
    })
    .await;
    assert!(!core.log_contains("\"good\""));
}

#[tokio::test]
async fn a_token_that_has_expired_is_no_more() {
    let mut expired = service("old", &["expired"], &["read"]);
    expired["expires_at"] = "2020-01-01T00:00:00Z".into();
    let file = File::new(&json!([expired]));
    let core = file.core().await;
    for (_, answer) in call_all(core.channel().await, Authorization::bearer("expired")).await {
        assert_unauthenticated(answer);
    }
    eventually("a word about it", async || {
        core.log_contains("shows one that has expired").then_some(())
    })
    .await;
}

/// What it makes is what the file takes.
#[tokio::test]
async fn the_program_makes_tokens_of_services() {
    let directory = tempfile::tempdir().expect("a directory");
    let [token, entry] =
        made(directory.path(), &["bot", "--scope", "read", "--expires-in", "1h"]).await;
    assert!(token.starts_with("nxs_") && !entry.contains(&token));
    let file = File::new(&json!([serde_json::from_str::<Value>(&entry).expect("JSON")]));
    let core = file.core().await;
    assert_eq!(code(&by(&core, &token).await).await, Code::InvalidArgument);
}

async fn made(directory: &Path, arguments: &[&str]) -> [String; 2] {
    let mut command = netrox_harness::process::command(directory);
    command.arg("service-token").args(arguments);
    let ended = netrox_harness::process::run_command(command).await;
    let lines: Vec<_> = ended.stdout.lines().map(str::to_owned).collect();
    lines.try_into().unwrap_or_else(|lines| panic!("{lines:?}"))
}
