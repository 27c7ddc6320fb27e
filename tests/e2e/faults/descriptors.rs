//! No descriptor left for another connection.

use netrox_harness::{
    Arrangement, Role, TestChat, User, alarms::Before, each, eventually, scrape::Metrics,
};

each![connections_beyond_the_descriptors_are_survived];

/// A peer can use up the descriptors of a process, and the process goes on when it lets go.
async fn connections_beyond_the_descriptors_are_survived(arrangement: Arrangement) {
    let mut chat = TestChat::builder(arrangement).set("max-connections-per-user", "128");
    for role in [Role::Serve, Role::Core(0), Role::Core(1), Role::Edge(0), Role::Edge(1)] {
        chat = chat.launcher(role, ["prlimit", "--nofile=128:128", "--"]);
    }
    let chat = chat.start().await;
    let (_, mut at_ada) = chat.join("ada").await;
    let (bob, mut at_bob) = chat.join("bob").await;
    let mut connections = Vec::new();
    for _ in 0..300 {
        let edge = chat.edge().address;
        connections.push(tokio::net::TcpStream::connect(edge).await.expect("the backlog"));
    }
    // Whoever was there before is served.
    at_ada.say(&bob, "canary meanwhile").await;
    at_bob.expect_body("canary meanwhile").await;
    drop(connections);
    eventually("a new connection", || async {
        let answer = chat.get("/healthz").try_send().await.ok()?;
        (answer.status == 200).then_some(())
    })
    .await;
    let mut another = chat.connect(&bob).await;
    at_ada.say(&bob, "canary after").await;
    at_bob.expect_body("canary after").await;
    another.expect_body("canary after").await;
    drop(another);
    if arrangement == Arrangement::Serve {
        nearly_all_are_told(&chat, &bob).await;
    }
}

/// Those who are known may have what strangers may not.
async fn nearly_all_are_told(chat: &TestChat, user: &User) {
    let before = Before::of(chat).await;
    let mut sockets = Vec::new();
    loop {
        let shown = Metrics::of(chat.admin(Role::Serve)).await;
        let most = shown.get("process_max_fds");
        if shown.get("process_open_fds") / most > 0.95 {
            break;
        }
        assert!((sockets.len() as f64) < most, "{} WebSockets, and files left", sockets.len());
        sockets.push(chat.connect(user).await);
    }
    before.alarms(chat, &[], &["FilesRunOut"]).await;
    drop(sockets);
}
