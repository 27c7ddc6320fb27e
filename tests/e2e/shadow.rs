//! `netrox-chat shadow`: two servers that say the same to their users, two that do not, and servers that fail.

use std::{fs, path::Path};

use netrox_harness::{
    Arrangement, TestChat, User,
    database::change_file,
    each,
    process::{self, Ended},
    settings::JWT_SECRET,
};
use serde_json::{Value, json};
use tempfile::TempDir;

mod faults;
mod nothing;
mod stub;

each![
    ; serve: what_was_moved_is_equal,
        each_difference_is_found_and_no_text_is_told,
        what_is_allowed_is_no_difference;
    cluster: a_cluster_is_held_against_one_machine
];

/// Runs it, and gives its report as JSON, if it came to one.
async fn shadow(directory: &Path, arguments: &[&str]) -> (Ended, Value) {
    let is_in_words = arguments.contains(&"--json=false");
    let form = if is_in_words { &[][..] } else { &["--json"] };
    let arguments = [&["shadow", "--rate", "10000"][..], form, arguments].concat();
    let ended = process::run(directory, arguments, [("NETROX_CHAT_JWT_SECRET", JWT_SECRET)]).await;
    assert!(!ended.stderr.contains("eyJ") && !ended.stdout.contains("eyJ"), "{ended:?}");
    let report = serde_json::from_str(&ended.stdout).unwrap_or_default();
    (ended, report)
}

#[track_caller]
fn assert_status(ended: &Ended, status: i32) {
    assert_eq!(ended.status.code(), Some(status), "{ended:?}");
}

fn url(chat: &TestChat) -> String {
    format!("http://{}", chat.edge().address)
}

async fn export(chat: &TestChat, directory: &str) {
    let arguments = ["export", "--all", directory].map(str::to_owned);
    let place = match chat.arrangement() {
        Arrangement::Serve | Arrangement::Split => vec!["--data-dir=data".to_owned()],
        Arrangement::Cluster => vec![
            format!("--database-url={}", chat.database().url()),
            format!("--media-url=file://{}", chat.media_dir().display()),
        ],
    };
    let arguments = arguments.into_iter().chain(place);
    let ended = process::run(chat.directory(), arguments, [("", ""); 0]).await;
    assert_status(&ended, 0);
}

/// A chat, another that was made of its export, and the users of both.
struct Two {
    original: TestChat,
    candidate: TestChat,
    users: [User; 3],
    /// Holds the data of the candidate, and the file of users.
    directory: TempDir,
}

impl Two {
    /// Ada and Bob have fifty messages, two of them files; Ada and Cyd have one.
    async fn start(arrangement: Arrangement) -> Self {
        let original = TestChat::start(arrangement).await;
        let users =
            [original.user("ada").await, original.user("bob").await, original.user("cyd").await];
        let [ada, bob, cyd] = &users;
        let (mut at_ada, mut at_bob) = (original.connect(ada).await, original.connect(bob).await);
        for number in 0..24 {
            let body = format!("canary {number}, später 🙂 \"\\");
            at_ada.say(bob, &body).await;
            at_bob.expect_body(&body).await;
            at_bob.say(ada, &body).await;
            at_ada.expect_body(&body).await;
        }
        original.upload_file(ada, bob, "a.txt", "canary in a file").await;
        original.upload_file(bob, ada, "ä.bin", vec![7; 200_000]).await;
        original.connect(cyd).await.say(ada, "canary").await;
        at_ada.expect_body("canary").await;

        let all = original.directory().join("all");
        export(&original, "all").await;
        let directory = tempfile::tempdir().expect("a directory");
        let data = directory.path().join("data");
        let import = ["import", "jsonl", all.to_str().expect("UTF-8"), "--data-dir"];
        let import = [&import[..], &[data.to_str().expect("UTF-8")]].concat();
        assert_status(&process::run(directory.path(), import, [("", ""); 0]).await, 0);
        let candidate = TestChat::builder(Arrangement::Serve).set("data-dir", data).start().await;
        // One with a token, two without.
        let lines = format!("# users\n{} {}\n{}\n{}\n", ada.id, ada.token, bob.id, cyd.id);
        fs::write(directory.path().join("users"), lines).expect("a file");
        Self { original, candidate, users, directory }
    }

    async fn shadow(&self, more: &[&str]) -> (Ended, Value) {
        let (original, candidate) = (url(&self.original), url(&self.candidate));
        let arguments = ["--original", &original, "--candidate", &candidate, "--users", "users"];
        shadow(self.directory.path(), &[&arguments[..], more].concat()).await
    }

    async fn change(&self, statement: &str) {
        change_file(&self.directory.path().join("data/chat.db"), &[statement]).await;
    }
}

async fn what_was_moved_is_equal(arrangement: Arrangement) {
    let two = Two::start(arrangement).await;
    let (ended, report) = two.shadow(&[]).await;
    assert_status(&ended, 0);
    let counts = ["users", "threads", "histories", "messages", "files", "differences", "failures"];
    let counts = counts.map(|count| report[count].as_u64().expect("a count"));
    // Each of the two of a conversation reads it.
    assert_eq!(counts, [3, 4, 4, 102, 4, 0, 0], "{report}");
    assert_eq!(report["verdict"], "equal", "{report}");

    let (ended, report) = two.shadow(&["--sample", "1"]).await;
    assert_status(&ended, 0);
    assert_eq!((&report["users"], &report["users_to_compare"]), (&json!(1), &json!(1)));

    // In words.
    let (ended, _) = two.shadow(&["--json=false"]).await;
    assert_status(&ended, 0);
    assert!(ended.stdout.contains("differences: 0\n"), "{ended:?}");
    assert!(ended.stdout.ends_with("equal\n"), "{ended:?}");

    // Whom the candidate does not know is not equal.
    let stranger = two.original.user("dan").await;
    let mut at_ada = two.original.connect(&two.users[0]).await;
    two.original.connect(&stranger).await.say(&two.users[0], "canary").await;
    at_ada.expect_body("canary").await;
    let (ended, report) = two.shadow(&[]).await;
    assert_status(&ended, 1);
    assert_eq!(report["first"][0]["path"], "threads.entity[]", "{report}");
    assert_eq!(report["first"][0]["kind"], "missing", "{report}");
}

async fn a_cluster_is_held_against_one_machine(arrangement: Arrangement) {
    let two = Two::start(arrangement).await;
    let (ended, report) = two.shadow(&["--concurrency", "3"]).await;
    assert_status(&ended, 0);
    assert_eq!(report["messages"], 102, "{report}");
}

/// Paths and kinds with how often they are there.
fn by_path(report: &Value) -> Vec<(String, String, u64)> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let paths = report["by_path"].as_array().expect("paths").iter();
    let found = paths.filter(|path| path["differences"] != 0);
    found
        .map(|path| {
            (word(&path["path"]), word(&path["kind"]), path["differences"].as_u64().unwrap_or(0))
        })
        .collect()
}

async fn each_difference_is_found_and_no_text_is_told(arrangement: Arrangement) {
    let two = Two::start(arrangement).await;
    let [ada, bob, _] = &two.users;
    let history = two.original.history(ada, bob).await;
    let id = |place: usize| history[place]["id"].as_i64().expect("an id");
    let path = |place: usize| history[place]["attached_file"].as_str().expect("a file").to_owned();
    let is_gone = id(5);
    let media = two.directory.path().join("data/media");
    let file = |place: usize| media.join(path(place).trim_start_matches("/mediafiles/"));

    two.change(&format!("update messages set body = 'canary, changed' where id = {}", id(3))).await;
    two.change(&format!("update messages set created = created + 1 where id = {}", id(4))).await;
    two.change(&format!("delete from messages where id = {is_gone}")).await;
    fs::write(file(48), "canary in a fil!").expect("written");
    fs::remove_file(file(49)).expect("removed");
    let (ended, report) = two.shadow(&[]).await;
    assert_status(&ended, 1);
    let message = |key: &str| format!("history.entity.messages[]{key}");
    let expected = [
        ("file.bytes".to_owned(), "value", 2),
        ("file.status".to_owned(), "value", 2),
        (message(""), "missing", 2),
        (message(".created"), "value", 2),
        (message(".message"), "value", 2),
    ];
    let expected = expected.map(|(path, kind, count)| (path, kind.to_owned(), count));
    assert_eq!(by_path(&report), expected, "{report}");
    assert_eq!(report["differences"], 10, "{report}");
    let first = report["first"].as_array().expect("differences");
    let of_bob = |path: &str| {
        let found = first.iter().find(|first| first["path"] == path && first["user"] == *bob.id);
        found.unwrap_or_else(|| panic!("{path}: {report}"))
    };
    let body = of_bob(&message(".message"));
    assert_eq!((&body["peer"], &body["message"]), (&json!(ada.id), &json!(id(3).to_string())));
    let told = body["candidate"].as_str().expect("a word of it");
    assert!(told.starts_with("a text of 17 bytes as JSON, SHA-256 "), "{told}");
    let created = of_bob(&message(".created"));
    assert_eq!(created["original"], history[4]["created"], "{report}");
    assert_eq!(of_bob(&message(""))["message"], is_gone.to_string(), "{report}");
    let status = of_bob("file.status");
    assert_eq!((&status["original"], &status["candidate"]), (&json!("200"), &json!("404")));
    assert!(!ended.stdout.contains("canary") && !ended.stdout.contains("/mediafiles"), "{ended:?}");

    let (ended, report) = two.shadow(&["--texts", "--show", "1000"]).await;
    assert_status(&ended, 1);
    assert!(report.to_string().contains("canary, changed"), "{report}");
    let (_, report) = two.shadow(&["--show", "3"]).await;
    assert_eq!(report["first"].as_array().map(Vec::len), Some(3), "{report}");
    assert_eq!(report["differences"], 10, "{report}");
}

async fn what_is_allowed_is_no_difference(arrangement: Arrangement) {
    let two = Two::start(arrangement).await;
    two.change("update users set email = 'canary@example.com' where email like 'bob%'").await;
    let (ended, report) = two.shadow(&[]).await;
    assert_status(&ended, 1);
    let emails = report["differences"].clone();
    fs::write(two.directory.path().join("known"), "# known\nthreads.entity[].*.email=value\n")
        .expect("a file");
    let allow = ["--allow-file", "known", "--allow", "history.entity.messages[].sender.email"];
    let (ended, report) = two.shadow(&allow).await;
    assert_status(&ended, 1);
    let paths = by_path(&report);
    assert_eq!(paths.len(), 1, "{report}");
    assert_eq!(paths[0].0, "history.entity.messages[].receiver.email");
    let allow = [&allow[..], &["--allow", "history.entity.messages[].*.email"]].concat();
    let (ended, report) = two.shadow(&allow).await;
    assert_status(&ended, 0);
    assert_eq!((&report["differences"], &report["allowed"]), (&json!(0), &emails), "{report}");
}
