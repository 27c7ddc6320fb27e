//! The roles, and several edges before one core.

use netrox_harness::{
    Arrangement, Role, TestChat, each,
    process::{self, Process},
    run_test,
    socket::chat_message,
};

each![
    variables_of_other_roles_are_ignored;
    split: two_edges_are_one_chat, two_edges_show_one_order, an_edge_starts_before_its_core;
    cluster: two_edges_are_one_chat, two_edges_show_one_order
];

async fn variables_of_other_roles_are_ignored(arrangement: Arrangement) {
    // It starts, and becomes ready.
    TestChat::builder(arrangement)
        .set("send-rate", "7")
        .variable(Role::Core(0), "NETROX_CHAT_HTTP_ADDR", "not an address")
        .variable(Role::Core(0), "NETROX_CHAT_MAX_CONNECTIONS", "not a number")
        .variable(Role::Edge(0), "NETROX_CHAT_GRPC_ADDR", "not an address")
        .variable(Role::Edge(0), "NETROX_CHAT_DATABASE_URL", "not a url")
        .variable(Role::Serve, "NETROX_CHAT_CORE", "not a url")
        .start()
        .await;
}

async fn two_edges_are_one_chat(arrangement: Arrangement) {
    let chat = TestChat::builder(arrangement).edges(2).start().await;
    let (ada, bob) = (chat.stranger("ada"), chat.stranger("bob"));
    let (first, second) = (chat.edge_at(0), chat.edge_at(1));
    let mut ada_socket = first.connect(&ada).await;
    let mut bob_sockets = [first.connect(&bob).await, second.connect(&bob).await];
    ada_socket.say(&bob, "hello").await;
    for socket in &mut bob_sockets {
        socket.expect_body("hello").await;
    }
    bob_sockets[1].say(&ada, "good day").await;
    ada_socket.expect_body("good day").await;
    assert_eq!(first.history(&ada, &bob).await, second.history(&bob, &ada).await);

    let message = chat.upload_file(&ada, &bob, "a.txt", "content").await;
    let path = message["attached_file"].as_str().expect("a path");
    assert_eq!(second.get(path).send().await.text(), "content");
}

async fn two_edges_show_one_order(arrangement: Arrangement) {
    const EACH: usize = 200;
    let chat = TestChat::builder(arrangement).set("send-rate", "0").edges(2).start().await;
    let edges = [chat.edge_at(0), chat.edge_at(1)];
    let bob = chat.stranger("bob");
    let mut devices = [edges[0].connect(&bob).await, edges[1].connect(&bob).await];
    for (number, edge) in edges.iter().enumerate() {
        let mut socket = edge.connect(&chat.stranger(&format!("sender-{number}"))).await;
        let to = bob.id.clone();
        tokio::spawn(async move {
            for number in 0..EACH {
                socket.feed(&chat_message(&to, &number.to_string())).await;
            }
            socket.flush().await;
            socket.expect_no_answer().await;
        });
    }
    let mut seen = [Vec::new(), Vec::new()];
    for (device, seen) in devices.iter_mut().zip(&mut seen) {
        while seen.len() < 2 * EACH {
            seen.push(device.next_text().await);
        }
        device.expect_no_answer().await;
    }
    assert_eq!(seen[0], seen[1]);
}

async fn an_edge_starts_before_its_core(arrangement: Arrangement) {
    let mut chat = TestChat::start(arrangement).await;
    chat.kill(Role::Edge(0));
    chat.kill(Role::Core(0));
    chat.spawn(Role::Edge(0)).await;
    assert_eq!(chat.get("/healthz").send().await.status, 200);
    assert_eq!(chat.get("/readyz").send().await.status, 503);
    chat.spawn(Role::Core(0)).await;
    chat.ready().await;
    let (bob, mut bob_socket) = chat.join("bob").await;
    let (_, mut ada_socket) = chat.join("ada").await;
    ada_socket.say(&bob, "hello").await;
    bob_socket.expect_body("hello").await;
}

#[tokio::test]
async fn serve_is_the_default_command() {
    run_test(async {
        let directory = tempfile::tempdir().expect("a directory");
        let mut command = process::command(directory.path());
        command.args(["--http-addr", "127.0.0.1:0", "--grpc-addr", "127.0.0.1:0"]);
        command.args(["--log-format", "json"]);
        let process = Process::spawn(command);
        let mut log = process.log();
        for field in ["http.addr", "grpc.addr"] {
            log.address(field).await;
        }
        // The data directory is ./data unless told.
        assert!(directory.path().join("data/chat.db").is_file());
    })
    .await;
}
