//! Which tokens are meant, and what becomes of their sockets.

use netrox_harness::{Arrangement, Socket, TestChat, each, socket::End, token::now};
use netrox_proto::v1::{AllTokens, RevokeTokensRequest, TokenName, revoke_tokens_request::Tokens};
use prost_types::Timestamp;
use tokio_tungstenite::tungstenite::Error;

use super::{
    are_closed, ask, is_refused, is_taken, issued, open_second, revocation, revoke, sockets,
};

each![
    tokens_of_a_user_count_no_more,
    one_token_is_known_by_its_name,
    tokens_of_all_users_are_taken_away_by_their_date,
    what_was_revoked_stays_so_over_restarts
];

async fn tokens_of_a_user_count_no_more(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let ended = sockets(&chat, &ada).await;
    let mut at_bob = chat.connect(&bob).await;
    let mut service = chat.session_service();
    revoke(&mut service, Tokens::UserId(ada.id.clone())).await;
    are_closed(ended, 4401).await;
    is_refused(&chat, &ada).await;
    let later = issued(&ada, 5, "later");
    for edge in chat.edges() {
        let path = format!("/ws/chat/room/?token={}", ada.token);
        match Socket::try_open(edge.address, &path, &[]).await {
            Err(Error::Http(answer)) => assert_eq!(answer.status(), 401),
            other => panic!("{other:?}"),
        }
        assert_eq!(open_second(edge, &ada).await.end().await, End::Closed(4401));
        assert!(is_taken(edge, &later).await, "it was issued later");
        assert!(is_taken(edge, &bob).await, "another user");
    }
    let mut at_ada = chat.connect(&later).await;
    at_ada.say(&bob, "still here").await;
    at_bob.expect_body("still here").await;
}

async fn one_token_is_known_by_its_name(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let ada = chat.user("ada").await;
    let (stolen, kept) = (issued(&ada, -5, "stolen"), issued(&ada, -5, "kept"));
    let ended = sockets(&chat, &stolen).await;
    let mut at_ada = chat.connect(&kept).await;
    let mut service = chat.session_service();
    let named = |issuer: Option<&str>| {
        Tokens::Token(TokenName { token_id: "stolen".into(), issuer: issuer.map(str::to_owned) })
    };
    revoke(&mut service, named(Some("https://another.example"))).await;
    assert!(is_taken(chat.edge(), &stolen).await);
    let dated = RevokeTokensRequest {
        issued_before: Some(Timestamp { seconds: 1, nanos: 0 }),
        ..revocation(named(None))
    };
    assert!(service.revoke_tokens(dated).await.is_err());
    revoke(&mut service, named(None)).await;
    are_closed(ended, 4401).await;
    is_refused(&chat, &stolen).await;
    for edge in chat.edges() {
        assert!(is_taken(edge, &kept).await);
    }
    at_ada.expect_no_answer().await;
}

async fn tokens_of_all_users_are_taken_away_by_their_date(arrangement: Arrangement) {
    let chat = TestChat::start(arrangement).await;
    let (ada, bob) = (chat.user("ada").await, chat.user("bob").await);
    let (old, young) = (issued(&ada, -100, "old"), issued(&bob, -90, "young"));
    let ended = sockets(&chat, &old).await;
    let mut at_bob = chat.connect(&young).await;
    let mut service = chat.session_service();
    let cutoff = Timestamp { seconds: now() as i64 - 95, nanos: 999_999_999 };
    let request = RevokeTokensRequest {
        issued_before: Some(cutoff),
        expires_at: Some(Timestamp { seconds: now() as i64 + 3_600, nanos: 0 }),
        ..revocation(Tokens::All(AllTokens {}))
    };
    let kept = service.revoke_tokens(request.clone()).await.expect("revoked").into_inner();
    assert_eq!(kept.issued_before.map(|time| time.seconds), Some(cutoff.seconds));
    assert!(kept.expires_at.is_some());
    are_closed(ended, 4401).await;
    is_refused(&chat, &old).await;
    // Without a date it counts as issued before.
    let claims = netrox_harness::token::Claims::access(&bob.id).without("iat");
    let undated = bob.with_token(claims.sign(netrox_harness::settings::JWT_SECRET));
    is_refused(&chat, &undated).await;
    for edge in chat.edges() {
        assert!(is_taken(edge, &young).await);
    }
    at_bob.expect_no_answer().await;
    // An earlier date takes nothing back.
    let earlier = Some(Timestamp { seconds: 1, nanos: 0 });
    let request = RevokeTokensRequest { issued_before: earlier, expires_at: None, ..request };
    let kept = service.revoke_tokens(request).await.expect("revoked").into_inner();
    assert_eq!(kept.issued_before.map(|time| time.seconds), Some(cutoff.seconds));
    assert_eq!(kept.expires_at, None);
    assert_eq!(ask(chat.edge(), &old).await.status, 401);
}

async fn what_was_revoked_stays_so_over_restarts(arrangement: Arrangement) {
    let mut chat = TestChat::start(arrangement).await;
    let ada = chat.user("ada").await;
    let mut service = chat.session_service();
    revoke(&mut service, Tokens::UserId(ada.id.clone())).await;
    is_refused(&chat, &ada).await;
    for role in chat.roles() {
        chat.restart(role).await;
        for edge in chat.edges() {
            // Not once is it taken: an edge knows before it serves.
            let answer = ask(edge, &ada).await;
            assert!([401, 503].contains(&answer.status), "{role:?} {answer:?}");
        }
    }
    chat.ready().await;
    is_refused(&chat, &ada).await;
}
