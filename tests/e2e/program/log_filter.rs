//! What is logged is changed while the program runs, by who may administer it, and by no web page.

use std::fs;

use netrox_core::TokenHash;
use netrox_harness::{
    Arrangement, Builder, Role, TestChat, each, rest::Response, settings::SERVICE_TOKEN,
};
use serde_json::{Value, json};
use tempfile::TempDir;

each![;
    serve: what_is_logged_can_be_changed_while_it_runs, who_may_not_changes_nothing;
    split: what_is_logged_can_be_changed_while_it_runs, who_may_not_changes_nothing
];

/// Of services with the scopes `admin` and `send`.
const ADMIN: &str = "a-token-of-an-administrator-0123456789";
const SENDER: &str = "a-token-of-who-sends-alone-0123456789";

fn builder(arrangement: Arrangement, directory: &TempDir) -> Builder {
    let path = directory.path().join("services.json");
    let entry = |name, token, scope| json!({ "name": name, "token_sha256": TokenHash::of(token).to_string(), "scopes": [scope] });
    let services = json!([entry("ops", ADMIN, "admin"), entry("shop", SENDER, "send")]);
    fs::write(&path, services.to_string()).expect("written");
    let builder = TestChat::builder(arrangement).set("service-tokens-file", path);
    builder.set("audit-log", "stderr")
}

async fn ask(chat: &TestChat, role: Role, method: &str, query: &str, body: &str) -> Response {
    let request = chat.admin(role).request(method, &format!("/log-filter{query}"));
    request.bearer(SERVICE_TOKEN).body(body.to_owned()).send().await
}

async fn shown(chat: &TestChat, role: Role) -> String {
    let answer = ask(chat, role, "GET", "", "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.text().to_owned()
}

async fn what_is_logged_can_be_changed_while_it_runs(arrangement: Arrangement) {
    let directory = tempfile::tempdir().expect("a directory");
    let chat = builder(arrangement, &directory).start().await;
    for role in chat.roles() {
        assert_eq!(shown(&chat, role).await, "filter: info\nat_start: info\n");
        let silent = ask(&chat, role, "PUT", "", "off\n").await;
        assert_eq!((silent.status, silent.text()), (200, "filter: off\nat_start: info\n"));
        let loud = ask(&chat, role, "PUT", "?for=1h", "netrox_core=debug, netrox_edge=debug").await;
        let text = "filter: info,netrox_core=debug,netrox_edge=debug\nat_start: info\n";
        assert_eq!(loud.status, 200, "{loud:?}");
        let lasts = loud.text().strip_prefix(text).expect("two lines");
        assert!(["lasts_seconds: 3600\n", "lasts_seconds: 3599\n"].contains(&lasts), "{lasts}");
        // Whatever was silenced.
        let mut log = chat.log(role);
        for (before, filter) in
            [("info", "off"), ("off", "info,netrox_core=debug,netrox_edge=debug")]
        {
            let is_told = |line: &Value| {
                let is = line["message"] == "the log filter is changed" && line["level"] == "INFO";
                (is && line["before"] == before && line["filter"] == filter).then(|| line.clone())
            };
            let line = log.event("a line about it", is_told).await;
            assert_eq!(line["service"], "service-token");
            let is_kept = |line: &Value| {
                let is = line["event"] == "log_filter_changed" && line["target"] == filter;
                is.then(|| line.clone())
            };
            let event = log.event("an event of the audit log", is_kept).await;
            assert_eq!(event["actor"], "service-token");
            assert_eq!(event["method"], "PUT /log-filter");
            assert_eq!(event["outcome"], "ok");
            let reason = event["reason"].as_str().expect("a reason");
            assert!(reason.starts_with(&format!("before: {before}")), "{event}");
            assert!(event["peer"].as_str().expect("an address").starts_with("127."), "{event}");
        }
    }
    // What it was asked for is there.
    let (_ada, mut at_ada) = chat.join("ada").await;
    let (bob, mut at_bob) = chat.join("bob").await;
    at_ada.say(&bob, "canary").await;
    at_bob.expect_body("canary").await;
    for (role, message) in
        [(chat.core_role(), "a change"), (chat.edge_role(), "a message is stored")]
    {
        let is =
            |line: &Value| (line["message"] == message && line["level"] == "DEBUG").then_some(());
        chat.log(role).event(message, is).await;
    }
    for role in chat.roles() {
        let back = ask(&chat, role, "DELETE", "", "").await;
        assert_eq!((back.status, back.text()), (200, "filter: info\nat_start: info\n"));
        // By an empty body as well, and by itself.
        assert_eq!(ask(&chat, role, "PUT", "", "debug").await.status, 200);
        let back = ask(&chat, role, "PUT", "", "").await;
        assert_eq!((back.status, back.text()), (200, "filter: info\nat_start: info\n"));
        assert_eq!(ask(&chat, role, "PUT", "?for=1s", "off").await.status, 200);
        let is_over = |line: &Value| {
            let is = line["message"] == "the time of a log filter is over";
            (is && line["before"] == "off" && line["filter"] == "info").then_some(())
        };
        chat.log(role).event("the end of its time", is_over).await;
        assert_eq!(shown(&chat, role).await, "filter: info\nat_start: info\n");
    }
}

async fn who_may_not_changes_nothing(arrangement: Arrangement) {
    let directory = tempfile::tempdir().expect("a directory");
    let chat = builder(arrangement, &directory).start().await;
    for role in chat.roles() {
        let put = || chat.admin(role).request("PUT", "/log-filter").body("off");
        for request in [
            put(),
            put().bearer("wrong"),
            put().bearer("wrong"),
            put().header("authorization", &format!("Basic {SERVICE_TOKEN}")),
            chat.admin(role).get("/log-filter"),
        ] {
            let answer = request.send().await;
            assert_eq!(answer.status, 401, "{answer:?}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
        // No page of a browser, though it had a token.
        for (name, value) in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("sec-fetch-site", "same-origin"),
        ] {
            let answer = put().bearer(SERVICE_TOKEN).header(name, value).send().await;
            assert_eq!(answer.status, 403, "{answer:?}");
        }
        let asked = chat.admin(role).request("OPTIONS", "/log-filter");
        let asked = asked.header("origin", "https://evil.example");
        let asked = asked.header("access-control-request-method", "PUT");
        let refused = asked.header("access-control-request-headers", "authorization").send().await;
        assert_eq!(refused.status, 405);
        let is_leave = |name: &http::HeaderName| name.as_str().starts_with("access-control-");
        assert!(!refused.headers.keys().any(is_leave), "{refused:?}");

        // What cannot be a filter.
        for (query, body, status, cause) in [
            ("", "netrox_edg=debug", 400, "did you mean netrox_edge?"),
            ("", "info,netrox_core[grpc]=debug", 400, "not a filter"),
            ("?for=soon", "debug", 400, "for=TIME"),
            ("?for=10m", "", 400, "for=TIME"),
            ("?fro=10m", "debug", 400, "not known"),
            ("", &"x".repeat(2_000), 413, "1024 bytes"),
        ] {
            let answer = ask(&chat, role, "PUT", query, body).await;
            assert_eq!(answer.status, status, "{answer:?}");
            assert!(answer.text().contains(cause), "{answer:?}");
        }

        // A core knows services, an edge itself alone.
        let by_scope = put().bearer(SENDER).send().await;
        let administrator = chat.admin(role).get("/log-filter").bearer(ADMIN).send().await;
        let mut log = chat.log(role);
        if let Role::Edge(_) = role {
            assert_eq!((by_scope.status, administrator.status), (401, 401));
        } else {
            assert_eq!((by_scope.status, administrator.status), (403, 200));
            let is = |line: &Value| {
                (line["event"] == "scope_refused" && line["actor"] == "shop").then(|| line.clone())
            };
            let event = log.event("a refusal for want of a scope", is).await;
            assert_eq!(
                (&event["reason"], &event["method"]),
                (&"admin".into(), &"PUT /log-filter".into())
            );
            let changed = put().bearer(ADMIN).body("warn").send().await;
            assert_eq!((changed.status, changed.text()), (200, "filter: warn\nat_start: info\n"));
            let is = |line: &Value| {
                let is = line["message"] == "the log filter is changed";
                (is && line["service"] == "ops" && line["filter"] == "warn").then_some(())
            };
            log.event("a change by name", is).await;
            assert_eq!(ask(&chat, role, "DELETE", "", "").await.status, 200);
        }
        assert_eq!(shown(&chat, role).await, "filter: info\nat_start: info\n");
        for reason in ["no_token", "unknown_token", "from_a_page"] {
            let is = |line: &Value| {
                let is = line["event"] == "authentication_refused" && line["reason"] == reason;
                (is && line["method"] == "PUT /log-filter").then_some(())
            };
            log.event(reason, is).await;
        }
        // In the log once a minute, however often it is tried.
        let is_told = |line: &&String| {
            line.contains("a request for the log filter is refused")
                && line.contains("unknown_token")
        };
        assert_eq!(log.lines().iter().filter(is_told).count(), 1);
    }
}
