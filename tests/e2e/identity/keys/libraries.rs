//! Tokens and sets of keys as real libraries make them: `tests/python/tokens.py` and `tests/node/tokens.mjs`.

use std::{env, fs, process::Command};

use netrox_harness::{
    Arrangement, TestChat, each,
    issuer::Issuer,
    process::{bound_to_its_test, run_command},
};
use serde_json::{Value, json};

use crate::identity::{assert_accepted, assert_refused};

each![; serve: tokens_of_python_are_taken, tokens_of_node_are_taken];

async fn tokens_of_python_are_taken(arrangement: Arrangement) {
    assert_taken(arrangement, "NETROX_CHAT_TEST_PYTHON", "python/tokens.py").await;
}

async fn tokens_of_node_are_taken(arrangement: Arrangement) {
    assert_taken(arrangement, "NETROX_CHAT_TEST_NODE", "node/tokens.mjs").await;
}

/// A program prints issuers: a name, a set of keys, good tokens and bad ones, each with what it is.
async fn assert_taken(arrangement: Arrangement, interpreter: &str, program: &str) {
    let interpreter = env::var_os(interpreter);
    let interpreter = interpreter.expect("an interpreter: run the tests with tests/run");
    let [launcher, arguments @ ..] = bound_to_its_test("KILL");
    let mut command = Command::new(launcher);
    command.args(arguments).arg(interpreter);
    command.arg(format!("{}/../tests/{program}", env!("CARGO_MANIFEST_DIR")));
    let ended = run_command(command).await;
    assert!(ended.status.success(), "{ended:?}");
    let made: Vec<Value> = serde_json::from_str(&ended.stdout).expect("JSON");
    assert!(!made.is_empty());
    let issuer = Issuer::start(json!({})).await;
    let first = &made[0];
    let mut issuers = Vec::new();
    for (index, made) in made.iter().enumerate() {
        let path = format!("/keys/{index}");
        issuer.set_keys_at(&path, made["keys"].clone());
        let url = format!("http://{}{path}", issuer.address());
        let mut entry = json!({"issuer": made["issuer"], "jwks_url": url, "audience": "chat"});
        // They name the same user.
        if index > 0 {
            entry["same_users_as"] = first["issuer"].clone();
        }
        issuers.push(entry);
    }
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("issuers.json");
    fs::write(&file, json!(issuers).to_string()).expect("written");
    let chat = TestChat::builder(arrangement)
        .unset("jwt-secret")
        .set("jwt-issuers-file", &file)
        .start()
        .await;
    for made in &made {
        for (verdict, is_good) in [("good", true), ("bad", false)] {
            let tokens = made[verdict].as_object().expect("tokens");
            assert!(!tokens.is_empty(), "{made}");
            for (what, token) in tokens {
                let token = token.as_str().expect("text");
                let what = format!("{} {what}", made["issuer"]);
                if is_good {
                    assert_accepted(&chat, &what, token).await;
                } else {
                    assert_refused(&chat, &what, token).await;
                }
            }
        }
    }
}
