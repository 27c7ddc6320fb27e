//! How a socket is opened, and refused, as clients of JavaScript see it: browsers among them, which look closer than others
//! at what a handshake is answered. They run as `tests/node/clients.js`.

use std::{env, process::Command};

use netrox_harness::{
    Arrangement, TestChat, User, each, eventually,
    process::{bound_to_its_test, run_command},
    settings::JWT_SECRET,
    token::Claims,
};
use netrox_proto::v1::DeleteUserRequest;
use serde_json::{Value, json};

each![;
    // The handshake is the same code everywhere.
    serve:
        a_page_in_chromium_sees_what_the_table_says,
        the_package_ws_sees_what_the_table_says,
        the_package_ws_with_a_line_for_each_offer_sees_what_the_table_says,
        the_websocket_of_node_sees_what_the_table_says,
];

const NAME: &str = "netrox.chat.v2";
/// The first frame, and the answer to `ping`.
const SECOND: [Option<&str>; 2] = [Some("hello"), Some("ack")];
const FIRST: [Option<&str>; 2] = [Some("error"); 2];
const NEITHER: [Option<&str>; 2] = [None; 2];

async fn a_page_in_chromium_sees_what_the_table_says(arrangement: Arrangement) {
    assert_sees_what_the_table_says("chromium", arrangement).await;
}

async fn the_package_ws_sees_what_the_table_says(arrangement: Arrangement) {
    assert_sees_what_the_table_says("ws", arrangement).await;
}

async fn the_package_ws_with_a_line_for_each_offer_sees_what_the_table_says(
    arrangement: Arrangement,
) {
    assert_sees_what_the_table_says("ws-lines", arrangement).await;
}

async fn the_websocket_of_node_sees_what_the_table_says(arrangement: Arrangement) {
    assert_sees_what_the_table_says("node", arrangement).await;
}

/// What a client opens, and is to see of it.
struct Row {
    token: String,
    query: &'static str,
    offer: &'static [&'static str],
    /// What is named in the 101, where the client takes it; what it is sent; how it ends.
    expected: (Option<&'static str>, [Option<&'static str>; 2], u16),
    /// The status, where it is no 101.
    status: Option<u16>,
}

impl Row {
    fn case(&self, chat: &TestChat) -> Value {
        let (address, Self { token, query, .. }) = (chat.edge().address, self);
        let url = format!("ws://{address}/ws/chat/room/?token={token}{query}");
        json!({"url": url, "offer": self.offer, "ends": self.expected.2 != 1000})
    }
}

/// Users who may come, and what the second generation makes of each offer (PROTOCOL-2 section 1).
fn opened(chat: &TestChat) -> Vec<Row> {
    let named = (Some(NAME), SECOND, 1000);
    let unnamed = (Some(""), SECOND, 1000);
    let documented = (Some(""), FIRST, 1000);
    // The client's own refusal of a 101 that names none of what it offers.
    let failed = (None, NEITHER, 1006);
    let rows: [(_, &[_], _); 15] = [
        ("", &[NAME], named),
        ("", &[NAME, "chat"], named),
        ("", &["chat", NAME], named),
        ("", &["chat", NAME, "other"], named),
        ("&protocol=1", &[NAME], named),
        ("&protocol=2", &["chat", NAME], named),
        ("&protocol=2", &[], unnamed),
        ("&protocol=2", &["chat", "other"], failed),
        ("", &[], documented),
        ("&protocol=3", &[], documented),
        ("&protocol=", &[], documented),
        ("", &["chat"], failed),
        ("", &["Netrox.Chat.V2"], failed),
        ("&protocol=3", &["chat"], failed),
        ("&protocol=3", &[NAME], named),
    ];
    let row = |(query, offer, expected)| {
        let token = chat.stranger("ada").token;
        Row { token, query, offer, expected, status: None }
    };
    rows.into_iter().map(row).collect()
}

/// Those who may not, and one who comes twice where once is allowed.
fn refused(chat: &TestChat, deleted: &User) -> Vec<Row> {
    let expired = || Claims::access(&chat.stranger("ada").id).claim("exp", 1_000).sign(JWT_SECRET);
    let row = |token: &str, query, offer, expected| {
        let (token, status) = (token.to_owned(), None);
        Row { token, query, offer, expected, status }
    };
    let (twice, documented) = (chat.stranger("bob").token, chat.stranger("bob").token);
    vec![
        row(&expired(), "", &[NAME], (Some(NAME), NEITHER, 4401)),
        row(&expired(), "&protocol=2", &[], (Some(""), NEITHER, 4401)),
        Row { status: Some(401), ..row(&expired(), "", &[], (None, NEITHER, 1006)) },
        row(&deleted.token, "", &["chat", NAME], (Some(NAME), NEITHER, 4403)),
        row(&twice, "", &[NAME], (Some(NAME), SECOND, 4409)),
        row(&twice, "&protocol=2", &[], (Some(""), SECOND, 1000)),
        row(&documented, "", &[], (Some(""), FIRST, 1008)),
        row(&documented, "", &[], (Some(""), FIRST, 1000)),
    ]
}

async fn assert_sees_what_the_table_says(client: &str, arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).set("max-connections-per-user", "1").start().await;
    let deleted = deleted(&chat).await;
    let rows: Vec<Row> = opened(&chat).into_iter().chain(refused(&chat, &deleted)).collect();
    let cases: Vec<Value> = rows.iter().map(|row| row.case(&chat)).collect();
    let seen = run(client, &json!(cases)).await;
    assert_eq!(seen.len(), rows.len());
    for (row, seen) in rows.iter().zip(seen) {
        let shown = json!([seen["protocol"], [seen["first"], seen["answer"]], seen["code"]]);
        let expected = json!(row.expected);
        assert_eq!(shown, expected, "{client} offers {:?} with {:?}: {seen}", row.offer, row.query);
        // Browsers say no more than that it failed.
        if let (Some(status), true) = (row.status, client.starts_with("ws")) {
            let message = format!("Unexpected server response: {status}");
            assert_eq!(seen["message"], message, "{client}");
        }
    }
}

/// A user whom the edge knows to be deleted.
async fn deleted(chat: &TestChat) -> User {
    let user = chat.user("eve").await;
    let request = DeleteUserRequest { user_id: user.id.clone(), erase_messages: false };
    chat.directory_service().delete_user(request).await.expect("deleted");
    eventually("the edge to know", async || {
        let answer = chat.get("/v2/me").bearer(&user.token).send().await;
        (answer.status == 403).then_some(())
    })
    .await;
    user
}

async fn run(client: &str, cases: &Value) -> Vec<Value> {
    let node = env::var_os("NETROX_CHAT_TEST_NODE");
    let node = node.expect("NETROX_CHAT_TEST_NODE is not set: run the tests with tests/run");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/node/clients.js");
    let [launcher, options @ ..] = bound_to_its_test("KILL");
    // A browser writes its profile there.
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(launcher);
    command.args(options).arg(node).args([script, client, &cases.to_string()]);
    command.current_dir(&directory).env("HOME", directory.path());
    let ended = run_command(command).await;
    assert!(ended.status.success(), "{ended:?}");
    serde_json::from_str(&ended.stdout).expect("what it saw")
}
