//! Who is connected from where.

use std::collections::BTreeSet;

use netrox_harness::{
    Arrangement, Socket, TestChat, each, eventually, process::Signal, token::now,
};

use super::{list, sockets};

/// Where a client is, by the word of a proxy.
const FROM: &str = "192.0.2.9";

each![sessions_of_all_edges_are_listed; cluster: an_edge_that_hangs_is_named];

async fn sessions_of_all_edges_are_listed(arrangement: Arrangement) {
    let builder = TestChat::builder(arrangement).set("trusted-proxies", "127.0.0.0/8");
    let chat = builder.start().await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let mut open = sockets(&chat, &ada).await;
    let (path, from) = (format!("/ws/chat/room/?token={}", ada.token), [("x-forwarded-for", FROM)]);
    open.push((Socket::open(chat.edge().address, &path, &from).await, 1));
    for core in chat.core_roles() {
        let mut service = chat.session_service_of(core);
        let listed = list(&mut service, &ada).await;
        assert!(listed.is_complete, "{listed:?}");
        assert_eq!(listed.silent_edges, [""; 0]);
        assert_eq!(listed.sessions.len(), open.len(), "{listed:?}");
        let ids: BTreeSet<_> = listed.sessions.iter().map(|session| &session.session_id).collect();
        let edges: BTreeSet<_> = listed.sessions.iter().map(|session| &session.edge).collect();
        assert_eq!((ids.len(), edges.len()), (open.len(), chat.edges().len()));
        let addresses = listed.sessions.iter().map(|session| &session.client_address);
        assert_eq!(addresses.filter(|address| **address == FROM).count(), 1, "{listed:?}");
        for session in &listed.sessions {
            assert_eq!(session.user_id, ada.id);
            assert!([1, 2].contains(&session.generation));
            let opened = session.opened_at.expect("a time").seconds;
            assert!(opened > now() as i64 - 300 && opened <= now() as i64 + 1, "{session:?}");
            assert!(session.token_expires_at.expect("a time").seconds > now() as i64);
        }
        assert!(list(&mut service, &bob).await.sessions.is_empty());
    }
    drop(open);
    let mut service = chat.session_service();
    eventually("the end of the sessions", async || {
        let listed = list(&mut service, &ada).await;
        listed.sessions.is_empty().then_some(())
    })
    .await;
}

async fn an_edge_that_hangs_is_named(arrangement: Arrangement) {
    let mut chat = TestChat::start(arrangement).await;
    let ada = chat.user("ada").await;
    let open = sockets(&chat, &ada).await;
    let edges = chat.edge_roles();
    chat.process(edges[1]).signal(Signal::STOP);
    for core in chat.core_roles() {
        let listed = list(&mut chat.session_service_of(core), &ada).await;
        assert!(!listed.is_complete, "{listed:?}");
        assert_eq!((listed.silent_edges.len(), listed.sessions.len()), (1, 2), "{listed:?}");
    }
    chat.process(edges[1]).signal(Signal::CONT);
    let mut service = chat.session_service();
    eventually("all sessions", async || {
        let listed = list(&mut service, &ada).await;
        (listed.is_complete && listed.sessions.len() == open.len()).then_some(())
    })
    .await;
}
