//! Edges that were cut off: what was taken away meanwhile they learn before they serve anything.

use netrox_harness::{Arrangement, TestChat, each, process::Signal};
use netrox_proto::v1::{end_sessions_request::Sessions, revoke_tokens_request::Tokens};
use uuid::Uuid;

use super::{THREADS, are_closed, ask, end, is_refused, is_taken, revoke, sockets};

each![
    ;
    split: what_was_revoked_while_the_core_was_away_is_known_before_anything_is_served;
    cluster: an_edge_that_stood_still_learns_it_before_it_serves,
    what_a_frozen_core_would_tell_is_learned_from_another
];

async fn what_was_revoked_while_the_core_was_away_is_known_before_anything_is_served(
    arrangement: Arrangement,
) {
    let mut chat = TestChat::start(arrangement).await;
    let ada = chat.user("ada").await;
    let bob = chat.user("bob").await;
    let mut ended = sockets(&chat, &ada).await;
    let core = chat.core_role();
    chat.kill(core);
    // Longer than an edge believes in what it knows.
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    let user = Uuid::parse_str(&ada.id).expect("a UUID").simple();
    let revoked = format!(
        "insert into session_notices (version, kind, key, cutoff) values (1, 1, x'{user}', 99999999999)"
    );
    chat.change_rows(&[revoked.as_str()]).await;
    // It waits for a core, and is no good when one is there. Nor is what comes on a socket.
    ended[0].0.say(&bob, "by a thief").await;
    let edge = chat.edge();
    let client_ref = Uuid::new_v4().to_string();
    let body = serde_json::json!({"client_ref": client_ref, "message_body": "hello"}).to_string();
    let sent = edge.request("POST", &format!("/v2/threads/{}/messages", Uuid::new_v4()));
    let sent = sent.bearer(&ada.token).header("content-type", "application/json").body(body);
    let waiting = tokio::spawn(sent.send());
    chat.spawn(core).await;
    let answer = waiting.await.expect("no panic");
    assert!([401, 503].contains(&answer.status), "{answer:?}");
    are_closed(ended, 4401).await;
    is_refused(&chat, &ada).await;
    assert_eq!(chat.count("select count(*) from messages").await, 0);
}

async fn an_edge_that_stood_still_learns_it_before_it_serves(arrangement: Arrangement) {
    let mut chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let (revoked, ended) = (sockets(&chat, &ada).await, sockets(&chat, &bob).await);
    let mut service = chat.session_service();
    for (index, role) in chat.edge_roles().into_iter().enumerate() {
        chat.process(role).signal(Signal::STOP);
        if index == 0 {
            revoke(&mut service, Tokens::UserId(ada.id.clone())).await;
            end(&mut service, Sessions::UserId(bob.id.clone())).await;
        }
        // Longer than an edge believes in what it knows.
        tokio::time::sleep(std::time::Duration::from_millis(2_500)).await;
        let edge = chat.edge_at(index);
        let asked = tokio::spawn(edge.get(THREADS).bearer(&ada.token).send());
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        chat.process(role).signal(Signal::CONT);
        let answer = asked.await.expect("no panic");
        assert!([401, 503].contains(&answer.status), "{answer:?}");
    }
    are_closed(revoked, 4401).await;
    are_closed(ended, 4403).await;
    is_refused(&chat, &ada).await;
    assert!(is_taken(chat.edge(), &bob).await);
}

async fn what_a_frozen_core_would_tell_is_learned_from_another(arrangement: Arrangement) {
    let mut chat = TestChat::start(arrangement).await;
    let cores = chat.core_roles();
    for (frozen, other) in [(cores[0], cores[1]), (cores[1], cores[0])] {
        let ada = chat.user("ada").await;
        let ended = sockets(&chat, &ada).await;
        chat.process(frozen).signal(Signal::STOP);
        let mut service = chat.session_service_of(other);
        revoke(&mut service, Tokens::UserId(ada.id.clone())).await;
        are_closed(ended, 4401).await;
        for edge in chat.edges() {
            let answer = ask(edge, &ada).await;
            assert!([401, 503].contains(&answer.status), "{answer:?}");
        }
        chat.process(frozen).signal(Signal::CONT);
        chat.restart(frozen).await;
    }
}
