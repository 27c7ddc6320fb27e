//! Servers that fail, and settings that are wrong.

use std::{
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use netrox_harness::{eventually, process, run_test};
use rustix::process::{Pid, Signal, kill_process};

use super::{
    stub::{Reply, Stub},
    *,
};

const ADA: &str = "a11ce000-0000-4000-8000-000000000001";
const BOB: &str = "b0b00000-0000-4000-8000-000000000002";

fn threads() -> String {
    json!({ "status": "success", "entity": [{ "id": 1, "user_one": { "id": ADA },
        "user_two": { "id": BOB } }], "message": null, "success": true })
    .to_string()
}

fn history(messages: usize) -> String {
    let messages: Vec<_> = (0..messages)
        .map(|id| {
            let file = (id == 7).then_some("/mediafiles/attachments/canary.png");
            json!({ "id": id, "message": "canary", "attached_file": file })
        })
        .collect();
    json!({ "entity": { "messages": messages }, "success": true }).to_string()
}

/// A good answer to each request.
pub(super) fn good(path: &str) -> Reply {
    match path {
        "/chat/get-user-threads/" => Reply::Json(200, threads()),
        path if path.starts_with("/chat/messages/") => Reply::Json(200, history(20)),
        _ => Reply::File(b"canary".to_vec()),
    }
}

pub(super) struct Pair {
    original: Stub,
    pub(super) candidate: Stub,
    directory: TempDir,
}

impl Pair {
    /// The candidate is good.
    pub(super) async fn start(
        original: impl Fn(&str, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("users"), ADA).expect("a file");
        let candidate = Stub::start(|path, _| good(path)).await;
        Self { original: Stub::start(original).await, candidate, directory }
    }

    fn arguments(&self) -> [String; 6] {
        let [original, candidate] = [&self.original, &self.candidate];
        [
            "--original",
            &format!("http://{}", original.address),
            "--candidate",
            &format!("http://{}/", candidate.address),
            "--users",
            "users",
        ]
        .map(str::to_owned)
    }

    pub(super) async fn shadow(&self, more: &[&str]) -> (Ended, Value) {
        let arguments = self.arguments();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        shadow(self.directory.path(), &[&arguments[..], more].concat()).await
    }
}

#[tokio::test]
async fn what_fails_for_a_moment_is_asked_for_again() {
    run_test(async {
        let pair = Pair::start(|path, before| match before {
            0 => Reply::Json(503, "{}".to_owned()),
            1 if path.contains("messages") => Reply::Half(history(20)),
            _ => good(path),
        })
        .await;
        let (ended, report) = pair.shadow(&[]).await;
        assert_status(&ended, 0);
        assert_eq!((&report["messages"], &report["files"]), (&json!(20), &json!(1)), "{report}");
        // Nothing but GET, and each answer that came was asked for once.
        let [original, candidate] = [pair.original.asked(), pair.candidate.asked()];
        assert!(original.iter().chain(&candidate).all(|line| line.starts_with("GET ")));
        assert_eq!((original.len(), candidate.len()), (7, 3), "{original:?} {candidate:?}");
    })
    .await;
}

#[tokio::test]
async fn what_goes_on_to_fail_is_no_difference_and_not_equal() {
    run_test(async {
        let pair = Pair::start(|path, _| match path.contains("messages") {
            true => Reply::Json(500, "{}".to_owned()),
            false => good(path),
        })
        .await;
        let (ended, report) = pair.shadow(&[]).await;
        assert_status(&ended, 3);
        assert_eq!((&report["verdict"], &report["failures"]), (&json!("unfinished"), &json!(1)));
        let failure = &report["first_failures"][0];
        assert_eq!((&failure["user"], &failure["peer"]), (&json!(ADA), &json!(BOB)), "{report}");
        assert_eq!(failure["reason"], "the original: it is answered with 500");

        // A token that both refuse says nothing of either.
        let mut pair = Pair::start(|_, _| Reply::Json(401, "{}".to_owned())).await;
        pair.candidate = Stub::start(|_, _| Reply::Json(401, "{}".to_owned())).await;
        let (ended, report) = pair.shadow(&[]).await;
        assert_status(&ended, 3);
        assert!(report.to_string().contains("with 401: nothing is compared"), "{report}");
        // One that only one of them refuses is a difference.
        pair.candidate = Stub::start(|path, _| good(path)).await;
        let (ended, report) = pair.shadow(&[]).await;
        assert_status(&ended, 1);
        assert_eq!(by_path(&report)[0].0, "threads.http.status", "{report}");
    })
    .await;
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up() {
    run_test(async {
        let pair = Pair::start(|path, _| match path.contains("mediafiles") {
            true => Reply::Nothing,
            false => good(path),
        })
        .await;
        let (ended, report) = pair.shadow(&["--timeout", "100ms"]).await;
        assert_status(&ended, 3);
        let failure = &report["first_failures"][0];
        assert_eq!(failure["message"], "7", "{report}");
        assert!(failure["reason"].as_str().is_some_and(|it| it.contains("too long")), "{report}");
        assert_eq!(report["messages"], 20, "{report}");
        assert!(!report.to_string().contains("canary"), "{report}");
    })
    .await;
}

#[tokio::test]
async fn what_is_no_answer_of_this_api_is_found() {
    run_test(async {
        let pair = Pair::start(|path, _| match path.contains("messages") {
            true => Reply::Json(200, "<html>canary</html>".to_owned()),
            false => good(path),
        })
        .await;
        let (ended, report) = pair.shadow(&[]).await;
        assert_status(&ended, 1);
        let found = by_path(&report);
        assert!(found.contains(&("history".to_owned(), "malformed".to_owned(), 1)), "{report}");
        assert!(!report.to_string().contains("canary"), "{report}");
    })
    .await;
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Killed {
    async fn start(pair: &Pair, more: &[&str]) -> Self {
        let mut command = process::command(pair.directory.path());
        command.args(["shadow", "--rate", "10000", "--json"]).args(pair.arguments()).args(more);
        command.env("NETROX_CHAT_JWT_SECRET", JWT_SECRET);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        Self(command.spawn().expect("start the program"))
    }

    async fn ended(&mut self) -> i32 {
        let status = eventually("its end", async || self.0.try_wait().expect("a child"));
        status.await.code().expect("no signal")
    }

    fn report(&mut self) -> Value {
        let stdout = self.0.stdout.take().expect("a pipe");
        serde_json::from_reader(stdout).expect("a report")
    }
}

#[tokio::test]
async fn an_interrupt_ends_it_with_a_report() {
    run_test(async {
        let pair = Pair::start(|path, _| match path.contains("mediafiles") {
            true => Reply::Nothing,
            false => good(path),
        })
        .await;
        let mut shadow = Killed::start(&pair, &[]).await;
        eventually("the request that hangs", async || {
            pair.original.asked().iter().any(|line| line.contains("mediafiles")).then_some(())
        })
        .await;
        kill_process(Pid::from_child(&shadow.0), Signal::INT).expect("told");
        let begun = Instant::now();
        assert_eq!(shadow.ended().await, 3);
        // Nothing is waited for that hangs.
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        let report = shadow.report();
        assert_eq!((&report["stopped"], &report["messages"]), (&json!("interrupted"), &json!(20)));
    })
    .await;
}

#[tokio::test]
async fn a_history_takes_no_memory() {
    const MESSAGES: usize = 40_000;
    const MOST_KIB: u64 = 96 * 1024;
    run_test(async {
        let body = "canary".repeat(400);
        let messages: Vec<_> =
            (0..MESSAGES).map(|id| json!({ "id": id, "message": body })).collect();
        let history = json!({ "entity": { "messages": messages } }).to_string();
        assert!(history.len() > 90 << 20);
        let answer = move |path: &str| match path.contains("messages") {
            true => Reply::Json(200, history.clone()),
            false => good(path),
        };
        let other = answer.clone();
        let mut pair = Pair::start(move |path, _| answer(path)).await;
        pair.candidate = Stub::start(move |path, _| other(path)).await;
        let mut shadow = Killed::start(&pair, &[]).await;
        let status = format!("/proc/{}/status", shadow.0.id());
        let mut most = 0;
        let code = eventually("its end", async || {
            let peak = fs::read_to_string(&status).unwrap_or_default();
            let peak = peak.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let peak = peak.and_then(|peak| peak.split_whitespace().next()?.parse().ok());
            most = most.max(peak.unwrap_or(0_u64));
            shadow.0.try_wait().expect("a child")
        })
        .await;
        let report = shadow.report();
        assert_eq!(code.code(), Some(0), "{report}");
        assert_eq!(report["messages"], MESSAGES, "{report}");
        assert!(most > 0 && most < MOST_KIB, "{most} KiB");
    })
    .await;
}

#[tokio::test]
async fn a_wrong_setting_is_named() {
    run_test(async {
        let pair = Pair::start(|path, _| good(path)).await;
        let arguments = pair.arguments();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let run = async |arguments: &[&str], secret: &str| {
            let arguments = [&["shadow"], arguments].concat();
            let variable = [("NETROX_CHAT_JWT_SECRET", secret)];
            process::run(pair.directory.path(), arguments, variable).await
        };
        for (more, said) in [
            (&["--rate", "0"][..], "--rate: "),
            (&["--allow", "entity"], "--allow: "),
            (&["--allow-file", "none"], "--allow-file: none: "),
            (&["--jwt-user-id-namespace", ADA], "--jwt-user-id-namespace: "),
        ] {
            let ended = run(&[&arguments[..], more].concat(), JWT_SECRET).await;
            assert_status(&ended, 2);
            assert!(ended.stderr.contains(said), "{said}: {ended:?}");
        }
        let ended = run(&arguments, "").await;
        assert_status(&ended, 2);
        assert!(ended.stderr.contains("--jwt-secret: must be given"), "{ended:?}");
        let ended = run(&arguments[..4], JWT_SECRET).await;
        assert_status(&ended, 2);
        assert!(ended.stderr.contains("--users: must be given"), "{ended:?}");
        let with_password = [&["--original", "https://me:canary@x"], &arguments[2..]].concat();
        let ended = run(&with_password, "").await;
        assert_status(&ended, 2);
        assert!(!ended.stderr.contains("canary"), "{ended:?}");
        fs::write(pair.directory.path().join("users"), "canary canary\n").expect("a file");
        let ended = run(&arguments, JWT_SECRET).await;
        assert_status(&ended, 2);
        assert!(ended.stderr.contains("users: line 1: "), "{ended:?}");
        assert!(!ended.stderr.contains("canary"), "{ended:?}");
        assert_eq!(pair.original.asked().len(), 0);
    })
    .await;
}
